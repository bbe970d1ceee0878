"""Ensembles of trained models: selection on validation, saved members, figures on test."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from run_chain import arguments, read_record, retrieval_of, run_plan
from tiny_dataset import make_dataset

from hf_specclip import SpecCLIPEnsembleModel
from specclip_training.ensemble import select
from specclip_training.stages.embedding import EmbeddedPairs


def noisy(seed: int, noise: float, n: int = 60, width: int = 6) -> EmbeddedPairs:
    """Texts at points of a sphere common to all, spectra near theirs."""
    points = np.random.default_rng(0).normal(size=(n, width))
    drawn = points + noise * np.random.default_rng(seed).normal(size=(n, width))
    unit = [torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)) for x in (drawn, points)]
    return EmbeddedPairs(*unit, np.arange(n))


def test_selection_begins_with_the_best_and_adds_while_it_gains():
    candidates = [noisy(1, 50.0), noisy(2, 0.8), noisy(3, 0.8), noisy(4, 0.9)]
    steps = select(candidates)
    alone = [select([c])[0].figures for c in candidates]
    values = [figures["mean_log_rank"] for figures in alone]
    assert steps[0].added == int(np.argmin(values))
    assert steps[0].figures == alone[steps[0].added]
    values = [step.figures["mean_log_rank"] for step in steps]
    assert len(steps) > 2
    assert all(after < before for before, after in pairwise(values))
    assert 0 not in {step.added for step in steps}


def test_selection_stops_where_nothing_helps():
    # A copy adds nothing: the ensemble with it is the same.
    assert len(select([noisy(1, 1.0)] * 3)) == 1
    # A perfect ensemble cannot improve.
    assert [step.added for step in select([noisy(1, 1.0), noisy(2, 0.0)])] == [1]


@pytest.fixture(scope="module")
def combined(tiny_dataset, tiny_preset, tmp_path_factory):
    root = tmp_path_factory.mktemp("ensembles")
    plan: dict[str, dict] = {}

    def run(name, output, *extra, command):
        extra = ("--cache-dir", root / "cache", *extra)
        words = arguments(tiny_preset, tiny_dataset, root / output, extra=extra)
        plan[name] = {"command": command, "arguments": words}

    def align(name, *settings):
        words = [word for setting in settings for word in ("--set", setting)]
        run(name, name, "--spectrum", root / "other" / "spectrum", *words, command="align")

    run("other", "other", "--seed", "1", "--studies", "none", command="reproduce")
    align("narrow", "model.shared_dim=4")
    align("fast", "align.lr=1.0e-2")
    models = [root / name / "model" for name in ("other", "narrow", "fast")]
    run("ensemble", "search", "--members", *models, command="ensemble")
    run("one", "one", "--members", models[0], command="ensemble")
    run("strange", "strange", "--members", root / "search" / "ensemble", command="ensemble")
    run_plan(plan, root)
    codes, _, errors = read_record(root)
    return root, codes, errors


def test_exit_codes(combined):
    _, codes, errors = combined
    assert codes == {name: 2 if name == "strange" else 0 for name in codes}, errors[-3000:]
    assert "name folders that training/align.py left" in errors


def test_the_saved_ensemble_gives_the_measured_figures(combined, pairs):
    folder = combined[0] / "search"
    record = json.loads((folder / "ensemble.json").read_text())
    model = SpecCLIPEnsembleModel.from_pretrained(folder / "ensemble").eval()
    assert record["shared_dim"] == model.config.shared_dim
    assert [member["weight"] for member in record["members"]] == pytest.approx(model.config.weights)
    assert sum(model.config.weights) == pytest.approx(1)
    for split, found in (("test", record["retrieval"]["spectrum_to_text"]),
                         ("validation", record["selection"][-1])):  # fmt: skip
        figures = retrieval_of(model, folder / "ensemble", pairs, split)["spectrum_to_text"]
        for name in ("recall@1%", "recall@5%", "median_rank_fraction"):
            expected = found[name]["value"] if split == "test" else found[name]
            assert figures[name]["value"] == pytest.approx(expected, abs=1e-9), (split, name)
    steps = [step["mean_log_rank"] for step in record["selection"]]
    assert steps == sorted(steps, reverse=True)


def test_an_ensemble_of_one_run_measures_what_the_run_did(combined):
    root = combined[0]
    record = json.loads((root / "one" / "ensemble.json").read_text())
    run = json.loads((root / "other" / "metrics.json").read_text())
    assert record["retrieval"] == record["single"] == run["retrieval"]
    assert [member["model"] for member in record["members"]] == ["other/model"]


def test_models_of_another_dataset_are_refused(combined, tmp_path):
    from specclip_training.data.pairs import embed_texts, load_pairs
    from specclip_training.engine.checkpoint import CheckpointError
    from specclip_training.engine.presets import TextSettings
    from specclip_training.ensemble import check_dataset

    sizes = {"train": 40, "calibration": 4, "validation": 20, "test": 20}
    pairs = load_pairs(make_dataset(tmp_path / "other", sizes=sizes), tmp_path)
    embed_texts(pairs, TextSettings())
    with pytest.raises(CheckpointError, match="dataset: was"):
        check_dataset(combined[0] / "other" / "model", pairs)
