"""Finished runs side by side: what one preset gains over another, and how surely.

python training/compare.py runs/paper runs/best --output runs/comparison
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from specclip_training.reports.blocks import Code, Section, Study, write_report
from specclip_training.reports.compare import comparison_sections, plot_curves
from specclip_training.reports.retrieval import IDEAL, TITLES
from specclip_training.studies.measure import ERRORS, EVALUATION, QUERIES, RANKS

from hf_specclip.errors import SpecCLIPError
from hf_specclip.evaluation import GroupBootstrap
from hf_specclip.evaluation.retrieval import MatchRanks
from hf_specclip.storage import write_json

METRICS, RESULTS = "metrics.json", "comparison.json"
SPLIT = "test"
DIRECTIONS = tuple(TITLES)
N_BOOTSTRAP = 1000


class ComparisonError(SpecCLIPError, ValueError):
    """Runs that cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class FinishedRun:
    """What a run left behind.

    Attributes:
        folder: its output folder.
        metrics: its `metrics.json`.
        ranks: by direction and part: `rank` (q,) from 1, `gallery` (1,), and where they were
            kept `greater`, `tied`, `tied_right`, `right` (q,) as in `MatchRanks`, and `ideal` (q,),
            the ideal observer's ranks.
        queries: by direction the `ids` and `groups` of the queries.
        errors: absolute errors (n,) by method and variable, nan where there is none.
    """

    folder: Path
    metrics: dict[str, Any]
    ranks: dict[str, dict[str, np.ndarray]]
    queries: dict[str, dict[str, list[str]]]
    errors: dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Arm:
    """The runs of one preset, one a seed."""

    label: str
    runs: list[FinishedRun]

    @property
    def seeds(self) -> list[int]:
        """Their seeds."""
        return [run.metrics["seed"] for run in self.runs]

    @cached_property
    def methods(self) -> list[str]:
        """Methods of regression that all runs have."""
        first, *others = self.runs
        return [name for name in first.errors if all(name in run.errors for run in others)]


def read_run(folder: str | Path) -> FinishedRun:
    """Read what `training/reproduce.py` left in an output folder.

    Raises:
        ComparisonError: when something is missing or cannot be read.
    """
    folder = Path(folder)
    evaluation = folder / EVALUATION
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        queries = json.loads((evaluation / QUERIES).read_text(encoding="utf-8"))[SPLIT]
        stored = load_file(evaluation / RANKS)
        errors = load_file(evaluation / ERRORS) if (evaluation / ERRORS).is_file() else {}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ComparisonError(
            f"{folder} holds no finished run that can be compared ({error}): run "
            "training/reproduce.py with this --output"
        ) from None
    ranks: dict[str, dict[str, np.ndarray]] = {}
    for name, values in stored.items():
        split, direction, part = name.split(".", 2)
        if split == SPLIT:
            ranks.setdefault(direction, {})[part] = values
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, values in errors.items():
        split, rest = name.split(".", 1)
        # A variable has no point in its name; a method may.
        method, _, variable = rest.rpartition(".")
        if split == SPLIT:
            found.setdefault(method, {})[variable] = values.astype(np.float64)
    for direction in DIRECTIONS:
        sizes = {len(queries[direction]["ids"]), len(queries[direction]["groups"])}
        sizes |= {len(values) for name, values in ranks[direction].items() if name != "gallery"}
        if len(sizes) > 1:
            raise ComparisonError(f"{evaluation}: ranks and queries do not belong together")
    return FinishedRun(folder, metrics, ranks, queries, found)


