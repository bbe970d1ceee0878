"""Three sections, embedded apart and joined."""

import numpy as np
import pytest
from stub_embedder import StubEmbedder

from hf_specclip.literature import SECTIONS, embed_summaries, section_mask

SUMMARIES = [
    {"identity": "A quasar.", "spectrum": "Photon index 1.8.", "context": "Behind a cluster."},
    {"identity": " A quasar. ", "spectrum": None, "context": "  \n"},
    {"identity": ""},
    {"identity": "A pulsar.", "spectrum": "Black body.", "context": None},
]


def test_sections_are_those_of_the_model():
    from hf_specclip.models.variables_specclip import SECTIONS as OF_THE_MODEL

    assert tuple(SECTIONS) == tuple(OF_THE_MODEL)


def test_sections_stand_in_order_with_zeros_for_the_absent():
    embedder = StubEmbedder(dimension=3)
    vectors = embed_summaries(SUMMARIES, embedder)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 9)
    for row, summary in enumerate(SUMMARIES):
        for column, section in enumerate(SECTIONS):
            text = (summary.get(section) or "").strip()
            wanted = StubEmbedder(dimension=3).embed([text])[0] if text else np.zeros(3)
            np.testing.assert_array_equal(vectors[row, 3 * column : 3 * column + 3], wanted)
    assert len(embedder.asked) == len(set(embedder.asked)) == 5


def test_mask_marks_what_is_there():
    assert section_mask(SUMMARIES).tolist() == [
        [True, True, True],
        [True, False, False],
        [False, False, False],
        [True, True, False],
    ]


def test_nothing_to_embed_asks_nothing():
    embedder = StubEmbedder(dimension=3)
    assert embed_summaries([{}, {"identity": None}], embedder).tolist() == [[0.0] * 9] * 2
    assert embed_summaries([], embedder).shape == (0, 9)
    assert section_mask([]).shape == (0, 3)
    assert embedder.asked == []


def test_the_width_of_a_server_is_not_asked_for():
    class Server:
        @property
        def dimension(self):
            raise AssertionError("a request for the width")

        def embed(self, texts, *, progress=False):
            return np.ones((len(texts), 2), np.float32)

    assert embed_summaries([{"identity": "a quasar"}], Server()).shape == (1, 6)


def test_a_section_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="summary 0: spectrum is a float"):
        section_mask([{"spectrum": float("nan")}])
