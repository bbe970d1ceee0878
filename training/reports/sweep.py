"""Tables of a hyperparameter search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_specclip.formatting import format_metric, format_with_interval
from specclip_training.engine.loop import is_better
from specclip_training.reports.blocks import Table, metric_title

_SHOWN = ("recall@1%", "recall@5%", "median_rank_fraction")


def trials_table(metrics: Mapping[str, Any]) -> Table:
    """Tabulate the points, best first: settings, criterion, retrieval on `validation`, seconds."""
    keys, criterion = list(metrics["grid"]), metrics["criterion"]
    names = [criterion, *(name for name in _SHOWN if name != criterion)]
    rows = []
    for place, point in enumerate(metrics["points"], start=1):
        best, *others = (_cell(point, name) for name in names)
        settings = [_setting(point["settings"][key]) for key in keys]
        seconds = f"{point['median']['seconds']:.0f}"
        rows.append([str(place), *settings, f"**{best}**", *others, seconds])
    first = metrics["points"][0]["trials"][0]["validation"]["retrieval"]["spectrum_to_text"]
    chance = [f"{first[name]['chance']:.1%}" if name in first else "" for name in names]
    rows.append(["chance", *[""] * len(keys), *chance, ""])
    titles = [key.rpartition(".")[2] for key in keys] + [criterion, *map(metric_title, names[1:])]
    return Table(["", *titles, "seconds"], rows)


def effects_table(metrics: Mapping[str, Any]) -> Table:
    """Tabulate the best and the median criterion at each value of each setting."""
    criterion = metrics["criterion"]
    best_of = max if is_better(1, 0, criterion) else min
    rows = []
    for key, values in metrics["grid"].items():
        for value in values:
            results = [
                point["median"][criterion]
                for point in metrics["points"]
                if point["settings"][key] == value
            ]
            if results:
                figures = (best_of(results), float(np.median(results)))
                cells = (format_metric(figure, criterion) for figure in figures)
                rows.append([f"{key} = {value}", str(len(results)), *cells])
    return Table(["setting", "points", f"best {criterion}", f"median {criterion}"], rows)


def _cell(point: Mapping[str, Any], name: str) -> str:
    """Format the median with the range over seeds; with one seed, its 95 % interval."""
    figure = {"value": point["median"][name]}
    results = [trial["validation"] for trial in point["trials"]]
    retrieval = results[0]["retrieval"]["spectrum_to_text"]
    if len(results) > 1:
        figure["low"] = min(result[name] for result in results)
        figure["high"] = max(result[name] for result in results)
    elif name == "mean_log_rank":
        figure["low"], figure["high"] = results[0]["mean_log_rank_interval"]
    elif name in retrieval:
        figure |= {end: retrieval[name][end] for end in ("low", "high")}
    return format_with_interval(figure, name)


def _setting(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else str(value)
