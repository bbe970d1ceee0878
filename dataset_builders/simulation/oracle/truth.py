"""Noise-free measurements of each variable.

Hardness ratios follow from the photon fluxes at the time of the observation, the flux's
significance from the counts that were to be expected, and the parameters of the catalogue's models
from fits to the expected spectrum: without noise or background, weighted as `ASIMOV_COUNTS` counts
are. Where the true spectrum is not of the fitted model, its parameters depend a little on that
number. The other variables have no value without noise (`WITHOUT_TRUTH` says why).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from hf_specclip.models.variables_specclip import BANDS

from ...info import SpecCLIPDatasetInfo
from .. import instrument, photometry, spectral_fits
from .bank import true_colours
from .dataset import KnownRows, recognise

ASIMOV_COUNTS = 2000.0
COLOURS = ("hard_hm", "hard_hs", "hard_ms")
FITTED = (
    "powlaw_gamma",
    "powlaw_nh",
    "bb_kt",
    "bb_nh",
    "brems_kt",
    "brems_nh",
    "apec_kt",
    "apec_nh",
)
_STATISTIC = "a reduced χ² measures the noise itself: without noise it is that of a model's misfit"
_VARIABILITY = (
    "it depends on arrival times, which a spectrum does not have, and on the noise in them"
)
WITHOUT_TRUTH: Mapping[str, str] = {
    **{f"{model}_stat": _STATISTIC for model in ("powlaw", "bb", "brems", "apec")},
    **dict.fromkeys(("var_prob_b", "var_index_b", "var_sigma_b", "var_inter_prob_b"), _VARIABILITY),
}


def truth_of(info: SpecCLIPDatasetInfo, table: pa.Table) -> dict[str, np.ndarray]:
    """Return noise-free values of the variables of a simulated dataset's rows.

    Args:
        info: what made the dataset.
        table: rows of it, with the contract's columns.

    Returns:
        Arrays (n) float64 by variable, in catalogue units. Fitted parameters are nan where the
        catalogue has no fit; a variable without noise-free meaning is nan everywhere.

    Raises:
        DatasetFolderError: see `oracle_dataset.recognise`.

    Example:
        >>> truth = truth_of(pairs.info, pairs.splits["validation"].table)
        >>> np.nanmean(np.abs(predicted - truth["hard_hs"]))
    """
    return known_truth(recognise(info, table))


def known_truth(known: KnownRows) -> dict[str, np.ndarray]:
    """Return `truth_of` for rows that were recognised already."""
    n, universe = len(known.detections), known.universe
    seen = universe.detections.take(known.detections)
    truth = {name: np.full(n, np.nan) for name in (*FITTED, *WITHOUT_TRUTH)}
    colours = {name: np.empty(n) for name in COLOURS}
    significance = np.empty(n)
    fits = has_fit(known.table)
    for start in range(0, n, 500):
        rows = np.arange(start, min(start + 500, n))
        found = true_colours(universe.photons(known.detections[rows]))
        for name in COLOURS:
            colours[name][rows] = found[name]
        source, behind = universe.expected(known.detections[rows])
        inside = instrument.channels_within(BANDS["b"])
        significance[rows] = expected_significance(
            source[:, inside].sum(axis=1),
            behind[:, inside].sum(axis=1),
            seen.background_scale[rows],
        )
        some = np.flatnonzero(fits[rows])
        if len(some):
            fitted = asimov_fits(source[some], seen.response[rows[some]], seen.theta[rows[some]])
            for name in FITTED:
                truth[name][rows[some]] = fitted[name]
    return truth | colours | {"flux_significance_b": significance}


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
    found = spectral_fits.fit_columns(
        counts, np.zeros_like(counts), np.zeros(n), np.ones(n), response, theta, limits=False
    )
    return {name: found[name] for name in FITTED}


def variables_of(table: pa.Table, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return columns of a table as float64, nan where null."""
    return {
        name: np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False))
        for name in names
    }


__all__ = [
    "ASIMOV_COUNTS",
    "COLOURS",
    "FITTED",
    "WITHOUT_TRUTH",
    "asimov_fits",
    "expected_significance",
    "has_fit",
    "known_truth",
    "truth_of",
    "variables_of",
]
