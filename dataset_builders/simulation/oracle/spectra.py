"""Likelihood of observed spectra under many models at once.

Counts are put together into fewer bins, of about half the detector's resolution. A model's expected
counts are its amplitude times its shape through the observation's own area, plus the background of
that observation, whose level comes from the background region. The amplitude between observations
varies by a log-normal factor, which is integrated out.

For one spectrum and one model, with u = ln(source counts over a first estimate N₀), the logarithm
of the Poisson likelihood is

    L₀ + Σ x ln(1 − r + r eᵘ) − N₀ (eᵘ − 1),

with x the counts of a bin and r the share of the model there that is source at the first estimate.
The sum is taken as n ln(1 − q + q eᵘ), which is exact where r is the same everywhere and has the
right first and second derivative elsewhere: n q = Σ x r, n q² = Σ x r².
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from hf_specclip.spectra.rebin import overlap_fractions

from ...contract import BIN_EDGES, N_BINS
from .. import instrument
from ..detections import LEAST_NET_COUNTS, LEAST_SIGNIFICANCE, REFERENCE_AREA

# Bins of the contract (18.75 meV each) in one of the observer's, from the softest on.
_TOGETHER = ((2, 74), (4, 40), (8, 128), (16, 158))
_LEAST_BACKGROUND = 1e-3


@cache
def bin_starts() -> np.ndarray:
    """Return the first of the contract's bins in each of the observer's, (b)."""
    starts, at = [], 0
    for width, number in _TOGETHER:
        starts += list(range(at, at + number, width))
        at += number
    return np.array([start for start in starts if start < N_BINS])


@cache
def _dealt() -> np.ndarray:
    """Return the share of each PI channel in each of the observer's bins, (560, b)."""
    fractions = overlap_fractions(instrument.CHANNEL_EDGES, BIN_EDGES)
    return np.add.reduceat(fractions, bin_starts(), axis=1)


@cache
def responses() -> tuple[np.ndarray, ...]:
    """Return cm² from each photon energy to each of the observer's bins, on axis, per epoch,
    (870, b).
    """
    return tuple(
        (item.area[:, None] * item.redistribution) @ _dealt() for item in instrument.load_epochs()
    )


@cache
def background_shapes() -> np.ndarray:
    """Return the background in the observer's bins, per count in 0.5–7 keV, per epoch, (6, b)."""
    return np.stack([item.background @ _dealt() for item in instrument.load_epochs()])


@cache
def bin_centres() -> np.ndarray:
    """Return the bin centres, keV, (b)."""
    starts = bin_starts()
    return (BIN_EDGES[starts] + BIN_EDGES[np.append(starts[1:], N_BINS)]) / 2


@dataclass(frozen=True)
class Spectra:
    """Observed spectra, arrays (n)."""

    counts: np.ndarray  # in the observer's bins, (n, b)
    background: np.ndarray  # expected in the aperture, in the same bins, (n, b)
    exposure: np.ndarray  # s
    epoch: np.ndarray  # index into `instrument.load_epochs()`
    theta: np.ndarray  # off-axis angle, arcmin

    def __len__(self) -> int:
        return len(self.exposure)

    @property
    def least_log_flux(self) -> np.ndarray:
        """Return ln of the photon flux below which there would be no detection, (n)."""
        shapes = background_shapes()[self.epoch]
        behind = self.background.sum(axis=1) / shapes.sum(axis=1)
        # net / √(net + 2 behind) > s  ⇔  net > (s² + √(s⁴ + 8 s² behind)) / 2
        square = LEAST_SIGNIFICANCE**2
        net = np.maximum(LEAST_NET_COUNTS, (square + np.sqrt(square**2 + 8 * square * behind)) / 2)
        dimmed = instrument.vignetting(self.theta, np.array([1.5]))[:, 0]
        return np.log(net / (REFERENCE_AREA * self.exposure * dimmed))


def observed_spectra(
    counts: np.ndarray,
    background_counts: np.ndarray,
    background_scale: np.ndarray,
    exposure: np.ndarray,
    epoch: np.ndarray,
    theta: np.ndarray,
) -> Spectra:
    """Return the rows of a dataset as the observer takes them.

    The background has the colours of the instrument; its level is the mean of the posterior of the
    background region (with a flat prior of ln(level)).

    Args:
        counts, background_counts: in the contract's bins, (n, 400).
        background_scale: factor from background-region to aperture counts, (n).
        exposure: s, (n).
        epoch, theta: index into `instrument.load_epochs()`, off-axis angle (arcmin), (n).
    """
    starts = bin_starts()
    epoch = np.asarray(epoch)
    shape = background_shapes()[epoch]
    level = np.maximum(background_counts.sum(axis=1), 0.5) * background_scale
    behind = level[:, None] * shape / shape.sum(axis=1, keepdims=True)
    return Spectra(
        np.add.reduceat(counts, starts, axis=1).astype(np.float32),
        np.maximum(behind, _LEAST_BACKGROUND / len(starts)).astype(np.float32),
        np.asarray(exposure, dtype=float),
        epoch,
        np.asarray(theta, dtype=float),
    )


