"""Study of the experts on small data: metrics, report, saved models and reruns."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from expert_data import QUICK
from study_rows import invented_split
from tiny_dataset import make_run

from hf_specclip import VARIABLES, SpecCLIPMoEForRegression
from hf_specclip.models.spectrum_input_specclip import GLOBALS
from hf_specclip.storage import to_json
from specclip_training.engine.checkpoint import CheckpointError
from specclip_training.engine.commands import Run
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import to_markdown
from specclip_training.studies.experts import study as experts
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.subject import Subject

SIZES = {"train": 160, "calibration": 10, "validation": 60, "test": 80}


def split(name: str, n: int) -> SplitRepresentations:
    """Rows with every variable but one; the rarer ones are known for half of the rows."""
    rows, random = invented_split(n, name), np.random.default_rng([3, len(name), n])
    targets = {
        variable: rows.spectrum[:, number % 4] + 0.3 * random.normal(size=n)
        for number, variable in enumerate(VARIABLES)
    }
    for variable in list(VARIABLES)[10:]:
        targets[variable][random.random(n) < 0.5] = np.nan
    targets["var_inter_prob_b"][:] = np.nan
    features = random.normal(size=(n, len(GLOBALS["physics"]))).astype(np.float32)
    features[:, GLOBALS["physics"].index("log_counts")] = random.uniform(1, 3, n)
    lower, upper = ({v: t + step for v, t in targets.items()} for step in (-0.3, 0.3))
    return dataclasses.replace(rows, features=features, targets=targets, lower=lower, upper=upper)


def run_in(folder: Path, seed: int = 0) -> Run:
    evaluation = dataclasses.replace(Preset().evaluation, n_bootstrap=50)
    preset = dataclasses.replace(Preset(), name="best", evaluation=evaluation)
    return make_run(folder, preset, seed=seed)


@pytest.fixture(scope="module")
def reps():
    return {name: split(name, n) for name, n in SIZES.items()}


@pytest.fixture(scope="module")
def done(reps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "FitSettings", _quick)
        study = experts.study_experts(Subject(run_in(folder), reps, simulated=True))
    return folder, study


def _quick(seed: int):
    return dataclasses.replace(QUICK, seed=seed, n_folds=3)


def test_metrics_are_complete_and_plain(done):
    metrics = done[1].metrics
    json.dumps(to_json(metrics), allow_nan=False)
    assert set(metrics["knn"]) == {
        "spectrum", "text", "shared_spectrum", "shared_text", "shared_both", "everything"
    }  # fmt: skip
    for mode in ("select", "gate"):
        entries = metrics[mode]["variables"]
        assert entries["var_inter_prob_b"] == {"n": 0}
        answered = [e for e in entries.values() if e["n"]]
        assert len(answered) == 19
        for entry in answered:
            assert entry["mae"]["low"] <= entry["mae"]["value"] <= entry["mae"]["high"]
            assert {"guess", "baseline", "gain", "gain_over_guess"} <= set(entry)
        assert metrics[mode]["mean_gain_over_guess"]["low"] > 0
    # The gain of spectra alone over spectra alone.
    assert metrics["knn"]["spectrum"]["mean_gain"]["value"] == 0
    assert metrics["gate_over_select"]["value"] > 0
    missing = metrics["missing_text"]["gate"]
    assert set(missing) == {"retrieved"}
    for entry in missing.values():
        assert entry["price"]["low"] <= entry["price"]["value"] <= entry["price"]["high"]


def test_coverage_is_split_by_counts(done):
    found = done[1].metrics["coverage"]["gate"]["full"]["90"]
    assert set(found["by"]) == {
        "0 to 50 counts", "50 to 150 counts", "150 to 500 counts", "over 500 counts"
    }  # fmt: skip
    assert sum(entry["n"] for entry in found["by"].values()) == found["overall"]["n"]
    assert 0.8 < found["overall"]["value"] <= 1


def test_the_report_has_every_section(done):
    folder, study = done
    text = to_markdown("experts", study.sections, folder)
    for words in ("simulated `test`", "median guess", "gate over spectra", "Intervals",
                  "Without the text", "hard_hs"):  # fmt: skip
        assert words in text, words


def test_the_headline_mixture_is_saved_in_moe(done):
    folder, _ = done
    model = SpecCLIPMoEForRegression.from_pretrained(folder / "moe")
    assert model.config.mode == "gate"
    assert (folder / "checkpoints" / "moe_select" / "config.json").is_file()
    assert not list(folder.rglob(".partial-*"))


def test_a_rerun_loads_fitted_mixtures_and_refuses_other_settings(done, reps, monkeypatch):
    folder, study = done

    def never(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(experts, "FitSettings", _quick)
    monkeypatch.setattr(experts, "fit_gate", never)
    monkeypatch.setattr(experts, "fit_select", never)
    again = experts.study_experts(Subject(run_in(folder), reps, simulated=True))
    assert again.metrics["gate"] == study.metrics["gate"]
    errors = folder / "evaluation" / "errors.safetensors"
    before = errors.read_bytes()
    experts.study_experts(Subject(run_in(folder), reps, split="validation", simulated=True))
    assert errors.read_bytes() == before
    assert again.metrics["coverage"] == study.metrics["coverage"]
    with pytest.raises(CheckpointError, match="other settings"):
        experts.study_experts(Subject(run_in(folder, seed=1), reps))
