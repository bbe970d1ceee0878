"""Shared part of the commands that study a finished run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

from hf_specclip.storage import write_json
from specclip_training.data.pairs import TrainingDataError, load_embedded_pairs
from specclip_training.engine.commands import finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Paragraph, Section, Study, write_report
from specclip_training.stages.alignment import MODEL
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.studies.representations import representations_of


def run_study(
    name: str,
    study: Callable[..., Study],
    arguments: argparse.Namespace,
    preset: Preset,
) -> None:
    """Study a finished run; write `metrics.json` and report to `OUTPUT/NAME`.

    Args:
        name: name of the study and of its folder.
        study: function of `(run, reps, split=, simulated=)`.
        arguments: arguments of the command, with `split`.
        preset: preset of the run.

    Raises:
        TrainingDataError: when the run is not finished, or the split has no rows.
    """
    run = start(arguments, preset, [name])
    for folder in (SPECTRUM, MODEL):
        if not (run.output / folder / "config.json").is_file():
            raise TrainingDataError(
                f"{run.output} has no {folder}/: a study needs a finished run, so run "
                "training/reproduce.py with the same --config, --dataset and --output first"
            )
    folder = run.output / name
    pairs = load_embedded_pairs(run)
    if not len(pairs.splits[arguments.split]):
        raise TrainingDataError(f"{pairs.name} has no rows in {arguments.split}")
    with run.stage("representations"):
        reps = representations_of(run, pairs)
    with run.stage(name) as summary:
        result = study(run, reps, split=arguments.split, simulated=pairs.info.simulated)
        if run.is_main:
            write_json(folder / "metrics.json", without_nan(result.metrics))
            title = f"{name.replace('_', ' ').capitalize()}, preset {preset.name}"
            title += f", {arguments.split}" + (" (simulated data)" if pairs.info.simulated else "")
            summary += [str(path) for path in write_report(folder, title, result.sections)]
    finish(run)


def study_parser(
    description: str, epilog: str, split_note: str = "choose by validation only"
) -> argparse.ArgumentParser:
    """Return the parser of a study's command.

    Args:
        description, epilog: see `parser`.
        split_note: reason to prefer one of the splits, for the help of `--split`.
    """
    command = parser(description, epilog)
    command.add_argument(
        "--split",
        default="test",
        choices=["validation", "test"],
        help=f"split measured on (default: %(default)s); {split_note}",
    )
    return command


def skipped_study(title: str, reason: str) -> Study:
    """Return the result of a study that could not be made, with the reason."""
    return Study({"skipped": reason}, [Section(title, [Paragraph(f"Not measured: {reason}.")])])


def without_nan(value: Any) -> Any:
    """Replace nan and infinities by None in a tree of values: JSON has neither."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


__all__ = ["run_study", "skipped_study", "study_parser", "without_nan"]
