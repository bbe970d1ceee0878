"""Random subsets of sentences: sizes, sections, labels, and independence of the processes."""

import numpy as np
import pytest

from hf_specclip.literature import SentenceSets
from specclip_training.data.pairs import Texts
from specclip_training.engine.draws import Draws
from specclip_training.engine.presets import AlignSettings
from specclip_training.stages.text_inputs import augmented_inputs, hide_sections, text_inputs

ROWS = np.arange(40) % 8
KNOWN = np.arange(8)


@pytest.fixture(scope="module")
def texts() -> Texts:
    """Eight texts of 1 to 8 sentences, of which text 3 has none with a section."""
    lengths = np.arange(1, 9)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sections = np.concatenate([np.arange(n) % 3 for n in lengths]).astype(np.int8)
    sections[offsets[3] : offsets[4]] = 3
    random = np.random.default_rng(0)
    sentences = SentenceSets(
        random.normal(size=(offsets[-1], 4)).astype(np.float16),
        random.normal(size=(offsets[-1], 2)).astype(np.float32),
        np.arange(offsets[-1], dtype=np.int32),
        sections,
        offsets,
    )
    return Texts(np.ones((8, 3), bool), [{}] * 8, sentences=sentences)


def shown(inputs) -> list[set]:
    """The sentences of each row, by their first number."""
    pairs = zip(inputs["sentence_embeds"], inputs["sentence_mask"], strict=True)
    return [set(row[mask][:, 0].tolist()) for row, mask in pairs]


def test_without_dropout_a_text_is_whole(texts):
    inputs = augmented_inputs(texts, ROWS, AlignSettings(), Draws(0, "align", 0), KNOWN)
    for name, values in text_inputs(texts, ROWS).items():
        assert values.equal(inputs[name]), name


def test_a_text_is_shown_as_one_to_all_but_one_of_its_sentences(texts):
    settings, whole = AlignSettings(sentence_dropout=1.0), shown(text_inputs(texts, ROWS))
    sizes = {n: set() for n in range(1, 9)}
    for step in range(50):
        subsets = shown(augmented_inputs(texts, ROWS, settings, Draws(0, "align", step), KNOWN))
        for subset, every in zip(subsets, whole, strict=True):
            assert subset <= every
            sizes[len(every)].add(len(subset))
    assert sizes == {1: {1}, **{n: set(range(1, n)) for n in range(2, 9)}}


def test_whole_sections_are_hidden_and_one_stays(texts):
    settings = AlignSettings(section_dropout=0.9)
    inputs = augmented_inputs(texts, ROWS, settings, Draws(0, "align", 0), KNOWN)
    whole = text_inputs(texts, ROWS)
    for row in range(len(ROWS)):
        sections, mask = inputs["sentence_sections"][row], inputs["sentence_mask"][row]
        left = sections[mask].unique()
        assert len(left) >= 1
        every = whole["sentence_sections"][row][whole["sentence_mask"][row]]
        assert mask.sum() == sum((every == section).sum() for section in left)


def test_the_sections_of_some_texts_are_not_told(texts):
    settings = AlignSettings(unlabelled=0.5)
    inputs = augmented_inputs(texts, ROWS, settings, Draws(0, "align", 0), KNOWN)
    told = [
        bool((sections[mask] < 3).any())
        for sections, mask, row in zip(
            inputs["sentence_sections"], inputs["sentence_mask"], ROWS, strict=True
        )
        if row != 3
    ]
    assert 0 < sum(told) < len(told)


def test_a_row_has_the_same_subset_on_any_number_of_processes(texts):
    settings = AlignSettings(sentence_dropout=0.7, section_dropout=0.3, other_sentences=0.5)
    one = shown(augmented_inputs(texts, ROWS, settings, Draws(1, "align", 5), KNOWN))
    later = Draws(1, "align", 5, first=17)
    second = shown(augmented_inputs(texts, ROWS[17:], settings, later, KNOWN))
    assert one[17:] == second
    other_step = shown(augmented_inputs(texts, ROWS, settings, Draws(1, "align", 6), KNOWN))
    assert one != other_step


def test_sentences_of_other_texts_are_added(texts):
    rows, known = np.arange(36) % 6, np.array([6, 7])
    whole = shown(text_inputs(texts, rows))
    others = set().union(*shown(text_inputs(texts, known)))
    settings = AlignSettings(other_sentences=0.5)
    inputs = augmented_inputs(texts, rows, settings, Draws(2, "align", 0), known)
    added = [row - own for row, own in zip(shown(inputs), whole, strict=True)]
    assert set().union(*added) <= others
    assert {len(sentences) for sentences in added} >= {0, 3, 5}
    assert 0 < sum(map(bool, added)) < len(rows)
    width = text_inputs(texts, rows)["sentence_mask"].shape[1]
    for row, mask, more in zip(
        inputs["sentence_numbers"], inputs["sentence_mask"], added, strict=True
    ):
        marks, there = row[:, -2:], mask[:width]
        assert (marks[:width][there] == bool(more)).all()
        assert (marks[width:][mask[width:]][:, 0] == 0).all()


def test_hidden_sections_of_a_joined_text():
    mask = np.ones((1000, 3), bool)
    mask[:, 2] = False
    hidden = hide_sections(mask, 0.4, Draws(0, "align", 0))
    assert not hidden[:, 2].any()
    assert hidden.any(axis=1).all()
    # Of two sections one is hidden with 2 · 0.4 · 0.6, and where both are drawn one is kept.
    assert hidden.sum(axis=1).mean() == pytest.approx(2 - 2 * 0.4 * 0.6 - 0.4**2, abs=0.05)
