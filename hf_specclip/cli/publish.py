"""`specclip publish`: a trained model, a head, a dataset or a page on the Hugging Face Hub."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .file_arguments import print_json

# Named here as well, so that --help imports nothing; a test holds the two together.
KINDS = ("model", "moe", "spectrum", "outliers", "dataset", "metric", "space")
DESCRIPTION = """\
Put something on the Hugging Face Hub, as one commit: readers see what was there before until all of
it has arrived. Run again after an error, it sends only what is missing.

  model     a dual encoder with its processor, gallery and code (training leaves it in model/)
  moe       the mixture of experts with its reference bank (moe/)
  spectrum  the spectral autoencoder (spectrum/)
  outliers  the outlier detector (outliers/)
  dataset   a folder of `python -m specclip_datasets`
  metric    an `evaluate` module, as a Space; specclip_retrieval is the package's own
  space     a page around a published model, as a Gradio Space; DIR is the run it came from

The card is written from the run's metrics.json, which goes with it. A card that you have edited is
kept, and refused where it holds a number that metrics.json does not. Weights are safetensors only.

Log in first with `hf auth login`, or set HF_TOKEN to a token that may write.

  specclip publish model runs/demo/model ada/specclip-demo
  specclip publish moe runs/demo/moe ada/specclip-demo-moe --private
  specclip publish dataset runs/demo/dataset ada/simulated-csc --revision v2
  specclip publish metric specclip_retrieval ada/specclip_retrieval
  specclip publish space runs/demo ada/specclip-page --model ada/specclip-demo
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `publish` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "publish",
        help="put a model, head, dataset or page on the Hub",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=KINDS, help="what it is")
    parser.add_argument("folder", metavar="DIR", help="where it lies")
    parser.add_argument("repo_id", metavar="USER/NAME", help="its name on the Hub; made if new")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--revision", metavar="BRANCH", help="branch to write, made if new (default main)"
    )
    parser.add_argument(
        "--metrics",
        metavar="FILE",
        help="metrics.json of the run (default: in DIR, or in the folder above)",
    )
    parser.add_argument(
        "--model", metavar="USER/NAME", help="the model that a space shows (default: its own name)"
    )
    parser.add_argument(
        "--config",
        metavar="NAME",
        help="the configuration a dataset becomes (default: the default)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Publish; 0 when all of it is there."""
    from ..hub.publish import publish

    done = publish(
        arguments.kind,
        arguments.folder,
        arguments.repo_id,
        private=arguments.private,
        revision=arguments.revision,
        metrics=arguments.metrics,
        model=arguments.model,
        config=arguments.config,
    )
    if arguments.json:
        print_json(asdict(done))
        return 0
    what = f"{len(done.files)} files" if done.changed else "nothing new"
    print(f"{done.url}: {what}, {done.revision} at {done.commit[:7]}")
    return 0


__all__ = ["add_command", "run"]
