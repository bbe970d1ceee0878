"""Counts of the noticed channels in groups, for spectra that share a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..rebin import ascending_edges
from ..spectrum import XRaySpectrum
from .engine import Chi2DataVar, PoissonDeviance, SpectraBatch
from .folding import Folding, float_tensor
from .groups import Groups, group_channels, noticed_channels

STATISTICS = ("chi2datavar", "cstat")


class NoticedCounts:
    """Grouped counts of B spectra with their response.

    Args:
        counts: (B, n) counts in the aperture, background included.
        background_counts: (B, n) counts of the background region, or None.
        background_scale: (B,) or (B, n) factor from the background region to the aperture.
        exposure: (B,) s.
        redistribution: (m, n) probability that a photon of an energy is recorded in a channel (or
            cm², with the area folded in).
        energy_edges: (m + 1,) keV, of the photons.
        channel_edges: (n + 1,) keV, of the channels.
        effective_area: cm², (m,) for all or (B, m) for each; left out where it is folded in.
        good: (n,) True for channels that may be used; all by default.
        variance: (B, n) of the net counts in each channel, for χ²; by default that of the data.
        statistic, energy_range, group_counts, keep_incomplete: see `fit_spectra`.

    Attributes:
        channels: indices of the noticed channels.
        groups: groups of them.
        net: (B,) net counts.
        statistic: `chi2datavar` or `cstat`.
    """

    def __init__(
        self,
        counts: ArrayLike,
        background_counts: ArrayLike | None = None,
        background_scale: ArrayLike = 0.0,
        exposure: ArrayLike = 1.0,
        *,
        redistribution: ArrayLike,
        energy_edges: ArrayLike,
        channel_edges: ArrayLike,
        effective_area: ArrayLike | None = None,
        statistic: str = "chi2datavar",
        energy_range: tuple[float, float] = (0.5, 7.0),
        group_counts: int = 16,
        keep_incomplete: bool | None = None,
        good: ArrayLike | None = None,
        variance: ArrayLike | None = None,
    ) -> None:
        if statistic not in STATISTICS:
            raise ValueError(f"statistic {statistic!r} is unknown: {' or '.join(STATISTICS)}")
        self.statistic = statistic
        # χ² needs full groups; for a likelihood, channels without counts are as informative.
        keep = statistic == "cstat" if keep_incomplete is None else keep_incomplete
        self._photons = np.maximum(ascending_edges(energy_edges, "energy_edges"), 1e-3)
        channels = ascending_edges(channel_edges, "channel_edges")
        n_energies, n_channels = self._photons.size - 1, channels.size - 1
        matrix, observed = np.asarray(redistribution), np.atleast_1d(counts)
        n_spectra = len(observed)
        area = np.ones(n_energies) if effective_area is None else np.asarray(effective_area)
        _check_shape("counts", observed, (n_spectra, n_channels))
        _check_shape("redistribution", matrix, (n_energies, n_channels))
        _check_shape("effective_area", area, (n_energies,), (n_spectra, n_energies))
        in_range = noticed_channels(channels, energy_range)
        self.channels = np.arange(n_channels)[in_range]
        if good is not None:
            usable = np.asarray(good, dtype=bool)
            _check_shape("good", usable, (n_channels,))
            self.channels = self.channels[usable[in_range]]
        self._matrix, self._area = matrix[:, self.channels], area
        self._data = _noticed_data(
            observed, background_counts, background_scale, variance, self.channels
        )
        source, region, scale, _ = self._data
        self._seconds = np.broadcast_to(np.asarray(exposure, dtype=np.float64), (n_spectra,))
        self.groups = group_channels(source, group_counts, keep_incomplete=keep)
        self.net = (source - scale * region).sum(axis=1)

    def folding(self, n_spectra: int) -> Folding:
        """Return the folding for `n_spectra`. Raises ValueError for a response without effect."""
        return Folding(self._matrix, self._area, self._photons, self._seconds, n_spectra)

    def rates(
        self, row: int, channel_edges: NDArray[np.float64]
    ) -> tuple[Groups, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return one spectrum in its groups, for a plot.

        Returns:
            The groups of noticed channels, their edges (G, 2) keV, and net counts/s/keV (G,) with
            their errors.
        """
        groups = self.groups.take(np.array([row]))
        source, region, scale, variances = (values[[row]] for values in self._data)
        net = groups.sum(source - scale * region)[0]
        lower, upper = channel_edges[self.channels], channel_edges[self.channels + 1]
        edges = np.stack([lower[groups.starts[0]], upper[groups.stops[0] - 1]], 1)
        per_rate = self._seconds[row] * groups.sum((upper - lower)[None])[0]
        return groups, edges, net / per_rate, np.sqrt(groups.sum(variances)[0]) / per_rate

    def batch(
        self, folding: Folding, rows: NDArray[np.int64], seen: tuple[Tensor | None, Tensor]
    ) -> SpectraBatch:
        """Return the response and statistic of some of the spectra; `seen` is the folding's."""
        groups, (components, below) = self.groups.take(rows), seen
        response = below[torch.from_numpy(groups.stops)]
        response -= below[torch.from_numpy(groups.starts)]
        response *= folding.exposure[rows][:, None, None]
        area = None if folding.area is None else folding.area[rows]
        source, region, scale, variances = (values[rows] for values in self._data)
        counts, scaled = groups.sum(source), groups.sum(scale * region)
        if self.statistic == "chi2datavar":
            variance = groups.sum(variances)
            variance[variance <= 0] = np.inf
            chi2 = Chi2DataVar(float_tensor(counts - scaled), float_tensor(variance))
            return SpectraBatch(response, chi2, components, area)
        behind = groups.sum(region)
        # Where the factor changes inside a group, that of its background counts: W then has the
        # same background in the aperture as χ². Without counts, the mean over its channels.
        factor = groups.sum(scale) / np.maximum(groups.stops - groups.starts, 1)
        factor = np.divide(scaled, behind, out=factor, where=behind > 0)
        deviance = PoissonDeviance(float_tensor(counts), float_tensor(behind), float_tensor(factor))
        return SpectraBatch(response, deviance, components, area)