def arms_of(runs: Sequence[FinishedRun]) -> list[Arm]:
    """Runs by preset, in the order given; runs of one preset differ in their seed alone.

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
                f"{run.folder} and {first.folder} asked other queries: run reproduce.py again"
            )
    by_settings: dict[str, list[FinishedRun]] = {}
    for run in runs:
        key = json.dumps([run.metrics["preset"], run.metrics.get("settings")], sort_keys=True)
        same = by_settings.setdefault(key, [])
        if any(run.metrics["seed"] == other.metrics["seed"] for other in same):
            raise ComparisonError(
                f"{run.folder} is a second run of preset {run.metrics['preset']} with seed "
                f"{run.metrics['seed']}: give each seed once"
            )
        same.append(run)
    if len(by_settings) < 2:
        raise ComparisonError("all runs are of one preset: give runs of two or more")
    arms: list[Arm] = []
    for group in by_settings.values():
        name, taken = group[0].metrics["preset"], {arm.label for arm in arms}
        number = 2
        label = name
        while label in taken:
            label, number = f"{name} ({number})", number + 1
        arms.append(Arm(label, group))
    return arms


def comparison_study(run_folders: Sequence[Path], figures: Path) -> Study:
    """Compare finished runs; the preset of the first is what the others are measured against.

    Args:
        run_folders: output folders of `training/reproduce.py`; runs of one preset with several
            seeds count as one, by their median.
        figures: folder for the figures.

    Raises:
        ComparisonError: see `read_run` and `arms_of`.
    """
    arms = arms_of([read_run(folder) for folder in run_folders])
    first = arms[0].runs[0]
    metrics: dict[str, Any] = {
        "dataset": first.metrics["dataset"],
        "dataset_fingerprint": first.metrics["dataset_fingerprint"],
        "simulated": first.metrics["simulated"],
        "split": SPLIT,
        "splits": first.metrics["splits"],
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
    for direction in DIRECTIONS:
        found, curves = compare_retrieval(arms, direction)
        metrics["retrieval"][direction] = found
        if curves:
            paths[direction] = plot_curves(
                curves, figures / f"comparison_{direction}.png", simulated=metrics["simulated"]
            )
    metrics["regression"] = compare_regression(arms)
    return Study(metrics, comparison_sections(metrics, paths))


def compare_retrieval(
    arms: Sequence[Arm], direction: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Retrieval of each preset in one direction, and what each gains over the first.

    Every figure is the median over the seeds; its interval is that of the same median over draws
    of groups. The draws are the same for all presets, so a difference is taken query by query.

    Returns:
        The figures, and curves of Recall@k% by label; no curves where chance cannot be told.
    """
    first = arms[0].runs[0]
    groups = first.queries[direction]["groups"]
    bootstrap = GroupBootstrap(groups, N_BOOTSTRAP, seed=0)
    n = int(first.ranks[direction]["gallery"][0])
    ks = [float(k) for k in first.metrics["settings"]["evaluation"]["ks"]]
    parts = {arm.label: [_ranks(run, direction) for run in arm.runs] for arm in arms}
    drawn = {label: _drawn(ranks, ks, n, bootstrap) for label, ranks in parts.items()}
    result: dict[str, Any] = {"n_queries": len(groups), "n_gallery": n, "presets": {}}
    for label, (values, draws) in drawn.items():
        result["presets"][label] = {
            name: {
                **_figure(float(np.median(values[name])), bootstrap.interval(draws[name])),
                "seeds": [float(value) for value in values[name]],
                "chance": _chance(first, direction, name),
            }
            for name in values
        }
    ideal = _ideal(first, direction, ks, n, bootstrap)
    if ideal is not None:
        result["ideal"] = {
            name: _figure(value, bootstrap.interval(draws))
            for name, (value, draws) in ideal.items()
        }
    reference = drawn[arms[0].label]
    result["differences"] = {
        arm.label: _differences(reference, drawn[arm.label], ideal, bootstrap) for arm in arms[1:]
    }
    curves = {}
    chance = _chance_curve(first, direction, n)
    if chance is not None:
        for label, ranks in parts.items():
            curves[label] = _curve(ranks, direction, n, bootstrap, chance)
        if "ideal" in first.ranks[direction]:
            kept = _untied(first.ranks[direction]["ideal"], n)
            curves[IDEAL] = _curve([kept], direction, n, bootstrap, chance)
        elif _ceiling(first).get("curve", {}).get("direction") == direction:
            curves[IDEAL] = _ceiling(first)["curve"]
    return result, curves


