"""X-ray spectrum with its response, background and observation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .instruments import Instrument, identify
from .ogip.errors import SpectrumFileError
from .rebin import (
    ascending_edges,
    background_seed,
    deal_counts,
    detection_seed,
    energy_grid,
    overlap_fractions,
)
from .response import EffectiveArea, RedistributionMatrix, in_unit

_ARRAYS = dict.fromkeys(("quality", "background_quality", "grouping", "channels"), np.int64) | (
    dict.fromkeys(("stat_error", "systematic_error", "background_error"), np.float64)
)
# OGIP 92-007: bad by the software, bad by the user.
_BAD = (1, 5)
_OBSERVATION = ("source_name", "obsid", "obi", "region_id", "ra", "dec", "detector")
# The contract keeps counts as int32; no X-ray observation comes near it.
MAX_TOTAL_COUNTS = 2**31 - 1
# Error of expected counts without one, as a share of them.
_EXACT = 1e-4
# Exposures, areas and their ratios beyond this are damage; products of them stay finite.
MAX_RATIO = 1e15


@dataclass(frozen=True, eq=False, kw_only=True)
class XRaySpectrum:
    """X-ray spectrum of one source: counts per channel, with responses, background and metadata.

    Channels are kept in ascending order of energy, whatever their order in a file. Arrays are
    copied and read-only. `exposure`, `background_exposure` and `energy_edges` may be astropy
    quantities.

    Attributes:
        counts: (n,) int64, counts per channel in the aperture, including background. Non-Poisson
            counts (see `are_poisson`) may be float64, and negative after background subtraction.
        energy_edges: (n + 1,) keV, ascending (EBOUNDS); None where unknown.
        exposure: live time, s.
        background_counts: (n,) int64, counts of the background region, or None. If float64, they
            are expected counts, such as those of a background model.
        background_error: (n,) error of the background counts if not Poisson, or None (expected
            counts are then exact).
        background_exposure: exposure of the background, s; by default that of the source.
        backscal, areascal: OGIP scalings of the source, a number or (n,).
        background_backscal, background_areascal: the same for the background.
        arf: effective area, or None.
        rmf: redistribution matrix, or None.
        quality, background_quality: (n,) OGIP flags, or None. Channels of quality 1 or 5 (bad)
            are kept, but not used (see `good`).
        grouping: (n,) OGIP flags, or None; kept, but not applied.
        stat_error: (n,) statistical error in counts where the file states one, or None.
        systematic_error: (n,) error as a fraction of the counts, or None.
        poisson_errors: the file's POISSERR, or None.
        hduclas2: ``NET`` where the background is subtracted from the counts already, ``BKG`` for
            a background, else None.
        channels: (n,) channel numbers of the file (descending where energies descend), or None.
        source_name: the catalogue's name, or the header's OBJECT (often the target's), or None.
        obsid, obi, region_id: the detection in the Chandra Source Catalog, or None.
        telescope, instrument, detector: as the header has them, or None.
        grating: `GRATING` of the header, None without one.
        order: arm and order of a dispersed spectrum, such as ``HEG -1``; None for others.
        date: start of the observation (`DATE-OBS`), as the header has it, or None.
        frame_time: s between two readouts (`TIMEDEL`), or None.
        ra, dec: position of the source, degrees ICRS, or None.
        target: position of the observation's target (`RA_TARG` or `RA_OBJ`), or None.
        variability: columns of the Chandra Source Catalog measured from the arrival times of its
            events, with `counts` and `length_s`, where the file states them (`specclip extract`).
        path: file it was read from, or None.
        energy_from: where the channel energies come from, such as ``EBOUNDS of x.rmf``.
        notes: notes of the reader, such as on missing files.

    Raises:
        ValueError: shapes that do not fit, Poisson counts that are negative or fractional, edges
            that do not ascend, an exposure or scaling that is not a positive number.

    Examples:
        >>> spectrum = XRaySpectrum(counts=[3, 1], energy_edges=[0.5, 1.0, 2.0], exposure=1e4)
        >>> spectrum.rebinned(n_bins=4, energy_range=(0.0, 2.0))["counts"].sum()
        np.int64(4)
    """

    counts: NDArray[Any]
    energy_edges: NDArray[np.float64] | None
    exposure: float
    background_counts: NDArray[Any] | None = None
    background_error: NDArray[np.float64] | None = None
    background_exposure: float | None = None
    backscal: float | NDArray[np.float64] = 1.0
    areascal: float | NDArray[np.float64] = 1.0
    background_backscal: float | NDArray[np.float64] = 1.0
    background_areascal: float | NDArray[np.float64] = 1.0
    arf: EffectiveArea | None = None
    rmf: RedistributionMatrix | None = None
    quality: NDArray[np.int64] | None = None
    background_quality: NDArray[np.int64] | None = None
    grouping: NDArray[np.int64] | None = None
    stat_error: NDArray[np.float64] | None = None
    systematic_error: NDArray[np.float64] | None = None
    poisson_errors: bool | None = None
    hduclas2: str | None = None
    channels: NDArray[np.int64] | None = None
    source_name: str | None = None
    obsid: int | None = None
    obi: int | None = None
    region_id: int | None = None
    telescope: str | None = None
    instrument: str | None = None
    detector: str | None = None
    grating: str | None = None
    order: str | None = None
    date: str | None = None
    frame_time: float | None = None
    ra: float | None = None
    dec: float | None = None
    target: tuple[float, float] | None = None
    variability: Mapping[str, float] | None = None
    path: str | None = None
    energy_from: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = _counts(self.counts, "counts")
        self._set(counts=counts)
        n = counts.size
        if self.hduclas2 is None and self.poisson_errors is not False:
            if counts.min() < 0:
                raise ValueError(f"counts must not be negative (channel {int(counts.argmin())} is)")
            if not self.counted:
                raise ValueError("counts must be whole numbers")
        if self.energy_edges is not None:
            edges = ascending_edges(in_unit(self.energy_edges, "keV"), "energy_edges")
            if edges.size != n + 1:
                raise ValueError(f"{n} channels need {n + 1} energy_edges, not {edges.size}")
            if edges[0] < 0:
                raise ValueError(f"energy_edges must not be negative (first is {edges[0]:g} keV)")
            self._set(energy_edges=edges)
        self._set(exposure=_positive(in_unit(self.exposure, "s"), "exposure"))
        for name in ("backscal", "areascal", "background_backscal", "background_areascal"):
            self._set(**{name: _scaling(getattr(self, name), name, n)})
        if self.background_counts is not None:
            background = _counts(self.background_counts, "background_counts", n)
            if background.min() < 0:
                raise ValueError("background_counts must not be negative")
            exposure = self.background_exposure
            exposure = self.exposure if exposure is None else in_unit(exposure, "s")
            self._set(background_counts=background)
            self._set(background_exposure=_positive(exposure, "background_exposure"))
        elif self.background_exposure is not None:
            raise ValueError("background_exposure was given without background_counts")
        if (largest := np.max(self.background_scale)) > MAX_RATIO:
            raise ValueError(f"a background_scale of {largest:g} is not valid")

        for name, dtype in _ARRAYS.items():
            if getattr(self, name) is not None:
                values = np.array(getattr(self, name), dtype=dtype)
                if values.shape != (n,):
                    raise ValueError(f"{name} must have shape ({n},), not {values.shape}")
                self._set(**{name: values})
        if self.rmf is not None and self.rmf.n_channels != n:
            raise ValueError(f"the RMF has {self.rmf.n_channels} channels, the spectrum {n}")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        edges = self.energy_edges
        parts = [
            f"{self.counts[self.good].sum():.10g} counts in {self.counts.size} channels",
            "energies unknown" if edges is None else f"{edges[0]:.4g}–{edges[-1]:.4g} keV",
            f"{self.exposure:.6g} s",
        ]
        if self.background_counts is not None:
            parts.append(f"{self.background_counts.sum():.10g} background counts")
        parts += [name.upper() for name in ("arf", "rmf") if getattr(self, name) is not None]
        label = self.source_name or (Path(self.path).name if self.path else None)
        return f"<XRaySpectrum {label + ': ' if label else ''}{', '.join(parts)}>"

    @property
    def channel_edges(self) -> NDArray[np.float64]:
        """Edges of the channels (n + 1,), keV.

        Raises:
            SpectrumFileError: they are unknown.
        """
        if self.energy_edges is not None:
            return self.energy_edges
        if not self.camera.resolves_energies:
            raise SpectrumFileError(
                f"{self.camera.name} has no energy resolution: this is not a spectrum",
                path=self.path,
                place="keyword INSTRUME",
                mend="take an observation by another camera",
            )
        why = f" ({self.energy_from})" if self.energy_from else ""
        raise SpectrumFileError(
            f"the energies of its channels are unknown without an RMF{why}",
            path=self.path,
            place="keyword RESPFILE",
            mend="put the RMF beside the file or give rmf= (--rmf)",
        )

    @property
    def camera(self) -> Instrument:
        """Instrument that the keywords name; see `instruments.identify`."""
        names = (self.telescope, self.instrument, self.detector, self.grating, self.order)
        return identify(*names, self.counts.size)

    @property
    def counted(self) -> bool:
        """True for non-negative integer counts."""
        return self.counts.dtype.kind != "f" and bool(self.counts.min() >= 0)

    @property
    def are_poisson(self) -> bool:
        """True for counts with the errors of Poisson counts.

        False if the background is already subtracted, if counts are not integers, or if the file
        has POISSERR = F and errors other than √N or those of Gehrels (1986), as written by CIAO.
        """
        if self.hduclas2 == "NET" or not self.counted:
            return False
        if self.poisson_errors is not False or self.stat_error is None:
            return True
        return has_usual_errors(self.counts[self.good], self.stat_error[self.good])

    @property
    def background_observed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Background as Poisson counts (n,) and their factor to the aperture (n,).

        Counts with errors of their own, σ of b, are those that (b / σ)² Poisson counts would give
        with the factor σ² / b: both have the same mean and the same variance.
        """
        scale = np.broadcast_to(np.asarray(self.background_scale), self.counts.shape)
        if self.background_counts is None:
            return np.zeros(self.counts.size), scale
        counts = self.background_counts.astype(np.float64)
        if self.background_error is None and self.background_counts.dtype.kind != "f":
            return counts, scale
        error = np.zeros_like(counts) if self.background_error is None else self.background_error
        error = np.maximum(error, _EXACT * counts)
        observed = np.divide(counts, error, out=np.zeros_like(counts), where=counts > 0) ** 2
        share = np.divide(counts, observed, out=np.ones_like(counts), where=counts > 0)
        return observed, scale * share

    @property
    def good(self) -> NDArray[np.bool_]:
        """True for channels that neither source nor background flags bad (QUALITY 1, 5), (n,)."""
        good = np.ones(self.counts.size, dtype=bool)
        for flags in (self.quality, self.background_quality):
            if flags is not None:
                good &= ~np.isin(flags, _BAD)
        return good

    @property
    def has_area(self) -> bool:
        """True where the effective area is known, from an ARF or folded into the RMF."""
        return self.arf is not None or (self.rmf is not None and self.rmf.includes_area)

    @property
    def background_scale(self) -> float | NDArray[np.float64]:
        """Factor from counts of the background region to counts in the aperture.

        exposure · BACKSCAL · AREASCAL of the source over that of the background (OGIP 92-007): a
        number, or (n,) where a scaling is per channel; 0 where there is no background. Channels in
        which the background region has no area get 0.
        """
        if self.background_counts is None or self.background_exposure is None:
            return 0.0
        source = self.exposure * np.asarray(self.backscal * self.areascal)
        behind = self.background_backscal * self.background_areascal
        region = self.background_exposure * np.asarray(behind)
        nothing = np.zeros(np.broadcast(source, region).shape)
        scale = np.divide(source, region, out=nothing, where=region > 0)
        return float(scale) if scale.ndim == 0 else scale

    @property
    def seed(self) -> int:
        """Seed of this detection's draws (`detection_seed`).

        Without identifiers, the seed follows from the counts, so that different spectra have
        independent draws (shared draws would leave a comb in stacked spectra).
        """
        name = self.source_name or ""
        if not name and self.obsid is None and self.region_id is None:
            name = hashlib.blake2b(self.counts.tobytes(), digest_size=8).hexdigest()
        return detection_seed(self.obsid, self.obi, self.region_id, name)

    def rebinned(
        self, n_bins: int = 400, energy_range: tuple[float, float] = (0.5, 8.0)
    ) -> dict[str, Any]:
        """Return the spectrum in equal bins, under the names of the data contract.

        Args:
            n_bins: number of bins.
            energy_range: keV.

        Returns:
            ``counts`` and ``background_counts`` (n_bins,) int32, distributed over the bins by
            `deal_counts` (zeros where there is no background); ``background_scale`` float (where
            it varies with the channel, the mean weighted by the background's counts; 0 without a
            background); ``exposure`` s; ``effective_area`` (n_bins,) float32 cm² at the bin
            centres (AREASCAL included, less the share of bad channels), or None;
            ``source_name``, ``obsid``, ``obi``, ``region_id``, ``ra``, ``dec``, ``detector``, None
            where unknown.

        Raises:
            ValueError: a grid that is not ascending, unknown energies of the channels, or counts
                that are no whole numbers.
        """
        edges = energy_grid(n_bins, energy_range)
        centres = (edges[:-1] + edges[1:]) / 2
        seed = self.seed
        background, more = self._background_in(edges, background_seed(seed))
        counts = np.where(self.good, self.counts, 0)
        if not self.counted:
            raise SpectrumFileError(
                "its counts are not integers, so they cannot be rebinned",
                path=self.path,
                mend="give the spectrum before background subtraction or weighting",
            )
        return {
            "counts": deal_counts(counts, self.channel_edges, edges, seed).astype(np.int32),
            "background_counts": background.astype(np.int32),
            "background_scale": self._mean_background_scale(edges) / more,
            "exposure": self.exposure,
            "effective_area": self._effective_area(centres, edges),
            **{name: getattr(self, name) for name in _OBSERVATION},
        }

    def fold(self, photons: ArrayLike) -> NDArray[np.float64]:
        """Fold a model into count rates per channel.

        Args:
            photons: (…, n_energies) photons/cm²/s in each bin of ``rmf.energy_edges``.

        Returns:
            (…, n) counts/s, AREASCAL included; background and exposure are not.

        Raises:
            ValueError: there is no RMF, or the number of energies is not the RMF's.
        """
        if self.rmf is None:
            raise ValueError("folding needs an RMF: give rmf= to read_spectrum")
        return self.rmf.fold(photons, arf=self.arf) * self.areascal

    def _background_in(self, edges: NDArray[Any], seed: int) -> tuple[NDArray[np.int64], float]:
        """Return background counts in bins, and how many times those that `background_scale` takes.

        Expected counts become those of a larger region, whose Poisson error is theirs.
        """
        if self.background_counts is None:
            return np.zeros(edges.size - 1, dtype=np.int64), 1.0
        region = np.where(self.good, self.background_counts, 0)
        if region.dtype.kind != "f":
            return deal_counts(region, self.channel_edges, edges, seed), 1.0
        observed, total = self.background_observed[0][self.good].sum(), region.sum()
        more = np.clip(observed, 100.0, 1 / _EXACT**2) / total if total > 0 else 1.0
        below = np.cumsum(region @ overlap_fractions(self.channel_edges, edges)) * more
        return np.diff(np.rint(below), prepend=0.0).astype(np.int64), more

    def _mean_background_scale(self, edges: NDArray[Any]) -> float:
        scale = self.background_scale
        if isinstance(scale, float) or self.background_counts is None:
            return float(scale)
        inside = (self.channel_edges[1:] > edges[0]) & (self.channel_edges[:-1] < edges[-1])
        inside &= self.good
        weights = np.where(inside, self.background_counts, 0)
        if not weights.any():
            weights = np.where(inside.any(), inside, True).astype(np.float64)
        return float(np.average(scale, weights=weights))

    def good_share(self, edges: NDArray[Any]) -> NDArray[np.float64]:
        """Return the share of each bin (m,) of `edges` (m + 1,) that no bad channel covers."""
        bad = np.diff(self.channel_edges) * ~self.good
        return 1.0 - bad @ overlap_fractions(self.channel_edges, edges) / np.diff(edges)

    def _effective_area(
        self, energies: NDArray[Any], edges: NDArray[Any]
    ) -> NDArray[np.float32] | None:
        if self.arf is not None:
            area = self.arf.at(energies)
        elif self.rmf is not None and self.has_area:
            area = self.rmf.effective_area.at(energies)
        else:
            return None
        if not self.good.all():
            area = area * self.good_share(edges)
        areascal = self.areascal
        if isinstance(areascal, np.ndarray):
            centres = (self.channel_edges[:-1] + self.channel_edges[1:]) / 2
            areascal = np.interp(energies, centres, areascal)
        return (area * areascal).astype(np.float32)

    def replace(self, **changes: Any) -> XRaySpectrum:
        """Return a copy with some attributes changed."""
        return replace(self, **changes)


def has_usual_errors(counts: NDArray[Any], errors: NDArray[Any]) -> bool:
    """Return True for errors that are √N, or those of Gehrels (1986), wherever there are counts."""
    used = counts > 0
    usual = np.sqrt(counts[used]), 1.0 + np.sqrt(counts[used] + 0.75)
    return any(np.allclose(errors[used], each, rtol=0.02) for each in usual)


def _counts(values: ArrayLike, name: str, n: int | None = None) -> NDArray[Any]:
    """Return whole numbers as int64, others as float64."""
    given = np.asarray(values)
    if given.ndim != 1 or not given.size or (n is not None and given.size != n):
        wanted = "(n,)" if n is None else f"({n},)"
        raise ValueError(f"{name} must have shape {wanted}, not {given.shape}")
    if given.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be numbers, not {given.dtype}")
    if not np.isfinite(given).all():
        raise ValueError(f"{name} must be finite")
    if np.abs(given).sum(dtype=np.float64) > MAX_TOTAL_COUNTS:
        raise ValueError(f"{name} add up to more than {MAX_TOTAL_COUNTS:,}")
    whole = given.dtype.kind != "f" or (given == np.rint(given)).all()
    return given.astype(np.int64 if whole else np.float64)


def _positive(value: Any, name: str) -> float:
    number = float(value)
    if not 1 / MAX_RATIO <= number <= MAX_RATIO:
        raise ValueError(f"{name} must be a positive number of plausible size, not {number:g}")
    return number


def _scaling(value: Any, name: str, n: int) -> float | NDArray[np.float64]:
    values = np.array(value, dtype=np.float64)
    if values.ndim == 0:
        return _positive(values, name)
    if values.shape != (n,):
        raise ValueError(f"{name} must be a number or have shape ({n},), not {values.shape}")
    used = values[values != 0]
    if not used.size or not ((used >= 1 / MAX_RATIO) & (used <= MAX_RATIO)).all():
        raise ValueError(f"{name} must be positive and of plausible size, or zero in some channels")
    return values
