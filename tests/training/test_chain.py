"""Training commands end to end: results, refusals, equal weights after kills and in parallel."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from build_once import build_once
from run_chain import ENVIRONMENT, arguments, read_record, retrieval_of, run_plan
from safetensors.torch import load_file
from tiny_dataset import RICH, SIZES

from hf_specclip.hub.cards import read_metrics
from specclip_training.engine.checkpoint import TRAINING_FILE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NO_DROPOUT = ["spectrum.dropout=0", "model.dropout=0"]


@pytest.fixture(scope="session")
def done(tiny_dataset, tiny_preset, tmp_path_factory):
    """Folder of all runs, exit codes by name, and what they printed."""

    def build(root: Path) -> None:
        run_plan(plan_runs(tiny_dataset, tiny_preset, root), root)

    root = build_once(tmp_path_factory, "chain", build)
    return root, *read_record(root)


def plan_runs(dataset: Path, preset: Path, root: Path) -> dict[str, dict]:
    plan: dict[str, dict] = {}

    def run(name, output, *sets, command="reproduce", extra=(), **more):
        words = arguments(preset, dataset, root / output, *sets, extra=extra)
        words += ["--studies", "none"] if command == "reproduce" else []
        words += ["--cache-dir", str(root / "cache")]
        plan[name] = {"command": command, "arguments": words, **more}

    run("paper", "paper")
    run("paper again", "paper")
    run("paper, other seed", "paper", extra=("--seed", "1"))
    run("rich", "rich", *RICH)
    run("killed in spectrum", "killed", *RICH, kill=("spectrum", 3))
    run("killed in align", "killed", *RICH, kill=("align", 7))
    run("resumed", "killed", *RICH)
    run("without pretraining", "alone", command="align")
    run("pretraining", "alone", command="pretrain_spectrum", extra=("--max-steps", "2"))
    run("overwritten", "alone", command="align", extra=("--max-steps", "3", "--overwrite"))
    run("one process", "one", *RICH, *NO_DROPOUT, "spectrum.mask_ratio=0")
    run("two processes", "two", *RICH, *NO_DROPOUT, "spectrum.mask_ratio=0", processes=2)
    run("typing error", "never", "algin.lr=1")
    return plan


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_every_run_ended_as_it_should(done):
    _, codes, _, errors = done
    killed = {name for name in codes if "killed" in name}
    refused = {"paper, other seed", "without pretraining", "typing error"}
    for name, code in codes.items():
        expected = -signal.SIGKILL if name in killed else 2 if name in refused else 0
        assert code == expected, f"{name}\n{errors[-3000:]}"


def test_metrics_have_the_promised_form(done):
    metrics = read_metrics(done[0] / "paper")
    about = {"dataset": "tiny", "preset": "tiny", "seed": 0, "splits": SIZES, "simulated": True}
    assert metrics.items() >= {**about, "text_model": "test-embedder"}.items()
    names = ["recall@1%", "recall@5%", "recall@10%", "recall@25%"]
    for found in (metrics["retrieval"], metrics["validation"]["retrieval"]):
        for direction, sizes in (("spectrum_to_text", (20, 10)), ("text_to_spectrum", (10, 20))):
            figures = dict(found[direction])
            assert (figures.pop("n_queries"), figures.pop("n_gallery")) == sizes
            assert set(figures) == {"median_rank", "median_rank_fraction", *names}
            for figure in figures.values():
                assert set(figure) == {"value", "low", "high", "chance"}
                assert figure["low"] <= figure["value"] <= figure["high"]
        # ⌈1 % of 10⌉ is one text of ten.
        assert found["spectrum_to_text"]["recall@1%"]["chance"] == pytest.approx(0.1)


def test_the_model_loads_and_gives_what_was_measured(done, pairs):
    from hf_specclip import SpecCLIPIndex, SpecCLIPModel
    from hf_specclip.search.vocabulary import Vocabulary

    folder = done[0] / "paper" / "model"
    model = SpecCLIPModel.from_pretrained(folder).eval()
    gallery = SpecCLIPIndex.load(folder / "gallery")
    assert len(gallery) == len(pairs.texts)
    to_learn_from, _ = pairs.texts_of("train")
    assert Vocabulary.from_pretrained(folder).n_texts == len(to_learn_from)
    assert {entry["split"] for entry in gallery.entries} == set(SIZES)
    assert model.config.text_config.embedder_name == "test-embedder"
    said = read_metrics(done[0] / "paper")["retrieval"]
    for direction, figures in retrieval_of(model, folder, pairs, "test").items():
        for name, figure in figures.items():
            assert said[direction][name] == pytest.approx(figure, abs=1e-9), name


def test_frozen_latents_train_as_the_whole_model_would(pairs, tiny_preset, done):
    """The shortcut through precomputed latents is the same loss and the same gradients."""
    from accelerate import Accelerator

    from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel
    from specclip_training.engine.draws import Draws
    from specclip_training.engine.presets import load_preset
    from specclip_training.stages.alignment import AlignTask

    folder = done[0] / "paper" / "model"
    model = SpecCLIPModel.from_pretrained(folder)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(folder)
    settings = load_preset(tiny_preset).align
    task = AlignTask(model, extractor, pairs, settings, Accelerator(cpu=True))
    rows, draws = np.arange(12), Draws(0, "align", 0)
    module = task.module().eval()
    short = module(**task.batch(rows, draws))
    short.backward()
    gradients = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    assert not any(name.startswith("spectrum_model.") for name in gradients)
    model.zero_grad()
    task.fixed = {}
    whole = module(**task.batch(rows, draws))
    whole.backward()
    assert torch.allclose(short, whole, atol=1e-6)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, model.get_parameter(name).grad, atol=1e-6), name


def test_the_report_stands_alone_and_says_what_it_must(done):
    folder = done[0] / "paper"
    page = (folder / "report.html").read_text()
    text = (folder / "report.md").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page
    for words in ("simulated", "Simulated.", "chance", "test-embedder", "training/reproduce.py",
                  "seed 0", "recall_spectrum_to_text.png"):  # fmt: skip
        assert words in text, words
    assert "Ada-002" not in text  # the dataset brought its own embeddings
    for name in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (folder / name).is_file()


def test_nothing_left_behind_is_a_pickle(done):
    allowed = {".safetensors", ".json", ".jsonl", ".md", ".html", ".png", ".py"}
    for path in (done[0] / "rich").rglob("*"):
        if path.is_file() and "logs" not in path.parts:
            assert path.suffix in allowed, path
    assert list((done[0] / "rich" / "logs").rglob("events.out.tfevents*"))
    assert not list((done[0] / "rich").rglob(".partial-*"))
    assert (done[0] / "rich" / "model" / "vocabulary").is_dir()


def test_killed_and_resumed_the_chain_ends_with_the_same_weights(done):
    for folder in ("spectrum", "model"):
        assert_same(done[0] / "rich" / folder, done[0] / "killed" / folder)
    one, other = (read_metrics(done[0] / run) for run in ("rich", "killed"))
    for name in ("retrieval", "validation"):
        assert one[name] == other[name]


def test_a_run_with_another_seed_is_refused_with_the_mend(done):
    assert re.search(r"error: .*spectrum was made with other settings \(seed: was 0, now 1\)\. "
                     r"Give --overwrite", done[3])  # fmt: skip


def test_alignment_needs_a_pretrained_encoder(done):
    assert "holds no pretrained autoencoder: run training/pretrain_spectrum.py" in done[3]


def test_a_typing_error_stops_before_anything_is_made(done):
    assert "unknown key algin: did you mean 'align'?" in done[3]
    assert not (done[0] / "never").exists()


def test_overwriting_replaces_the_stage_alone(done):
    for part, steps in (("model", 3), ("spectrum", 2)):
        record = json.loads((done[0] / "alone" / part / TRAINING_FILE).read_text())
        assert record["result"]["steps"] == steps


def test_two_processes_train_as_one(done):
    """Contrastive loss over both batches, thinning, hidden sections: the same to 1e-5."""
    check_two_processes(done[0] / "one", done[0] / "two")


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["full", "sharded"])
def test_two_launched_processes_train_as_one(weights, done, tiny_dataset, tiny_preset, tmp_path):
    words = arguments(
        tiny_preset, tiny_dataset, tmp_path / "two", *RICH, *NO_DROPOUT, "spectrum.mask_ratio=0",
        extra=("--cache-dir", str(tmp_path / "cache"), "--studies", "none"),
    )  # fmt: skip
    launch = ["-m", "accelerate.commands.launch", "--num_processes", "2"]
    launch += ["--main_process_port", "0"]
    if weights == "sharded":
        config = ROOT / "training" / "configs" / "accelerate" / "fsdp.yaml"
        launch += ["--config_file", str(config), str(HERE / "fsdp_on_cpu.py")]
    else:
        launch += ["--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]
        launch += ["--dynamo_backend", "no"]
    result = subprocess.run(
        [sys.executable, *launch, str(ROOT / "training" / "reproduce.py"), *words],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=280, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    if weights == "sharded":  # autoencoder and model, on each process
        assert result.stderr.count("models in parts: 2") == 2
    check_two_processes(done[0] / "one", tmp_path / "two")


def check_two_processes(alone: Path, two: Path) -> None:
    processor = json.loads((two / "model" / "processor_config.json").read_text())
    assert processor["reads"] == "sentences"
    assert read_metrics(two)["processes"] == 2
    for folder in ("spectrum", "model"):
        one, other = weights(alone / folder), weights(two / folder)
        assert one.keys() == other.keys()
        for name, value in one.items():
            if name.endswith("attention.qkv.bias"):
                # Attention does not depend on the bias of its keys: the gradient there is rounding
                # alone, and Adam brings rounding to full size.
                value, other[name] = (b.view(3, -1)[[0, 2]] for b in (value, other[name]))
            assert torch.allclose(value.float(), other[name].float(), atol=2e-5), name
    records = [
        json.loads((folder / "model" / TRAINING_FILE).read_text())["result"]["history"]
        for folder in (alone, two)
    ]
    for one, two in zip(*records, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], abs=1e-5)
        assert one["loss"] == pytest.approx(two["loss"], abs=1e-5)
