"""Feature extractor of X-ray spectra."""

import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .checkpoint_specclip import CheckedLoading
from .spectrum_features_specclip import compute_features, normalise_min_max
from .spectrum_input_specclip import INPUT_FORMAT, check_input_settings, input_signature
from .variables_specclip import AXIS, HARDNESS_BANDS, WINDOWS

_COLUMNS = ("counts", "exposure", "background_counts", "background_scale", "effective_area")
# On-axis effective area assumed where it is unknown, keV and cm²: mean over ACIS-S and ACIS-I in
# six epochs from 1999 to 2016 (`acis_effective_area.csv` of the simulation, Chandra calibration).
_USUAL_AREA = (
    (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 1.8, 2.0, 2.1, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
    (96, 123, 182, 268, 346, 410, 514, 605, 568, 498, 295, 343, 366, 380, 308, 189, 94, 36),
)
# Upper end of the ACIS band, keV; harder spectra come from another telescope.
_MAX_ENERGY = 12.0


class SpecCLIPFeatureExtractor(CheckedLoading, FeatureExtractionMixin):
    r"""
    Feature extractor of X-ray spectra: converts integer counts in energy bins of equal width to the
    tensors of the SpecCLIP models.

    `input_kind="minmax"` (the paper) has one channel, `rate`: the count rate per bin, min-max
    normalised per spectrum. The exposure cancels and is not needed. A constant spectrum (no counts,
    for instance) becomes zeros.

    `input_kind="physics"` is for faint spectra, where most of the 400 bins have no count or one. It
    has the channels

    - `counts`: \\(2\sqrt{n + 3/8} - 2\sqrt{3/8}\\) (Anscombe transform, nearly constant variance);
    - `background`: the same of the expected background in the source aperture (background counts
      times their scale), averaged over 0.4 keV;
    - `shape`: sign(x) log(1 + abs(x)), where x are the net counts averaged over 0.3 keV and divided
      by their mean over all bins (1 for a flat spectrum);

    and the global features below. N are the total counts, B the background counts expected among
    them, S = N − B the net counts, and σ² = N + scale · B + 1 (positive without counts).

    - `log_net_rate` log10((max(S, 0) + 1) / exposure), `log_counts` log10(N + 1),
      `log_net_counts` log10(max(S, 0) + 1), `log_background` log10(B + 1);
    - `significance` asinh(S / σ);
    - `band_fraction_1…13` and `band_fraction_error_1…13`: net counts and their σ in 13 logarithmic
      bands, divided by sqrt(max(S, 0)² + σ²), so that they vanish without a signal (as does
      `shape`);
    - `hard_hm`, `hard_hs`, `hard_ms`: hardness ratios (x − y)/(x + y) of the net counts plus one
      half in the bands s 0.5–1.2, m 1.2–2 and h 2–7 keV, with propagated errors of at most 1.

    `input_kind="flux"` has the same channels, and global features corrected for the effective area.
    At 0.5 keV it was 205 cm² for ACIS-S in 2001 and 7 cm² for ACIS-I in 2016, so counts alone do
    not determine how soft a source is. The net counts and their σ in the 13 bands are divided by
    the exposure and the mean effective area. From these fluxes (photons/cm²/s) follow

    - `log_flux` and `log_energy_flux` (keV/cm²/s): log10(sqrt(max(F, 0)² + σ²)) of their sums;
    - the fractions, hardness ratios and errors above, of fluxes in place of counts;
    - `log_counts`, `log_net_counts`, `log_background` and `significance`, unchanged.

    Where `effective_area` is missing or NaN, the mean area of ACIS is assumed; on another axis than
    energy, or beyond 12 keV, it is 1.

    All features are finite without counts. Exposure, effective area, detector, off-axis angle and
    date are not features, because they identify the observation and thus the source.

    Args:
        input_kind (`str`, defaults to `"minmax"`): `"minmax"`, `"physics"` or `"flux"`.
        n_bins (`int`, defaults to 400): number of energy bins of equal width.
        energy_range (`tuple[float, float]`, defaults to `(0.5, 8.0)`): outer edges of the bins,
            keV.
        axis (`tuple[str, str]`, defaults to `("energy", "keV")`): name and unit of the axis of
            the counts, also the unit of `energy_range`, `bands` and `windows`. With another axis
            than energy in keV, only counts are accepted, not files or `XRaySpectrum`.
        bands (three pairs of floats, defaults to 0.5–1.2, 1.2–2, 2–7): soft, medium and hard band
            of the hardness ratios.
        windows (`tuple[float, float]`, defaults to `(0.3, 0.4)`): widths of the running means of
            `shape` and `background`.

    Examples:

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
                f"this feature extractor was saved with input format {input_format}, this version "
                f"has format {INPUT_FORMAT}: load it with the version of hf_specclip that saved "
                "it, or with trust_remote_code=True if the code was saved with it"
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
        """Signature of the settings; see `spectrum_input_specclip.input_signature`."""
        return input_signature(self)

    def usual_area(self) -> np.ndarray:
        """Return the effective area assumed where it is unknown, cm² per bin, float32 (n_bins,)."""
        low, high = self.energy_range
        edges = np.linspace(low, high, self.n_bins + 1)
        if tuple(self.axis) != AXIS or high > _MAX_ENERGY:
            return np.ones(self.n_bins, dtype=np.float32)
        return np.interp((edges[1:] + edges[:-1]) / 2, *_USUAL_AREA).astype(np.float32)

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
        """Convert spectra to tensors.

        Args:
            spectra: one spectrum or several, as
                - a dict of columns: `counts` (B, n_bins) or (n_bins,); `exposure` (B,), s;
                  `background_counts` like `counts`; `background_scale` (B,), the ratio of expected
                  background in the source aperture to `background_counts`; `effective_area` like
                  `counts`, cm² at the bin centres. Other columns are ignored. This is the fastest;
                - an array of counts (B, n_bins) or (n_bins,), with the other columns as keywords;
                - an object with `.rebinned(n_bins=, energy_range=)`, such as an `XRaySpectrum`;
                - the path of a PHA file (needs `hf_specclip` installed);
                - a list of dicts, spectra or paths.
                Missing backgrounds are taken as zero.
            exposure, background_counts, background_scale, effective_area: columns for an array of
                counts.
            return_tensors: `"pt"` for torch tensors, else numpy arrays.

        Returns:
            `BatchFeature` of `spectrum_values` (B, C, n_bins) float32, `input_signature` (B,) int64
            and, except for `"minmax"`, `spectrum_globals` (B, G) float32. B = 1 for one spectrum.

        Raises:
            ValueError: counts are negative, fractional, not finite or of another number of bins, or
                exposure, background scale or effective area is missing or out of range; the message
                names the row and the remedy.
            ImportError: a path is given and `hf_specclip` is not installed.
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
            data = {"spectrum_values": normalise_min_max(counts)[:, None, :]}
        else:
            seconds = self._exposure(columns["exposure"], len(counts))
            background, scale = self._background(columns, len(counts))
            area = None
            if self.input_kind == "flux":
                area = self._area(columns["effective_area"], len(counts))
            values, numbers = compute_features(
                counts,
                seconds,
                background,
                scale,
                area,
                self.energy_range,
                self.bands,
                self.windows,
            )
            data = {"spectrum_values": values, "spectrum_globals": numbers}
        data["input_signature"] = np.full(len(counts), self.input_signature, dtype=np.int64)
        return BatchFeature(data, tensor_type=return_tensors)

    def _columns(self, spectra: Any, given: dict[str, Any]) -> dict[str, Any]:
        """Convert any input to columns; a single spectrum becomes a batch of 1."""
        if not isinstance(spectra, Mapping) and _is_counts(spectra):
            spectra = {"counts": spectra, **given}
        elif any(value is not None for value in given.values()):
            names = ", ".join(name for name, value in given.items() if value is not None)
            raise ValueError(f"{names} as keyword needs an array of counts")
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
        rows = [self._row(item, row) for row, item in enumerate(spectra if many else [spectra])]
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
                f"row {row}: this model's axis is {self.axis[0]} in {self.axis[1]}, so it cannot "
                f"take a {type(spectrum).__name__}: give a dict with 'counts' in {self.n_bins} bins"
            )
        if isinstance(spectrum, str | os.PathLike):
            spectrum = _read(spectrum)
        if not hasattr(spectrum, "rebinned"):
            raise ValueError(
                f"row {row}: a {type(spectrum).__name__} is not a spectrum: give counts, a dict "
                "with 'counts', an XRaySpectrum or the path of a PHA file"
            )
        _check_instrument(spectrum, row, needs_area=self.input_kind == "flux")
        return spectrum.rebinned(n_bins=self.n_bins, energy_range=tuple(self.energy_range))

    def _counts(self, column: Any, name: str) -> np.ndarray:
        """Check integer counts and copy them to float32 (B, n_bins)."""
        counts = _array(column, name)
        if counts.ndim != 2 or counts.shape[1] != self.n_bins:
            low, high = self.energy_range
            shape = f"{counts.shape[-1]} bins" if counts.ndim == 2 else f"shape {counts.shape}"
            raise ValueError(
                f"{name} have {shape}, this feature extractor needs (batch, {self.n_bins}): rebin "
                f"with XRaySpectrum.rebinned(n_bins={self.n_bins}, "
                f"energy_range=({low:g}, {high:g})), or train a model with another n_bins"
            )
        if counts.dtype.kind == "f":
            _refuse_rows(~np.isfinite(counts), name, "is not finite", counts)
            _refuse_rows(
                counts != np.rint(counts),
                name,
                "is not an integer: give detected counts, not rates or weighted counts",
                counts,
            )
        elif counts.dtype.kind not in "iu":
            raise ValueError(f"{name} are of type {counts.dtype}, they must be integers")
        if counts.size and counts.min() < 0:
            _refuse_rows(counts < 0, name, "is negative: do not subtract the background", counts)
        return counts.astype(np.float32)

    def _exposure(self, column: Any, batch: int) -> np.ndarray:
        if column is None:
            raise ValueError(
                f'input_kind="{self.input_kind}" needs the exposure (live time, s): give '
                '{"counts": …, "exposure": …}, or exposure= with an array of counts'
            )
        return _numbers(column, "exposure", batch, above_zero=True)

    def _background(self, columns: dict[str, Any], batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return background counts (B, n_bins) and their scale (B, 1); zeros if missing."""
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
            raise ValueError(f"{len(counts)} rows of background_counts for {batch} rows of counts")
        if scales is None:
            scales = [None] * batch
        if any(absent) or isinstance(scales, list | tuple):
            scales = [scales] if np.ndim(scales) == 0 else list(scales)
            for row, scale in enumerate(scales):
                if scale is None and row < batch and not absent[row] and counts[row].any():
                    raise ValueError(
                        f"row {row}: background_counts without background_scale (the ratio of "
                        "BACKSCAL times exposure of source and background): give it, or leave the "
                        "background out"
                    )
            scales = [0.0 if scale is None else scale for scale in scales]
        return counts, _numbers(scales, "background_scale", batch, above_zero=False)[:, None]

    def _area(self, column: Any, batch: int) -> np.ndarray:
        """Return the effective area per bin, cm², float32 (B, n_bins)."""
        usual = self.usual_area()
        if isinstance(column, list | tuple):
            column = [usual if row is None else row for row in column]
        elif column is None:
            return np.broadcast_to(usual, (batch, self.n_bins))
        area = _array(column, "effective_area").astype(np.float32)
        if area.shape != (batch, self.n_bins):
            raise ValueError(
                f"effective_area has the shape {area.shape}, the counts need "
                f"{(batch, self.n_bins)}: give cm² at the bin centres, or leave it out"
            )
        area = np.where(np.isnan(area).all(axis=1, keepdims=True), usual, area)
        _refuse_rows(~np.isfinite(area), "effective_area", "is not finite", area)
        _refuse_rows(area < 0, "effective_area", "is negative", area)
        _refuse_rows(area.max(axis=1)[:, None] <= 0, "effective_area", "in all bins", area)
        return area


def _check_instrument(spectrum: Any, row: int, needs_area: bool) -> None:
    """Warn about a spectrum unlike the training data.

    Raises:
        ValueError: the instrument has no energy resolution.
    """
    camera = getattr(spectrum, "camera", None)
    if camera is None:
        return
    if not camera.resolves_energies:
        raise ValueError(
            f"row {row}: {camera.name} has no energy resolution: this is not a spectrum"
        )
    if not camera.imaging_ccd:
        text = (
            f"row {row}: observed with {camera.name}; models are trained on Chandra ACIS imaging "
            "spectra"
        )
        warnings.warn(text, stacklevel=5)
    if needs_area and not spectrum.has_area:
        text = f"row {row}: no effective area (ARF), the mean area of Chandra ACIS is assumed"
        warnings.warn(text, stacklevel=5)


def _is_counts(spectra: Any) -> bool:
    """Return True for numbers in an array, tensor or nested list."""
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
    if hasattr(column, "detach"):  # a torch tensor on any device
        column = column.detach().cpu().numpy()
    elif isinstance(column, list | tuple) and column and hasattr(column[0], "detach"):
        column = [row.detach().cpu().numpy() for row in column]
    try:
        array = np.asarray(column)
        # A column of a data frame is an array of objects, one per row.
        return np.stack(list(array)) if array.dtype == object and array.ndim == 1 else array
    except ValueError:
        lengths = sorted({len(row) for row in column})
        raise ValueError(
            f"{name} have rows of different lengths ({', '.join(map(str, lengths))} bins)"
        ) from None


def _numbers(column: Any, name: str, batch: int, above_zero: bool) -> np.ndarray:
    """Check a column of one number per spectrum; float32 (B,)."""
    numbers = _array(column, name).astype(np.float64).reshape(-1)
    if len(numbers) != batch:
        raise ValueError(f"{len(numbers)} values of {name} for {batch} spectra")
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
    # Not an import statement: transformers requires every package that saved code imports.
    try:
        spectra = importlib.import_module("hf_specclip.spectra")
    except ImportError as error:
        raise ImportError(
            f"reading the file {os.fspath(path)} needs the package: pip install hf-specclip, or "
            'give counts, {"counts": …, "exposure": …}'
        ) from error
    return spectra.read_spectrum(path)


SpecCLIPFeatureExtractor.register_for_auto_class()

__all__ = ["SpecCLIPFeatureExtractor"]
