"""Cramér–Rao limit of absorbed power laws: the smallest variance of an unbiased estimate.

The Fisher information of Poisson counts with expectation μ in each bin is Σ ∂μ ∂μᵀ / μ, over the
amplitude, the photon index and the column; the inverse's diagonal bounds the variances.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...contract import ENERGY_RANGE
from .. import instrument, populations

# Steps of the derivatives, in photon index and in ln N_H.
_STEP_GAMMA, _STEP_LOG_NH = 0.01, 0.02


def cramer_rao(
    spectra: populations.Spectra,
    epoch: np.ndarray,
    theta: np.ndarray,
    counts: np.ndarray,
    background: np.ndarray,
    *,
    absorption: str = "phabs",
) -> dict[str, np.ndarray]:
    """Return limits on photon index and column of absorbed power laws.

    Args:
        spectra: n single power laws; what lies in front of them is scaled as a whole.
        epoch: index into `instrument.load_epochs()`, (n).
        theta: off-axis angle, arcmin, (n).
        counts, background: expected in the contract's energy range, (n).
        absorption: see `populations.photon_spectra`.

    Returns:
        Standard deviations of the photon index, `gamma`, and of `log10_nh` (dex), (n) each.
    """
    inside = instrument.channels_within(ENERGY_RANGE)

    def seen(changed: populations.Spectra) -> np.ndarray:
        photons = populations.photon_spectra(changed, absorption)
        return instrument.fold(photons, epoch, theta)[:, inside]

    plain = seen(spectra)
    scale = (counts / plain.sum(axis=1))[:, None]
    steeper = seen(replace(spectra, shape=spectra.shape + _STEP_GAMMA))
    flatter = seen(replace(spectra, shape=spectra.shape - _STEP_GAMMA))
    more = seen(_scaled(spectra, np.exp(_STEP_LOG_NH)))
    less = seen(_scaled(spectra, np.exp(-_STEP_LOG_NH)))
    # Photon spectra are normalised; with the amplitude free, that changes nothing.
    mean = plain * scale
    slopes = np.stack(
        [
            mean,
            (steeper - flatter) * scale / (2 * _STEP_GAMMA),
            (more - less) * scale / (2 * _STEP_LOG_NH),
        ]
    )
    items = instrument.load_epochs()
    behind = np.stack([item.background[inside] for item in items])[epoch]
    behind = behind * (background / behind.sum(axis=1))[:, None]
    information = np.einsum("anc,bnc->nab", slopes / (mean + behind + 1e-300), slopes)
    variance = np.linalg.inv(information)
    log_nh = np.sqrt(variance[:, 2, 2]) / np.log(10.0)
    return {"gamma": np.sqrt(variance[:, 1, 1]), "log10_nh": log_nh}


def _scaled(spectra: populations.Spectra, factor: float) -> populations.Spectra:
    return replace(spectra, nh=spectra.nh * factor, galactic_nh=spectra.galactic_nh * factor)


__all__ = ["cramer_rao"]
