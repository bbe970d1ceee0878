"""The `specclip search` command: spectra or papers by words, or near a source of the index."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .arguments import add_json_option, add_parser, positive_int, print_json
from .model_arguments import add_model_arguments, load_describer

DESCRIPTION = """\
Search the index of a model for spectra or papers, by words or near a source.

  specclip search "heavily absorbed pulsating ULX"
  specclip search --section spectrum "black body with kT = 0.1 keV"
  specclip search --kind papers --like "2CXO J004722.6-252050"
  specclip search --class HMXB --counts 500 --cone 83.6 22.0 1.5 "hard and bright"

The score is the cosine similarity in the shared space, −1 to 1: it ranks, it is no probability.
"""


def add_command(subparsers: Any) -> None:
    """Add the `search` command."""
    parser = add_parser(subparsers, "search", "spectra or papers by words", DESCRIPTION, run)
    add_model_arguments(parser, ("index",))
    parser.add_argument("text", nargs="*", metavar="WORD", help="words to search for")
    parser.add_argument("--like", metavar="NAME", help="a source of the index, instead of words")
    parser.add_argument(
        "--kind", choices=("spectra", "papers"), default="spectra", help="(default spectra)"
    )
    parser.add_argument(
        "--section",
        choices=("identity", "spectrum", "context"),
        default="identity",
        help="section of a summary the words stand for: the nature of the source (default), its "
        "spectral parameters, or its environment",
    )
    parser.add_argument(
        "--top", type=positive_int, default=10, metavar="K", help="number of results (default 10)"
    )
    add_json_option(parser)
    conditions = parser.add_argument_group("conditions")
    conditions.add_argument(
        "--class", dest="classes", action="append", metavar="CLASS", help="of this class (repeat)"
    )
    conditions.add_argument("--counts", type=float, metavar="N", help="with at least N counts")
    conditions.add_argument(
        "--cone",
        nargs=3,
        type=float,
        metavar=("RA", "DEC", "RADIUS"),
        help="within this cone, degrees (ICRS)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Search; return the exit status."""
    from ..search.index import IndexFilter

    text = " ".join(arguments.text).strip()
    if bool(text) == bool(arguments.like):
        raise ValueError("give words to search for, or --like NAME")
    where = None
    if arguments.classes or arguments.counts is not None or arguments.cone:
        where = IndexFilter(
            classes=arguments.classes,
            counts=None if arguments.counts is None else (arguments.counts, None),
            cone=None if arguments.cone is None else tuple(arguments.cone),
        )
    describer = load_describer(arguments, ("index",))
    settings = {"top_k": arguments.top, "kind": arguments.kind, "where": where}
    try:
        if arguments.like:
            hits = describer.similar_to(arguments.like, **settings)
        else:
            hits = describer.search(text, section=arguments.section, **settings)
    except KeyError as error:
        raise ValueError(str(error.args[0])) from error
    if arguments.json:
        print_json([asdict(hit) for hit in hits])
        return 0
    _print_hits(hits, bool(describer.required_index().about.get("simulated")))
    return 0


def _print_hits(hits: Any, simulated: bool) -> None:
    from ..describe.description import LiteratureHit
    from ..describe.text import literature_lines, source_line

    if not hits:
        print("nothing meets these conditions")
    for hit in hits:
        if isinstance(hit, LiteratureHit):
            print("\n".join(literature_lines(hit)))
        else:
            print(source_line(hit, coordinates=True))
    if simulated:
        print("note: the model was trained on simulated sources: these are invented")
