"""Trained model on the command line: its arguments, and descriptions of the files by it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .file_arguments import Origin, SpectrumReader

if TYPE_CHECKING:
    from ..describe.describer import Describer
    from ..describe.description import Description

BATCH_SIZE = 64
MODEL_VARIABLE = "SPECCLIP_MODEL"
_PARTS = {"moe": "mixture of experts", "outliers": "outlier detector", "index": "index"}


def add_model_arguments(parser: argparse.ArgumentParser, parts: Collection[str] = ()) -> None:
    """Add `--model`, `--revision`, and an option for each part that may be kept elsewhere."""
    parser.add_argument(
        "--model",
        help="a run (runs/demo), a model folder, or user/name on the Hub (default: the environment "
        f"variable {MODEL_VARIABLE}, else the bundled model)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    for part in parts:
        parser.add_argument(
            f"--{part}", metavar="DIR", help=f"{_PARTS[part]}, if stored elsewhere than the model"
        )


def add_probe_option(parser: argparse._ActionsContainer) -> None:
    """Add `--probe`, for commands that answer by one's own labels."""
    parser.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="DIR",
        help="classifier or regressor written by specclip classify --fit (may be repeated)",
    )


def add_embedder_option(parser: argparse.ArgumentParser) -> None:
    """Add `--embedder`, for commands that read text."""
    parser.add_argument(
        "--embedder",
        metavar="NAME",
        help="text embedder: offline, local:DIR or openai[:MODEL[@URL]] (default: the one the "
        "model was trained with; a different one is refused)",
    )


def load_describer(arguments: argparse.Namespace, parts: Collection[str]) -> Describer:
    """Load the model of the command line, of the environment, or the bundled one, with some of
    its parts."""
    from ..describe.describer import Describer

    options: dict[str, Any] = {name: getattr(arguments, name, None) for name in _PARTS}
    options["probes"] = getattr(arguments, "probe", ())
    if arguments.revision is not None:
        options["revision"] = arguments.revision
    options["embedder"] = getattr(arguments, "embedder", None)
    name = arguments.model or os.environ.get(MODEL_VARIABLE) or None
    return Describer.from_pretrained(name, parts=parts, **options)


class DescribedFiles:
    """Iterator over the descriptions of the files on the command line.

    A file that cannot be read or described is reported on standard error, sets `status` to 1, and
    the others go on.

    Args:
        arguments: of `add_file_arguments`.
        describer: the model.
        top_k: number of texts and of similar sources.
    """

    def __init__(self, arguments: argparse.Namespace, describer: Describer, top_k: int = 5):
        self.reader = SpectrumReader(arguments, is_name=describer.has_source)
        self.describer, self.top_k, self.size = describer, top_k, arguments.batch_size

    @property
    def status(self) -> int:
        """Exit status: 1 where a file failed, else 0."""
        return self.reader.status

    def __iter__(self) -> Iterator[Description]:
        for batch in self.reader.batches(self.size):
            spectra = [spectrum for spectrum, _ in batch]
            try:
                described = list(
                    self.describer.describe_many(spectra, top_k=self.top_k, batch_size=self.size)
                )
            except ValueError:  # of one of them, which is found by describing each
                yield from self._one_by_one(batch)
                continue
            for description, (_, origin) in zip(described, batch, strict=True):
                yield replace(description, file=str(origin))

    def _one_by_one(self, batch: list[tuple[object, Origin]]) -> Iterator[Description]:
        for spectrum, origin in batch:
            try:
                description = self.describer.describe(spectrum, top_k=self.top_k)
            except ValueError as error:
                self.reader.report(error, origin.file)
                continue
            yield replace(description, file=str(origin))
