"""Command `pretrain_spectrum`: the first stage of training.

    accelerate launch training/pretrain_spectrum.py --config paper --dataset DIR --output runs/mine

writes `runs/mine/spectrum`, which `training/align.py` starts from.
"""

from __future__ import annotations

import argparse
import sys

from specclip_training.data.pairs import load_pairs
from specclip_training.data.streamed import stream_spectra
from specclip_training.engine.commands import CHECKPOINTS, LOGS, call, finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.stages.pretraining import STAGE, describe, pretrain


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run = start(arguments, preset, [f"{CHECKPOINTS}/{STAGE}", STAGE, LOGS])
    with run.stage("data") as summary:
        with run.accelerator.main_process_first():
            if arguments.stream:
                with_area = preset.spectrum.input_kind == "flux"
                pairs = stream_spectra(run.dataset, run.cache_dir, with_area=with_area)
            else:
                pairs = load_pairs(run.dataset, run.cache_dir)
        summary.append(pairs.describe())
    with run.stage("pretraining") as summary:
        result = pretrain(run, pairs)
        summary.append(f"{run.output / STAGE}: {describe(result)}")
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Train the autoencoder of X-ray spectra on the spectra of a dataset, without its texts.",
        """\
Writes DIR/spectrum (a SpecCLIPForSpectrumPreTraining and its feature extractor, for
from_pretrained), DIR/checkpoints, and DIR/logs for `tensorboard --logdir DIR/logs`.
The same command resumes an interrupted run.

  accelerate launch training/pretrain_spectrum.py --config paper --dataset DATASET --output DIR
  accelerate launch training/align.py --config paper --dataset DATASET --output DIR""",
    )
    command.add_argument(
        "--stream",
        action="store_true",
        help="stream spectra during training, from disk or the Hub, instead of loading the dataset "
        "first (for millions of spectra)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
