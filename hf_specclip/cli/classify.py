"""`specclip classify`: the class of a spectrum, by what the classes are called."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from .file_arguments import add_file_arguments, print_json
from .model_arguments import DescribedFiles, add_model_arguments, load_describer, positive

DESCRIPTION = """\
Tell the class of spectra by what the classes are called (zero-shot): each class is the mean of
sentences that name it, and a spectrum gets the class it lies closest to in the space shared with
the literature. The temperature of the probabilities was fitted when the model was trained; they
take for granted that the source is of one of the classes.

  specclip classify --model runs/demo source.pi
  specclip classify --model runs/demo --classes "LMXB,HMXB,a background quasar" *.pha
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `classify` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "classify",
        help="the class of a spectrum",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--classes",
        type=_names,
        metavar="CLASS,…",
        help="labels or words to tell apart (default: those of the model)",
    )
    parser.add_argument(
        "--top", type=positive, default=3, metavar="K", help="classes to show (default 3)"
    )
    add_file_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Classify the files; 1 where one could not be read, else 0."""
    describer = load_describer(arguments, ("index", "classes"))
    known = describer.known_classes(arguments.classes)
    # Nothing else is asked, so nothing else is answered; the index is for names alone.
    describer.classes = known
    files = DescribedFiles(arguments, describer, top_k=1)
    found = []
    for one in files:
        plain = dataclasses.replace(one, literature=(), similar=())
        found.append({"file": plain.file, "classes": dict(plain.classes)})
        if not arguments.json:
            best = list(plain.classes.items())[: arguments.top]
            print(f"{plain.file}\t" + "\t".join(f"{kind} {share:.1%}" for kind, share in best))
    if arguments.json:
        print_json(found)
    return files.status


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) < 2:
        raise argparse.ArgumentTypeError("name two classes or more, with commas between")
    return names


__all__ = ["add_command", "run"]
