"""`specclip dataset build`: from names on the sky to a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hf_specclip.cli.arguments import add_parser, choices_of
from hf_specclip.hub.publish import publish

from .build import ONE_AFTER_ANOTHER, STAGES, Build
from .literature.chat_model import ChatModel, add_model_options
from .literature.summaries import ExtractiveSummariser, ModelSummariser, Summariser
from .plan import forecast, sample
from .provenance import ITEM_STAGES, describe_account, list_lost
from .services.catalogue import LIMITS
from .services.sources import names_of
from .settings import BuildError, Options, Selection, Services, add_options, settings_of
from .work.store import Store

DESCRIPTION = """\
Fetch detections, spectra and papers, summarise, and write a dataset.

examples:
  specclip dataset build --names names.txt --output runs/mine --dry-run
  specclip dataset build --cone 10.68 41.27 0.2 --output runs/m31
  specclip dataset build --class LXB --max-disk 20GB --output runs/binaries
  specclip dataset build --names names.txt --output runs/mine \\
      --summariser openai --model-batches --embedder openai --push user/name
  specclip dataset build --everything --output runs/csc --dry-run

ADS needs a token: ADS_DEV_KEY or ~/.ads/dev_key (ui.adsabs.harvard.edu, Account, API Token).
Everything fetched lies in the work folder (OUTPUT.work): a build that was stopped, however it was,
goes on where it was with the same command. What failed is asked for again with --retry.
"""


def add_command(commands: Any) -> None:
    """Add `build` to the commands."""
    summary = "build a dataset from the Chandra Source Catalog, its archive and the literature"
    parser = add_parser(commands, "build", summary, DESCRIPTION, run)
    add = parser.add_argument
    add("--source", choices=["csc"], default="csc", help="catalogue (default %(default)s)")
    add_options(parser, Selection)
    add("--output", type=Path, required=True, help="output folder")
    add("--work", type=Path, help="folder for downloads (default OUTPUT.work)")
    add("--overwrite", action="store_true", help="replace an existing dataset")
    stages = f"some of {','.join(STAGES)} (default: all), or push to publish a dataset"
    add("--stages", type=choices_of((*STAGES, "push")), help=stages)
    add("--retry", action="store_true", help="repeat failed requests")
    dry = (
        "fetch catalogue, SIMBAD and a sample, and estimate the rest; with --everything, only plan"
    )
    add("--dry-run", action="store_true", help=dry)
    answers = "with --dry-run, request N summaries to measure their length"
    add("--sample-summaries", type=int, default=0, metavar="N", help=answers)
    add("--push", metavar="USER/NAME", help="publish the dataset on the Hub")
    add("--private", action="store_true", help="publish as a private repository")
    add_options(parser, Options)
    add("--summariser", default="extractive", help="extractive (no key), openai, openai:MODEL")
    add("--prompt", default="v1", help="version of the model's prompts (default %(default)s)")
    add_model_options(parser)
    add_options(parser, Services)
    add("--per-second", type=float, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Run the build; returns 0. Whatever stops it, all that was fetched is kept."""
    if options.stages == ("push",):
        return _push(options)
    given = dict(vars(options))
    for name, read in (("names", names_of), ("adql", str.strip)):
        if given[name]:
            given[name] = read(given[name].read_text(encoding="utf-8"))
    if options.per_second:
        paces = ("csc", "archive", "simbad", "ads", "arxiv")
        given |= {f"{name}_per_second": options.per_second for name in paces}
    selection, services, settings = (
        settings_of(kind, given) for kind in (Selection, Services, Options)
    )
    if selection.facts().keys() <= LIMITS.keys():
        raise BuildError("say which sources: --names, --cone, --class, --adql or --everything")
    work = options.work or options.output.with_name(f"{options.output.name}.work")
    summariser = _summariser(options, work)
    build = Build(work, selection, services, settings, summariser=summariser, progress=True)
    if options.retry:
        for stage in ITEM_STAGES:
            build.store.want_again(stage)
    stages = options.stages or STAGES
    if not options.dry_run:
        build.run(stages, options.output, overwrite=options.overwrite)
    elif not selection.everything:
        build.run(ONE_AFTER_ANOTHER, options.output)
        sample(build, options.sample_summaries)
    if not (options.dry_run and selection.everything):
        print(describe_account(build.store, work))
        if lost := list_lost(build.store, work):
            print(lost)
    if options.dry_run:
        print(forecast(build))
    elif options.push and "dataset" in stages:
        return _push(options)
    return 0


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
    may_ask = not options.dry_run or options.sample_summaries > 0
    return ModelSummariser(
        ChatModel.of_options(Store(work), model, options, may_ask=may_ask), options.prompt
    )
