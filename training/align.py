"""Command `align`: the second stage of training.

    accelerate launch training/align.py --config paper --dataset DIR --output runs/mine

starts from `runs/mine/spectrum` and writes `runs/mine/model`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from specclip_training.data.pairs import load_embedded_pairs
from specclip_training.engine.commands import CHECKPOINTS, LOGS, call, finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.stages.alignment import MODEL, STAGE, align
from specclip_training.stages.pretraining import describe


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run = start(arguments, preset, [f"{CHECKPOINTS}/{STAGE}", MODEL, LOGS])
    pairs = load_embedded_pairs(run)
    with run.stage("alignment") as summary:
        result = align(run, pairs, arguments.spectrum)
        summary.append(f"{run.output / MODEL}: {describe(result)}")
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Align X-ray spectra with the texts about their sources in one shared space.",
        """\
Starts from DIR/spectrum (training/pretrain_spectrum.py) and writes DIR/model: a SpecCLIPModel with
its processor, the gallery of all texts and spectra of the dataset, the zero-shot classes, and the
vocabulary of text queries. Use it with from_pretrained or `specclip describe --model DIR FILE`. The
same command resumes an interrupted run.

  accelerate launch training/align.py --config best --dataset DATASET --output DIR
  accelerate launch training/align.py --config best --dataset DATASET --output DIR2 \\
      --spectrum DIR/spectrum --set align.lr=3e-4""",
    )
    command.add_argument(
        "--spectrum",
        type=Path,
        metavar="DIR",
        help="the pretrained autoencoder (default: spectrum in the output folder)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
