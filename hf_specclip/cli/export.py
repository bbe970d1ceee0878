"""The `specclip export` command: a model as ONNX or TorchScript files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .arguments import add_json_option, add_parser, keep_inputs, print_json
from .model_arguments import add_embedder_option

DEFAULT = "default"
DESCRIPTION = """\
Export the spectral encoder and the text encoder of a model for use without this package. The
spectral graph takes counts, exposure, background and effective area, and includes the feature
extraction. The text graph takes sentence embeddings of the model's text embedder. Each file is
checked against the model (1e-5); specclip_export.json lists inputs, constants, versions and checks.

  specclip export onnx default -o exported
  specclip export onnx runs/best -o exported --int8 --dataset runs/best/dataset
  specclip export torchscript user/name -o exported
"""


def add_command(subparsers: Any) -> None:
    """Add the `export` command."""
    parser = add_parser(subparsers, "export", "ONNX or TorchScript files", DESCRIPTION, run)
    parser.add_argument("runtime", choices=("onnx", "torchscript"), help="file format")
    parser.add_argument(
        "model", metavar="MODEL", help=f"a run, a model folder, user/name, or {DEFAULT}"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write"
    )
    parser.add_argument(
        "--int8", action="store_true", help="also write 8-bit files and report the loss of accuracy"
    )
    parser.add_argument(
        "--dataset",
        metavar="DIR",
        help="dataset folder or user/name: measure the loss on its validation rows, with "
        "Recall@1%%",
    )
    add_embedder_option(parser)
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export; return the exit status."""
    from ..describe.describer import Describer
    from ..describe.measured_pairs import read_pairs
    from ..hub.export import SETTINGS_FILE, export_model

    if arguments.dataset and not arguments.int8:
        raise ValueError("--dataset measures the loss of --int8: give both")
    keep_inputs([arguments.output], [arguments.model, arguments.dataset])
    options: dict[str, Any] = {} if arguments.revision is None else {"revision": arguments.revision}
    options["embedder"] = arguments.embedder
    model = None if arguments.model == DEFAULT else arguments.model
    describer = Describer.from_pretrained(model, parts=(), **options)
    pairs = read_pairs(describer, arguments.dataset) if arguments.dataset else None
    content = export_model(
        describer.model,
        describer.extractor,
        arguments.output,
        arguments.runtime,
        name=describer.name,
        int8=arguments.int8,
        pairs=pairs,
        say=lambda line: print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True),
    )
    if arguments.json:
        print_json(content)
    else:
        print(f"settings → {arguments.output / SETTINGS_FILE}")
    return 0
