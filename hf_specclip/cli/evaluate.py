"""The `specclip evaluate` command: measure a finished model on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arguments import run_elsewhere

NAME = "evaluate"


def add_command(subparsers: Any) -> None:
    """Add `evaluate` to the list of commands; `run` reads its arguments."""
    subparsers.add_parser(NAME, help="measure a model on a dataset: retrieval and variables")


def run(arguments: Sequence[str]) -> int:
    """Run the command line of the evaluation; return the exit status."""
    return run_elsewhere("specclip_training.evaluate", arguments, "train")