def compare_regression(arms: Sequence[Arm]) -> dict[str, Any] | None:
    """Mean absolute errors of each preset's methods, and what each gains over the first's.

    A variable is judged on the rows for which every method of every run has an error.

    Returns:
        None where the runs kept no errors. Else `mae` by label, method and variable, and `gain` by
        label, method and method of the first preset: the mean over the variables of
        1 − MAE / MAE of the first, and the same for each variable.
    """
    first = arms[0].runs[0]
    if not all(run.errors for arm in arms for run in arm.runs):
        return None
    bootstrap = GroupBootstrap(first.queries[DIRECTIONS[0]]["groups"], N_BOOTSTRAP, seed=0)
    variables = [
        name
        for name in next(iter(first.errors.values()))
        if all(name in run.errors[m] for arm in arms for run in arm.runs for m in arm.methods)
    ]
    rows: dict[str, np.ndarray] = {}
    for name in variables:
        stacked = [run.errors[m][name] for arm in arms for run in arm.runs for m in arm.methods]
        if (
            len({len(values) for values in stacked} | {len(first.queries[DIRECTIONS[0]]["ids"])})
            > 1
        ):
            raise ComparisonError(f"the runs have errors of {name} for different numbers of rows")
        valid = np.asarray(np.isfinite(stacked).all(axis=0))
        if valid.any():
            rows[name] = valid
    usable = list(rows)
    # (seeds, draws, variables) for each method of each preset, the first draw being the data.
    errors = {
        (arm.label, method): np.stack(
            [_mean_errors(run.errors[method], rows, bootstrap) for run in arm.runs]
        )
        for arm in arms
        for method in arm.methods
    }
    mae = {key: np.median(values, axis=0) for key, values in errors.items()}
    result: dict[str, Any] = {
        "n_rows": {name: int(rows[name].sum()) for name in usable},
        "mae": {arm.label: {} for arm in arms},
        "gain": {arm.label: {} for arm in arms[1:]},
    }
    for (label, method), values in mae.items():
        result["mae"][label][method] = {
            name: {
                **_figure(float(values[0, i]), bootstrap.interval(values[1:, i])),
                "seeds": [float(value) for value in errors[label, method][:, 0, i]],
            }
            for i, name in enumerate(usable)
        }
    for arm in arms[1:]:
        for method in arm.methods:
            result["gain"][arm.label][method] = {
                other: _gain(mae[arm.label, method], mae[arms[0].label, other], usable, bootstrap)
                for other in arms[0].methods
            }
    return result


def _ranks(run: FinishedRun, direction: str) -> MatchRanks:
    kept = run.ranks[direction]
    n = int(kept["gallery"][0])
    if "tied" not in kept:
        return _untied(kept["rank"], n)
    parts = {part: kept[part] for part in ("greater", "tied", "tied_right", "right")}
    return MatchRanks(query=np.arange(len(kept["rank"])), **parts, n_gallery=n)


def _untied(rank: np.ndarray, n: int) -> MatchRanks:
    """Ranks from 1 as those of queries of which one answer is right, and ties with none."""
    one = np.ones(len(rank), dtype=np.int64)
    return MatchRanks(np.arange(len(rank)), rank.astype(np.float64) - 1, one, one, one, n)


