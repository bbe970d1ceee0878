"""Outlier scores of spectra, with their departures from the nearest sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.variables_specclip import BANDS, HARDNESS_BANDS
from ..outliers.detector import SpecCLIPOutlierDetector
from ..outliers.explain import explain_outliers
from ..outliers.rows import BAND_ENERGIES, OutlierRows
from .description import OutlierScore

if TYPE_CHECKING:
    from .inputs import SpectrumInput

_DETECTOR = "spectrum_neighbours"
_BAND_NAMES = {band: f"{low:g}–{high:g} keV" for band, (low, high) in BANDS.items()}
# A reason is given from this percentile on, for a band that departs by so many σ.
_UNUSUAL, _BAND_SIGMA = 95.0, 3.0


def score_outliers(
    detector: SpecCLIPOutlierDetector,
    inputs: Sequence[SpectrumInput],
    points: np.ndarray,
    groups: Sequence[str],
    energy_range: tuple[float, float],
) -> list[OutlierScore]:
    """Score spectra.

    Args:
        detector: of the model.
        inputs: the spectra, n of them.
        points: (n, D) in the shared space.
        groups: of the sources; a source is not compared with its own group.
        energy_range: of the bins of the inputs, keV.
    """
    rows = _outlier_rows(inputs, points, groups, energy_range)
    scores = detector.score(rows)
    explanations = explain_outliers(detector, rows, scores, np.arange(len(inputs)), by=_DETECTOR)
    results = []
    for score, explanation in zip(scores.raw[_DETECTOR].tolist(), explanations, strict=True):
        reasons = []
        sigma = explanation.band_sigma
        if (
            explanation.percentile >= _UNUSUAL
            and explanation.band is not None
            and sigma is not None
            and abs(sigma) >= _BAND_SIGMA
        ):
            more = "more" if sigma > 0 else "fewer"
            reasons.append(
                f"{more} counts at {_BAND_NAMES[explanation.band]} than expected from the nearest "
                f"sources ({sigma:+.1f} σ, including their scatter)"
            )
        results.append(OutlierScore(score, explanation.percentile, tuple(reasons)))
    return results


def _outlier_rows(
    inputs: Sequence[SpectrumInput],
    points: np.ndarray,
    groups: Sequence[str],
    energy_range: tuple[float, float],
) -> OutlierRows:
    n_bins = len(inputs[0].columns["counts"])
    edges = np.linspace(*energy_range, n_bins + 1)
    centres = 0.5 * (edges[1:] + edges[:-1])
    in_band = np.stack([(centres >= low) & (centres < high) for low, high in HARDNESS_BANDS], 1)

    def band_sums(name: str) -> np.ndarray:
        def values(columns: dict[str, Any]) -> Any:
            return np.zeros(n_bins) if columns.get(name) is None else columns[name]

        stacked = np.stack([np.asarray(values(each.columns), np.float64) for each in inputs])
        return stacked @ in_band

    def band_areas(columns: dict[str, Any]) -> np.ndarray:
        area = columns.get("effective_area")
        if area is None:
            return np.full(len(BAND_ENERGIES), np.nan)
        return np.interp(BAND_ENERGIES, centres, np.asarray(area, np.float64))

    scale = np.array([float(each.columns.get("background_scale") or 0.0) for each in inputs])
    source, background = band_sums("counts"), band_sums("background_counts")
    return OutlierRows(
        spectrum=points,
        band_counts=source - scale[:, None] * background,
        band_errors=np.sqrt(source + scale[:, None] ** 2 * background),
        band_areas=np.stack([band_areas(each.columns) for each in inputs]),
        groups=list(groups),
    )
