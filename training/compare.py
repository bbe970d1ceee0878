"""Paired comparison of finished runs: gains of one preset over another, with their intervals.

python training/compare.py runs/paper runs/best --output runs/comparison
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hf_specclip.cli.run_command import run_command
from hf_specclip.errors import SpecCLIPError
from hf_specclip.evaluation import GroupBootstrap
from hf_specclip.evaluation.ranks import MatchRanks
from hf_specclip.evaluation.retrieval import DIRECTIONS
from hf_specclip.storage import write_json
from specclip_training.engine.commands import text_parser
from specclip_training.reports.blocks import Code, Section, Study, write_report
from specclip_training.reports.compare import comparison_sections
from specclip_training.reports.retrieval import IDEAL, TITLES, plot_curves
from specclip_training.studies.measure import ERRORS, EVALUATION, QUERIES, RANKS, sample_ranks

METRICS, RESULTS = "metrics.json", "comparison.json"
SPLIT = "test"
N_BOOTSTRAP = 1000


class ComparisonError(SpecCLIPError, ValueError):
    """Runs that cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class FinishedRun:
    """Artifacts of a finished run.

    Attributes:
        folder: its output folder.
        metrics: its `metrics.json`.
        ranks: by direction and part: `greater`, `tied`, `tied_right`, `right` (q,) and `gallery`
            (1,) as in `MatchRanks`, and on simulated data `ideal` (q,), the ideal observer's ranks
            from 1.
        queries: by direction the `ids` and `groups` of the queries.
        errors: absolute errors (n,) by method and variable, nan where there is none.
    """

    folder: Path
    metrics: dict[str, Any]
    ranks: dict[str, dict[str, np.ndarray]]
    queries: dict[str, dict[str, list[str]]]
    errors: dict[str, dict[str, np.ndarray]]

    def match_ranks(self, direction: str) -> MatchRanks:
        """Return the ranks of one direction, ties included."""
        stored = self.ranks[direction]
        parts = {part: stored[part] for part in ("greater", "tied", "tied_right", "right")}
        query = np.arange(len(stored["greater"]))
        return MatchRanks(query=query, **parts, n_gallery=int(stored["gallery"][0]))


@dataclass(frozen=True)
class Arm:
    """Runs of one preset, one for each seed."""

    label: str
    runs: list[FinishedRun]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return [run.metrics["seed"] for run in self.runs]

    @cached_property
    def methods(self) -> list[str]:
        """Regression methods common to all runs."""
        first, *others = self.runs
        return [name for name in first.errors if all(name in run.errors for run in others)]


def read_run(folder: str | Path) -> FinishedRun:
    """Read the output folder of `training/reproduce.py`.

    Raises:
        ComparisonError: when something is missing or cannot be read.
    """
    folder = Path(folder)
    evaluation = folder / EVALUATION
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        queries = json.loads((evaluation / QUERIES).read_text(encoding="utf-8"))[SPLIT]
        stored_ranks = load_file(evaluation / RANKS)
        stored_errors = load_file(evaluation / ERRORS) if (evaluation / ERRORS).is_file() else {}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ComparisonError(
            f"{folder} holds no finished run that can be compared ({error}): run "
            "training/reproduce.py with this --output"
        ) from None
    # A direction, a part and a variable have no point in their names; a method may.
    ranks, errors = _nest(stored_ranks), _nest(stored_errors)
    for direction in DIRECTIONS:
        sizes = {len(queries[direction]["ids"]), len(queries[direction]["groups"])}
        sizes |= {len(values) for part, values in ranks[direction].items() if part != "gallery"}
        if len(sizes) > 1:
            raise ComparisonError(f"{evaluation}: ranks and queries do not match")
    return FinishedRun(folder, metrics, ranks, queries, errors)


