"""Spectra of known truth behind a detector like ACIS, for the tests of the fitter."""

from __future__ import annotations

from math import erf

import numpy as np
from numpy.typing import NDArray

from hf_specclip.spectra import RedistributionMatrix, XRaySpectrum
from hf_specclip.spectra import emission as models
from hf_specclip.spectra.fitting.fit import fit_counts
from hf_specclip.spectra.fitting.groups import noticed_channels

ENERGIES = np.linspace(0.3, 9.0, 291)  # 30 eV bins: quick to fold
CHANNELS = np.linspace(0.2, 8.5, 401)


def response() -> NDArray[np.float64]:
    """A detector like ACIS: Gaussian redistribution, an area that falls to both ends, cm²."""
    middle = (ENERGIES[1:] + ENERGIES[:-1]) / 2
    width = 0.045 + 0.008 * middle
    area = 600 * np.exp(-0.4 * np.log(middle / 1.6) ** 2) * np.exp(-((0.55 / middle) ** 3))
    below = np.vectorize(erf)((CHANNELS - middle[:, None]) / (width[:, None] * np.sqrt(2)))
    return area[:, None] * np.diff(below, axis=1) / 2


RESPONSE = response()
RMF = RedistributionMatrix(ENERGIES, CHANNELS, RESPONSE, includes_area=True)
NOTICED = noticed_channels(CHANNELS, (0.5, 7.0))


def expected(flux: NDArray[np.float64], counts: float) -> NDArray[np.float64]:
    """(n,) model counts in the channels, `counts` of them in 0.5–7 keV."""
    folded = flux @ RESPONSE
    return folded * counts / folded[..., NOTICED].sum(-1, keepdims=True)


def fit(counts, background=None, scale=0.0, exposure=1e4, **options):
    given = {"redistribution": RESPONSE, "energy_edges": ENERGIES, "channel_edges": CHANNELS}
    return fit_counts(np.atleast_2d(counts), background, scale, exposure, **{**given, **options})


def spectrum_of(photons=None, exposure=1e4, counts=None, **about) -> XRaySpectrum:
    """Return a spectrum of photons/cm²/s without noise, or of counts."""
    if counts is None:
        counts = np.rint(photons @ RESPONSE * exposure).astype(int)
    return XRaySpectrum(
        **{"counts": counts, "energy_edges": CHANNELS, "exposure": exposure, "rmf": RMF, **about}
    )


def absorbed_power_law(index: float = 1.8, column: float = 0.2) -> NDArray[np.float64]:
    return models.power_law(ENERGIES, index) * models.phabs(ENERGIES, column)


TRUTHS = {
    "powlaw": (models.power_law, 1.8),
    "bb": (models.black_body, 0.6),
    "brems": (models.bremsstrahlung, 4.0),
    "apec": (models.thermal_plasma, 2.0),
}


def draw(flux, counts, n_spectra, seed, background=0.0):
    """(B, n) Poisson counts of a source and of a region ten times the aperture."""
    rng = np.random.default_rng(seed)
    behind = np.full(len(CHANNELS) - 1, background / (NOTICED.stop - NOTICED.start))
    source = rng.poisson(expected(flux, counts) + behind, (n_spectra, len(behind)))
    return source, rng.poisson(10 * behind, source.shape)
