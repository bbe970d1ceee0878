"""Checkpoints: complete or absent, of this run or refused."""

import pytest
import torch

from specclip_training.engine.checkpoint import CheckpointError, CheckpointFolder, TrainingState

IDENTITY = {"seed": 0, "align": {"lr": 1e-3, "ks": (1, 5)}}


def state(step: int) -> TrainingState:
    tensors = {"model": {"w": torch.full((3, 2), float(step)), "n": torch.tensor(step)}}
    return TrainingState(step, tensors, {"history": [{"step": step, "loss": 0.1 + step}]})


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    folder = CheckpointFolder(tmp_path, IDENTITY)
    saved = state(7)
    saved.tensors["model"]["w"] = torch.randn(3, 2)
    folder.save(saved)
    back = CheckpointFolder(tmp_path, IDENTITY).latest()
    assert back.step == 7
    assert back.values == saved.values
    for name, value in saved.tensors["model"].items():
        assert torch.equal(back.tensors["model"][name], value)
        assert back.tensors["model"][name].dtype == value.dtype


def test_only_safetensors_and_json_and_only_the_last_two(tmp_path):
    folder = CheckpointFolder(tmp_path, IDENTITY)
    for step in (1, 2, 10, 100):
        folder.save(state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]
    files = {p.suffix for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {".safetensors", ".json"}
    assert folder.latest().step == 100


def test_another_run_is_refused_with_the_difference_and_the_mend(tmp_path):
    CheckpointFolder(tmp_path, IDENTITY).save(state(1))
    other = {"seed": 1, "align": {"lr": 1e-3, "ks": [1, 5]}}
    with pytest.raises(CheckpointError, match=r"seed: was 0, now 1\).*--overwrite.*--output"):
        CheckpointFolder(tmp_path, other).latest()


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    folder = CheckpointFolder(tmp_path, IDENTITY)
    folder.save(state(1))
    newest = folder.save(state(2))
    (newest / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.warns(RuntimeWarning, match="step-00000002 is damaged"):
        assert folder.latest().step == 1
