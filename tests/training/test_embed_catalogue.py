"""Jobs that write shards: stopped, shared and gone on with, they end with the same files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from specclip_training import embed_catalogue as job
from specclip_training.engine.checkpoint import CheckpointError
from tiny_dataset import make_dataset

from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.search.vector_shards import VectorShards, merge_hits

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    config = SpecCLIPConfig(
        spectrum_config={"patch_size": 50, "hidden_size": 16, "num_hidden_layers": 1,
                         "num_attention_heads": 2, "latent_dim": 8},
        text_config={"embedding_dim": 6}, shared_dim=8, projection_hidden_size=16,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    SpecCLIPModel(config).eval().save_pretrained(folder)
    SpecCLIPFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A dataset of many small row groups, as a large one has many."""
    dataset = make_dataset(tmp_path_factory.mktemp("sky") / "dataset", embedded=False)
    [path] = (dataset / "data").glob("train-*.parquet")
    small = path.parents[2] / "train.parquet"
    pq.write_table(pq.read_table(path), small, row_group_size=3)
    return [str(small)]


def embed(model, files, output, **more):
    return job.embed_catalogue(
        Accelerator(cpu=True),
        SpecCLIPModel.from_pretrained(model),
        SpecCLIPFeatureExtractor.from_pretrained(model),
        files,
        output,
        progress=False,
        **more,
    )


