"""Explanation of outliers: the nearest sources, and the departures from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..models.variables_specclip import BANDS
from .detector import SpecCLIPOutlierDetector
from .rows import COMPONENTS, OutlierRows, OutlierScores

_NEIGHBOURS_NAMED = 5


@dataclass(frozen=True)
class OutlierExplanation:
    """Departures of one source from its nearest sources; None where they cannot be computed.

    Attributes:
        row: its index among the given rows.
        name, source_class: as given.
        percentile: outlier percentile, 0 to 100.
        neighbours: `(name, class)` of the nearest sources in the shared space, nearest first.
        band: `s`, `m` or `h`, the one that departs most from the neighbours' mean shape.
        band_sigma: by how many standard deviations, of its net counts and of the neighbours'
            shapes; positive for too many.
        variable: the physical variable that departs most from the neighbours'.
        variable_z: by how many robust standard deviations of the reference; positive for more.
        variable_value, variable_usual: its value, and the neighbours' median, catalogue units.
        disagreement: percentile of the disagreement of spectrum and text.
        strongest: the component with the highest percentile.
    """

    row: int
    name: str
    source_class: str | None
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


def explain_outliers(
    detector: SpecCLIPOutlierDetector,
    rows: OutlierRows,
    scores: OutlierScores,
    indices: np.ndarray,
    by: str = "combined",
) -> list[OutlierExplanation]:
    """Explain the scores of some rows.

    A band is compared with the mean shape of the neighbours, seen through the row's own area and
    scaled to its net counts, so that neither brightness nor the telescope's age counts.

    Args:
        detector: that made the scores.
        rows: all rows that were scored.
        scores: their scores.
        indices: rows to explain.
        by: detector of the percentile.
    """
    chosen = rows.checked().take(np.asarray(indices, dtype=np.int64))
    neighbours = detector.neighbours(chosen)
    departures = detector.variable_departures(chosen)
    reference, percentile = detector.reference, scores.percentile(by)
    disagreement = scores.percentile("disagreement")
    explanations = []
    for number, row in enumerate(np.asarray(indices).tolist()):
        near = neighbours[number][neighbours[number] >= 0]
        band, sigma = _most_departing_band(chosen, number, reference.band_fluxes[near])
        variable, z, value, usual = None, None, None, None
        if np.isfinite(departures[number]).any():
            column = int(np.nanargmax(np.abs(departures[number])))
            variable, z = detector.variables[column], float(departures[number, column])
            value = float(chosen.variables[variable][number])
            known = reference.variables[near, column]
            known = known[np.isfinite(known)]
            usual = float(np.median(known)) if len(known) else float("nan")
        tails = {name: float(np.nan_to_num(scores.tail[name][row], nan=2.0)) for name in COMPONENTS}
        named = near[:_NEIGHBOURS_NAMED]
        explanations.append(OutlierExplanation(
            row=row, name=str(chosen.names[number]), source_class=chosen.classes[number],
            percentile=float(percentile[row]),
            neighbours=tuple((reference.names[i], reference.classes[i]) for i in named),
            band=band, band_sigma=sigma, variable=variable, variable_z=z, variable_value=value,
            variable_usual=usual,
            disagreement=float(disagreement[row]) if np.isfinite(disagreement[row]) else None,
            strongest=min(tails, key=tails.__getitem__),
        ))  # fmt: skip
    return explanations


def _most_departing_band(
    rows: OutlierRows, row: int, near: np.ndarray
) -> tuple[str | None, float | None]:
    """Find the band of a row whose net counts depart most from the shape of its neighbours, given
    by their fluxes (k, 3), and by how many σ."""
    counts, errors, areas = (
        values[row].astype(np.float64)
        for values in (rows.band_counts, rows.band_errors, rows.band_areas)
    )
    seen = np.maximum(near.astype(np.float64), 0.0) * areas
    total = seen.sum(axis=1, keepdims=True)
    shapes = seen / np.where(total > 0, total, np.nan)
    shapes = shapes[np.isfinite(shapes).all(axis=1)]
    if len(shapes) < 2 or not np.isfinite([*counts, *errors]).all():
        return None, None
    net = max(float(counts.sum()), 0.0)
    expected, scatter = net * shapes.mean(axis=0), net * shapes.std(axis=0, ddof=1)
    # The variance is that of the expected counts and of the background: from its own counts, a band
    # with hardly any would seem the best known of all.
    background = np.maximum(errors**2 - counts, 0.0)
    variance = np.maximum(expected + background, 1.0) + scatter**2
    sigma = (counts - expected) / np.sqrt(variance)
    band = int(np.argmax(np.abs(sigma)))
    return list(BANDS)[band], float(sigma[band])


__all__ = ["OutlierExplanation", "explain_outliers"]
