"""What is odd about a source: its neighbours, and where it departs from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..models.variables_specclip import BANDS

if TYPE_CHECKING:
    from .detector import OutlierRows, OutlierScores, SpecCLIPOutlierDetector

_TOLD = 5


@dataclass(frozen=True)
class Oddity:
    """One source and what sets it apart; what cannot be said is None.

    Attributes:
        row: its place among the rows that were given.
        name, kind: as given.
        percentile: of the reference rows that are less odd, 0 to 100.
        neighbours: `(name, class)` of the nearest sources in the shared space, nearest first.
        band: of `BANDS`, the one that departs most from the neighbours' mean shape.
        band_sigma: by how many standard deviations of its net counts; positive for too many.
        variable: the physical variable that departs most from the neighbours'.
        variable_z: by how many robust standard deviations of what is usual; positive for more.
        variable_value, variable_usual: its value, and the neighbours' median, catalogue units.
        disagreement: percentile of the disagreement of spectrum and text.
        strongest: the part of the combined score that stands out most.
    """

    row: int
    name: str
    kind: str | None
    percentile: float
    neighbours: tuple[tuple[str, str | None], ...]
    band: str | None
    band_sigma: float | None
    variable: str | None
    variable_z: float | None
    variable_value: float | None
    variable_usual: float | None
    disagreement: float | None
    strongest: str


def describe_outliers(
    detector: SpecCLIPOutlierDetector,
    rows: OutlierRows,
    scores: OutlierScores,
    places: np.ndarray,
    by: str = "combined",
) -> list[Oddity]:
    """Say what is odd about some rows.

    A band is compared with the mean shape of the neighbours, scaled to the row's own net counts:
    brightness is not a shape. Differences of the effective area between epochs are left in.

    Args:
        detector: that made the scores.
        rows: all rows that were scored.
        scores: theirs.
        places: rows to describe.
        by: detector whose percentile is told.
    """
    from .detector import COMBINED, COMPONENTS, _checked

    chosen = _checked(rows).take(np.asarray(places, dtype=np.int64))
    near = detector.neighbours(chosen)
    reference = detector.reference
    residual = detector._residuals(chosen) / detector._arrays["residual_scale"]
    percentile = scores.percentile(by)
    apart = scores.percentile("disagreement")
    parts = COMBINED if by == "combined" else COMPONENTS
    found = []
    for place, row in enumerate(np.asarray(places).tolist()):
        around = near[place][near[place] >= 0]
        told = tuple((reference.names[i], reference.classes[i]) for i in around[:_TOLD])
        sigma = _band_departures(chosen, place, reference.band_counts[around])
        band = None if sigma is None else int(np.argmax(np.abs(sigma)))
        variable = None
        if residual.shape[1] and np.isfinite(residual[place]).any():
            variable = int(np.nanargmax(np.abs(residual[place])))
        name = None if variable is None else detector.variables[variable]
        assert chosen.names is not None  # _checked fills both
        assert chosen.classes is not None
        found.append(
            Oddity(
                row=row,
                name=str(chosen.names[place]),
                kind=chosen.classes[place],
                percentile=float(percentile[row]),
                neighbours=told,
                band=None if band is None else list(BANDS)[band],
                band_sigma=None if sigma is None or band is None else float(sigma[band]),
                variable=name,
                variable_z=None if variable is None else float(residual[place, variable]),
                variable_value=None if name is None else float(chosen.variables[name][place]),
                variable_usual=(
                    None
                    if variable is None
                    else detector.usual_value(variable, float(_median(detector, around, variable)))
                ),
                disagreement=float(apart[row]) if np.isfinite(apart[row]) else None,
                strongest=min(
                    parts, key=lambda part: float(np.nan_to_num(scores.tail[part][row], nan=2.0))
                ),
            )
        )
    return found


def _median(detector: SpecCLIPOutlierDetector, around: np.ndarray, variable: int) -> float:
    values = detector.reference.variables[around, variable]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")


def _band_departures(rows: OutlierRows, place: int, around: np.ndarray) -> np.ndarray | None:
    """(3,) net counts less the neighbours' shape at the row's brightness, in sigma."""
    assert rows.band_counts is not None
    assert rows.band_errors is not None
    counts = rows.band_counts[place].astype(np.float64)
    errors = rows.band_errors[place].astype(np.float64)
    total = np.maximum(around.astype(np.float64), 0.0).sum(axis=1, keepdims=True)
    shapes = np.maximum(around, 0.0) / np.where(total > 0, total, np.nan)
    shapes = shapes[np.isfinite(shapes).all(axis=1)]
    if not len(shapes) or not np.isfinite([*counts, *errors]).all():
        return None
    expected = shapes.mean(axis=0) * max(float(counts.sum()), 0.0)
    # The spread is that of the counts expected, and of the background: a band with hardly any
    # counts would else seem to be known best of all.
    background = np.maximum(errors**2 - counts, 0.0)
    return (counts - expected) / np.sqrt(np.maximum(expected + background, 1.0))


__all__ = ["Oddity", "describe_outliers"]