def arrays_of(spectra: Sequence[XRaySpectrum]) -> dict[str, Any]:
    """Return the arrays of spectra that share a response, as arguments of `NoticedCounts`."""
    first = spectra[0]
    rmf = first.rmf
    assert rmf is not None
    regions, scales = zip(*(spectrum.background_observed for spectrum in spectra), strict=True)
    return {
        "counts": np.stack([spectrum.counts for spectrum in spectra]),
        "background_counts": np.stack(regions),
        "background_scale": np.stack(scales),
        "exposure": np.array([spectrum.exposure for spectrum in spectra]),
        "redistribution": rmf.dense() * np.asarray(first.areascal, dtype=np.float32),
        "effective_area": None if first.arf is None else first.arf.on(rmf.energy_edges),
        "energy_edges": rmf.energy_edges,
        "channel_edges": first.channel_edges,
        "good": first.good,
        "variance": _variances(spectra),
    }


def _variances(spectra: Sequence[XRaySpectrum]) -> NDArray[np.float64] | None:
    """Return the variance of the net counts in each channel, None if all are Poisson.

    STAT_ERR is used if counts are not Poisson; SYS_ERR is added in quadrature (OGIP 92-007).
    """
    if all(each.are_poisson and each.systematic_error is None for each in spectra):
        return None
    variances = []
    for each in spectra:
        own = each.counts if each.are_poisson or each.stat_error is None else each.stat_error**2
        region, scale = each.background_observed
        systematic = 0.0 if each.systematic_error is None else each.systematic_error * each.counts
        variances.append(own + scale**2 * region + systematic**2)
    return np.stack(variances)


def require_errors(spectrum: XRaySpectrum, statistic: str) -> None:
    """Raise ValueError for a spectrum whose errors are not those that a statistic needs."""
    if spectrum.are_poisson:
        return
    what = "net counts" if spectrum.hduclas2 == "NET" else "counts with errors of their own"
    used = spectrum.good & (spectrum.counts != 0)
    if statistic == "cstat":
        problem = (
            f"{what} are not Poisson, as the C-statistic needs. Take χ² (--statistic chi2datavar)"
        )
    elif spectrum.stat_error is None:
        problem = (
            f"χ² of {what} needs their errors. Give the spectrum with STAT_ERR, or before the "
            "background was subtracted"
        )
    elif not (spectrum.stat_error[used] > 0).all():
        problem = (
            "STAT_ERR is not positive in some channels with counts. Flag them (QUALITY), or make "
            "the spectrum again"
        )
    else:
        return
    raise ValueError(f"{label_of(spectrum)}: {problem}")


def _check_shape(name: str, values: NDArray[Any], *shapes: tuple[int, ...]) -> None:
    if values.shape not in shapes:
        raise ValueError(
            f"{name} must have shape {' or '.join(map(str, shapes))}, not {values.shape}"
        )


def _noticed_data(
    counts: NDArray[Any],
    background: ArrayLike | None,
    scale: ArrayLike,
    variance: ArrayLike | None,
    noticed: NDArray[np.int64],
) -> tuple[NDArray[np.float64], ...]:
    """Return counts, background counts and scale, and variance of the noticed channels, (B, n)."""
    source = counts[:, noticed].astype(np.float64)
    region, factor = np.zeros_like(source), np.zeros_like(source)
    if background is not None:
        behind = np.asarray(background)
        _check_shape("background_counts", behind, counts.shape)
        region = behind[:, noticed].astype(np.float64)
        factor = np.asarray(scale, dtype=np.float64)
        factor = factor[:, noticed] if factor.ndim == 2 else factor.reshape(-1, 1)
        factor = np.broadcast_to(factor, source.shape)
    if variance is None:
        return source, region, factor, source + factor**2 * region
    errors = np.asarray(variance, dtype=np.float64)
    _check_shape("variance", errors, counts.shape)
    return source, region, factor, errors[:, noticed]


def label_of(spectrum: XRaySpectrum) -> str:
    """Return the name under which errors mention a spectrum."""
    return str(spectrum.path or spectrum.source_name or "spectrum")


def require_response(spectrum: XRaySpectrum) -> None:
    """Raise ValueError for a spectrum that cannot be fitted for want of energies or responses."""
    if not spectrum.camera.resolves_energies:
        problem = (
            f"{spectrum.camera.name} has no energy resolution, so there is no spectrum to fit. Use "
            "an observation with another camera"
        )
    elif spectrum.rmf is None:
        problem = (
            "a fit needs the redistribution matrix. Give rmf= to read_spectrum (--rmf on the "
            "command line)"
        )
    elif not spectrum.has_area:
        problem = (
            "a fit needs the effective area. Give arf= to read_spectrum (--arf on the command line)"
        )
    else:
        return
    raise ValueError(f"{label_of(spectrum)}: {problem}")


def response_key(spectrum: XRaySpectrum) -> Any:
    """Return a key; spectra of equal key are folded together."""
    areascal = spectrum.areascal
    scaling = areascal if isinstance(areascal, float) else areascal.tobytes()
    edges, good = spectrum.channel_edges.tobytes(), spectrum.good.tobytes()
    return id(spectrum.rmf), id(spectrum.arf), scaling, edges, good
