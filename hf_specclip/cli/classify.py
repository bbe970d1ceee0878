"""The `specclip classify` command: classify spectra by class names (zero-shot)."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .arguments import add_parser, comma_separated, positive_int, print_json
from .file_arguments import add_file_arguments
from .model_arguments import (
    BATCH_SIZE,
    DescribedFiles,
    add_embedder_option,
    add_model_arguments,
    load_describer,
)

if TYPE_CHECKING:
    from ..classify.families import FamilyProbability

_KINDS_SHOWN = 3
DESCRIPTION = """\
Classify spectra by class names (zero-shot). A class is the mean direction of sentences that name
it; a spectrum gets the class nearest to it in the space shared with the literature. Probabilities
are given for families of classes first, then for the classes of each. They were calibrated when the
model was trained, and assume that the source belongs to one of the classes. No class stands out
where the largest family would be right less than half of the time.

  specclip classify source.pi
  specclip classify --model runs/demo --classes "LMXB,HMXB,a background quasar" *.pha
"""


def add_command(subparsers: Any) -> None:
    """Add the `classify` command."""
    parser = add_parser(
        subparsers, "classify", "classify spectra by class names (zero-shot)", DESCRIPTION, run
    )
    add_model_arguments(parser)
    add_embedder_option(parser)
    parser.add_argument(
        "--classes",
        type=_class_names,
        metavar="CLASS,…",
        help="labels or phrases, such as 'a white dwarf in outburst' (default: the classes of the "
        "model)",
    )
    parser.add_argument(
        "--top",
        type=positive_int,
        default=3,
        metavar="K",
        help="number of families of classes to print (default 3)",
    )
    add_file_arguments(parser, BATCH_SIZE)


def run(arguments: argparse.Namespace) -> int:
    """Classify the files; return the exit status."""
    # The index resolves names of sources.
    describer = load_describer(arguments, ("index", "classes"))
    describer.classes = describer.zero_shot_classes(arguments.classes)
    files = DescribedFiles(arguments, describer, top_k=1)
    answers = []
    for description in files:
        withheld = description.withheld.get("classes")
        answers.append(
            {
                "file": description.file,
                "classes": dict(description.classes),
                "families": [asdict(family) for family in description.families],
                "stands_out": description.class_stands_out,
                "withheld": withheld,
            }
        )
        if not arguments.json:
            caveat = [] if description.class_stands_out else ["no class stands out"]
            caveat = caveat if withheld is None else [f"withheld: {withheld}"]
            families = (_family_words(each) for each in description.families[: arguments.top])
            print("\t".join([str(description.file), *caveat, *families]))
    if arguments.json:
        print_json(answers)
    return files.status


def _family_words(family: FamilyProbability) -> str:
    """Write such as `accreting binary 62.0% (LMXB 41.0%, HMXB 21.0%)`."""
    kinds = list(family.classes.items())
    if len(kinds) == 1 and kinds[0][0] == family.name:
        return f"{family.name} {family.probability:.1%}"
    shown = ", ".join(f"{name} {probability:.1%}" for name, probability in kinds[:_KINDS_SHOWN])
    return f"{family.name} {family.probability:.1%} ({shown})"


def _class_names(text: str) -> list[str]:
    names = comma_separated(text)
    if len(names) < 2:
        raise argparse.ArgumentTypeError("name two classes or more, with commas between")
    return names
