"""Search of settings: the same table after a kill, on two processes and with a wider grid."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from build_once import build_once
from run_chain import read_record, run_plan
from safetensors.torch import load_file

from specclip_training.engine.grid import plan_trials, read_grid
from specclip_training.engine.presets import PresetError, load_preset

GRID = "align.lr: [1.0e-3, 1.0e-2]\nmodel.shared_dim: [4, 8]\n"


@pytest.fixture(scope="session")
def searched(tiny_dataset, tiny_preset, tmp_path_factory):
    """Folder of all searches, exit codes by name, and what they printed."""

    def build(root: Path) -> None:
        run_plan(plan_searches(tiny_dataset, tiny_preset, root), root)

    root = build_once(tmp_path_factory, "searches", build)
    return root, *read_record(root)


def plan_searches(dataset: Path, preset: Path, root: Path) -> dict[str, dict]:
    (root / "grid.yaml").write_text(GRID)
    (root / "wild.yaml").write_text("align.lr: [1.0e-3, 1.0e+30]\n")
    plan: dict[str, dict] = {}

    def run(name, output, *extra, command="sweep", grid="grid.yaml", config=preset, **more):
        words = ["--config", config, "--dataset", dataset, "--output", root / output]
        words += ["--cache-dir", root / "cache"]
        if command != "pretrain_spectrum":
            words += ["--spectrum", root / "encoder" / "spectrum"]
        if command == "sweep":
            words += ["--grid", root / grid]
        words = [str(word) for word in (*words, *extra)]
        plan[name] = {"command": command, "arguments": words, **more}

    run("encoder", "encoder", command="pretrain_spectrum")
    run("whole", "whole")
    run("best", "again", command="align", config=root / "whole" / "best.yaml")
    run("killed", "killed", "--trials", "3", kill=("align", 5, 3))
    run("resumed and wider", "killed")
    run("two processes", "two", processes=2)
    run("other settings", "whole", "--set", "align.steps=9")
    run("wild", "wild", grid="wild.yaml")
    unfrozen = ("--set", "align.freeze_spectrum=false", "--trials", "1", "--seeds", "2")
    run("unfrozen", "unfrozen", *unfrozen, "--criterion", "recall@5%")
    return plan


def table(folder: Path) -> list:
    """The points of a search without what the clock says."""
    found = json.loads((folder / "sweep.json").read_text())
    for point in [*found["points"], *found["failed"]]:
        point.get("median", {}).pop("seconds", None)
        for trial in point["trials"]:
            trial.pop("seconds", None)
    return [found["points"], found["failed"]]


def test_every_search_ended_as_it_should(searched):
    _, codes, _, errors = searched
    for name, code in codes.items():
        expected = {"killed": -signal.SIGKILL, "other settings": 2}.get(name, 0)
        assert code == expected, f"{name}\n{errors[-3000:]}"
    assert "was made with other settings (align.steps: was 12, now 9)" in errors


def test_the_table_is_sorted_by_validation_and_whole(searched):
    folder = searched[0] / "whole"
    found = json.loads((folder / "sweep.json").read_text())
    values = [point["median"]["mean_log_rank"] for point in found["points"]]
    assert len(values) == 4
    assert values == sorted(values)
    assert len(set(values)) > 1
    assert found["criterion"] == "mean_log_rank"
    assert found["processes"] == 1
    for point in found["points"]:
        (trial,) = point["trials"]
        own = json.loads((folder / "trials" / trial["name"] / "metrics.json").read_text())
        assert own["settings"] == point["settings"]
        assert own["identity"]["align"]["lr"] == point["settings"]["align.lr"]
        assert own["identity"]["model"]["shared_dim"] == point["settings"]["model.shared_dim"]
        validation = own["validation"]
        low, high = validation["mean_log_rank_interval"]
        assert low <= validation["mean_log_rank"] <= high
        retrieval = validation["retrieval"]["spectrum_to_text"]
        assert retrieval["n_queries"] == 20  # of validation; test has as many, train 60
        for name in ("recall@1%", "recall@5%", "median_rank_fraction"):
            assert validation[name] == pytest.approx(retrieval[name]["value"])
    text = (folder / "sweep.md").read_text()
    for words in ("simulated", "`test` was not read", "chance", "| lr |", "training/sweep.py"):
        assert words in text, words
    assert "test" not in json.dumps(found["points"])
    assert not list(folder.rglob("*.lock"))
    assert not list(folder.rglob("checkpoints"))


def test_a_trial_is_what_the_alignment_of_its_preset_would_be(searched):
    """Shared latents and a searched preset train as training/align.py does with that preset."""
    root = searched[0]
    best = load_preset(root / "whole" / "best.yaml")
    found = json.loads((root / "whole" / "sweep.json").read_text())["points"][0]
    assert best.name == "tiny-searched"
    assert best.align.lr == found["settings"]["align.lr"]
    assert best.model.shared_dim == found["settings"]["model.shared_dim"]
    trial = root / "whole" / "trials" / found["trials"][0]["name"] / "model"
    one, other = (load_file(f / "model.safetensors") for f in (trial, root / "again" / "model"))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def test_killed_between_trials_and_resumed_with_more_the_table_is_the_same(searched):
    root = searched[0]
    assert table(root / "killed") == table(root / "whole")
    # The killed run had finished two trials; the rerun, whose log is the younger, left them alone.
    logs = [p.stat().st_mtime_ns for p in (root / "killed" / "logs").rglob("events.out*")]
    times = [p.stat().st_mtime_ns for p in (root / "killed").glob("trials/*/metrics.json")]
    assert [time > max(logs) for time in sorted(times)] == [False, False, True, True]


def test_a_trial_that_diverges_is_a_result_and_not_the_end(searched):
    points, failed = table(searched[0] / "wild")
    assert [point["settings"] for point in points] == [{"align.lr": 1e-3}]
    assert [point["settings"] for point in failed] == [{"align.lr": 1e30}]
    assert "not finite" in failed[0]["trials"][0]["failed"] or "no longer" in str(failed)
    assert "Diverged" in (searched[0] / "wild" / "sweep.md").read_text()


def test_an_encoder_that_learns_shares_no_latents(searched):
    folder = searched[0] / "unfrozen"
    ((point,), failed) = table(folder)
    assert not failed
    assert not (folder / "latents.safetensors").exists()
    trained = load_file(folder / "trials" / point["trials"][0]["name"] / "model/model.safetensors")
    before = load_file(searched[0] / "encoder" / "spectrum" / "model.safetensors")
    name = "spectrum_model.embeddings.patch_embedding.weight"
    assert not (trained[name] == before[name]).all()


def test_seeds_of_one_point_stand_in_one_row(searched):
    found = json.loads((searched[0] / "unfrozen" / "sweep.json").read_text())
    (point,) = found["points"]
    assert [trial["seed"] for trial in point["trials"]] == [0, 1]
    values = [trial["validation"]["mean_log_rank"] for trial in point["trials"]]
    assert values[0] != values[1]
    assert point["median"]["mean_log_rank"] == pytest.approx(np.median(values))


def test_two_processes_make_the_same_table(searched):
    root = searched[0]
    found = json.loads((root / "two" / "sweep.json").read_text())
    assert found["processes"] == 2
    processes = {trial["process"] for point in found["points"] for trial in point["trials"]}
    assert processes == {0, 1}
    one, two = table(root / "whole"), table(root / "two")
    for points in (*one, *two):
        for point in points:
            for trial in point["trials"]:
                trial.pop("process")
    assert one == two


def test_the_grid_of_the_paper_reads_and_each_point_is_a_preset():
    grid = read_grid("sweep")
    for name, ends in (("align.lr", (1e-4, 1e-3)), ("model.shared_dim", (16, 128)),
                       ("model.dropout", (0.1, 0.5)),
                       ("model.projection_hidden_size", (16, 1024))):  # fmt: skip
        assert (min(grid[name]), max(grid[name])) == ends
    trials = plan_trials("paper", [], grid, trials=24)
    assert len({trial.name for trial in trials}) == 24
    for trial in trials:
        assert trial.preset.align.lr == trial.settings["align.lr"]
        assert trial.preset.model.dropout == trial.settings["model.dropout"]


def test_fewer_trials_are_the_beginning_of_more():
    grid = read_grid("sweep")
    few, many = (plan_trials("paper", [], grid, trials=n, seed=3) for n in (5, 9))
    assert [t.name for t in few] == [t.name for t in many[:5]]
    other = plan_trials("paper", [], grid, trials=5, seed=4)
    assert [t.settings for t in other] != [t.settings for t in few]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("spectrum.patch_size: [10]", "cannot be searched"),
        ("align.lr: 0.1", "must be a list"),
        ("align.lr: []", "must be a list"),
        ("align.lr: [0.1, 0.1]", "names a value twice"),
        ("[1]", "must hold keys"),
        ("align.lr: [", "not valid YAML"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path, content, words):
    (tmp_path / "grid.yaml").write_text(content)
    with pytest.raises(PresetError, match=words):
        read_grid(tmp_path / "grid.yaml")


@pytest.mark.parametrize("grid", [{"align.lr": [-1.0]}, {"align.learning_rate": [0.1]}])
def test_an_impossible_point_stops_before_anything_is_trained(grid):
    with pytest.raises(PresetError, match=r"align\.l"):
        plan_trials("paper", [], grid)


def test_the_best_preset_is_yaml_that_a_person_can_read(searched):
    text = (searched[0] / "whole" / "best.yaml").read_text()
    assert text.startswith("# Best of 4 by mean_log_rank on validation")
    assert yaml.safe_load(text)["evaluation"]["n_bootstrap"] == 50
