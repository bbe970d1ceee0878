"""Outlier scores of spectra, explained by their deviations from the nearest sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..models.variables_specclip import BANDS
from ..outliers.detector import SpecCLIPOutlierDetector
from ..outliers.explain import explain_outliers
from ..outliers.rows import OutlierRows, band_columns
from .description import OutlierScore

if TYPE_CHECKING:
    from .inputs import SpectrumInput

_DETECTOR = "spectrum_neighbours"
_BAND_NAMES = {band: f"{low:g}–{high:g} keV" for band, (low, high) in BANDS.items()}
# Minimum percentile and deviation (σ) for which a reason is given.
_UNUSUAL, _BAND_SIGMA = 95.0, 3.0


def score_outliers(
    detector: SpecCLIPOutlierDetector,
    inputs: Sequence[SpectrumInput],
    points: np.ndarray,
    groups: Sequence[str],
    energy_range: tuple[float, float],
) -> list[OutlierScore]:
    """Score spectra by an outlier detector.

    Args:
        detector: outlier detector of the model.
        inputs: n spectra.
        points: embeddings (n, D).
        groups: groups of the sources; a spectrum is not compared with its own group.
        energy_range: outer edges of the bins, keV.
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
    zeros = np.zeros(len(inputs[0].columns["counts"]))
    absent = {"counts": zeros, "background_counts": zeros, "background_scale": np.zeros(()),
              "effective_area": zeros}  # fmt: skip

    def column(name: str) -> np.ndarray:
        values = [each.columns.get(name) for each in inputs]
        return np.array([absent[name] if v is None else v for v in values], np.float64)

    bands = band_columns({name: column(name) for name in absent}, energy_range)
    return OutlierRows(spectrum=points, groups=list(groups), **bands)
