"""`specclip dataset build`: from names on the sky to a dataset."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from hf_specclip.cli.arguments import choices_of, comma_separated
from hf_specclip.hub.publish import publish

from ..splits import SURVEY_LIMIT
from .build import STAGES, Build
from .literature.bibliography import PAPERS_EACH
from .literature.chat_model import DEFAULT_MODEL, ChatModel
from .literature.summaries import ModelSummariser
from .literature.texts import STAGE as TEXTS_STAGE
from .literature.texts import ExtractiveSummariser, Summariser
from .plan import FIRST_STAGES, forecast, sample
from .services.ads import OBJECTS_STAGE, PAPERS_STAGE
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import Limits
from .services.full_texts import STAGE as FULL_TEXTS_STAGE
from .services.products import KINDS
from .services.sources import names_of
from .settings import BuildError, Options, Selection, Services
from .work.store import Store

EPILOG = """\
examples:
  specclip dataset build --source csc --names names.txt --output runs/mine --dry-run
  specclip dataset build --source csc --cone 10.68 41.27 0.2 --output runs/m31
  specclip dataset build --source csc --class LXB --max-disk 20GB --output runs/binaries
  specclip dataset build --source csc --names names.txt --output runs/mine \\
      --summariser openai --model-batches --embedder openai --push user/name
  specclip dataset build --source csc --everything --output runs/csc --dry-run

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
    add(
        "--stages",
        type=choices_of((*STAGES, "push")),
        help=f"some of {','.join(STAGES)} (default: all), or push, to publish a dataset "
        "that is there",
    )
    add("--retry", action="store_true", help="ask again for what failed")
    add(
        "--dry-run",
        action="store_true",
        help="fetch catalogue, SIMBAD and a sample, forecast the "
        "rest; of --everything, say what it would take and fetch nothing",
    )
    add(
        "--sample-summaries",
        type=int,
        default=0,
        metavar="N",
        help="with --dry-run, ask the model N questions, to know how long its answers are "
        "and how long they take",
    )
    add("--push", metavar="USER/NAME", help="publish the dataset on the Hub")
    add("--private", action="store_true", help="publish it for yourself alone")
    add("--max-disk", type=_bytes, metavar="SIZE", help="that spectra may take, such as 50GB")
    add(
        "--unpaired",
        action="store_true",
        help="spectra of sources without papers, too, for pretraining",
    )
    add(
        "--full-texts",
        action="store_true",
        help="give open full texts to the model, beside abstracts",
    )
    add(
        "--kinds",
        type=choices_of(tuple(KINDS)),
        default=",".join(KINDS),
        help="files to fetch (%(default)s)",
    )
    add(
        "--no-object-search",
        dest="search_objects",
        action="store_false",
        help="use only SIMBAD's references",
    )
    add("--papers-each", type=int, default=PAPERS_EACH, help="behind a summary (%(default)s)")
    add("--survey-limit", type=int, default=SURVEY_LIMIT, help="see `tables --help`")
    add("--summariser", default="extractive", help="extractive (no key), openai, openai:MODEL")
    add("--prompt", default="v1", help="version of the model's prompts (default %(default)s)")
    add("--llm-url", help="of an OpenAI-compatible server, ending in /v1")
    add(
        "--model-batches",
        action="store_true",
        help="ask the model in batches: half the price, within a day",
    )
    add("--max-dollars", type=float, help="that summaries may cost")
    add("--token-prices", type=float, nargs=2, metavar=("IN", "OUT"), help="$ a million tokens")
    add("--embedder", help="embed the summaries: offline, openai, openai:MODEL, local:PATH")
    add("--embedder-url", help="of an OpenAI-compatible server for --embedder openai")
    add("--seed", type=int, default=0, help="of the splits (default 0)")
    for name in ("csc-tap", "archive", "simbad-tap", "ads"):
        add(f"--{name}", help=argparse.SUPPRESS)  # another address of the service
    add("--arxiv", type=comma_separated, help=argparse.SUPPRESS)
    # Services of one's own need no politeness.
    add("--per-second", type=float, help=argparse.SUPPRESS)
    add("--model-poll", type=float, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the build.

    Returns:
        0.

    Raises:
        SpecCLIPError: where the build had to stop; all that was fetched is kept.
    """
    if options.stages == ("push",):
        return _push(options)
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
        raise BuildError("say which sources: --names, --cone, --class, --adql or --everything")
    given = {name: value for name, value in vars(options).items() if value is not None}
    if options.per_second:
        paces = ("csc", "archive", "simbad", "ads", "arxiv")
        given |= {f"{name}_per_second": options.per_second for name in paces}
    services, settings = (
        kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})
        for kind in (Services, Options)
    )
    work = options.work or options.output.with_name(f"{options.output.name}.work")
    summariser = _summariser(options, work)
    build = Build(work, selection, services, settings, summariser=summariser, progress=True)
    if options.retry:
        for stage in (OBJECTS_STAGE, PAPERS_STAGE, SPECTRA_STAGE, FULL_TEXTS_STAGE, TEXTS_STAGE):
            build.store.want_again(stage)
    if options.dry_run:
        if not selection.everything:
            build.run(FIRST_STAGES, options.output)
            sample(build, options.sample_summaries)
            print("\n".join(filter(None, (build.account(), build.lost()))))
        print(forecast(build))
        return 0
    stages = options.stages or STAGES
    build.run(stages, options.output, overwrite=options.overwrite)
    print("\n".join(filter(None, (build.account(), build.lost()))))
    return _push(options) if options.push and "dataset" in stages else 0


def _push(options: argparse.Namespace) -> int:
    if not options.push:
        raise BuildError("the stage `push` needs --push USER/NAME")
    published = publish("dataset", options.output, options.push, private=options.private)
    print(f"published as {published.url}")
    return 0


def _summariser(options: argparse.Namespace, work: Path) -> Summariser:
    kind, _, model = options.summariser.partition(":")
    if kind == "extractive" and not model:
        return ExtractiveSummariser()
    if kind != "openai":
        raise BuildError(f"--summariser {options.summariser}: extractive, openai or openai:MODEL")
    chat = ChatModel(
        Store(work),
        model or DEFAULT_MODEL,
        base_url=options.llm_url,
        max_dollars=options.max_dollars,
        prices=tuple(options.token_prices) if options.token_prices else None,
        may_ask=not options.dry_run or options.sample_summaries > 0,
    )
    return ModelSummariser(chat, options.prompt)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500MB or 20GB")
    return int(float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2]])
