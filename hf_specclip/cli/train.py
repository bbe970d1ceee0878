"""The `specclip train` command: train a model on a dataset, from scratch or from a trained one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arguments import run_elsewhere

NAME = "train"


def add_command(subparsers: Any) -> None:
    """Add `train` to the list of commands; `run` reads its arguments."""
    subparsers.add_parser(NAME, help="train a model on your pairs, from scratch or fine-tuning")


def run(arguments: Sequence[str]) -> int:
    """Run the command line of training; return the exit status."""
    return run_elsewhere("specclip_training.train", arguments, "train")
