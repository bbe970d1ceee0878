"""The `specclip publish` command: put a model, a head, a dataset or a page on the Hub."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .arguments import add_json_option, add_parser, print_json

# Repeated here so that --help imports nothing heavy; a test compares the two.
KINDS = ("model", "moe", "spectrum", "outliers", "dataset", "metric", "space")
DESCRIPTION = """\
Publish on the Hugging Face Hub in a single commit, so that the previous version stays visible until
the new one is complete. After an error, run the command again; only missing files are uploaded.

  model     dual encoder with its processor, gallery and code (model/ of a run)
  moe       mixture of experts with its reference bank (moe/)
  spectrum  spectral autoencoder (spectrum/)
  outliers  outlier detector (outliers/)
  dataset   dataset folder made by `specclip dataset`
  metric    `evaluate` module, as a Space, such as specclip_retrieval of this package
  space     web app for a published model, as a Gradio Space; DIR is the run

The card is generated from the run's metrics.json, which is uploaded too. An edited card is kept,
but refused if it contains a number that is not in metrics.json. Weights are safetensors only.

Log in first with `hf auth login`, or set HF_TOKEN to a token with write access.

  specclip publish model runs/demo/model ada/specclip-demo
  specclip publish moe runs/demo/moe ada/specclip-demo-moe --private
  specclip publish dataset runs/demo/dataset ada/simulated-csc --revision v2
  specclip publish metric specclip_retrieval ada/specclip_retrieval
  specclip publish space runs/demo ada/specclip-page --model ada/specclip-demo
"""


def add_command(subparsers: Any) -> None:
    """Add the `publish` command."""
    summary = "publish a model, head, dataset or page on the Hugging Face Hub"
    parser = add_parser(subparsers, "publish", summary, DESCRIPTION, run)
    parser.add_argument("kind", choices=KINDS, help="type of artifact")
    parser.add_argument("folder", metavar="DIR", help="its folder")
    parser.add_argument("repo_id", metavar="USER/NAME", help="its name on the Hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--revision", metavar="BRANCH", help="branch to write, created if new (default main)"
    )
    parser.add_argument(
        "--metrics",
        metavar="FILE",
        help="metrics.json of the run (default: in DIR, or in the folder above)",
    )
    parser.add_argument(
        "--model", metavar="USER/NAME", help="model shown by a space (default: its own name)"
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Publish; return the exit status."""
    from ..hub.publish import publish

    published = publish(
        arguments.kind,
        arguments.folder,
        arguments.repo_id,
        private=arguments.private,
        revision=arguments.revision,
        metrics=arguments.metrics,
        model=arguments.model,
    )
    if arguments.json:
        print_json(asdict(published))
        return 0
    content = f"{len(published.files)} files" if published.changed else "nothing new"
    print(f"{published.url}: {content}, {published.revision} at {published.commit[:7]}")
    return 0
