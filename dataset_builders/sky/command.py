"""`specclip dataset build`: from names on the sky to a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hf_specclip.cli.arguments import add_parser, choices_of
from hf_specclip.hub.publish import publish

from .build import CATALOGUE_STAGES, STAGES, Build
from .literature.chat_model import ChatModel, add_model_options
from .literature.summaries import ExtractiveSummariser, ModelSummariser, Summariser
from .plan import forecast, sample
from .provenance import ITEM_STAGES, describe_outcomes, report_missing
from .services.catalogue import LIMITS
from .services.sources import read_names
from .settings import BuildError, Options, Selection, Services, add_options, from_options
from .work.store import Store

DESCRIPTION = """\
Download detections, spectra and papers, summarise the papers, and write a dataset.

examples:
  specclip dataset build --names names.txt --output runs/mine --dry-run
  specclip dataset build --cone 10.68 41.27 0.2 --output runs/m31
  specclip dataset build --class LXB --max-disk 20GB --output runs/binaries
  specclip dataset build --names names.txt --output runs/mine \\
      --summariser openai --model-batches --embedder openai --push user/name
  specclip dataset build --everything --output runs/csc --dry-run

ADS needs a token: ADS_DEV_KEY or ~/.ads/dev_key (ui.adsabs.harvard.edu, Account, API Token).
Downloads are kept in the work folder (OUTPUT.work). To resume an interrupted build, run the same
command again; failed items are tried again with --retry.
"""


def add_command(commands: Any) -> None:
    """Add `build` to the commands."""
    summary = "build a dataset from the Chandra Source Catalog, its archive and the literature"
    parser = add_parser(commands, "build", summary, DESCRIPTION, run)
    add = parser.add_argument
    add("--source", choices=["csc"], default="csc", help="catalogue (default %(default)s)")
    add_options(parser, Selection)
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="output folder")
    add("--work", type=Path, help="work folder of downloads (default OUTPUT.work)")
    add("--overwrite", action="store_true", help="replace an existing dataset")
    stages = f"stages to run: {','.join(STAGES)} (default: all), or push to publish a dataset"
    add("--stages", type=choices_of((*STAGES, "push")), help=stages)
    add("--retry", action="store_true", help="retry failed items")
    dry = "estimate requests, cost and time from the catalogue, SIMBAD and a sample of the data; "
    dry += "with --everything, without any request"
    add("--dry-run", action="store_true", help=dry)
    responses = "with --dry-run, send N requests to the model to measure the output length"
    add("--sample-summaries", type=int, default=0, metavar="N", help=responses)
    add("--push", metavar="USER/NAME", help="publish the dataset on the Hub")
    add("--private", action="store_true", help="publish as a private repository")
    add_options(parser, Options)
    add("--summariser", default="extractive", help="extractive (no key), openai or openai:MODEL")
    add("--prompt", default="v1", help="prompt version (default %(default)s)")
    add_model_options(parser)
    add_options(parser, Services)
    add("--per-second", type=float, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Run the build; returns 0."""
    if options.stages == ("push",):
        return _push(options)
    given = dict(vars(options))
    for name, read in (("names", read_names), ("adql", str.strip)):
        if given[name]:
            given[name] = read(given[name].read_text(encoding="utf-8"))
    if options.per_second:
        prefixes = ("csc", "archive", "simbad", "ads", "arxiv")
        given |= {f"{name}_per_second": options.per_second for name in prefixes}
    selection, services, settings = (
        from_options(settings_type, given) for settings_type in (Selection, Services, Options)
    )
    if selection.summary().keys() <= LIMITS.keys():
        raise BuildError(
            "no sources selected: use --names, --cone, --class, --adql or --everything"
        )
    work = options.work or options.output.with_name(f"{options.output.name}.work")
    summariser = _summariser(options, work)
    build = Build(work, selection, services, settings, summariser=summariser, progress=True)
    if options.retry:
        for stage in ITEM_STAGES:
            build.store.requeue(stage)
    stages = options.stages or STAGES
    if not options.dry_run:
        build.run(stages, options.output, overwrite=options.overwrite)
    elif not selection.everything:
        build.run(CATALOGUE_STAGES, options.output)
        sample(build, options.sample_summaries)
    if not (options.dry_run and selection.everything):
        print(describe_outcomes(build.store, work))
        if missing := report_missing(build.store, work):
            print(missing)
    if options.dry_run:
        print(forecast(build))
    elif options.push and "dataset" in stages:
        return _push(options)
    return 0


def _push(options: argparse.Namespace) -> int:
    if not options.push:
        raise BuildError("--stages push needs --push USER/NAME")
    published = publish("dataset", options.output, options.push, private=options.private)
    print(f"published as {published.url}")
    return 0


def _summariser(options: argparse.Namespace, work: Path) -> Summariser:
    provider, _, model = options.summariser.partition(":")
    if provider == "extractive" and not model:
        return ExtractiveSummariser()
    if provider != "openai":
        raise BuildError(
            f"--summariser {options.summariser} is not extractive, openai or openai:MODEL"
        )
    require_key = not options.dry_run or options.sample_summaries > 0
    return ModelSummariser(
        ChatModel.from_options(Store(work), model, options, require_key=require_key), options.prompt
    )
