"""Words of the training texts: counts, spellings and files."""

import json

import numpy as np
import pytest

from hf_specclip.errors import FileFormatError
from hf_specclip.search.vocabulary import Vocabulary

TEXTS = [
    {"identity": "A quasar. It is luminous.", "spectrum": None},
    {"identity": "Quasars are hard.", "spectrum": "A power law."},
    {"identity": "Low-mass binaries are hard.", "spectrum": "A power law, absorbed."},
    {"identity": "A low-mass binary.", "spectrum": "Absorbed."},
]


@pytest.fixture
def vocabulary():
    return Vocabulary.from_texts(TEXTS, np.eye(3))


def test_words_are_counted_by_texts_and_rare_ones_left_out(vocabulary):
    assert vocabulary.n_texts == 4
    assert vocabulary.words["hard"] == vocabulary.words["mass"] == 2
    assert "luminous" not in vocabulary  # in one text
    assert vocabulary.share("Absorbed") == 0.5
    assert "laws" in vocabulary
    assert "lawn" not in vocabulary


@pytest.mark.parametrize(
    ("misspelt", "meant"), [("absrobed", "absorbed"), ("powre", "power"), ("absorbd", "absorbed")]
)
def test_the_word_meant_is_suggested(vocabulary, misspelt, meant):
    assert meant in vocabulary.suggest(misspelt)
    assert not vocabulary.suggest("banana")


def test_a_saved_vocabulary_is_the_same(vocabulary, tmp_path):
    vocabulary.save_pretrained(tmp_path)
    again = Vocabulary.from_pretrained(tmp_path)
    assert (again.words, again.n_texts) == (vocabulary.words, vocabulary.n_texts)
    np.testing.assert_array_equal(again.vectors, vocabulary.vectors)
    with pytest.raises(FileNotFoundError, match="training writes it"):
        Vocabulary.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 9}, {"words": []}, {"words": {}}, {"words": {"a": "b"}},
        {"words": {"a": 99}}, {"words": {"a" * 99: 1}}, {"texts": None},
        {"texts": float("inf")},
    ],
)  # fmt: skip
def test_damaged_files_are_refused(vocabulary, tmp_path, change):
    path = vocabulary.save_pretrained(tmp_path) / "words.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileFormatError, match=r"words\.json"):
        Vocabulary.from_pretrained(tmp_path)