def _drawn(
    ranks: Sequence[MatchRanks], ks: Sequence[float], n: int, bootstrap: GroupBootstrap
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Each figure for each seed (s,), and its median over the seeds in each draw (b,)."""
    values: dict[str, list[float]] = {}
    draws: dict[str, list[np.ndarray]] = {}
    for found in ranks:
        rank = found.expected
        columns = {f"recall@{k:g}%": found.hits(_top(k, n)) for k in ks}
        columns["mean_log_rank"] = np.log(rank)
        for name, column in columns.items():
            values.setdefault(name, []).append(float(column.mean()))
            draws.setdefault(name, []).append(bootstrap.means(column))
        for name, scale in (("median_rank", 1), ("median_rank_fraction", n)):
            values.setdefault(name, []).append(float(np.median(rank)) / scale)
        medians = bootstrap.medians(rank)
        draws.setdefault("median_rank", []).append(medians)
        draws.setdefault("median_rank_fraction", []).append(medians / n)
    return (
        {name: np.array(seeds) for name, seeds in values.items()},
        {name: np.median(seeds, axis=0) for name, seeds in draws.items()},
    )


def _differences(
    reference: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
    other: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
    ideal: dict[str, tuple[float, np.ndarray]] | None,
    bootstrap: GroupBootstrap,
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in reference[0]:
        before, after = (float(np.median(side[0][name])) for side in (reference, other))
        drawn = other[1][name] - reference[1][name]
        result[name] = _figure(after - before, bootstrap.interval(drawn))
    if ideal is None:
        return result
    result["gap_closed"], result["share_of_ideal"] = {}, {}
    scales: dict[str, Any] = {"recall@1%": np.asarray, "median_rank": np.log}
    for name, scale in scales.items():
        if name not in reference[0] or name not in ideal:
            continue
        before, after = (float(np.median(side[0][name])) for side in (reference, other))
        # The medians of the draws vary with the same groups as the ideal observer's.
        value = _closed(*(scale(np.array([x])) for x in (before, after, ideal[name][0])))[0]
        drawn = _closed(*(scale(x) for x in (reference[1][name], other[1][name], ideal[name][1])))
        known = np.isfinite(drawn)
        # Draws in which the reference reaches the ideal leave no gap to close.
        interval = bootstrap.interval(drawn[known]) if known.any() else (math.nan, math.nan)
        key = name if name != "median_rank" else "log_median_rank"
        result["gap_closed"][key] = _figure(float(value), interval)
        if name != "median_rank":
            share = other[1][name] / ideal[name][1]
            result["share_of_ideal"][name] = _figure(
                after / ideal[name][0], bootstrap.interval(share)
            )
    return result


def _closed(before: np.ndarray, after: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """1 − (ideal − after) / (ideal − before); nan where there is no gap."""
    gap = ideal - before
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, np.nan, 1 - (ideal - after) / gap)


def _ideal(
    run: FinishedRun, direction: str, ks: Sequence[float], n: int, bootstrap: GroupBootstrap
) -> dict[str, tuple[float, np.ndarray]] | None:
    """Figures of the ideal observer and their draws; a figure known alone is taken as certain."""
    if "ideal" in run.ranks[direction]:
        values, draws = _drawn([_untied(run.ranks[direction]["ideal"], n)], ks, n, bootstrap)
        return {name: (float(values[name][0]), draws[name]) for name in values}
    found = _ceiling(run).get("retrieval", {}).get(direction)
    if not found:
        return None
    return {
        name: (float(figure["value"]), np.full(bootstrap.n_bootstrap, float(figure["value"])))
        for name, figure in found.items()
        if isinstance(figure, Mapping) and figure.get("value") is not None
    }


def _ceiling(run: FinishedRun) -> dict[str, Any]:
    return run.metrics.get("ceiling") or {}


def _chance(run: FinishedRun, direction: str, name: str) -> float | None:
    figure = run.metrics["retrieval"][direction].get(name)
    return figure["chance"] if figure else None


def _chance_curve(run: FinishedRun, direction: str, n: int) -> np.ndarray | None:
    """Recall of a gallery in random order at each of `_tops`, None where it cannot be told."""
    right = run.ranks[direction].get("right")
    if right is None and direction != "spectrum_to_text":
        return None
    number, counts = np.unique(np.ones(1) if right is None else right, return_counts=True)
    tops = _tops(n)
    missed = np.ones((len(number), len(tops)))
    for row, answers in enumerate(number.astype(int)):
        for step in range(answers):  # none of the answers within the first `top`
            missed[row] *= np.maximum(n - tops - step, 0) / (n - step)
    return 1 - counts @ missed / counts.sum()


def _curve(
    ranks: Sequence[MatchRanks],
    direction: str,
    n: int,
    bootstrap: GroupBootstrap,
    chance: np.ndarray,
) -> dict[str, Any]:
    tops = _tops(n)
    hits = [np.stack([found.hits(int(top)) for top in tops], axis=1) for found in ranks]
    low, high = bootstrap.interval(np.median([bootstrap.means(h) for h in hits], axis=0))
    return {
        "direction": direction,
        "n_queries": len(ranks[0]),
        "n_gallery": n,
        "k": (100 * tops / n).tolist(),
        "recall": np.median([h.mean(axis=0) for h in hits], axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "chance": chance.tolist(),
    }


def _tops(n: int) -> np.ndarray:
    return np.unique(np.rint(np.geomspace(1, n, 60)).astype(int))


def _top(k: float, n: int) -> int:
    # As a decimal: 1.1 % of 1000 is 11, which binary floats make 12.
    return math.ceil(Fraction(str(k)) * n / 100)


def _mean_errors(
    errors: Mapping[str, np.ndarray], rows: Mapping[str, np.ndarray], bootstrap: GroupBootstrap
) -> np.ndarray:
    """(1 + draws, variables): mean absolute errors over `rows`, of the data and of each draw."""
    values = np.stack([np.where(rows[name], errors[name], 0.0) for name in rows], axis=1)
    valid = np.stack(list(rows.values()), axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a draw without a row of a variable: nan
        drawn = bootstrap.means(values) / bootstrap.means(valid)
    return np.concatenate([[values.mean(axis=0) / valid.mean(axis=0)], drawn])


def _gain(
    after: np.ndarray, before: np.ndarray, variables: Sequence[str], bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """1 − after / before, of each variable and as the mean over them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(before > 0, 1 - after / before, np.nan)
    mean = np.nanmean(gain, axis=1)
    result: dict[str, Any] = {"mean": _figure(float(mean[0]), bootstrap.interval(mean[1:]))}
    for place, name in enumerate(variables):
        drawn = gain[1:, place]
        drawn = drawn[np.isfinite(drawn)]
        interval = bootstrap.interval(drawn) if len(drawn) else (math.nan, math.nan)
        result[name] = _figure(float(gain[0, place]), interval)
    return result


def _figure(value: float, interval: tuple[Any, Any]) -> dict[str, float | None]:
    numbers = {"value": value, "low": float(interval[0]), "high": float(interval[1])}
    return {name: x if math.isfinite(x) else None for name, x in numbers.items()}


def main(arguments: argparse.Namespace) -> None:
    """Run the command."""
    output = Path(arguments.output)
    study = comparison_study([Path(run) for run in arguments.runs], output / "figures")
    command = shlex.join(["python", *sys.argv])
    write_json(output / RESULTS, {**study.metrics, "command": command})
    labels = " and ".join(study.metrics["presets"])
    title = f"Comparison of {labels}" + (" (simulated data)" if study.metrics["simulated"] else "")
    sections = [*study.sections, Section("How it was made", [Code(command)])]
    for path in (output / RESULTS, *write_report(output, title, sections)):
        print(path)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = argparse.ArgumentParser(
        description="Put finished runs side by side, with paired intervals of the differences.",
        epilog="""\
Runs of one preset with several seeds count as one, by their median. The preset of the first run is
what the others are measured against. Leaves DIR/comparison.json, report.md, report.html, figures/.

  python training/compare.py runs/paper runs/best --output runs/comparison
  python training/compare.py runs/paper-* runs/best-* --output runs/comparison""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "runs", nargs="+", metavar="RUN", help="output folders of training/reproduce.py"
    )
    command.add_argument("--output", required=True, metavar="DIR", help="made where absent")
    return command


if __name__ == "__main__":
    try:
        main(options().parse_args())
    except ComparisonError as problem:
        sys.exit(f"error: {problem}")
