"""Random split over pairs: leakage, labels, and everything else unchanged."""

import numpy as np
from tiny_dataset import SIZES

from specclip_training.data.pairs import SPLITS
from specclip_training.studies.pair_split import leaky_section, leaky_split, shared_with_train


def rows_of(pairs):
    """Source, observation, counts, text and group of all rows, in a fixed order."""
    rows = []
    for split in pairs.splits.values():
        names = (split.table[column].to_pylist() for column in ("source_name", "obsid", "counts"))
        rows += zip(*names, split.counts.tolist(), split.text_ids, split.groups, strict=True)
    return sorted(rows)


def test_every_row_keeps_its_spectrum_text_and_group(pairs):
    leaky = leaky_split(pairs)
    assert leaky.sizes == SIZES
    assert rows_of(leaky) == rows_of(pairs)


def test_the_split_leaks_and_is_labelled(pairs):
    assert shared_with_train(pairs) == {"source": 0, "text": 0, "group": 0}
    leaky = leaky_split(pairs)
    shared = shared_with_train(leaky)
    assert min(shared.values()) > 0.3
    assert leaky.leaky
    assert not pairs.leaky
    assert leaky.fingerprint.startswith("leaky-")
    assert "leaky" in leaky.name
    assert "leaky" in leaky.info.name
    assert pairs.texts.entries[0]["split"] == "train"


def test_the_draw_depends_on_the_seed_alone(pairs):
    first, again, reseeded = (leaky_split(pairs, seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != reseeded.fingerprint
    assert (first.splits["test"].text_ids == again.splits["test"].text_ids).all()


def test_texts_keep_their_rows_and_embeddings(pairs):
    leaky = leaky_split(pairs)
    assert leaky.texts.embeddings is pairs.texts.embeddings
    for before, after in zip(pairs.texts.entries, leaky.texts.entries, strict=True):
        assert {**before, "split": None} == {**after, "split": None}
    for name in SPLITS:
        for text in np.unique(leaky.splits[name].text_ids):
            home = leaky.texts.entries[text]["split"]
            assert SPLITS.index(home) <= SPLITS.index(name)


def test_the_report_warns_and_bolds_the_split_over_groups():
    figure = {"value": 0.1, "low": 0.05, "high": 0.15, "chance": 0.01}
    clean = {"spectrum_to_text": {"n_queries": 5, "recall@1%": figure}}
    leaked = {"spectrum_to_text": {"n_queries": 5, "recall@1%": {**figure, "value": 0.3}}}
    shared = {"source": 0.5, "text": 0.25, "group": 0.75}
    section = leaky_section(clean, leaked, shared, simulated=False)
    text, table = section.blocks
    for words in ("A warning, not a result", "50%", "25%", "75%"):
        assert words in text.text
    assert table.rows == [
        ["Recall@1%", "**10.0% (5.0% to 15.0%)**", "30.0% (5.0% to 15.0%)", "20%", "1.0%"]
    ]
