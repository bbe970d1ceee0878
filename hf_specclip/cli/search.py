"""`specclip search`: spectra and papers by words, or like a source that is known."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .file_arguments import print_json
from .model_arguments import add_model_arguments, load_describer, positive

DESCRIPTION = """\
Find spectra, or papers, by words or by what they are like, in the index a model carries.

  specclip search --model runs/demo "heavily absorbed pulsating ULX"
  specclip search --model runs/demo --section spectrum "black body with kT = 0.1 keV"
  specclip search --model runs/demo --kind papers --like "2CXO J004722.6-252050"
  specclip search --model runs/demo --class HMXB --counts 500 --cone 83.6 22.0 1.5 "hard and bright"

The score is the cosine similarity in the shared space, −1 to 1: it ranks, it is no probability.
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `search` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "search",
        help="spectra and papers by words",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_arguments(parser, ("index",))
    parser.add_argument("text", nargs="*", metavar="WORD", help="what to look for")
    parser.add_argument("--like", metavar="NAME", help="a source of the index, in place of words")
    parser.add_argument(
        "--kind", choices=("spectra", "papers"), default="spectra", help="(default spectra)"
    )
    parser.add_argument(
        "--section",
        choices=("identity", "spectrum", "context"),
        default="identity",
        help="what the words are about: what it is (default), its spectral parameters, or where "
        "it lives",
    )
    parser.add_argument(
        "--top", type=positive, default=10, metavar="K", help="answers (default 10)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    only = parser.add_argument_group("only sources")
    only.add_argument(
        "--class", dest="classes", action="append", metavar="CLASS", help="of this class (repeat)"
    )
    only.add_argument("--counts", type=float, metavar="N", help="with at least so many counts")
    only.add_argument(
        "--cone",
        nargs=3,
        type=float,
        metavar=("RA", "DEC", "RADIUS"),
        help="in this part of the sky, degrees (ICRS)",
    )
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Search; 0."""
    from ..search.index import IndexFilter

    text = " ".join(arguments.text).strip()
    if bool(text) == bool(arguments.like):
        raise ValueError("say what to look for: words, or --like NAME")
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
    if not hits:
        print("nothing meets these conditions")
    for hit in hits:
        print("\n".join(_lines(hit)))
    about = describer.index.about if describer.index is not None else {}
    if about.get("simulated"):
        print("note: the model was trained on simulated sources: these are invented")
    return 0


def _lines(hit: Any) -> list[str]:
    from ..describe.description import LiteratureHit, literature_lines

    if isinstance(hit, LiteratureHit):
        return literature_lines(hit)
    counts = "" if hit.counts is None else f"{hit.counts:>8,} counts"
    place = "" if hit.ra is None or hit.dec is None else f"  {hit.ra:9.5f} {hit.dec:+9.5f}"
    kind = hit.source_class or "–"
    return [f"{hit.rank:>4}. {hit.score:+.3f}  {hit.name:<26}{kind:<14}{counts}{place}"]


__all__ = ["add_command", "run"]
