"""Build and training, end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest
from building import TOKEN, rows_of
from world import World

from specclip_datasets.__main__ import main
from specclip_datasets.contract import SPLITS, contract_features
from specclip_datasets.folder import read_dataset

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_build_and_train_on_three_hundred_detections(keys, tmp_path):
    names, output = tmp_path / "names.txt", tmp_path / "dataset"
    with World(110, 3, observations=330, token=TOKEN) as world:
        names.write_text("\n".join(world.names))
        words = ["build", "--source", "csc", "--names", str(names), "--output", str(output)]
        words += ["--kinds", "spectrum,arf", "--survey-limit", "5", *world.arguments]
        words += ["--summariser", "openai", "--llm-url", world.chat.base_url]
        assert main([*words, "--embedder", "offline"]) == 0
    rows, info = rows_of(output)
    assert len(rows) == 330
    assert info.text_model.startswith("all-MiniLM-L6-v2@")
    assert len({row["group"] for row in rows}) == 110
    splits, _ = read_dataset(output)
    filled = dict.fromkeys(contract_features(400, 384), 0)
    for split in SPLITS:
        table = splits[split].with_format("arrow")[:]
        assert len(table) > 0
        for name in filled:
            filled[name] += pc.count(table[name]).as_py()
    # A fifth of the simulated measurements are missing.
    assert min(filled.values()) > 0.6 * 330, filled
    assert filled["summary"] == filled["text_embedding"] == filled["counts"] == 330
    run = tmp_path / "run"
    done = subprocess.run(
        [
            sys.executable, "training/reproduce.py", "--config", "demo", "--dataset", str(output),
            "--output", str(run), "--max-steps", "6", "--cache-dir", str(tmp_path / "cache"),
            "--set", "evaluation.n_bootstrap=20",
        ],
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["text_model"] == info.text_model
    assert (run / "model" / "model.safetensors").is_file()
    assert (run / "report.html").is_file()
