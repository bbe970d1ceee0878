"""Figures of the gate of a mixture of experts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Classes with fewer rows are left out: their means say little.
FEWEST_OF_A_CLASS = 5


def plot_gate(
    weights: np.ndarray, variables: Sequence[str], experts: Sequence[str], path: Path
) -> Path:
    """Draw a heat map of mean gate weights.

    Args:
        weights: (variables, experts), each row summing to 1.
        variables, experts: their names.
        path: PNG to write.
    """
    return _heat_map(weights, variables, experts, path, "mean weight")


def plot_gate_by_class(
    weights: np.ndarray,
    classes: np.ndarray,
    variables: Sequence[str],
    experts: Sequence[str],
    path: Path,
) -> Path:
    """Draw a heat map of the weight of the experts that use the text, by variable and class.

    Args:
        weights: (rows, variables, experts).
        classes: (rows,) label or None.
        variables, experts: their names, by which experts that use no text are told.
        path: PNG to write.
    """
    alone = ("median", "knn_spectrum", "knn_shared_spectrum", "knn_features")
    with_text = [n not in alone and not n.endswith("_without_text") for n in experts]
    share = weights[:, :, with_text].sum(axis=2)
    labels, counts = np.unique([str(c) for c in classes if c is not None], return_counts=True)
    kept = [label for label, count in zip(labels, counts, strict=True) if count >=
            FEWEST_OF_A_CLASS] or list(labels)  # fmt: skip
    table = np.stack([share[classes == label].mean(axis=0) for label in kept], axis=1)
    return _heat_map(table, variables, kept, path, "weight of experts that use the text")


def _heat_map(
    table: np.ndarray, rows: Sequence[str], columns: Sequence[str], path: Path, label: str
) -> Path:
    from matplotlib.figure import Figure as Canvas

    size = (2.6 + 0.42 * len(columns), 1.8 + 0.27 * len(rows))
    canvas = Canvas(figsize=size, layout="constrained", dpi=110)
    panel: Any = canvas.subplots()
    image = panel.imshow(table, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    panel.set_xticks(range(len(columns)), list(columns), rotation=60, ha="right", fontsize=8)
    panel.set_yticks(range(len(rows)), list(rows), fontsize=8)
    for (row, column), value in np.ndenumerate(table):
        if value >= 0.1:
            colour = "black" if value > 0.6 else "white"
            panel.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6,
                       color=colour)  # fmt: skip
    canvas.colorbar(image, ax=panel, label=label, shrink=0.8)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path)
    return path


__all__ = ["plot_gate", "plot_gate_by_class"]
