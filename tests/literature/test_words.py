"""Hashed words, and embedders joined."""

import numpy as np
import pytest

from hf_specclip.literature import JoinedEmbedder, WordEmbedder, get_embedder


def cosine(one, other):
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def test_a_vector_depends_on_its_text_alone_and_grows_with_shared_words():
    embedder = WordEmbedder(4096)
    same, near, far = embedder.embed(
        ["It is moderately faint.", "The source is moderately faint.", "Pulsations were found."]
    )
    assert np.array_equal(embedder.embed(["It is moderately faint."])[0], same)
    assert cosine(same, near) > 0.5 > 0.2 > abs(cosine(same, far))


def test_pairs_of_words_tell_gradings_apart():
    embedder = WordEmbedder(4096)
    one, other = embedder.embed(["very soft, not hard", "very hard, not soft"])
    assert cosine(one, other) < 0.9


def test_names_and_numbers_do_not_count():
    embedder = WordEmbedder()
    one, other = embedder.embed(["UGC 16896 has 12 sources", "UGC 9 has 7 sources"])
    assert np.array_equal(one, other)
    assert not embedder.embed(["J0513+15"]).any()


class _Lengths:
    name, dimension = "lengths", 1

    def embed(self, texts, *, progress=False):
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def test_joined_embedders_stand_side_by_side():
    joined = JoinedEmbedder([_Lengths(), WordEmbedder(16)])
    vectors = joined.embed(["a plasma", "a disc"])
    assert joined.name == "lengths+words-16-1"
    assert vectors.shape == (2, joined.dimension) == (2, 17)
    assert vectors[:, 0].tolist() == [8, 6]
    with pytest.raises(ValueError, match="one embedder"):
        JoinedEmbedder([])


def test_extras_are_asked_for_behind_the_embedder(tmp_path):
    embedder = get_embedder("offline+words+quantities", cache_dir=tmp_path)
    assert [part.name for part in embedder.parts][1:] == ["words-1024-1", "quantities-2"]
    assert get_embedder("offline", cache_dir=tmp_path).name == embedder.parts[0].name
    assert get_embedder("terms+quantities").name == "terms-1+quantities-2"
    assert get_embedder("words").name == "words-1024-1"
    for wrong in ("offline+words+words", "terms+terms", "offline+", "offline+colours", "+words"):
        with pytest.raises(ValueError, match="embedder"):
            get_embedder(wrong, cache_dir=tmp_path)
