"""Fits of the catalogue's four models to simulated spectra.

`hf_specclip.spectra.fit_counts` does what the catalogue does (0.5–7 keV, groups of 16 counts,
background subtracted, χ² with the data's variance, more than 150 net counts); here it gets the
responses.
"""

from __future__ import annotations

import numpy as np

from ..contract import contract_columns
from . import instrument

# Energies of the fitted models: 10 eV below 2 keV, 30 eV above, where the detector's resolution is
# above 80 eV. Half as many as the simulation's, and half the time.
_BINS = np.concatenate([np.arange(170), np.arange(170, len(instrument.PHOTON_CENTRES), 3)])
# Number of the simulation's bins in one of the fit's.
_WIDTHS = np.diff(np.append(_BINS, len(instrument.PHOTON_CENTRES)))
COLUMNS = tuple(
    name for name in contract_columns() if name.startswith(("powlaw_", "bb_", "brems_", "apec_"))
)


def fit_columns(
    channels: np.ndarray,
    background: np.ndarray,
    background_scale: np.ndarray,
    exposure: np.ndarray,
    epoch: np.ndarray,
    theta: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the catalogue's columns of the four models.

    Args:
        channels, background: counts of aperture and background region in PI channels, (n, 560).
        background_scale: factor from background-region to aperture counts, (n).
        exposure: s, (n).
        epoch, theta: index into `instrument.load_epochs()`, off-axis angle (arcmin), (n).

    Returns:
        Arrays (n) by column, nan without a fit or without a limit.
    """
    # Imported here: it brings torch, which a simulation without fits need not wait for.
    from hf_specclip.spectra.fitting.fit import fit_counts

    columns = {name: np.full(len(channels), np.nan) for name in COLUMNS}
    for index in np.unique(epoch):
        rows, item = np.flatnonzero(epoch == index), instrument.load_epochs()[index]
        area = instrument.effective_area(epoch[rows], theta[rows], instrument.PHOTON_CENTRES)
        table = fit_counts(
            channels[rows],
            background[rows],
            background_scale[rows],
            exposure[rows],
            redistribution=_redistribution(item),
            effective_area=np.add.reduceat(area, _BINS, axis=1) / _WIDTHS,
            energy_edges=np.append(
                instrument.PHOTON_EDGES[:-1][_BINS], instrument.PHOTON_EDGES[-1]
            ),
            channel_edges=instrument.CHANNEL_EDGES,
        )
        for name, column in columns.items():
            column[rows] = table[name]
    return columns


def _redistribution(item: instrument.Response) -> np.ndarray:
    """Return the mean over the joined bins, weighted by their area."""
    weighted = np.add.reduceat(item.redistribution * item.area[:, None], _BINS, axis=0)
    return weighted / np.add.reduceat(item.area, _BINS)[:, None]
