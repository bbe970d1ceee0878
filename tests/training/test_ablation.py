"""Trainings and verdicts of an ablation."""

import json

import pytest
from run_chain import arguments, read_record, run_plan

from specclip_training.ablation import (
    FIGURES,
    FULL,
    ablation_sections,
    plan,
    read_ablations,
    results_of,
)
from specclip_training.engine.presets import PresetError


def write_metrics(folder, trials, figures):
    """Write the metrics of trainings: a recall for each (name, seed)."""
    for name, trial in trials:
        home = folder / "trials" / trial.name
        home.mkdir(parents=True)
        value = figures[name][trial.seed]
        content = {"failed": "diverged"} if value is None else {
            "validation": dict.fromkeys(FIGURES, value)
        }  # fmt: skip
        (home / "metrics.json").write_text(json.dumps(content))


def test_the_ablations_in_configs_change_the_best_preset():
    ablations = read_ablations("ablations")
    trials = plan("best", [], ablations, seed=3, seeds=2)
    assert [name for name, _ in trials[:2]] == [FULL, FULL]
    assert [trial.seed for _, trial in trials[:4]] == [3, 4, 3, 4]
    assert len({trial.name for _, trial in trials}) == len(trials) == 2 * (len(ablations) + 1)
    full = trials[0][1].preset
    assert all(trial.preset != full for name, trial in trials if name != FULL)


def test_an_ingredient_helps_only_where_the_paired_loss_excludes_zero(tmp_path):
    names = {"worse": ["align.lr=1e-4"], "same": ["align.lr=2e-4"], "better": ["align.lr=3e-4"]}
    trials = plan("best", [], {**names, "wild": ["align.lr=1e-2"]}, seed=0, seeds=3)
    recall = {
        FULL: [0.20, 0.21, 0.22], "worse": [0.10, 0.11, 0.12], "same": [0.18, 0.21, 0.22],
        "better": [0.30, 0.31, 0.32], "wild": [0.2, None, 0.2],
    }  # fmt: skip
    write_metrics(tmp_path, trials, recall)
    entries = {e["name"]: e for e in results_of(tmp_path, trials, "recall@1%")}
    assert [entries[n].get("helps") for n in ("worse", "same", "better")] == [True, None, False]
    figure = entries["worse"]["figures"]["recall@1%"]
    assert figure["mean"] == pytest.approx(0.11)
    assert figure["spread"] == pytest.approx(0.01)
    assert figure["loss"] == pytest.approx(0.10)
    # Seed by seed it is the same loss, though the seeds themselves scatter.
    assert figure["error"] == pytest.approx(0.0)
    assert entries["same"]["figures"]["recall@1%"]["error"] == pytest.approx(0.02 / 3)
    # Smaller is better for a rank, so there the same numbers say the opposite.
    assert entries["worse"]["figures"]["mean_log_rank"]["loss"] == pytest.approx(-0.10)
    assert "failed" in entries["wild"]
    metrics = {
        "simulated": True, "preset": "best", "dataset": "d", "seeds": 3, "criterion": "recall@1%",
        "command": "c", "entries": list(entries.values()),
    }  # fmt: skip
    table = ablation_sections(metrics)[0].blocks[1]
    assert [row[-2] for row in table.rows][:3] == ["", "10.0% ± 0.0%", "0.7% ± 0.7%"]
    assert [row[-1] for row in table.rows] == [
        "", "yes", "not significant", "**no, it harms**", "yes",
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["[]", "a: 3", "a: []", f"{FULL}: [align.lr=1e-3]", "a: ["])
def test_a_wrong_list_is_refused(tmp_path, content):
    path = tmp_path / "list.yaml"
    path.write_text(content)
    with pytest.raises(PresetError):
        read_ablations(path)


def test_an_unknown_setting_stops_before_training():
    with pytest.raises(PresetError, match="colour"):
        plan("best", [], {"odd": ["align.colour=red"]}, seed=0, seeds=1)


def test_a_rerun_trains_only_what_is_new_and_a_diverged_training_is_a_result(
    tiny_dataset, tiny_preset, tmp_path
):
    short, longer = tmp_path / "short.yaml", tmp_path / "longer.yaml"
    short.write_text("narrow: [model.shared_dim=4]\n")
    longer.write_text("narrow: [model.shared_dim=4]\nwild: [align.lr=1.0e+30]\n")
    extra = ("--cache-dir", tmp_path / "cache", "--seeds", "1", "--ablations")
    words = arguments(tiny_preset, tiny_dataset, tmp_path / "run", extra=extra)
    trials, written = tmp_path / "run" / "trials", []
    for path in (short, longer):
        run_plan({"ablation": {"command": "ablation", "arguments": [*words, str(path)]}}, tmp_path)
        codes, _, errors = read_record(tmp_path)
        assert codes == {"ablation": 0}, errors[-3000:]
        written.append({p.parent.name: p.stat().st_mtime_ns for p in trials.glob("*/*")})
    assert written[0].items() < written[1].items()
    assert {path.name for path in trials.glob("*/*")} == {"metrics.json"}
    full, narrow, wild = json.loads((tmp_path / "run" / "ablation.json").read_text())["entries"]
    assert full["figures"]["recall@1%"]["mean"] >= 0
    assert narrow["figures"]["mean_log_rank"]["pairs"] == 1
    assert "finite" in wild["failed"]