def _nest(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return tensors `SPLIT.FIRST.LAST` of the split as first -> last -> values."""
    nested: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for name, values in tensors.items():
        split, _, rest = name.partition(".")
        if split == SPLIT:
            first, _, last = rest.rpartition(".")
            nested[first][last] = values.astype(np.float64)
    return dict(nested)


def arms_of(runs: Sequence[FinishedRun]) -> list[Arm]:
    """Group runs by preset, in the order given; runs of one preset differ in their seed alone.

    Raises:
        ComparisonError: for fewer than two presets, two runs of one preset and seed, or runs on
            other data, splits or queries than the first.
    """
    first = runs[0]
    for run in runs[1:]:
        for key, what in (("dataset_fingerprint", "data or splits"), ("max_steps", "--max-steps")):
            if run.metrics.get(key) != first.metrics.get(key):
                raise ComparisonError(
                    f"{run.folder} and {first.folder} are runs on other {what} "
                    f"({run.metrics.get(key)}, {first.metrics.get(key)}): a difference between "
                    "them says nothing about the presets"
                )
        if run.queries != first.queries:
            raise ComparisonError(
                f"{run.folder} and {first.folder} used different queries: run reproduce.py again"
            )
    by_settings: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in runs:
        key = json.dumps([run.metrics["preset"], run.metrics.get("settings")], sort_keys=True)
        same = by_settings[key]
        if any(run.metrics["seed"] == other.metrics["seed"] for other in same):
            raise ComparisonError(
                f"{run.folder} is a second run of preset {run.metrics['preset']} with seed "
                f"{run.metrics['seed']}: give each seed once"
            )
        same.append(run)
    if len(by_settings) < 2:
        raise ComparisonError("all runs are of one preset: give runs of two or more")
    arms: dict[str, Arm] = {}
    for group in by_settings.values():
        name = group[0].metrics["preset"]
        labels = chain([name], (f"{name} ({number})" for number in count(2)))
        label = next(label for label in labels if label not in arms)
        arms[label] = Arm(label, group)
    return list(arms.values())


def comparison_study(run_folders: Sequence[Path], figures: Path) -> Study:
    """Compare finished runs with the preset of the first.

    Args:
        run_folders: output folders of `training/reproduce.py`; runs of one preset with several
            seeds count as one, by their median.
        figures: folder for the figures.

    Raises:
        ComparisonError: see `read_run` and `arms_of`.
    """
    arms = arms_of([read_run(folder) for folder in run_folders])
    first = arms[0].runs[0].metrics
    metrics: dict[str, Any] = {
        **{key: first[key] for key in ("dataset", "dataset_fingerprint", "simulated", "splits")},
        "split": SPLIT,
        "reference": arms[0].label,
        "presets": {
            arm.label: {
                "seeds": arm.seeds,
                "runs": [run.folder.name for run in arm.runs],
                "text_model": sorted({str(run.metrics.get("text_model")) for run in arm.runs}),
            }
            for arm in arms
        },
        "n_bootstrap": N_BOOTSTRAP,
        "retrieval": {},
    }
    paths = {}
    word = "simulated " if metrics["simulated"] else ""
    for direction in DIRECTIONS:
        metrics["retrieval"][direction], curves = compare_retrieval(arms, direction)
        paths[direction] = figures / f"comparison_{direction}.png"
        plot_curves(curves, paths[direction], f"{word}{TITLES[direction]}")
    metrics["regression"] = compare_regression(arms)
    return Study(metrics, comparison_sections(metrics, paths))


def compare_retrieval(
    arms: Sequence[Arm], direction: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Measure retrieval of each preset in one direction, and its gain over the first.

    Every figure is the median over the seeds; its interval is that of the same median over draws
    of groups. The draws are the same for all presets, so a difference is taken query by query.

    Returns:
        The figures, and curves of Recall@k% by label.
    """
    first = arms[0].runs[0]
    bootstrap = GroupBootstrap(first.queries[direction]["groups"], N_BOOTSTRAP, seed=0)
    ks = [float(k) for k in first.metrics["settings"]["evaluation"]["ks"]]
    ranks = {arm.label: [run.match_ranks(direction) for run in arm.runs] for arm in arms}
    reference = ranks[arms[0].label][0]
    samples = {label: sample_ranks(seeds, ks, bootstrap) for label, seeds in ranks.items()}
    before = samples[arms[0].label]
    chance = first.metrics["retrieval"][direction]
    result: dict[str, Any] = {
        "n_queries": len(reference),
        "n_gallery": reference.n_gallery,
        "presets": {
            label: {
                name: {
                    **bootstrap.figure(sample.value, sample.draws),
                    "seeds": sample.seeds.tolist(),
                    "chance": chance.get(name, {}).get("chance"),
                }
                for name, sample in by_metric.items()
            }
            for label, by_metric in samples.items()
        },
    }
    if "ideal" in first.ranks[direction]:
        # Ranks from 1 of queries with one right answer and no ties.
        rank, ones = first.ranks[direction]["ideal"], np.ones(len(reference), np.int64)
        above = (reference.query, rank - 1.0)
        ranks[IDEAL] = [MatchRanks(*above, ones, ones, ones, reference.n_gallery)]
        ideal = sample_ranks(ranks[IDEAL], ks, bootstrap)
        result["ideal"] = {n: bootstrap.figure(each.value, each.draws) for n, each in ideal.items()}
    result["differences"] = {
        arm.label: {
            name: bootstrap.figure(after.value - one.value, after.draws - one.draws)
            for name, one in before.items()
            for after in [samples[arm.label][name]]
        }
        for arm in arms[1:]
    }
    tops = np.unique(np.rint(np.geomspace(1, reference.n_gallery, 60)).astype(int))
    random = [float(reference.chance_hits(int(top)).mean()) for top in tops]
    curves = {
        label: {"direction": direction, "chance": random, **_curve(seeds, tops, bootstrap)}
        for label, seeds in ranks.items()
    }
    return result, curves


def compare_regression(arms: Sequence[Arm]) -> dict[str, Any] | None:
    """Compare the mean absolute errors of each preset's methods with those of the first preset.

    A variable is compared on the rows for which every method of every run has an error.

    Returns:
        None where the runs kept no errors. Else `n_rows` by variable, `mae` by label, method and
        variable, and `gain` by label, method and method of the first preset: the mean over the
        variables of 1 − MAE / MAE of the first, and the same for each variable.
    """
    if not all(run.errors for arm in arms for run in arm.runs):
        return None
    queries = arms[0].runs[0].queries[DIRECTIONS[0]]
    bootstrap = GroupBootstrap(queries["groups"], N_BOOTSTRAP, seed=0)
    rows = _common_rows(arms, len(queries["ids"]))
    # (seeds, 1 + draws, variables) for each method of each preset; the data come first.
    errors = {
        (arm.label, method): np.stack(
            [_mean_errors(run.errors[method], rows, bootstrap) for run in arm.runs]
        )
        for arm in arms
        for method in arm.methods
    }
    medians = {key: np.median(values, axis=0) for key, values in errors.items()}
    mae: dict[str, dict[str, Any]] = {arm.label: {} for arm in arms}
    for (label, method), values in medians.items():
        mae[label][method] = {
            name: {
                **bootstrap.figure(values[0, i], values[1:, i]),
                "seeds": errors[label, method][:, 0, i].tolist(),
            }
            for i, name in enumerate(rows)
        }
    reference = arms[0]
    gain = {
        arm.label: {
            method: {
                other: _gain(
                    medians[arm.label, method], medians[reference.label, other], rows, bootstrap
                )
                for other in reference.methods
            }
            for method in arm.methods
        }
        for arm in arms[1:]
    }
    n_rows = {name: int(valid.sum()) for name, valid in rows.items()}
    return {"n_rows": n_rows, "mae": mae, "gain": gain}


def _curve(
    seeds: Sequence[MatchRanks], tops: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """Recall within each of `tops` (t,) as `recall_curve` gives it, median over the seeds."""
    hits = [np.stack([ranks.hits(int(top)) for top in tops], axis=1) for ranks in seeds]
    low, high = bootstrap.interval(np.median([bootstrap.means(h) for h in hits], axis=0))
    return {
        "n_queries": len(seeds[0]),
        "n_gallery": seeds[0].n_gallery,
        "k": (100 * tops / seeds[0].n_gallery).tolist(),
        "recall": np.median([h.mean(axis=0) for h in hits], axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def _common_rows(arms: Sequence[Arm], n_rows: int) -> dict[str, np.ndarray]:
    """Return rows (n,) bool by variable for which every method of every run has an error."""
    methods = [run.errors[name] for arm in arms for run in arm.runs for name in arm.methods]
    rows = {}
    for name in methods[0]:
        if not all(name in errors for errors in methods):
            continue
        columns = [errors[name] for errors in methods]
        if any(len(column) != n_rows for column in columns):
            raise ComparisonError(f"the runs have errors of {name} for different numbers of rows")
        valid = np.isfinite(columns).all(axis=0)
        if valid.any():
            rows[name] = valid
    return rows


def _mean_errors(
    errors: Mapping[str, np.ndarray], rows: Mapping[str, np.ndarray], bootstrap: GroupBootstrap
) -> np.ndarray:
    """Return mean absolute errors over `rows` (1 + draws, variables): of the data, and by draw."""
    values = [np.where(valid, errors[name], 0.0) for name, valid in rows.items()]
    valid = np.stack(list(rows.values()), axis=1)
    return np.vstack(bootstrap.ratios(np.stack(values, axis=1), valid))


def _gain(
    after: np.ndarray, before: np.ndarray, variables: Mapping[str, Any], bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """1 − after / before (1 + draws, variables), of each variable and as the mean over them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(before > 0, 1 - after / before, np.nan)
    columns = {"mean": np.nanmean(gain, axis=1), **dict(zip(variables, gain.T, strict=True))}
    return {name: bootstrap.figure(column[0], column[1:]) for name, column in columns.items()}


def main(arguments: argparse.Namespace) -> None:
    """Run the command."""
    output = Path(arguments.output)
    study = comparison_study([Path(run) for run in arguments.runs], output / "figures")
    command = shlex.join(["python", *sys.argv])
    write_json(output / RESULTS, {**study.metrics, "command": command})
    labels = " and ".join(study.metrics["presets"])
    title = f"Comparison of {labels}" + (" (simulated data)" if study.metrics["simulated"] else "")
    sections = [*study.sections, Section("Command", [Code(command)])]
    for path in (output / RESULTS, *write_report(output, title, sections)):
        print(path)


def options() -> argparse.ArgumentParser:
    """Build the command line."""
    command = text_parser(
        "Compare finished runs, with paired intervals of the differences.",
        """\
Runs of one preset with several seeds are combined by their median. Presets are compared with that
of the first run. Writes comparison.json, report.md, report.html and figures/ to DIR.

  python training/compare.py runs/paper runs/best --output runs/comparison
  python training/compare.py runs/paper-* runs/best-* --output runs/comparison""",
    )
    command.add_argument(
        "runs", nargs="+", metavar="RUN", help="output folders of training/reproduce.py"
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder to write; created if absent"
    )
    return command


if __name__ == "__main__":
    sys.exit(run_command("error", lambda: main(options().parse_args())))
