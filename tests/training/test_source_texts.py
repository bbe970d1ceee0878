"""Texts of the same source, shown together in a step."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from specclip_training.data.source_texts import SourceTexts

ROWS = {"a": [4, 1, 1, 7], "b": [0, 0], "c": [3], "d": [9, 5], "e": [9], "f": [2, 2]}
FURTHER = np.array([[2, 12], [3, 14], [2, 11], [1, 10], [4, 10]])
ALL = {"a": {1, 4, 7, 10}, "b": {0}, "c": {3, 14}, "d": {5, 9}, "e": {9}, "f": {2, 11, 12}}


@pytest.fixture(scope="module")
def sources():
    names = [name for name, texts in ROWS.items() for _ in texts]
    texts = np.array([text for texts in ROWS.values() for text in texts])
    order = np.random.default_rng(0).permutation(len(names))
    table = pa.table({"source_name": np.array(names)[order]})
    split = SimpleNamespace(table=table, text_ids=texts[order])
    return SourceTexts(split, FURTHER), np.array(names)[order], texts[order]


def test_two_texts_of_a_source_are_drawn(sources):
    texts, names, _ = sources
    rows = np.tile(np.arange(len(names)), 500)
    one, other = texts.draw(rows, np.random.default_rng(1).random((len(rows), 2)))
    for row, name in enumerate(names):
        seen = list(zip(one[rows == row].tolist(), other[rows == row].tolist(), strict=True))
        wanted = {(a, b) for a in ALL[name] for b in ALL[name] if a != b or len(ALL[name]) == 1}
        assert set(seen) == wanted
        often = [seen.count(pair) for pair in wanted]
        assert max(often) < 3 * min(often)


def test_rows_of_a_source_are_positives_unless_it_shares_a_text(sources):
    texts, names, ids = sources
    for name, label, own in zip(names, texts.labels, ids, strict=True):
        together = {(n, i) for n, i, k in zip(names, ids, texts.labels, strict=True) if k == label}
        if name in ("d", "e"):  # a text of both does not make one source of them
            assert together == {("d", 9), ("e", 9)} if own == 9 else {("d", 5)}
        else:
            assert together == {(name, i) for i in ROWS[name]}
