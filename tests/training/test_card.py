"""The card says what was measured, in a form the Hub accepts, and nothing more."""

import re
import shutil

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from training.card import write_model_card

FIGURE = {"value": 0.123, "low": 0.045, "high": 0.234, "chance": 0.0567}
METRICS = {
    "dataset": "/home/somebody/SimulatedCSC demo",
    "preset": "demo",
    "seed": 7,
    "splits": {"train": 1380, "calibration": 20, "validation": 300, "test": 300},
    "retrieval": {
        direction: {
            "n_queries": 300,
            "n_gallery": 195,
            **{f"recall@{k}%": FIGURE for k in (1, 5)},
            "median_rank": {"value": 25.0, "low": 20.0, "high": 30.0, "chance": 98.0},
            "median_rank_fraction": FIGURE,
        }
        for direction in ("spectrum_to_text", "text_to_spectrum")
    },
    "simulated": True,
    "text_model": "all-MiniLM-L6-v2",
    "command": "accelerate launch training/reproduce.py --config demo",
    "processes": 1,
    "seconds": {"data": 1.5, "alignment": 60.5},
    "versions": {"python": "3.11", "torch": "2.13.0"},
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = SpecCLIPConfig(
        spectrum_config={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
        text_config={"embedding_dim": 4},
    )
    SpecCLIPModel(config).save_pretrained(folder)
    return folder


def test_the_hub_reads_the_results(model_folder):
    card = ModelCard.load(write_model_card(model_folder, METRICS))
    results = card.data.eval_results
    assert len(results) == 8
    assert {r.dataset_split for r in results} == {"test"}
    first = results[0]
    assert (first.metric_type, first.metric_value) == ("recall@1%", 0.123)
    assert "0.045 to 0.234" in first.metric_name
    assert "chance 0.0567" in first.metric_name
    assert sum("text → spectrum" in r.metric_name for r in results) == 4
    assert "simulated-data" in card.data.tags


def test_every_number_of_the_results_was_measured(model_folder):
    card = write_model_card(model_folder, METRICS).read_text(encoding="utf-8")
    table = card.split("## Results")[1].split("## Limits")[0]
    numbers = {float(n) for n in re.findall(r"(?<![\w@.])\d+\.\d+", table)}
    allowed = np.round([12.3, 4.5, 23.4, 5.7, 25.0, 20.0, 30.0, 98.0], 1)
    assert numbers == set(allowed)


def test_simulated_data_are_called_so_and_real_ones_are_not(model_folder):
    simulated = write_model_card(model_folder, METRICS).read_text(encoding="utf-8")
    assert "Trained on simulated data" in simulated
    assert "/home/somebody" not in simulated
    real = {**METRICS, "simulated": False, "dataset": "user/name"}
    assert "simulated" not in write_model_card(model_folder, real).read_text(encoding="utf-8")


def test_a_measured_word_cannot_break_the_front_matter(model_folder):
    strange = {**METRICS, "preset": "x: [\n---\ny", "dataset": "a: b #"}
    card = write_model_card(model_folder, strange).read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert front["model-index"][0]["name"].startswith("SpecCLIP x: [")


def test_the_card_leaves_the_model_as_it_was(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "README.md"}
    write_model_card(folder, METRICS)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "README.md"} == before
