"""The `specclip dataset` command: build a dataset of spectra and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arguments import run_elsewhere

NAME = "dataset"
FROM_THE_SKY = ("build", "prompts")


def add_command(subparsers: Any) -> None:
    """Add `dataset` to the list of commands; `run` reads its arguments."""
    subparsers.add_parser(
        NAME, help="build a dataset: simulated, from tables, or from the live catalogue"
    )


def run(arguments: Sequence[str]) -> int:
    """Run the command line of the dataset builders; return the exit status."""
    extra = "build" if arguments and arguments[0] in FROM_THE_SKY else "data"
    return run_elsewhere("specclip_datasets.__main__", arguments, extra)
