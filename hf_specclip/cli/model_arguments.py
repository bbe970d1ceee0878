"""What the commands that ask a trained model share: the model, the files, and where answers go."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .file_arguments import SpectrumReader

if TYPE_CHECKING:
    from ..describe.describer import Describer
    from ..describe.description import Description

BATCH_SIZE = 64
MODEL_VARIABLE = "SPECCLIP_MODEL"
DEMO = "runs/demo"


def add_model_arguments(parser: argparse.ArgumentParser, parts: Collection[str] = ()) -> None:
    """Add --model, --revision, and an option for each part that may lie elsewhere."""
    parser.add_argument(
        "--model",
        help="a run (runs/demo), a model folder, or user/name on the Hub (default: what the "
        f"environment variable {MODEL_VARIABLE} names, else {DEMO} where that is)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    told = {"moe": "experts", "outliers": "outlier detector", "index": "gallery"}
    for part in parts:
        parser.add_argument(
            f"--{part}", metavar="DIR", help=f"the {told[part]}, where it lies elsewhere"
        )


def load_describer(arguments: argparse.Namespace, parts: Collection[str]) -> Describer:
    """The model of `add_model_arguments`, with some of its parts.

    Raises:
        ValueError: where no model is named and there is no demo.
    """
    from ..describe.describer import Describer

    given = {name: getattr(arguments, name, None) for name in ("moe", "outliers", "index")}
    hub = {} if arguments.revision is None else {"revision": arguments.revision}
    return Describer.from_pretrained(model_of(arguments), parts=parts, **given, **hub)


def model_of(arguments: argparse.Namespace) -> str:
    """The model named on the command line, in the environment, or the demo's.

    Raises:
        ValueError: where there is none.
    """
    name = arguments.model or os.environ.get(MODEL_VARIABLE)
    if not name and Path(DEMO, "model", "config.json").is_file():
        name = DEMO
    if not name:
        raise ValueError(
            f"no model named: give --model DIR or user/name, set {MODEL_VARIABLE}, or make the "
            f"demo's ({DEMO}) by `make demo`"
        )
    return name


class DescribedFiles:
    """Iterates over the descriptions of the files named, in batches; what cannot be read or
    described is told on standard error and counted, and the others go on.

    Args:
        arguments: of `add_file_arguments`.
        describer: the model.
        top_k: texts and sources to name.
    """

    def __init__(self, arguments: argparse.Namespace, describer: Describer, top_k: int = 5):
        self.reader = SpectrumReader(arguments, known=describer.knows)
        self.describer, self.top_k = describer, top_k
        self._status = 0

    @property
    def status(self) -> int:
        """1 where a file failed, else 0."""
        return max(self._status, self.reader.status)

    def __iter__(self) -> Iterator[Description]:
        items = iter(self.reader)
        while batch := list(islice(items, BATCH_SIZE)):
            try:
                found = list(
                    self.describer.describe_many([one for one, _ in batch], top_k=self.top_k)
                )
                places = [place for _, place in batch]
            except ValueError:  # one of them: which one is found by asking one by one
                found, places = self._one_by_one(batch)
            for one, place in zip(found, places, strict=True):
                row = "" if place["row"] is None else f" [row {place['row']}]"
                yield dataclasses.replace(one, file=f"{place['file']}{row}")

    def _one_by_one(self, batch: list[Any]) -> tuple[list[Description], list[dict[str, Any]]]:
        found, places = [], []
        for item, place in batch:
            try:
                found.append(self.describer.describe(item, top_k=self.top_k))
                places.append(place)
            except ValueError as error:
                message = str(error)
                where = "" if place["file"] in message else f"{place['file']}: "
                print(f"specclip: {where}{message}", file=sys.stderr)
                self._status = 1
        return found, places


def write_output(text: str | bytes, output: Path | None) -> None:
    """Print an answer, or write it to a file that is replaced only by a whole one."""
    if output is None:
        assert isinstance(text, str)  # only text is printed
        print(text, end="" if text.endswith("\n") else "\n")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        if isinstance(text, bytes):
            fresh.write_bytes(text)
        else:
            fresh.write_text(text, encoding="utf-8")
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


__all__ = [
    "DescribedFiles",
    "add_model_arguments",
    "load_describer",
    "model_of",
    "positive",
    "write_output",
]
