"""Command `train`: a dataset to a trained model, measured, with all that its commands need.

    specclip train DATASET -o runs/mine --from default

or, over several processes, `accelerate launch -m specclip_training.train DATASET -o runs/mine`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from specclip_training import reproduce
from specclip_training.engine.commands import add_run_options, call, text_parser
from specclip_training.engine.presets import Preset, PresetError
from specclip_training.study import STUDIES

FINE_TUNE, SCRATCH = "fine_tune", "best"
DESCRIPTION = """\
Train a model on a dataset of spectra and texts, and evaluate it.

  specclip train my_pairs -o runs/mine --from default       fine-tune the bundled model
  specclip train my_pairs -o runs/more --from runs/mine     fine-tune your own, or user/name
  specclip train my_pairs -o runs/new --preset best         from scratch: thousands of pairs

  specclip evaluate runs/mine --dataset my_pairs
  specclip describe --model runs/mine source.pi

Fine-tuning keeps the architecture and the text embedder, uses a low learning rate, and stops early
when `validation` no longer improves; if no step improves it, the original weights are kept. The
mixture of experts, classes, gallery and outlier detector are refitted to the dataset if possible.
"""
EPILOG = """\
The dataset is a folder of `specclip dataset`, a folder of tables, or user/name on the Hub. `train`
is used for training, `validation` for model selection, `test` for the final evaluation. The results
are model/, moe/, outliers/, metrics.json and report.html in RUN. The same command resumes an
interrupted run.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = options().parse_args(arguments)
    given.beside, given.push, given.also_pair_split = [], None, False
    given.config = given.preset or (FINE_TUNE if given.start_from else SCRATCH)
    if given.freeze:
        given.overrides = [*given.overrides, "align.freeze_spectrum=true"]
    if given.embedder and not given.start_from:
        given.overrides = [*given.overrides, f"text.embedder={given.embedder}"]

    def work(given: argparse.Namespace, preset: Preset) -> None:
        if given.start_from and given.preset in PRESETS:
            raise PresetError(
                f"--preset {given.preset} describes a model from scratch, --from keeps its own: "
                "leave one of them out (--set align.lr=1e-4 changes a setting)"
            )
        reproduce.main(given, preset)

    return call(work, given)


PRESETS = ("best", "paper", "demo")


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = text_parser(DESCRIPTION, EPILOG, "specclip train")
    command.add_argument("dataset", metavar="DATASET", help="a dataset folder or Hub id")
    command.add_argument(
        "-o", "--output", required=True, metavar="RUN", help="folder of the run; created if absent"
    )
    command.add_argument(
        "--from",
        dest="start_from",
        metavar="MODEL",
        help="aligned model to fine-tune: a run, user/name, or default (the bundled model)",
    )
    command.add_argument(
        "--preset",
        metavar="NAME",
        help=f"{', '.join(PRESETS)}, or a YAML file (default: {SCRATCH}; {FINE_TUNE} with --from)",
    )
    command.add_argument(
        "--embedder",
        metavar="NAME",
        help="embedder of texts: offline, local:DIR or openai[:MODEL[@URL]]; with --from the "
        "model's own, where it is not found by its name (default: that, or the preset's)",
    )
    command.add_argument(
        "--freeze",
        action="store_true",
        help="freeze the spectral encoder; train its projection and the text side",
    )
    command.add_argument(
        "--studies",
        type=reproduce.parse_studies,
        default=("experts", "outliers", "zero_shot"),
        metavar="NAME,…",
        help="evaluations after retrieval: all, none, or some of "
        f"{', '.join(STUDIES)} (default: experts,outliers,zero_shot)",
    )
    add_run_options(command)
    return command


if __name__ == "__main__":
    sys.exit(main())
