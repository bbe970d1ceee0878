"""`python -m dataset_builders build`: from names on the sky to a dataset."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from ..splits import SURVEY_LIMIT
from .answers import AnswerCache
from .archive import STAGE as SPECTRA_STAGE
from .assemble import AssembleError
from .bibliography import PAPERS_EACH
from .build import STAGES, Build, BuildError, Options, Selection, Services
from .catalogue import CatalogueError, Limits
from .files import DiskError
from .products import KINDS
from .queue import QueueError
from .retry import ServiceError
from .sources import names_of
from .summaries import CapReachedError, ModelError, ModelSummariser
from .texts import STAGE as TEXTS_STAGE
from .texts import ExtractiveSummariser, Summariser

EPILOG = """\
examples:
  python -m dataset_builders build --source csc --names names.txt --output runs/mine --dry-run
  python -m dataset_builders build --source csc --cone 10.68 41.27 0.2 --output runs/m31
  python -m dataset_builders build --source csc --class LXB --max-disk 20GB --output runs/binaries

ADS needs a token: ADS_DEV_KEY or ~/.ads/dev_key (ui.adsabs.harvard.edu, Account, API Token).
Everything fetched lies in the work folder (OUTPUT.work): a build that was stopped, however it was,
goes on where it was with the same command. What failed is asked for again with --retry.
"""


def add_command(commands: Any) -> None:
    """Add `build` to the commands."""
    parser = commands.add_parser(
        "build",
        help="build a dataset from the Chandra Source Catalog, its archive and the literature",
        description="Fetch detections, spectra and papers, summarise, and write a dataset.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", choices=["csc"], default="csc", help="catalogue (default %(default)s)")
    add("--names", type=Path, help="file with one name, or position in degrees, a line")
    add("--cone", type=float, nargs=3, metavar=("RA", "DEC", "RADIUS"), help="degrees")
    add("--class", dest="otype", help="SIMBAD type, such as LXB, HXB, QSO or CV*")
    add("--adql", type=Path, help="file with a question whose answer has a column `name`")
    add("--everything", action="store_true", help="the whole catalogue")
    add("--min-significance", type=float, help="of the broad-band flux")
    add("--min-counts", type=float, help="aperture counts of the source, broad band")
    add("--max-theta", type=float, help="off-axis angle, arcmin")
    add("--output", type=Path, required=True, help="folder to make")
    add("--work", type=Path, help="folder of what is fetched (default OUTPUT.work)")
    add("--overwrite", action="store_true", help="replace a dataset that is already there")
    add("--stages", default=",".join(STAGES), help="some of %(default)s")
    add("--retry", action="store_true", help="ask again for what failed")
    add("--dry-run", action="store_true", help="fetch catalogue and SIMBAD, forecast the rest")
    add("--max-disk", type=_bytes, metavar="SIZE", help="that spectra may take, such as 50GB")
    add("--kinds", default=",".join(KINDS), help="files to fetch (default %(default)s)")
    add("--no-object-search", action="store_true", help="use only SIMBAD's references")
    add("--papers-each", type=int, default=PAPERS_EACH, help="behind a summary (%(default)s)")
    add("--survey-limit", type=int, default=SURVEY_LIMIT, help="see `tables --help`")
    add("--summariser", default="extractive", help="extractive (no key), openai, openai:MODEL")
    add("--llm-url", help="of an OpenAI-compatible server, ending in /v1")
    add("--max-dollars", type=float, help="that summaries may cost")
    add("--token-prices", type=float, nargs=2, metavar=("IN", "OUT"), help="$ a million tokens")
    add("--embedder", help="embed the summaries: offline, openai, openai:MODEL, local:PATH")
    add("--seed", type=int, default=0, help="of the splits (default 0)")
    for name in ("csc-tap", "archive", "simbad-tap", "ads"):
        add(f"--{name}", help=argparse.SUPPRESS)  # another address of the service
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the build; 0, or 2 where it had to stop (the message says what to do)."""
    names = names_of(options.names.read_text(encoding="utf-8")) if options.names else []
    selection = Selection(
        names=tuple(names),
        cone=tuple(options.cone) if options.cone else None,
        otype=options.otype,
        adql=options.adql.read_text(encoding="utf-8").strip() if options.adql else None,
        everything=options.everything,
        limits=Limits(options.min_significance, options.min_counts, options.max_theta),
    )
    if not selection.facts():
        print(
            "error: say which sources: --names, --cone, --class, --adql or --everything",
            file=sys.stderr,
        )
        return 2
    addresses = {
        "csc_tap": options.csc_tap,
        "archive": options.archive,
        "simbad_tap": options.simbad_tap,
        "ads": options.ads,
    }
    services = Services(**{name: url for name, url in addresses.items() if url})
    settings = Options(
        kinds=tuple(options.kinds.split(",")),
        max_disk=options.max_disk,
        search_objects=not options.no_object_search,
        papers_each=options.papers_each,
        survey_limit=options.survey_limit,
        embedder=options.embedder,
        seed=options.seed,
    )
    work = options.work or options.output.with_name(options.output.name + ".work")
    try:
        build = Build(
            work,
            selection,
            services,
            settings,
            summariser=_summariser(options, work),
            progress=True,
        )
        if options.retry:
            build.queue.retry(SPECTRA_STAGE)
            build.queue.retry(TEXTS_STAGE)
        if options.dry_run:
            build.run(("names", "catalogue", "objects"), options.output)
            print(build.account())
            print(build.forecast())
            return 0
        build.run(options.stages.split(","), options.output, overwrite=options.overwrite)
        print(build.account())
    except (
        AssembleError,
        CapReachedError,
        CatalogueError,
        DiskError,
        ModelError,
        QueueError,
        ServiceError,
        BuildError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _summariser(options: argparse.Namespace, work: Path) -> Summariser:
    kind, _, model = options.summariser.partition(":")
    if kind == "extractive" and not model:
        return ExtractiveSummariser()
    if kind != "openai":
        raise BuildError(f"--summariser {options.summariser}: extractive, openai or openai:MODEL")
    return ModelSummariser(
        AnswerCache(work / "answers.sqlite"),
        **({"model": model} if model else {}),
        base_url=options.llm_url,
        max_dollars=options.max_dollars,
        prices=tuple(options.token_prices) if options.token_prices else None,
    )


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500MB or 20GB")
    return int(float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2]])


__all__ = ["add_command", "run"]
