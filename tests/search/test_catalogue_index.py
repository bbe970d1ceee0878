"""Index of a catalogue of Parquet files: exact and approximate search, and stale indexes."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stub_embedder import unit

from hf_specclip.errors import FileFormatError
from hf_specclip.search.catalogue import CatalogueIndex
from specclip_datasets.contract import list_array


@pytest.fixture
def vectors():
    return unit(np.random.default_rng(0).normal(size=(900, 8)).astype(np.float32))


@pytest.fixture
def folder(vectors, tmp_path):
    for number, part in enumerate(np.split(vectors, 3)):
        names = [f"s{300 * number + i}" for i in range(300)]
        table = pa.table({"source_name": names, "embedding": list_array(part)})
        pq.write_table(table, tmp_path / f"p{number}.parquet")
    return tmp_path


def test_exact_search_equals_a_full_sort_of_the_stored_vectors(folder, vectors, monkeypatch):
    monkeypatch.setattr("hf_specclip.search.nearest.SCORES_AT_ONCE", 500)
    index = CatalogueIndex.build(folder)
    scores, rows = index.search(vectors[:5], top_k=7)
    similarity = vectors[:5] @ index.vectors.astype(np.float32).T
    np.testing.assert_array_equal(rows, np.argsort(-similarity, axis=1)[:, :7])
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=1e-3)
    assert index.entries([899, 0, 300]) == [{"source_name": f"s{i}"} for i in (899, 0, 300)]


def test_approximate_search_reaches_the_recall_that_was_measured(folder, vectors):
    pytest.importorskip("faiss")
    CatalogueIndex.build(folder)
    index = CatalogueIndex(folder)
    _, truth = index.search(vectors[:50], top_k=5)

    def recall(**settings):
        _, rows = index.search(vectors[:50], top_k=5, exact=False, **settings)
        return np.mean([len(set(a) & set(b)) / 5 for a, b in zip(rows, truth, strict=True)])

    assert index.recall > 0.9
    assert recall() == pytest.approx(index.recall, abs=0.05)
    assert recall(probes=1) < 0.9 < recall(probes=100)


def test_all_cells_are_probed_where_fewer_do_not_suffice(folder, vectors, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("hf_specclip.search.catalogue.RECALL", 2.0)  # cannot be reached
    monkeypatch.setattr("hf_specclip.search.catalogue.MIN_GAIN", -1.0)
    index = CatalogueIndex.build(folder)
    assert index.recall <= 1.0
    _, rows = index.search(vectors[:3], top_k=2000, exact=False)
    assert (rows >= 0).sum() == 3 * 900


def test_without_faiss_exact_search_remains(folder, vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    index = CatalogueIndex.build(folder)
    assert index.search(vectors[3], top_k=1)[1].tolist() == [[3]]
    with pytest.raises(ImportError, match="pip install"):
        index.search(vectors[:2], exact=False)


def test_an_absent_or_stale_index_asks_to_be_built(folder):
    with pytest.raises(FileNotFoundError, match=r"call CatalogueIndex\.build"):
        CatalogueIndex(folder)
    about = CatalogueIndex.build(folder).folder / "_index" / "index.json"
    content = json.loads(about.read_text())
    stale = {**content, "files": [["p0.parquet", 1], *content["files"][1:]]}
    incomplete = {name: value for name, value in content.items() if name != "probes"}
    for wrong in (stale, incomplete, []):
        about.write_text(json.dumps(wrong))
        with pytest.raises(FileFormatError, match="build it again"):
            CatalogueIndex(folder)
    assert len(CatalogueIndex.build(folder)) == 900


def test_cells_of_another_hand_are_not_read(folder, vectors):
    """FAISS trusts the sizes in its files."""
    pytest.importorskip("faiss")
    index = CatalogueIndex.build(folder)
    cells = index.folder / "_index" / "cells.faiss"
    cells.write_bytes(cells.read_bytes()[:-1] + b"x")
    with pytest.raises(FileFormatError, match=r"cells\.faiss is damaged"):
        index.search(vectors[:2], exact=False)


def test_bad_calls_and_folders_are_refused(folder, vectors, tmp_path):
    index = CatalogueIndex.build(folder)
    with pytest.raises(ValueError, match="this index has 8 dimensions"):
        index.search(vectors[:2, :5])
    with pytest.raises(ValueError, match="at least 1"):
        index.search(vectors[:2], top_k=0)
    with pytest.raises(IndexError, match="there are 900 rows"):
        index.entries([900])
    with pytest.raises(FileNotFoundError, match=r"holds no \*.parquet"):
        CatalogueIndex.build(tmp_path / "none")
    pq.write_table(pa.table({"source_name": ["a"]}), folder / "other.parquet")
    with pytest.raises(FileFormatError, match="need a column 'embedding'"):
        CatalogueIndex.build(folder)
