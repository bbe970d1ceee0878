"""The tables of a search of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from specclip_training.engine.loop import better
from specclip_training.reports.blocks import Table

_SHOWN = ("recall@1%", "recall@5%", "median_rank_fraction")


def trials_table(metrics: Mapping[str, Any]) -> Table:
    """Every point, best first: settings, criterion, retrieval on `validation`, seconds."""
    keys, criterion = list(metrics["grid"]), metrics["criterion"]
    shown = [name for name in _SHOWN if name != criterion]
    head = ["", *(key.rpartition(".")[2] for key in keys), criterion]
    head += [name.replace("recall", "Recall").replace("_", " ") for name in shown]
    rows = [
        [
            str(place),
            *(f"{point['settings'][key]:g}" if _is_number(point["settings"][key])
              else str(point["settings"][key]) for key in keys),
            f"**{_figure(point, criterion)}**",
            *(_figure(point, name) for name in shown),
            f"{point['median']['seconds']:.0f}",
        ]
        for place, point in enumerate(metrics["points"], start=1)
    ]  # fmt: skip
    chance = metrics["points"][0]["trials"][0]["validation"]["retrieval"]["spectrum_to_text"]
    levels = [f"{chance[name]['chance']:.1%}" if name in chance else "" for name in shown]
    first = f"{chance[criterion]['chance']:.1%}" if criterion in chance else ""
    rows.append(["chance", *[""] * len(keys), first, *levels, ""])
    return Table([*head, "seconds"], rows)


def effects_table(metrics: Mapping[str, Any]) -> Table:
    """For each value of each setting the best and the median criterion of its points."""
    criterion = metrics["criterion"]
    rows = []
    for key, values in metrics["grid"].items():
        for value in values:
            found = [
                point["median"][criterion]
                for point in metrics["points"]
                if point["settings"][key] == value
            ]
            if found:
                best = max(found) if better(1, 0, criterion) else min(found)
                rows.append(
                    [f"{key} = {value}", str(len(found)), _plain(best, criterion),
                     _plain(float(np.median(found)), criterion)]
                )  # fmt: skip
    return Table(["setting", "points", f"best {criterion}", f"median {criterion}"], rows)


def _figure(point: Mapping[str, Any], name: str) -> str:
    """The median with the range over the seeds, or for one seed with its 95 % interval."""
    text = _plain(point["median"][name], name)
    found = [trial["validation"] for trial in point["trials"]]
    retrieval = found[0]["retrieval"]["spectrum_to_text"]
    if len(found) > 1:
        low, high = min(f[name] for f in found), max(f[name] for f in found)
    elif name == "mean_log_rank":
        low, high = found[0]["mean_log_rank_interval"]
    elif name in retrieval:
        low, high = retrieval[name]["low"], retrieval[name]["high"]
    else:
        return text
    return f"{text} ({_plain(low, name)} to {_plain(high, name)})"


def _plain(value: float, name: str) -> str:
    if name in ("mean_log_rank", "loss"):
        return f"{value:.3f}"
    return f"{value:.1%}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


__all__ = ["effects_table", "trials_table"]
