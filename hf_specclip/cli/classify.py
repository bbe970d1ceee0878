"""The `specclip classify` command: classify spectra by class names (zero-shot)."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import add_parser, comma_separated, positive_int, print_json
from .file_arguments import add_file_arguments
from .model_arguments import DescribedFiles, add_model_arguments, load_describer

DESCRIPTION = """\
Classify spectra by class names (zero-shot). A class is the mean direction of sentences that name
it; a spectrum gets the class nearest to it in the space shared with the literature. The temperature
of the probabilities was fitted when the model was trained; they assume that the source belongs to
one of the classes.

  specclip classify source.pi
  specclip classify --model runs/demo --classes "LMXB,HMXB,a background quasar" *.pha
"""


def add_command(subparsers: Any) -> None:
    """Add the `classify` command."""
    parser = add_parser(
        subparsers, "classify", "classify spectra by class names (zero-shot)", DESCRIPTION, run
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--classes",
        type=_class_names,
        metavar="CLASS,…",
        help="labels or words (default: the classes of the model)",
    )
    parser.add_argument(
        "--top",
        type=positive_int,
        default=3,
        metavar="K",
        help="number of classes to print (default 3)",
    )
    add_file_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Classify the files; return the exit status."""
    # The index resolves names of sources.
    describer = load_describer(arguments, ("index", "classes"))
    describer.classes = describer.zero_shot_classes(arguments.classes)
    files = DescribedFiles(arguments, describer, top_k=1)
    answers = []
    for description in files:
        answers.append({"file": description.file, "classes": dict(description.classes)})
        if not arguments.json:
            best = list(description.classes.items())[: arguments.top]
            shown = "\t".join(f"{name} {probability:.1%}" for name, probability in best)
            print(f"{description.file}\t{shown}")
    if arguments.json:
        print_json(answers)
    return files.status


def _class_names(text: str) -> list[str]:
    names = comma_separated(text)
    if len(names) < 2:
        raise argparse.ArgumentTypeError("name two classes or more, with commas between")
    return names
