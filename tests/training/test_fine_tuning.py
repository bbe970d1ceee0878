"""Fine-tuning of a trained run on pairs of one's own, and the commands that train and measure."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from accelerate import Accelerator
from safetensors.torch import load_file
from tiny_dataset import rows
from tiny_run import PAIRS
from toy import SETTINGS, Toy

from hf_specclip import Describer
from hf_specclip.cli.main import main
from hf_specclip.models.trained_run import BUNDLED, find_run
from specclip_datasets.folder import write_dataset
from specclip_datasets.info import SpecCLIPDatasetInfo
from specclip_training.data.pairs import load_pairs
from specclip_training.engine.checkpoint import CheckpointFolder
from specclip_training.engine.loop import fit
from specclip_training.studies.fine_tuning import part_of

# As of a hundred pairs: a calibration split of one row, batches larger than `train`.
SIZES = {"train": 69, "calibration": 1, "validation": 15, "test": 15}
STEPS = ["--set", "align.steps=12", "--set", "align.validate_every=2", "--set", "align.lr=0.003"]


def small_dataset(folder, sizes=SIZES):
    """Pairs with a variable; `train` has three groups, and one text that most rows share."""
    splits = {}
    for name, n in sizes.items():
        table = rows(n, name, embedded=False)
        values = table.to_pydict()
        if name == "train":
            values["summary"] = [values["summary"][max(0, i - n // 2)] for i in range(n)]
            values["group"] = [f"train-{i % 3}" for i in range(n)]
        values["powlaw_gamma"] = list(np.linspace(1, 3, n))
        splits[name] = type(table).from_pydict(values)
        splits[name] = splits[name].cast(table.schema.append(splits[name].schema.field(-1)))
    return write_dataset(folder, splits, SpecCLIPDatasetInfo(name="small", simulated=True))


@pytest.fixture(scope="module")
def tuned(tiny_run, tmp_path_factory):
    """A run fine-tuned with its encoder frozen, its dataset, and the start without `spectrum/`."""
    folder = tmp_path_factory.mktemp("tuned")
    dataset = small_dataset(folder / "dataset")
    start = folder / "start"
    shutil.copytree(tiny_run / "model", start)
    words = ["train", dataset, "-o", folder / "run", "--from", start, "--freeze", *STEPS]
    assert main([str(word) for word in words]) == 0
    return folder / "run", dataset, start


def test_a_frozen_encoder_stays_and_the_rest_is_trained(tuned):
    run, _, start = tuned
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["training"]["align"]["best_step"] > 0
    before, after = (load_file(folder / "model.safetensors") for folder in (start, run / "model"))
    assert before.keys() == after.keys()
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert "spectrum_model" not in changed
    assert {"text_model", "spectrum_projection"} <= changed


def test_what_few_pairs_do_not_allow_is_said_to_be_absent(tuned):
    run, _, _ = tuned
    metrics = json.loads((run / "metrics.json").read_text())
    assert "3 groups" in metrics["experts"]["skipped"]
    assert "3 groups" in metrics["outliers"]["skipped"]
    assert not (run / "moe").exists()
    assert not (run / "outliers").exists()


def test_a_fine_tuned_run_answers_with_its_own_gallery(tuned):
    run, dataset, _ = tuned
    describer = Describer.from_pretrained(run)
    assert len(describer.index.spectra) == sum(SIZES.values())
    record = load_pairs(dataset, needed=()).splits["test"].table.slice(0, 1).to_pylist()[0]
    description = describer.describe(record, top_k=2)
    assert len(description.similar) == 2
    assert description.variables == ()


def test_a_rerun_keeps_the_run_and_other_settings_are_refused(tuned, capsys):
    run, dataset, start = tuned
    words = ["train", dataset, "-o", run, "--from", start, "--freeze", *STEPS, "--studies", "none"]
    words = [str(word) for word in words]
    before = (run / "model" / "model.safetensors").stat().st_mtime_ns
    assert main(words) == 0
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert main([*words, "--set", "align.lr=0.1"]) == 2
    assert "another --output" in capsys.readouterr().err


def test_no_text_and_no_key_goes_to_the_server_that_a_model_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-sent-to-a-server-of-others")
    dataset, strange = small_dataset(tmp_path / "dataset"), tmp_path / "strange"
    shutil.copytree(BUNDLED, strange)
    config = json.loads((strange / "config.json").read_text())
    config["text_config"]["embedder_name"] = "openai:some-model@http://127.0.0.1:9/v1"
    (strange / "config.json").write_text(json.dumps(config))
    words = ["train", str(dataset), "-o", str(tmp_path / "run"), "--from", str(strange)]
    assert main(words) == 2
    assert "has not been used on this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", "default", "--preset", "paper"], "leave one of them out"),
        (["--from", "default", "--set", "model.dropout=0.5"], "fine-tuning keeps the model"),
        (["--from", "./nowhere"], "there is no folder ./nowhere"),
        (["--studies", "none", "--set", "align.lr=0"], "align.lr"),
    ],
)
def test_a_wrong_command_is_refused_before_any_work(words, reason, tmp_path, capsys):
    assert main(["train", "no dataset", "-o", str(tmp_path / "run"), *words]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_weights_that_no_step_makes_better_are_kept(tmp_path):
    toy = Toy()
    before = {name: value.clone() for name, value in toy.model.state_dict().items()}
    harmful = dataclasses.replace(SETTINGS, lr=50.0, clip_norm=None, ema=0.0)
    folder = CheckpointFolder(tmp_path, {})
    result = fit(Accelerator(cpu=True), toy, harmful, seed=0, checkpoints=folder, trained=True)
    assert result.best_step == 0
    assert all(value.equal(before[name]) for name, value in toy.model.state_dict().items())


def test_evaluate_gives_what_training_measured(tiny_run, tmp_path, capsys):
    file = tmp_path / "figures.json"
    words = ["evaluate", tiny_run, "--dataset", tiny_run / "dataset", "--split", "test,all"]
    assert main([str(word) for word in (*words, "--bootstrap", "20", "-o", file)]) == 0
    splits = json.loads(file.read_text())["splits"]
    measured = splits["test"]
    assert splits["all"]["retrieval"]["spectrum_to_text"]["n_queries"] == PAIRS
    assert 0 < splits["all"]["retrieval"]["over_sources"]["value"] <= 1
    assert "seen writers" in splits["all"]["by_writer"]
    expected = json.loads((tiny_run / "metrics.json").read_text())["retrieval"]
    for direction, figures in expected.items():
        found = measured["retrieval"][direction]
        assert found["recall@5%"] == pytest.approx(figures["recall@5%"])
    ratio = measured["variables"]["regression"]["variables"]["hard_hs"]
    assert ratio["n"] == expected["spectrum_to_text"]["n_queries"]
    assert 0 < measured["variables"]["coverage"]["90"]["overall"]["value"] <= 1
    printed = capsys.readouterr().out
    assert "simulated" in printed
    assert "Retrieval by writer, text → spectrum, all" in printed
    assert "chance" in printed


def test_evaluate_refuses_splits_without_rows(tiny_run, tmp_path, capsys):
    dataset = small_dataset(tmp_path / "dataset", {"test": 6})
    words = ["evaluate", str(tiny_run), "--dataset", str(dataset), "--split", "validation"]
    assert main(words) == 2
    assert "has no rows in validation" in capsys.readouterr().err


def test_parts_of_train_are_nested_and_take_the_groups_in_turn(pairs):
    def rows_of(part):
        return set(part.splits["train"].table["obsid"].to_pylist())

    parts = {size: part_of(pairs, size, seed=3) for size in (10, 30, 60)}
    assert rows_of(parts[10]) < rows_of(parts[30]) < rows_of(parts[60])
    groups = len(set(pairs.splits["train"].groups))
    assert len(set(parts[30].splits["train"].groups)) == min(30, groups)
    assert len({part.fingerprint for part in parts.values()}) == 3
    assert rows_of(part_of(pairs, 10, seed=4)) != rows_of(parts[10])


def test_default_names_the_bundled_model():
    assert find_run("default").model == BUNDLED
