"""Noise-free measurements of each variable.

Hardness ratios follow from the photon fluxes at the time of the observation, the flux's
significance from the counts that were to be expected, and the parameters of the catalogue's models
from fits to the expected spectrum: without noise or background, weighted as `ASIMOV_COUNTS` counts
are. Where the true spectrum is not of the fitted model, its parameters depend a little on that
number. The other variables have no value without noise (`WITHOUT_TRUTH` says why).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from hf_specclip.models.variables_specclip import BANDS

from ...contract import LIMITED_VARIABLES
from .. import instrument, photometry, spectral_fits
from .dataset import KnownRows
from .stratum import true_colours

ASIMOV_COUNTS = 2000.0
COLOURS = ("hard_hm", "hard_hs", "hard_ms")
FITTED = tuple(name for name in LIMITED_VARIABLES if name not in COLOURS)
_STATISTIC = "a reduced χ² measures the noise itself: without noise it is that of a model's misfit"
_VARIABILITY = (
    "it depends on arrival times, which a spectrum does not have, and on the noise in them"
)
WITHOUT_TRUTH: Mapping[str, str] = {
    **{f"{model}_stat": _STATISTIC for model in spectral_fits.MODELS},
    **dict.fromkeys(("var_prob_b", "var_index_b", "var_sigma_b", "var_inter_prob_b"), _VARIABILITY),
}


def known_truth(rows: KnownRows) -> dict[str, np.ndarray]:
    """Return noise-free values of the variables of a simulated dataset's rows.

    Args:
        rows: n rows that were recognised, see `recognise`.

    Returns:
        Arrays (n) float64 by variable, in catalogue units. Fitted parameters are nan where the
        catalogue has no fit; a variable without noise-free meaning is nan everywhere.
    """
    n, universe = len(rows.detections), rows.universe
    seen = universe.detections.take(rows.detections)
    truth = {name: np.full(n, np.nan) for name in (*FITTED, *WITHOUT_TRUTH)}
    truth |= {name: np.empty(n) for name in (*COLOURS, "flux_significance_b")}
    fits, inside = has_fit(rows.table), instrument.channels_within(BANDS["b"])
    for start in range(0, n, 500):
        part = np.arange(start, min(start + 500, n))
        colours = true_colours(universe.photons(rows.detections[part]))
        for name in COLOURS:
            truth[name][part] = colours[name]
        source, behind = universe.expected(rows.detections[part])
        truth["flux_significance_b"][part] = expected_significance(
            source[:, inside].sum(axis=1),
            behind[:, inside].sum(axis=1),
            seen.background_scale[part],
        )
        some = np.flatnonzero(fits[part])
        if len(some):
            fitted = asimov_fits(source[some], seen.response[part[some]], seen.theta[part[some]])
            for name in FITTED:
                truth[name][part[some]] = fitted[name]
    return truth


def has_fit(table: pa.Table) -> np.ndarray:
    """Return True for rows to which the catalogue fitted a model, (n)."""
    valid = [np.asarray(table[name].is_valid()) for name in FITTED if name in table.column_names]
    return np.logical_or.reduce(valid) if valid else np.zeros(len(table), dtype=bool)


def expected_significance(
    source: np.ndarray, behind: np.ndarray, background_scale: np.ndarray
) -> np.ndarray:
    """Return the flux significance of exactly the expected counts, (n).

    Args:
        source, behind: expected in the aperture in the broad band, (n).
        background_scale: background-region counts times this are aperture counts, (n).
    """
    return photometry.flux_significance(
        photometry.Band(
            source + behind, behind / background_scale, background_scale, np.ones(len(source))
        )
    )


def asimov_fits(
    source: np.ndarray, response: np.ndarray, theta: np.ndarray
) -> dict[str, np.ndarray]:
    """Fit the catalogue's models to expected counts without noise.

    Args:
        source: expected source counts in PI channels, up to a factor, (n, 560).
        response: index into `instrument.load_epochs()`, (n).
        theta: off-axis angle, arcmin, (n).

    Returns:
        Arrays (n) for each of `FITTED`.
    """
    inside = instrument.channels_within(BANDS["b"])
    counts = source * (ASIMOV_COUNTS / source[:, inside].sum(axis=1))[:, None]
    n = len(counts)
    columns = spectral_fits.fit_columns(
        counts, np.zeros_like(counts), np.zeros(n), np.ones(n), response, theta, limits=False
    )
    return {name: columns[name] for name in FITTED}


__all__ = [
    "ASIMOV_COUNTS",
    "COLOURS",
    "FITTED",
    "WITHOUT_TRUTH",
    "asimov_fits",
    "expected_significance",
    "has_fit",
    "known_truth",
]
