"""The `specclip classify` command: classify by the model's classes, class names or own labels."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_parser, comma_separated, positive_int, print_json
from .file_arguments import add_file_arguments
from .model_arguments import (
    BATCH_SIZE,
    DescribedFiles,
    add_embedder_option,
    add_model_arguments,
    add_probe_option,
    load_describer,
)

if TYPE_CHECKING:
    from ..classify.families import FamilyProbability

_KINDS_SHOWN = 3
DESCRIPTION = """\
Classify spectra by the classes of the model. Those of the bundled model come from a classifier
trained on the labels of simulated sources; with --classes, and for other models, each class is
represented by the mean embedding of sentences that name it (zero-shot). Probabilities are listed by
family of classes, were calibrated on validation data, and assume that the source belongs to one of
the classes. "no class stands out" means that the most probable family is expected to be correct
less than half of the time.

  specclip classify source.pi
  specclip classify --model runs/demo --classes "LMXB,HMXB,a background quasar" *.pha

Alternatively, train on your own labels, with at least 5 spectra per class. The table needs the
columns file (or the name of a source in the index) and label. An optional column group marks
spectra that are not independent; by default, spectra with the same position or name form a group.

  specclip classify --fit labels.csv -o my_classes
  specclip classify --probe my_classes *.pha
  specclip classify --fit table.csv --target log_mass -o my_mass        regression
  specclip describe --probe my_classes --probe my_mass source.pi
"""


def add_command(subparsers: Any) -> None:
    """Add the `classify` command."""
    parser = add_parser(
        subparsers, "classify", "classify spectra, by names or your own labels", DESCRIPTION, run
    )
    add_model_arguments(parser)
    add_embedder_option(parser)
    parser.add_argument(
        "--classes",
        type=_class_names,
        metavar="CLASS,…",
        help="labels or phrases to classify by, such as 'a white dwarf in outburst' (default: the "
        "classes of the model)",
    )
    parser.add_argument(
        "--top",
        type=positive_int,
        default=3,
        metavar="K",
        help="number of families of classes to print (default 3)",
    )
    own = parser.add_argument_group("your own labels")
    add_probe_option(own)
    own.add_argument("--fit", type=Path, metavar="TABLE", help="learn the labels of this table")
    own.add_argument("--target", metavar="COLUMN", help="learn this number in place of a label")
    own.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder that --fit writes")
    add_file_arguments(parser, BATCH_SIZE)


def run(arguments: argparse.Namespace) -> int:
    """Classify the files; return the exit status."""
    if arguments.fit is not None:
        from .own_labels import fit_own_labels

        return fit_own_labels(arguments)
    if arguments.output is not None or arguments.target is not None:
        raise ValueError("-o and --target require --fit")
    if arguments.probe:
        return _classify_by_labels(arguments)
    # The index resolves names of sources.
    describer = load_describer(arguments, ("index", "classes"))
    describer.classes = describer.classes_for(arguments.classes)
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


def _classify_by_labels(arguments: argparse.Namespace) -> int:
    """Answer by the probes of the command line; return the exit status."""
    from ..describe.text import probe_lines

    if arguments.classes:
        raise ValueError("--classes and --probe are mutually exclusive")
    files = DescribedFiles(arguments, load_describer(arguments, ("index",)), top_k=1)
    answers = []
    for description in files:
        withheld = description.withheld.get("similar")
        probes = [asdict(answer) for answer in description.probes]
        answers.append({"file": description.file, "probes": probes, "withheld": withheld})
        if not arguments.json:
            words = [" ".join(map(str.strip, probe_lines(each))) for each in description.probes]
            print("\t".join([str(description.file), *(words or [f"withheld: {withheld}"])]))
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
        raise argparse.ArgumentTypeError("give two or more classes, separated by commas")
    return names
