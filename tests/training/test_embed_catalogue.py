"""The job that embeds a catalogue: stopped, shared and resumed, it ends with the same files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from tiny_dataset import make_dataset

from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.search.catalogue import CatalogueIndex
from specclip_training import embed_catalogue as job
from specclip_training.engine.checkpoint import CheckpointError

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


def test_vectors_are_those_of_the_model_in_the_order_of_the_dataset(model, files, embedded):
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


def test_a_stopped_job_resumes_with_the_missing_files(
    model, files, embedded, tmp_path, monkeypatch
):
    read_table, tables_read = job.ParquetRows.table, []

    def stop_in_the_second_file(rows, group):
        if len(tables_read) == job.GROUPS_PER_FILE:
            raise KeyboardInterrupt
        tables_read.append(group)
        return read_table(rows, group)

    with monkeypatch.context() as patch:
        patch.setattr(job.ParquetRows, "table", stop_in_the_second_file)
        with pytest.raises(KeyboardInterrupt):
            embed(model, files, tmp_path / "cut")
    [first] = (tmp_path / "cut").glob("part-*")
    before = first.stat().st_mtime_ns
    paths = embed(model, files, tmp_path / "cut")
    assert first.stat().st_mtime_ns == before
    for path, expected in zip(paths, embedded, strict=True):
        assert path.read_bytes() == expected.read_bytes()


@pytest.mark.slow
def test_two_processes_share_it_and_other_rows_are_refused(model, files, embedded, tmp_path):
    dataset = Path(files[0]).parent
    output = tmp_path / "two"
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(ROOT / "training/configs/accelerate/ddp_cpu.yaml"),
        str(ROOT / "training/embed_catalogue.py"), "--model", str(model),
        "--dataset", str(dataset / "dataset"), "--output", str(output), "--split", "train",
        "--index",
    ]  # fmt: skip
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "1 files" in done.stdout
    assert "60 vectors indexed" in done.stdout
    index = CatalogueIndex(output)
    _, rows = index.search(index.vectors[7], top_k=3)
    assert index.entries(rows[0])[0] == index.entries([7])[0]
    found, expected = pq.read_table(output), pq.read_table(embedded[0].parent)
    np.testing.assert_allclose(
        np.array(found["embedding"].to_pylist()),
        np.array(expected["embedding"].to_pylist()),
        atol=1e-5,
    )
    with pytest.raises(CheckpointError, match=r"made with other settings \(rows: was"):
        embed(model, files, output)


def test_a_folder_of_something_else_is_left_alone(model, files, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds mine.txt, which this command did not write"):
        embed(model, files, tmp_path)
