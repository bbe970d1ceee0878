"""The `specclip search` command: sources or papers by words, or near a source of the index."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .arguments import add_json_option, add_parser, positive_int, print_json
from .model_arguments import add_embedder_option, add_model_arguments, load_describer

DESCRIPTION = """\
Search the index of a model for sources or papers, by text or by similarity to a source.

  specclip search "heavily absorbed pulsating ULX"
  specclip search "soft thermal emission, kT < 0.5 keV"
  specclip search "T Pyx"
  specclip search "LMXB like UY Vol"
  specclip search --where "powlaw_gamma<1.9" --cone 83.6 22.0 1.5 "hard and bright"
  specclip search --kind papers --like "2CXO J004722.6-252050"

The output starts with the interpretation of the query: source classes, conditions on catalogue
values (from numbers), positions, names of sources and hosts in the index, other words, and anything
that was not understood. Sources with a requested catalogue class come first, then the most similar
ones. Scores are cosine similarities in the shared space (−1 to 1), not probabilities. A query that
contains nothing usable returns no results and exit status 1.
"""


def add_command(subparsers: Any) -> None:
    """Add the `search` command."""
    parser = add_parser(subparsers, "search", "text search for sources or papers", DESCRIPTION, run)
    add_model_arguments(parser, ("index",))
    add_embedder_option(parser)
    parser.add_argument("text", nargs="*", metavar="WORD", help="query in English")
    parser.add_argument(
        "--like", metavar="NAME", help="search by similarity to this source of the index"
    )
    parser.add_argument(
        "--kind", choices=("spectra", "papers"), default="spectra", help="(default spectra)"
    )
    parser.add_argument(
        "--top", type=positive_int, default=10, metavar="K", help="number of results (default 10)"
    )
    add_json_option(parser)
    conditions = parser.add_argument_group("conditions")
    conditions.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="RANGE",
        help='range of a catalogue variable, such as "powlaw_gamma<1.9" (repeat)',
    )
    conditions.add_argument(
        "--class", dest="classes", action="append", metavar="CLASS", help="catalogue class (repeat)"
    )
    conditions.add_argument("--counts", type=float, metavar="N", help="minimum number of counts")
    conditions.add_argument(
        "--cone",
        nargs=3,
        type=float,
        metavar=("RA", "DEC", "RADIUS"),
        help="cone search, degrees (ICRS)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Search; return the exit status: 1 where words were not understood or nothing was found."""
    from ..describe.answers import NO_TEXTS, missing_values
    from ..describe.text import answer_lines
    from ..search.index import IndexFilter

    text = " ".join(arguments.text).strip()
    if bool(text) == bool(arguments.like):
        raise ValueError("give a query, or --like NAME")
    where = IndexFilter(
        classes=arguments.classes,
        counts=None if arguments.counts is None else (arguments.counts, None),
        cone=None if arguments.cone is None else tuple(arguments.cone),
        where=arguments.where,
    )
    describer = load_describer(arguments, ("index",))
    settings = {"top_k": arguments.top, "kind": arguments.kind, "where": where}
    if arguments.like:
        try:
            hits: Any = describer.similar_to(arguments.like, **settings)
        except KeyError as error:
            raise ValueError(str(error.args[0])) from error
        values: Any = [asdict(hit) for hit in hits]
        index = describer.required_index()
        lines = [f"  {note}" for note in missing_values(index, where)]
        if arguments.kind == "papers" and not len(index.papers):
            lines.append(f"  {NO_TEXTS}")
        lines += _hit_lines(hits)
    else:
        answer = describer.search(text, **settings)
        hits, values, lines = answer.hits, answer.to_dict(), answer_lines(answer)
    if arguments.json:
        print_json(values)
    else:
        print("\n".join(lines))
        if hits and describer.required_index().about.get("simulated"):
            print("note: the model was trained on simulated data: these sources are invented")
    return 0 if hits else 1


def _hit_lines(hits: Any) -> list[str]:
    from ..describe.description import LiteratureHit
    from ..describe.text import literature_lines, source_line

    lines = []
    for hit in hits:
        is_text = isinstance(hit, LiteratureHit)
        lines += literature_lines(hit) if is_text else [source_line(hit, coordinates=True)]
    return lines or ["no results match these conditions"]