@pytest.fixture(scope="module")
def embedded(model, files, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "whole"
    return embed(model, files, output)


def test_vectors_are_the_models_in_the_order_of_the_dataset(model, files, embedded):
    assert len(embedded) == 2  # twenty row groups, ten in a file
    table = pq.read_table(files[0])
    found = pq.read_table(embedded[0].parent)
    assert found["source_name"].to_pylist() == table["source_name"].to_pylist()
    assert found["obsid"].to_pylist() == table["obsid"].to_pylist()
    columns = {
        name: np.array(table[name].to_pylist())
        for name in ("counts", "background_counts", "background_scale", "exposure")
    }
    inputs = SpecCLIPFeatureExtractor.from_pretrained(model)(columns, return_tensors="pt")
    with torch.no_grad():
        expected = SpecCLIPModel.from_pretrained(model).eval().get_spectrum_features(**inputs)
    vectors = np.array(found["embedding"].to_pylist())
    np.testing.assert_allclose(vectors, expected.pooler_output.numpy(), atol=1e-5)


def test_a_stopped_job_makes_what_is_missing(model, files, embedded, tmp_path, monkeypatch):
    real, made = job.pa.concat_tables, []

    def stop_at_the_second(tables):
        if made:
            raise KeyboardInterrupt
        made.append(1)
        return real(tables)

    with monkeypatch.context() as patch:
        patch.setattr(job.pa, "concat_tables", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            embed(model, files, tmp_path / "cut")
    kept = sorted((tmp_path / "cut").glob("part-*"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    paths = embed(model, files, tmp_path / "cut")
    assert kept[0].stat().st_mtime_ns == before
    for one, other in zip(paths, embedded, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_two_processes_share_it_and_another_model_is_refused(model, files, embedded, tmp_path):
    dataset = Path(files[0]).parent
    output = tmp_path / "two"
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(ROOT / "training/configs/accelerate/ddp_cpu.yaml"),
        str(ROOT / "training/embed_catalogue.py"), "--model", str(model),
        "--dataset", str(dataset / "dataset"), "--output", str(output), "--split", "train",
    ]  # fmt: skip
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "1 files" in done.stdout
    found, expected = pq.read_table(output), pq.read_table(embedded[0].parent)
    np.testing.assert_allclose(
        np.array(found["embedding"].to_pylist()),
        np.array(expected["embedding"].to_pylist()),
        atol=1e-5,
    )
    with pytest.raises(CheckpointError, match=r"made with other settings \(half: was False"):
        embed(model, [str(p) for p in (dataset / "dataset/data").glob("train*")], output, half=True)


def test_a_folder_of_something_else_is_left_alone(model, files, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds mine.txt, which no such job made"):
        embed(model, files, tmp_path)


@pytest.fixture
def shards(tmp_path):
    import pyarrow as pa

    random = np.random.default_rng(0)
    vectors = random.normal(size=(900, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in range(3):
        part = vectors[300 * number : 300 * (number + 1)]
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), 8)
        names = [f"s{300 * number + i}" for i in range(300)]
        pq.write_table(
            pa.table({"source_name": names, "embedding": column}), tmp_path / f"p{number}.parquet"
        )
    return VectorShards(tmp_path), vectors


def test_search_finds_what_a_full_sort_finds(shards, monkeypatch):
    found, vectors = shards
    monkeypatch.setattr("hf_specclip.search.vector_shards.SCORES_AT_ONCE", 500)
    scores, places = found.search(vectors[:5], top_k=7)
    expected = np.argsort(-(vectors[:5] @ vectors.T), axis=1)[:, :7]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=1e-5)
    assert found.rows([899, 0, 300]) == [{"source_name": f"s{i}"} for i in (899, 0, 300)]
    halves = [(s, p) for s, p in ((scores[:, :3], places[:, :3]), (scores[:, 3:], places[:, 3:]))]
    np.testing.assert_array_equal(merge_hits(halves, 7)[1], expected)


def test_an_index_is_kept_and_refused_for_other_files(shards):
    pytest.importorskip("faiss")
    found, vectors = shards
    with pytest.raises(FileNotFoundError, match=r"call build\(\) first"):
        found.search(vectors[:2], exact=False)
    found.build()
    again = VectorShards(found.folder)
    _, exact = again.search(vectors[:50], top_k=5)

    def share(**settings):
        _, places = again.search(vectors[:50], top_k=5, exact=False, **settings)
        pairs = zip(places.tolist(), exact.tolist(), strict=True)
        return np.mean([len(set(a) & set(b)) / 5 for a, b in pairs])

    assert share(probes=100) > 0.9  # all cells are looked into; eight bits cost a little
    # As many as are needed by default, which was tried on these very vectors.
    assert again.index_facts == found.index_facts
    assert share() == pytest.approx(again.index_facts["found"], abs=0.05)
    assert again.index_facts["found"] > 0.9
    assert share(probes=1) < 0.9
    about = found.folder / "_vectors.json"
    content = json.loads(about.read_text())
    other = {**content, "files": [["p0.parquet", 1], *content["files"][1:]]}
    older = {name: value for name, value in content.items() if name != "probes"}
    for wrong in (other, older, []):
        about.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"made from other files.*call build\(\) again"):
            VectorShards(found.folder).search(vectors[:2], exact=False)


def test_an_index_of_few_vectors_looks_into_all_it_has(shards, monkeypatch):
    pytest.importorskip("faiss")
    found, vectors = shards
    monkeypatch.setattr("hf_specclip.search.vector_shards.WANTED", 2.0)  # more than there is
    monkeypatch.setattr("hf_specclip.search.vector_shards.HARDLY", -1.0)
    found.build()
    assert found.index_facts["probes"] == found._index.nlist
    assert found.index_facts["found"] <= 1.0
    assert (found.search(vectors[:3], top_k=2000, exact=False)[1] >= 0).sum() == 3 * 900


def test_what_is_refused(shards, tmp_path):
    found, vectors = shards
    with pytest.raises(ValueError, match="these vectors have 8"):
        found.search(vectors[:2, :5])
    with pytest.raises(ValueError, match="at least 1"):
        found.search(vectors[:2], top_k=0)
    with pytest.raises(IndexError, match="there are 900 rows"):
        found.rows([900])
    with pytest.raises(FileNotFoundError, match=r"holds no \*.parquet"):
        VectorShards(tmp_path / "none")
