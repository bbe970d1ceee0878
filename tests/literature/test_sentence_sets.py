"""Texts as sets of sentences."""

import numpy as np
import pytest
from stub_embedder import LengthEmbedder

from hf_specclip.literature import SENTENCE_NUMBERS, SentenceSets, embed_sentences
from hf_specclip.literature.sentence_sets import MAX_SENTENCES

SUMMARIES = [
    {"identity": "A quasar. It is hard.", "spectrum": "Γ = 1.8.", "context": None},
    {"text": "It is hard."},
    {"identity": " "},
    {"spectrum": "A black body with kT = 0.2 keV. It is hard."},
]


@pytest.fixture
def sets() -> SentenceSets:
    return embed_sentences(SUMMARIES, LengthEmbedder())


def test_each_distinct_sentence_is_embedded_once():
    embedder = LengthEmbedder()
    sets = embed_sentences(SUMMARIES, embedder)
    assert embedder.asked == [
        "A quasar.",
        "It is hard.",
        "Γ = 1.8.",
        "A black body with kT = 0.2 keV.",
    ]
    assert (len(sets), sets.lengths.tolist()) == (4, [3, 1, 0, 2])
    assert sets.ids.tolist() == [0, 1, 2, 1, 3, 1]
    assert sets.sections.tolist() == [0, 0, 1, 3, 1, 1]
    assert (sets.vectors.dtype, sets.vectors.shape) == (np.float16, (4, 2))
    assert sets.numbers.any(axis=1).tolist() == [False, False, True, True]


def test_a_batch_is_padded_to_its_longest_text(sets):
    batch = sets.batch([3, 0, 2])
    assert batch["sentence_mask"].sum(axis=1).tolist() == [2, 3, 0]
    assert batch["sentence_embeds"].shape == (3, 3, 2)
    assert batch["sentence_numbers"].shape == (3, 3, SENTENCE_NUMBERS)
    assert batch["sentence_embeds"][1, :, 0].tolist() == [9, 11, 8]
    assert batch["sentence_sections"][0].tolist() == [1, 1, 0]
    assert not batch["sentence_embeds"][~batch["sentence_mask"]].any()


def test_sentences_and_section_labels_can_be_hidden(sets):
    keep = np.array([False, True, True, True, False])
    batch = sets.batch([0, 3], keep=keep, unlabelled=np.array([True, False]))
    assert batch["sentence_embeds"][:, :, 0].tolist() == [[11, 8], [31, 0]]
    assert batch["sentence_sections"].tolist() == [[3, 3], [1, 0]]


def test_texts_are_selected_with_their_sentences_alone(sets):
    some = sets.take(np.array([False, True, True, True]))
    assert (len(some), len(some.vectors)) == (3, 2)
    for key, value in some.batch([2, 0]).items():
        np.testing.assert_array_equal(value, sets.batch([3, 1])[key])


def test_features_are_means_over_the_sentences(sets):
    features = sets.features()
    assert (features.shape, features.dtype) == ((4, 2 + SENTENCE_NUMBERS), np.float32)
    assert features[0, 0] == pytest.approx((9 + 11 + 8) / 3)
    assert not features[2].any()
    np.testing.assert_allclose(features[0, 2:-2], sets.numbers[:3].mean(axis=0))


def test_a_section_may_be_called_text():
    sets = embed_sentences([{"text": "A quasar."}], LengthEmbedder(), sections=["text"])
    assert sets.sections.tolist() == [0]


def test_long_texts_end_at_a_limit_and_no_text_is_no_problem():
    long = " ".join(f"It has {i} counts." for i in range(200))
    assert embed_sentences([{"text": long}], LengthEmbedder()).lengths.tolist() == [MAX_SENTENCES]
    nothing = embed_sentences([{}, {"text": None}], LengthEmbedder())
    assert nothing.batch([0, 1])["sentence_mask"].tolist() == [[False], [False]]
    assert nothing.features().shape == (2, 2 + SENTENCE_NUMBERS)


def test_sentences_that_name_the_source_are_marked():
    text = "Our survey has 80 sources. J0642+4904 is hard, as is CXO J1844−3523. 3C 273 is bright."
    names = [["2CXO J064225.1+490403"], ["2CXO J184401.2-352311", "3C 273"], []]
    sets = embed_sentences([{"text": text}] * 3, LengthEmbedder(), names=names)
    marks = sets.take([1, 2, 0]).batch([0, 1, 2])["sentence_numbers"][..., -2:]
    assert marks[..., 0].tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]
    assert marks[..., 1].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]  # one names it twice
    sets.leave_out_quantities()
    np.testing.assert_array_equal(sets.take([1, 2, 0]).batch([0, 1, 2])["sentence_numbers"], marks)
