"""Index in Milvus: the same hits as the index in process, filters and identifiers included."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stub_embedder import unit

from hf_specclip import IndexFilter, SpecCLIPIndex
from hf_specclip.search.catalogue import CatalogueIndex
from hf_specclip.search.milvus import MilvusIndex
from specclip_datasets.contract import list_array

pytest.importorskip("pymilvus", reason="pymilvus is not installed")
pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
N, D = 60, 8


@pytest.fixture(scope="module")
def index():
    random = np.random.default_rng(0)
    texts = [
        {
            "id": f"text-{i}",
            "source_names": [f"2CXO J{i:06d}.0+000000"],
            "summary": {"identity": 'An "α" star. ' * (3000 if i == 3 else 1)},
            "classes": [["LMXB", "a\\b"], ["QSO"], []][i % 3],
            "groups": [f"g{i}", f"g{i + 1}"],
            "positions": [[6.0 * i, 0.5], [6.0 * i, 89.5]],
            "counts": 10 * i,
            "split": "train" if i % 2 else None,
        }
        for i in range(N)
    ]
    spectra = [
        {"id": f"spectrum-{i}", "class": "QSO", "ra": 359.9, "dec": -0.2, "group": "g"}
        for i in range(5)
    ] + [{"id": "bare"}]
    return SpecCLIPIndex(
        texts,
        unit(random.normal(size=(N, D))),
        spectra=spectra,
        spectrum_embeddings=unit(random.normal(size=(6, D))),
    )


@pytest.fixture(scope="module")
def milvus(index, tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("milvus") / "sky.db")
    index.to_milvus(uri, collection="sky").close()
    database = MilvusIndex(uri, collection="sky")
    yield database
    database.close()


def assert_same_hits(found, expected):
    assert [[(h.rank, h.row, h.entry) for h in hits] for hits in found] == [
        [(h.rank, h.row, h.entry) for h in hits] for hits in expected
    ]
    for hits, others in zip(found, expected, strict=True):
        np.testing.assert_allclose([h.score for h in hits], [h.score for h in others], atol=1e-5)


@pytest.mark.parametrize("kind", ["papers", "spectra"])
def test_hits_are_those_of_the_index_in_process(index, milvus, kind):
    queries = np.random.default_rng(1).normal(size=(4, D))
    found = milvus.search(queries, 7, kind=kind)
    assert_same_hits(found, index.search(queries, 7, kind=kind))
    assert milvus.sizes == {"papers": N, "spectra": 6}


@pytest.mark.parametrize(
    "where",
    [
        {"classes": ["lmxb"]},
        {"classes": ["A\\B", "qso"]},
        {"counts": (200, None)},
        {"splits": ["train"]},
        {"without_groups": ["g0", "g7", 'g"7']},
        {"cone": (359.5, 0.5, 7.0)},
        {"cone": (10.0, 90.0, 0.4)},
        {"cone": (10.0, -30.0, 100.0)},
        {"cone": (340.0, 3.0, 30.0)},
        {"classes": ["QSO"], "splits": ["train"], "counts": (100, 500)},
    ],
)
@pytest.mark.parametrize("kind", ["papers", "spectra"])
def test_conditions_keep_the_entries_they_keep_in_process(index, milvus, where, kind):
    query = index.embeddings[:2]
    condition = IndexFilter(**where)
    found = milvus.search(query, 5, kind=kind, where=condition)
    assert_same_hits(found, index.search(query, 5, kind=kind, where=condition))


def test_bad_queries_and_collections_are_refused(index, milvus, tmp_path):
    with pytest.raises(ValueError, match="8 dimensions"):
        milvus.search(np.ones(5))
    with pytest.raises(ValueError, match="top_k"):
        milvus.search(np.ones(D), 0)
    uri = str(tmp_path / "other.db")
    with pytest.raises(ValueError, match="has no index 'sky'"):
        MilvusIndex(uri, collection="sky")
    index.to_milvus(uri, collection="sky").close()
    with pytest.raises(ValueError, match="choose another name"):
        index.to_milvus(uri, collection="sky")


def test_a_catalogue_is_written_from_its_files(tmp_path):
    vectors = unit(np.random.default_rng(2).normal(size=(30, D)).astype(np.float32))
    names = [f"s{i}" for i in range(30)]
    table = pa.table({"source_name": names, "embedding": list_array(vectors)})
    pq.write_table(table, tmp_path / "part.parquet")
    catalogue = CatalogueIndex.build(tmp_path)
    database = catalogue.to_milvus(str(tmp_path / "sky.db"))
    [hits] = database.search(vectors[4], 3, kind="spectra")
    database.close()
    _, rows = catalogue.search(vectors[4], 3)
    assert [hit.row for hit in hits] == rows[0].tolist()
    assert hits[0].entry == {"id": "s4", "source_name": "s4"}
    assert database.sizes == {"spectra": 30}
