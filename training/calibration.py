"""Calibration of the simulated universe: the paper's preset against the paper's table 1.

accelerate launch training/calibration.py --output runs/calibration

Makes the `paper` configuration where it is absent, trains the `paper` preset on it (what is
finished is kept), and prints Recall@1%, Recall@5% and the median rank on `validation` beside the
paper's, the band that the simulation is to meet, the ideal observer and chance. `test` is not read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specclip_training.data.pairs import load_embedded_pairs
from specclip_training.engine.commands import CHECKPOINTS, LOGS, call, finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.stages.alignment import MODEL, align
from specclip_training.stages.alignment import STAGE as ALIGN
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import describe, pretrain
from specclip_training.studies.ceiling import ceiling_of, headline
from specclip_training.studies.measure import measure

from hf_specclip.storage import write_json

CALIBRATION = "calibration.json"
DATASET = "dataset"
SPLIT = "validation"


@dataclass(frozen=True)
class Target:
    """Row of the table: a figure, the paper's value and the accepted band.

    Attributes:
        name: name of the figure in `evaluate_retrieval`.
        title: its name for readers.
        paper: the paper's value (arXiv 2603.04516, table 1, over 1,719 test pairs).
        low, high: accepted band, ends included.
    """

    name: str
    title: str
    paper: float
    low: float
    high: float


TARGETS = (
    Target("recall@1%", "Recall@1%", 0.20, 0.17, 0.23),
    Target("recall@5%", "Recall@5%", 0.50, 0.45, 0.55),
    Target("median_rank_fraction", "median rank / gallery", 84 / 1719, 0.04, 0.06),
)


def judge(model: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the titles of the figures outside their bands.

    Args:
        model: figures by name, each with `value`.
    """
    return [
        target.title
        for target in TARGETS
        if not target.low <= model[target.name]["value"] <= target.high
    ]


def table(
    model: Mapping[str, Mapping[str, float]], ideal: Mapping[str, Mapping[str, float]]
) -> str:
    """Write the figures beside the paper's, the bands, the ideal observer's and chance.

    Args:
        model, ideal: figures by name, each with `value`, `low`, `high`, `chance`.
    """
    head = ["figure", "this model", "95 % interval", "paper", "band", "ideal observer", "chance"]
    rows = []
    for target in TARGETS:
        found, best = model[target.name], ideal[target.name]
        inside = target.low <= found["value"] <= target.high
        rows.append(
            [
                target.title,
                f"{found['value']:.1%}",
                f"{found['low']:.1%} to {found['high']:.1%}",
                f"{target.paper:.1%}",
                f"{target.low:.0%} to {target.high:.0%}" + ("" if inside else ": OUTSIDE"),
                f"{best['value']:.1%}",
                f"{found['chance']:.1%}",
            ]
        )
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    )


def calibrate(arguments: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """Train, measure on `validation` and compare.

    Returns:
        The content of `calibration.json`: `model` and `ideal` figures, and the titles `outside`.
    """
    run = start(arguments, preset, [SPECTRUM, MODEL, CHECKPOINTS, LOGS, CALIBRATION])
    pairs = load_embedded_pairs(run)
    with run.stage("pretraining") as summary:
        summary.append(f"{run.output / SPECTRUM}: {describe(pretrain(run, pairs))}")
    with run.stage(ALIGN) as summary:
        summary.append(f"{run.output / MODEL}: {describe(align(run, pairs))}")
    with run.stage("measurement") as summary:
        figures, _ = measure(run, pairs, SPLIT)
        model = headline(figures)
        observer = ceiling_of(run, pairs, SPLIT, variables=False)
        if observer is None:
            raise ValueError(f"{pairs.info.name} is not simulated: there is nothing to calibrate")
        ideal = headline(observer.metrics["retrieval"])
        found = {
            "dataset": pairs.info.name,
            "dataset_fingerprint": pairs.fingerprint,
            "split": SPLIT,
            "seed": run.seed,
            "command": run.command,
            "model": model,
            "ideal": ideal,
            "outside": judge(model),
        }
        if run.is_main:
            write_json(run.output / CALIBRATION, found)
        summary.append(str(run.output / CALIBRATION))
    run.say(f"\nSimulated {pairs.info.name}, {SPLIT} split (test is not read):\n")
    run.say(table(model, ideal))
    finish(run)
    return found


def make_dataset(folder: Path) -> None:
    """Simulate the `paper` configuration with its default knobs, where it is absent."""
    from specclip_datasets.folder import is_dataset_folder
    from specclip_datasets.simulation.builder import CONFIGS, simulate

    if not is_dataset_folder(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        simulate(folder, CONFIGS["paper"], config_name="paper", progress=True)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Train the paper's preset on the simulated `paper` configuration, and compare its "
        "retrieval on validation with the paper's table 1.",
        "Ends with 1 when a figure is outside its band. Leaves DIR/model, DIR/spectrum and "
        "DIR/calibration.json.",
        dataset_help="a simulated dataset (default: OUTPUT/dataset, made where absent)",
    )
    for action in command._actions:
        if action.dest in ("config", "dataset"):
            action.required = False
    command.set_defaults(config="paper")
    return command


def main() -> int:
    """Run the command line.

    Returns:
        0; 1 when a figure is outside its band; 2 for an error that the user can mend.
    """
    arguments = options().parse_args()
    if arguments.dataset is None:
        folder = Path(arguments.output) / DATASET
        make_dataset(folder)
        arguments.dataset = str(folder)
    results: list[dict[str, Any]] = []
    code = call(lambda given, preset: results.append(calibrate(given, preset)), arguments)
    if code:
        return code
    outside = results[0]["outside"]
    if outside:
        print(f"outside the bands: {', '.join(outside)}", file=sys.stderr)
    return 1 if outside else 0


__all__ = ["TARGETS", "Target", "calibrate", "judge", "table"]

if __name__ == "__main__":
    sys.exit(main())
