"""A study of a finished run as a command of its own: what is common to all of them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

from specclip_training.data.pairs import TrainingDataError, embed_texts, load_pairs, require_texts
from specclip_training.engine.commands import finish, start
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Study, write_report
from specclip_training.stages.alignment import MODEL
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.studies.representations import representations_of

from hf_specclip.storage import write_json


def run_study(
    name: str,
    study: Callable[..., Study],
    arguments: argparse.Namespace,
    preset: Preset,
) -> None:
    """Study a finished run, into `OUTPUT/NAME`: its figures, `metrics.json` and report.

    Args:
        name: of the study and its folder.
        study: takes `(run, reps, split=, simulated=, figures=)`.
        arguments: of the command, with `split`.
        preset: of the run.

    Raises:
        TrainingDataError: when the run is not finished, or the split has no rows.
    """
    run = start(arguments, preset, [name])
    for folder in (SPECTRUM, MODEL):
        if not (run.output / folder / "config.json").is_file():
            raise TrainingDataError(
                f"{run.output} has no {folder}/: a study looks at a finished run, so run "
                "training/reproduce.py with the same --config, --dataset and --output first"
            )
    folder = run.output / name
    with run.stage("data") as made:
        with run.accelerator.main_process_first():
            pairs = load_pairs(run.dataset, run.cache_dir)
            require_texts(pairs)
            embed_texts(
                pairs, run.preset.text.embedder, cache_dir=run.cache_dir, progress=run.is_main
            )
        if not len(pairs.splits[arguments.split]):
            raise TrainingDataError(f"{pairs.name} has no rows in {arguments.split}")
        reps = representations_of(run, pairs)
        made.append(f"{len(pairs.splits[arguments.split]):,} rows of {arguments.split}")
    with run.stage(name) as made:
        found = study(
            run,
            reps,
            split=arguments.split,
            simulated=pairs.info.simulated,
            figures=folder / "figures",
        )
        if run.is_main:
            write_json(folder / "metrics.json", without_nan(found.metrics))
            title = f"{name.replace('_', ' ').capitalize()}, preset {preset.name}"
            title += f", {arguments.split}" + (" (simulated data)" if pairs.info.simulated else "")
            made += [str(path) for path in write_report(folder, title, found.sections)]
    finish(run)


def add_split(command: argparse.ArgumentParser, why: str = "choose by validation only") -> None:
    """Let a study's command say which split it measures on.

    Args:
        command: the command.
        why: what speaks for either.
    """
    command.add_argument(
        "--split",
        default="test",
        choices=["validation", "test"],
        help=f"measured on (default: %(default)s); {why}",
    )


def without_nan(value: Any) -> Any:
    """A tree of values with None in place of each figure that there is none of: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


__all__ = ["add_split", "run_study", "without_nan"]
