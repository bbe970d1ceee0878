"""From spectra to the tensors of the SpecCLIP models."""

import importlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .configuration_specclip import (
    INPUT_FORMAT,
    N_BANDS,
    check_input_settings,
    input_signature,
)
from .variables_specclip import AXIS, HARDNESS_BANDS, WINDOWS

_COLUMNS = ("counts", "exposure", "background_counts", "background_scale", "effective_area")
# Stands in for an area that is not known: the mean of the six epochs of ACIS-S and ACIS-I, 1999 to
# 2016, on axis, in `acis_effective_area.csv` of the simulation (Chandra calibration). keV, cm².
_USUAL_AREA = (
    (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 1.8, 2.0, 2.1, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
    (96, 123, 182, 268, 346, 410, 514, 605, 568, 498, 295, 343, 366, 380, 308, 189, 94, 36),
)
# ACIS sees nothing beyond, keV: harder spectra are another telescope's.
_HIGHEST = 12.0
# Below this share of the best band's area nothing is divided by it.
_LEAST_AREA = 1e-3


class SpecCLIPFeatureExtractor(FeatureExtractionMixin):
    r"""
    Turns X-ray spectra, as integer counts in equal energy bins, into the tensors that the SpecCLIP
    models take.

    With `input_kind="minmax"` (the paper) there is one channel, `rate`: the count rate in each bin,
    min-max normalised for each spectrum by itself. The exposure cancels and need not be given. A
    spectrum without any contrast (no counts at all, say) becomes zeros.

    With `input_kind="physics"` a spectrum of some tens of counts, whose 400 bins are mostly zeros
    and ones, is given together with what those counts are worth. Along the bins:

    - `counts`: \\(2\sqrt{n + 3/8} - 2\sqrt{3/8}\\), of nearly constant variance, 0 for no counts;
    - `background`: the same of the background expected in the aperture (background counts times
      their scale, averaged over 0.4 keV);
    - `shape`: net counts averaged over 0.3 keV as a share of all, 1 for a flat spectrum, as
      sign(x) log(1 + abs(x)).

    And for the spectrum as a whole, where N are all counts, B the background expected among them,
    S = N − B, and σ² = N + scale · B + 1 (an estimate that stays above zero without counts):

    - `log_net_rate` log10((max(S, 0) + 1) / exposure), `log_counts` log10(N + 1),
      `log_net_counts` log10(max(S, 0) + 1), `log_background` log10(B + 1);
    - `significance` asinh(S / σ);
    - `band_fraction_1…13` and `band_fraction_error_1…13`: net counts and their σ in 13 bands of
      equal ratio, divided by sqrt(max(S, 0)² + σ²), so that they fade where there is no signal
      (`shape` likewise);
    - `hard_hm`, `hard_hs`, `hard_ms` (x − y)/(x + y) of net counts plus one half in the bands
      s 0.5–1.2, m 1.2–2 and h 2–7 keV, with propagated errors of at most 1.

    With `input_kind="flux"` the same channels come with numbers that the telescope has been taken
    out of. The effective area at 0.5 keV is 205 cm² for ACIS-S in 2001 and 7 cm² for ACIS-I in
    2016, so that counts alone say little of how soft a source is. In each of the 13 bands the net
    counts and their σ are divided by exposure and mean effective area, and of these fluxes
    (photons/cm²/s) come

    - `log_flux` and `log_energy_flux` (keV/cm²/s): log10(sqrt(max(F, 0)² + σ²)) of their sums;
    - the fractions, ratios and errors as above, of fluxes in place of counts;
    - `log_counts`, `log_net_counts`, `log_background` and `significance` as they are.

    Where `effective_area` is not given (or not a number throughout a row), that of a usual ACIS
    observation stands in, and 1 along another axis or beyond 12 keV.

    All are finite without counts. Exposure, effective area, detector, off-axis angle and date are
    never given by themselves: they tell where the telescope pointed, and so which source it was.

    Args:
        input_kind (`str`, defaults to `"minmax"`): `"minmax"`, `"physics"` or `"flux"`.
        n_bins (`int`, defaults to 400): number of equal energy bins.
        energy_range (`tuple[float, float]`, defaults to `(0.5, 8.0)`): their outer edges, keV.
        axis (`tuple[str, str]`, defaults to `("energy", "keV")`): name and unit of what the counts
            lie along. `energy_range`, `bands` and `windows` are in this unit. Files and
            `XRaySpectrum` are taken along the energy in keV only, counts along any axis.
        bands (three pairs of floats, defaults to 0.5–1.2, 1.2–2, 2–7): s, m and h above.
        windows (`tuple[float, float]`, defaults to `(0.3, 0.4)`): widths over which `shape` and
            `background` are averaged.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_specclip import SpecCLIPFeatureExtractor

    >>> extractor = SpecCLIPFeatureExtractor(input_kind="physics")
    >>> inputs = extractor(np.ones((2, 400), int), exposure=[1e4, 2e4], return_tensors="pt")
    >>> {name: tuple(tensor.shape) for name, tensor in inputs.items()}
    {'spectrum_values': (2, 3, 400), 'spectrum_globals': (2, 37), 'input_signature': (2,)}
    ```"""

    model_input_names = ["spectrum_values", "spectrum_globals", "input_signature"]  # noqa: RUF012

    def __init__(
        self,
        input_kind: str = "minmax",
        n_bins: int = 400,
        energy_range: Sequence[float] = (0.5, 8.0),
        axis: Sequence[str] = AXIS,
        bands: Sequence[Sequence[float]] = HARDNESS_BANDS,
        windows: Sequence[float] = WINDOWS,
        input_format: int = INPUT_FORMAT,
        **kwargs: Any,
    ):
        check_input_settings(input_kind, n_bins, energy_range, axis, bands, windows)
        if input_format != INPUT_FORMAT:
            raise ValueError(
                f"this feature extractor was saved with input format {input_format}, the code here "
                f"makes format {INPUT_FORMAT}: load it with the version of hf_specclip it was "
                "saved with, or with trust_remote_code=True where the code is saved beside it"
            )
        self.input_kind = input_kind
        self.n_bins = n_bins
        self.energy_range = [float(edge) for edge in energy_range]  # a list, as in JSON
        self.axis = list(axis)
        self.bands = [[float(edge) for edge in band] for band in bands]
        self.windows = [float(width) for width in windows]
        self.input_format = input_format
        kwargs.pop("feature_extractor_type", None)
        super().__init__(**kwargs)

    @property
    def input_signature(self) -> int:
        """What the tensors are marked with, see `configuration_specclip.input_signature`."""
        return input_signature(
            self.input_kind,
            self.n_bins,
            self.energy_range,
            axis=self.axis,
            bands=self.bands,
            windows=self.windows,
        )

    def __call__(
        self,
        spectra: Any,
        *,
        exposure: Any = None,
        background_counts: Any = None,
        background_scale: Any = None,
        effective_area: Any = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """
        Args:
            spectra: one spectrum or many, as
                - a dict of columns: `counts` (B, n_bins) or (n_bins,), `exposure` (B,) s,
                  `background_counts` like `counts`, `background_scale` (B,), the factor that turns
                  them into counts of the source aperture, `effective_area` like `counts`, cm² in
                  the middle of each bin; others are ignored. The fastest way;
                - an array of counts (B, n_bins) or (n_bins,), the rest as keywords;
                - anything with `.rebinned(n_bins=, energy_range=)`, such as an `XRaySpectrum`;
                - the path of a PHA file, where `hf_specclip` is installed;
                - a list of dicts, of spectra or of paths.
                Without a background (absent or None) none is subtracted.
            exposure: seconds, only beside an array of counts; likewise `background_counts`,
                `background_scale` and `effective_area`.
            return_tensors: `"pt"` for torch tensors, else numpy arrays.

        Returns:
            `BatchFeature` of `spectrum_values` (B, C, n_bins) float32, `input_signature` (B,) int64
            and, but for `"minmax"`, `spectrum_globals` (B, G) float32; B = 1 for a single spectrum.

        Raises:
            ValueError: counts that are negative, fractional or not finite, in the wrong number of
                bins, or a missing or impossible exposure, background scale or effective area; the
                message names the row and what to do.
            ImportError: a path, where `hf_specclip` is not installed.
        """
        given = {
            "exposure": exposure,
            "background_counts": background_counts,
            "background_scale": background_scale,
            "effective_area": effective_area,
        }
        columns = self._columns(spectra, given)
        counts = self._counts(columns["counts"], "counts")
        data: dict[str, Any]
        if self.input_kind == "minmax":
            data = {"spectrum_values": _min_max(counts)[:, None, :]}
        else:
            seconds = self._exposure(columns["exposure"], len(counts))
            background, scale = self._background(columns, len(counts))
            area = None
            if self.input_kind == "flux":
                area = self._area(columns["effective_area"], len(counts))
            values, numbers = self._physics(counts, seconds, background, scale, area)
            data = {"spectrum_values": values, "spectrum_globals": numbers}
        data["input_signature"] = np.full(len(counts), self.input_signature, dtype=np.int64)
        return BatchFeature(data, tensor_type=return_tensors)

    def _columns(self, spectra: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The contract's columns of whatever was given; a single spectrum becomes a batch of 1."""
        if not isinstance(spectra, Mapping) and _is_counts(spectra):
            spectra = {"counts": spectra, **given}
        elif any(value is not None for value in given.values()):
            names = ", ".join(name for name, value in given.items() if value is not None)
            raise ValueError(f"{names} as keyword goes with an array of counts only")
        columns: dict[str, Any]
        if isinstance(spectra, Mapping):
            columns = {name: spectra.get(name) for name in _COLUMNS}
            if columns["counts"] is None:
                raise ValueError(f"no 'counts' among the columns {sorted(map(str, spectra))}")
            columns["counts"] = _array(columns["counts"], "counts")
            if columns["counts"].ndim == 1:
                columns = {name: None if c is None else [c] for name, c in columns.items()}
            return columns
        many = isinstance(spectra, Sequence) and not isinstance(spectra, str)
        rows = [self._row(each, row) for row, each in enumerate(spectra if many else [spectra])]
        if not rows:
            raise ValueError("no spectra given")
        columns = {name: [row.get(name) for row in rows] for name in _COLUMNS}
        missing = [row for row, counts in enumerate(columns["counts"]) if counts is None]
        if missing:
            raise ValueError(f"row {missing[0]}: no 'counts'")
        return columns

    def _row(self, spectrum: Any, row: int) -> Mapping[str, Any]:
        if isinstance(spectrum, Mapping):
            return spectrum
        if tuple(self.axis) != AXIS:
            raise ValueError(
                f"row {row}: this model's axis is {self.axis[0]} in {self.axis[1]}, so it takes no "
                f"{type(spectrum).__name__}: give a dict with 'counts' in its {self.n_bins} bins"
            )
        if isinstance(spectrum, str | os.PathLike):
            spectrum = _read(spectrum)
        if not hasattr(spectrum, "rebinned"):
            raise ValueError(
                f"row {row}: cannot take a {type(spectrum).__name__} for a spectrum: give counts, "
                "a dict with 'counts', an XRaySpectrum or the path of a PHA file"
            )
        return spectrum.rebinned(n_bins=self.n_bins, energy_range=tuple(self.energy_range))

    def _counts(self, column: Any, name: str) -> np.ndarray:
        """Integer counts as float32 (B, n_bins), always a new array."""
        counts = _array(column, name)
        if counts.ndim != 2 or counts.shape[1] != self.n_bins:
            low, high = self.energy_range
            found = f"{counts.shape[-1]} bins" if counts.ndim == 2 else f"shape {counts.shape}"
            raise ValueError(
                f"{name} come with {found}, this feature extractor needs (batch, {self.n_bins}): "
                f"rebin with XRaySpectrum.rebinned(n_bins={self.n_bins}, "
                f"energy_range=({low:g}, {high:g})), or train a model with its own n_bins"
            )
        if counts.dtype.kind == "f":
            _refuse_rows(~np.isfinite(counts), name, "is not finite", counts)
            _refuse_rows(
                counts != np.rint(counts),
                name,
                "is no whole number: give counts as detected, not rates or weighted counts",
                counts,
            )
        elif counts.dtype.kind not in "iu":
            raise ValueError(f"{name} are of type {counts.dtype}, they must be whole numbers")
        if counts.size and counts.min() < 0:
            _refuse_rows(
                counts < 0, name, "is negative: do not subtract the background from them", counts
            )
        return counts.astype(np.float32)

    def _exposure(self, column: Any, batch: int) -> np.ndarray:
        if column is None:
            raise ValueError(
                'input_kind="physics" needs the exposure (live time, s): give {"counts": …, '
                '"exposure": …}, or exposure= beside an array of counts'
            )
        return _numbers(column, "exposure", batch, above_zero=True)

    def _background(self, columns: dict[str, Any], batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the background region (B, n_bins) and their scale (B, 1); zeros for none."""
        column, scales = columns["background_counts"], columns["background_scale"]
        none = np.zeros(self.n_bins, dtype=np.int32)
        if column is None:
            return np.zeros((batch, self.n_bins), np.float32), np.zeros((batch, 1), np.float32)
        if isinstance(column, list | tuple):
            absent = [row is None for row in column]
            column = [none if row is None else row for row in column]
        else:
            absent = [False] * batch
        counts = self._counts(column, "background_counts")
        if len(counts) != batch:
            raise ValueError(f"{len(counts)} rows of background_counts beside {batch} of counts")
        if scales is None:
            scales = [None] * batch
        if any(absent) or isinstance(scales, list | tuple):
            scales = [scales] if np.ndim(scales) == 0 else list(scales)
            for row, scale in enumerate(scales):
                if scale is None and row < batch and not absent[row] and counts[row].any():
                    raise ValueError(
                        f"row {row}: background_counts without background_scale (the factor that "
                        "turns them into counts of the source aperture, such as the ratio of "
                        "BACKSCAL times exposure): give it, or leave the background out"
                    )
            scales = [0.0 if scale is None else scale for scale in scales]
        return counts, _numbers(scales, "background_scale", batch, above_zero=False)[:, None]

    def _area(self, column: Any, batch: int) -> np.ndarray:
        """Effective area in each bin, float32 (B, n_bins)."""
        low, high = self.energy_range
        edges = np.linspace(low, high, self.n_bins + 1)
        usual = np.ones(self.n_bins, dtype=np.float32)
        if tuple(self.axis) == AXIS and high <= _HIGHEST:
            usual = np.interp((edges[1:] + edges[:-1]) / 2, *_USUAL_AREA).astype(np.float32)
        if isinstance(column, list | tuple):
            column = [usual if row is None else row for row in column]
        elif column is None:
            return np.broadcast_to(usual, (batch, self.n_bins))
        area = _array(column, "effective_area").astype(np.float32)
        if area.shape != (batch, self.n_bins):
            raise ValueError(
                f"effective_area has the shape {area.shape}, the counts need "
                f"{(batch, self.n_bins)}: give cm² in the middle of each bin, or leave it out"
            )
        area = np.where(np.isnan(area).all(axis=1, keepdims=True), usual, area)
        _refuse_rows(~np.isfinite(area), "effective_area", "is not finite", area)
        _refuse_rows(area < 0, "effective_area", "is negative", area)
        _refuse_rows(area.max(axis=1)[:, None] <= 0, "effective_area", "as everywhere", area)
        return area

    def _physics(
        self,
        counts: np.ndarray,
        exposure: np.ndarray,
        background: np.ndarray,
        scale: np.ndarray,
        area: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Channels and numbers; those of fluxes where an area is given."""
        low, high = self.energy_range
        width = (high - low) / self.n_bins
        bands = _band_matrix(self.n_bins, low, high, tuple(map(tuple, self.bands)))
        # Columns of `bands`: all bins, then the 13 bands, then soft, medium and hard.
        source, region = counts @ bands, background @ bands
        net = source - scale * region
        variance = source + scale**2 * region + 1
        total, total_variance = net[:, :1], variance[:, :1]
        positive = np.maximum(total, 0)
        norm = np.sqrt(positive**2 + total_variance)

        # Written in place throughout: fresh memory costs more than the arithmetic.
        values = np.empty((len(counts), 3, self.n_bins), dtype=np.float32)
        _stabilise(counts, values[:, 0])
        _running_mean(background, self.windows[1] / width, values[:, 1])
        values[:, 1] *= scale
        _stabilise(values[:, 1], values[:, 1])
        shape = values[:, 2]
        np.multiply(background, -scale, out=shape)
        shape += counts
        _running_mean(shape, self.windows[0] / width, shape)
        shape *= self.n_bins / norm
        np.copysign(np.log1p(np.abs(shape)), shape, out=shape)

        parts, compared = slice(1, 1 + N_BANDS), slice(1 + N_BANDS, None)
        log_net = np.log10(positive + 1)
        if area is None:
            brightness = [log_net - np.log10(exposure)[:, None]]
            shares = [net[:, parts] / norm, np.sqrt(variance[:, parts]) / norm]
            ratios = _hardness(net[:, compared], variance[:, compared])
        else:
            areas = area @ bands[:, parts] / bands[:, parts].sum(axis=0)
            areas = np.maximum(areas, _LEAST_AREA * areas.max(axis=1, keepdims=True))
            areas *= exposure[:, None]
            brightness, shares, ratios = self._fluxes(
                net[:, parts] / areas, variance[:, parts] / areas**2, areas.mean(axis=1)
            )
        numbers = np.concatenate(
            [
                *brightness,
                np.log10(source[:, :1] + 1),
                log_net,
                np.log10(scale * region[:, :1] + 1),
                np.arcsinh(total / np.sqrt(total_variance)),
                *shares,
                *ratios,
            ],
            axis=1,
        )
        return values, numbers.astype(np.float32)

    def _fluxes(
        self, flux: np.ndarray, variance: np.ndarray, sensitivity: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """What is said of fluxes.

        Args:
            flux, variance: in the bands of equal ratio, photons/cm²/s and its square, (B, 13).
            sensitivity: counts for one photon/cm²/s, on average, (B,).

        Returns:
            The logarithms of the sums, the fractions with their errors, the ratios with theirs.
        """
        edges = _band_edges(*self.energy_range)
        middles = np.sqrt(edges[1:] * edges[:-1]) if edges[0] > 0 else (edges[1:] + edges[:-1]) / 2
        norm, energy = (
            np.sqrt(np.maximum(flux @ weights, 0) ** 2 + variance @ weights**2)[:, None]
            for weights in (np.ones(N_BANDS), middles)
        )
        # A flux that is level within each band is shared out among s, m and h. As counts of a
        # detector of one area at all energies, half a count is what it is without fluxes.
        shared = _overlaps(edges[:-1], edges[1:], self.bands)
        counts = (flux @ shared) * sensitivity[:, None]
        errors = (variance @ shared**2) * sensitivity[:, None] ** 2
        return (
            [np.log10(norm), np.log10(energy)],
            [flux / norm, np.sqrt(variance) / norm],
            _hardness(counts, errors),
        )


def _is_counts(spectra: Any) -> bool:
    """Whether something is an array (numpy, torch, nested lists) of numbers."""
    while isinstance(spectra, list | tuple) and spectra:
        spectra = spectra[0]
    return isinstance(spectra, int | float) or (
        hasattr(spectra, "__array__") and not hasattr(spectra, "rebinned")
    )


def _array(column: Any, name: str) -> np.ndarray:
    if isinstance(column, list | tuple):
        missing = [row for row, value in enumerate(column) if value is None]
        if missing:
            raise ValueError(f"row {missing[0]}: no {name}")
    if hasattr(column, "detach"):  # a torch tensor, wherever it is
        column = column.detach().cpu().numpy()
    elif isinstance(column, list | tuple) and column and hasattr(column[0], "detach"):
        column = [row.detach().cpu().numpy() for row in column]
    try:
        array = np.asarray(column)
        # A column of a data frame holds its rows as objects.
        return np.stack(list(array)) if array.dtype == object and array.ndim == 1 else array
    except ValueError:
        lengths = sorted({len(row) for row in column})
        raise ValueError(
            f"{name} have rows of different lengths ({', '.join(map(str, lengths))} bins)"
        ) from None


def _numbers(column: Any, name: str, batch: int, above_zero: bool) -> np.ndarray:
    """One number for each spectrum, float32 (B,)."""
    numbers = _array(column, name).astype(np.float64).reshape(-1)
    if len(numbers) != batch:
        raise ValueError(f"{len(numbers)} values of {name} beside {batch} spectra")
    bad = ~np.isfinite(numbers) | ((numbers <= 0) if above_zero else (numbers < 0))
    if bad.any():
        row = int(np.argmax(bad))
        least = "above 0" if above_zero else "at least 0"
        raise ValueError(f"row {row}: {name} is {numbers[row]:g}, it must be finite and {least}")
    return numbers.astype(np.float32)


def _refuse_rows(bad: np.ndarray, name: str, reason: str, counts: np.ndarray) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(f"row {row}: {name}[{column}] = {counts[row, column]:g} {reason}")


def _read(path: Any) -> Any:
    # Not an import statement: transformers asks for every package that saved code imports.
    try:
        spectra = importlib.import_module("hf_specclip.spectra")
    except ImportError as error:
        raise ImportError(
            f"reading the file {os.fspath(path)} needs the package: pip install hf-specclip, or "
            'give the counts themselves, {"counts": …, "exposure": …}'
        ) from error
    return spectra.read_spectrum(path)


def _min_max(counts: np.ndarray) -> np.ndarray:
    low = counts.min(axis=1, keepdims=True)
    span = counts.max(axis=1, keepdims=True) - low
    return (counts - low) / np.where(span > 0, span, 1)


def _stabilise(counts: np.ndarray, out: np.ndarray) -> None:
    """Square root of Poisson counts (Anscombe 1948): variance near 1, and 0 for no counts."""
    np.add(counts, 0.375, out=out)
    np.sqrt(out, out=out)
    out *= 2
    out -= 2 * 0.375**0.5


def _running_mean(values: np.ndarray, window: float, out: np.ndarray) -> None:
    """Mean over `window` bins around each; over fewer at the ends of the spectrum."""
    n = values.shape[1]
    half = min(max(round((window - 1) / 2), 0), n)
    # Sums are made in float64, so that rounding does not grow along the spectrum.
    sums = np.cumsum(values, axis=1, dtype=np.float64)
    out[:, : n - half] = sums[:, half:]
    out[:, n - half :] = sums[:, -1:]
    out[:, half + 1 :] -= sums[:, : max(n - half - 1, 0)]
    places = np.arange(n)
    bins = np.minimum(places + half + 1, n) - np.maximum(places - half, 0)
    out /= bins.astype(np.float32)


def _hardness(net: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x − y)/(x + y) for (h, m), (h, s), (m, s) and errors; net counts come as (s, m, h)."""
    net = np.maximum(net, 0) + np.float32(0.5)
    x, y = net[:, [2, 2, 1]], net[:, [1, 0, 0]]
    variance_x, variance_y = variance[:, [2, 2, 1]], variance[:, [1, 0, 0]]
    error = 2 * np.sqrt(y**2 * variance_x + x**2 * variance_y) / (x + y) ** 2
    return (x - y) / (x + y), np.minimum(error, 1)


@lru_cache(maxsize=16)
def _band_matrix(
    n_bins: int, low: float, high: float, compared: tuple[tuple[float, ...], ...]
) -> np.ndarray:
    """Share of each bin in: all, the 13 bands of equal ratio, s, m and h. (n_bins, 17) float32."""
    edges = np.linspace(low, high, n_bins + 1)
    bands = [(low, high), *pairwise(_band_edges(low, high)), *compared]
    matrix = _overlaps(edges[:-1], edges[1:], bands).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def _band_edges(low: float, high: float) -> np.ndarray:
    """Edges of the 13 bands of equal ratio, (14,)."""
    start = max(low, high / 1000)  # they cannot begin at 0 keV
    steps = np.geomspace(start, high, N_BANDS + 1)
    steps[0], steps[-1] = low, high
    return steps


def _overlaps(lower: np.ndarray, upper: np.ndarray, bands: Sequence[Sequence[float]]) -> np.ndarray:
    """Share of each interval (n) that lies in each band (m), (n, m)."""
    shares = [
        np.clip(np.minimum(upper, top) - np.maximum(lower, bottom), 0, None)
        for bottom, top in bands
    ]
    return np.stack(shares, axis=1) / (upper - lower)[:, None]


SpecCLIPFeatureExtractor.register_for_auto_class()

__all__ = ["SpecCLIPFeatureExtractor"]