def fold_all(photons: np.ndarray) -> np.ndarray:
    """Return counts/s on axis for each epoch, of photons on `instrument.PHOTON_EDGES`, (m, 870).

    The shape is (6, b, m), float32: bin by bin, so that empty bins cost nothing.
    """
    photons = np.asarray(photons, dtype=np.float32)
    return np.stack([matrix.astype(np.float32).T @ photons.T for matrix in responses()])


@torch.no_grad()
def log_likelihoods(
    spectra: Spectra,
    row: int,
    rates: torch.Tensor,
    log_flux: torch.Tensor,
    scatter: torch.Tensor,
    *,
    detected: bool = True,
) -> torch.Tensor:
    """Return ln p(one spectrum | each model), integrated over the scatter of the amplitude.

    Args:
        spectra: observed spectra.
        row: index of the spectrum.
        rates: `fold_all` for its epoch, for a flux of 1 photon/cm²/s, (b, m).
        log_flux: ln of the mean photon flux at the time of the observation, (m).
        scatter: standard deviation of ln(flux) about it, (m); 0 is exact.
        detected: exclude fluxes below the detection limit.

    Returns:
        (m) float32, without the term Σ ln x! common to all models.
    """
    likelihood, scale = _prepare(spectra, row, rates)
    least = float(spectra.least_log_flux[row]) - scale.log() if detected else None
    return likelihood.integral(log_flux - scale.log(), scatter, least)


@dataclass(frozen=True)
class _Likelihood:
    """Log-likelihood of one spectrum under m models in u, by the module's formula."""

    level: torch.Tensor  # L₀ less N₀ and the background, (m)
    number: torch.Tensor  # n, (m)
    share: torch.Tensor  # q, (m)
    expected: float  # N₀

    def integral(
        self, start: torch.Tensor, scatter: torch.Tensor, least: torch.Tensor | None
    ) -> torch.Tensor:
        """Return ln ∫ N(u; start, scatter²) exp(log-likelihood) du, of it the part above `least`.

        By Laplace's method about the integrand's own maximum, with the next order.
        """
        precision = scatter.clamp(min=1e-3).pow(-2)
        u, stiff = self.peak(start, scatter)
        _, _, third, fourth = self.derivatives(u)
        value = self.level + self.number * (self.share * torch.expm1(u)).log1p()
        value = value - self.expected * torch.expm1(u)
        value = value - 0.5 * precision * (u - start) ** 2 - 0.5 * (stiff / precision).log()
        value = value + (5 / 24 * third**2 / stiff**3 + fourth / (8 * stiff**2)).clamp(-0.3, 0.3)
        if least is not None:
            value = value + torch.special.log_ndtr((u - least) * stiff.sqrt()).clamp(min=-1e4)
        return value

    def peak(self, start: torch.Tensor, scatter: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the integrand's maximum in u, and minus its logarithm's second derivative."""
        precision = scatter.clamp(min=1e-3).pow(-2)
        counted = self.number * self.share
        # Between where the scatter has its middle and where the counts do, by their weights.
        u = (start.clamp(-4.0, 4.0) * precision) / (precision + counted + 1.0)
        for _ in range(7):
            first, second, _, _ = self.derivatives(u)
            gradient = first - precision * (u - start)
            u = u + (gradient / (precision - second).clamp(min=0.5)).clamp(-0.7, 0.7)
        _, second, _, _ = self.derivatives(u)
        return u, (precision - second).clamp(min=0.5)

    def derivatives(self, u: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the first four derivatives of the log-likelihood in u."""
        grown = u.exp()
        now = self.share * grown
        now = now / (1.0 - self.share + now)
        grown = grown * self.expected
        first = self.number * now
        second = first * (1.0 - now)
        third = second * (1.0 - 2.0 * now)
        fourth = second * (1.0 - 6.0 * now + 6.0 * now**2)
        return first - grown, second - grown, third - grown, fourth - grown


def _prepare(spectra: Spectra, row: int, rates: torch.Tensor) -> tuple[_Likelihood, torch.Tensor]:
    """Return the likelihood of one spectrum under models, and their fluxes at N₀."""
    dimming = instrument.vignetting(spectra.theta[row : row + 1], bin_centres())[0]
    dimming = torch.from_numpy((dimming * spectra.exposure[row]).astype(np.float32))
    counts = torch.from_numpy(spectra.counts[row])
    behind = torch.from_numpy(spectra.background[row])
    per_flux = dimming @ rates
    expected = max(float(counts.sum() - behind.sum()), 0.3 * float(counts.sum()), 3.0)
    # At the first estimate of the source's counts, the same for all models.
    scale = expected / per_flux
    level, slope, curve = (torch.zeros_like(per_flux) for _ in range(3))
    for index in torch.nonzero(counts).ravel().tolist():
        share = rates[index] * scale
        share.mul_(float(dimming[index]))
        both = share + float(behind[index])
        share.div_(both)
        number = float(counts[index])
        level.add_(both.log_(), alpha=number)
        slope.add_(share, alpha=number)
        curve.addcmul_(share, share, value=number)
    share = (curve / slope.clamp(min=1e-6)).clamp(1e-6, 1.0 - 1e-6)
    level = level - expected - float(behind.sum())
    return _Likelihood(level, slope / share, share, expected), scale
