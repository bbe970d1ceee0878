"""Parts of the command line that several commands share: parsers, argument types, output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import SpecCLIPError


def add_parser(
    subparsers: Any,
    name: str,
    summary: str,
    description: str,
    run: Callable[[argparse.Namespace], int] | None = None,
) -> argparse.ArgumentParser:
    """Add a command and return its parser.

    Args:
        subparsers: of `argparse`.
        name: of the command.
        summary: one line for the list of commands.
        description: for its own `--help`, laid out as it is printed.
        run: runs the command and returns the exit status.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def positive_int(text: str) -> int:
    """Parse a count: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def comma_separated(text: str) -> list[str]:
    """Parse names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def choices_of(names: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return an argument type: some of `names`, with commas between them."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = comma_separated(text)
        unknown = [name for name in chosen if name not in names]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{text!r}: give some of {','.join(names)}")
        return tuple(chosen)

    return parse


def run_elsewhere(module: str, arguments: Sequence[str], extra: str) -> int:
    """Run a command that lies outside this package, by the name of its module.

    Args:
        module: with a function `main` of the arguments that returns the exit status.
        arguments: after the name of the command.
        extra: of this package, that brings what the command needs.

    Raises:
        SpecCLIPError: where a package is absent; the message says what to install.
    """
    try:
        return import_module(module).main(arguments)
    except ModuleNotFoundError as error:
        raise SpecCLIPError(
            f"{error.name} is not installed: this command needs the extra {extra!r}, "
            f'pip install "hf-specclip[{extra}]"'
        ) from error


def keep_inputs(outputs: Iterable[Any], inputs: Iterable[Any]) -> None:
    """Raise SpecCLIPError where a path to write is one that is read; None is no path."""
    for output, source in product(outputs, inputs):
        with suppress(OSError, TypeError):
            if Path(output).samefile(source):
                raise SpecCLIPError(f"{output} is an input file: choose another output")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_plot_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--plot IMAGE`."""

    def image(text: str) -> Path:
        if not Path(text).suffix:  # matplotlib would write to another file
            raise argparse.ArgumentTypeError(f"{text!r}: end it in .png, .pdf or .svg")
        return Path(text)

    help_text = f"also draw {what} (png, pdf, svg)"
    parser.add_argument("--plot", type=image, metavar="IMAGE", help=help_text)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    from ..storage import to_json

    value = to_json(value)
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    print()


def numbered_path(path: Path, number: int) -> Path:
    """Return `plot.png`, `plot_2.png`, `plot_3.png`, … for images of several spectra."""
    return path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")
