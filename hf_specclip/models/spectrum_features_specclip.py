"""Spectral features: channels per energy bin and global features per spectrum."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from .spectrum_input_specclip import N_BANDS

# Lower limit of a band's effective area, as a fraction of the largest, before it divides fluxes.
MIN_AREA = 1e-3


def normalise_min_max(counts: np.ndarray) -> np.ndarray:
    """Scale each spectrum to 0–1; a constant spectrum becomes zeros."""
    low = counts.min(axis=1, keepdims=True)
    span = counts.max(axis=1, keepdims=True) - low
    return (counts - low) / np.where(span > 0, span, 1)


def compute_features(
    counts: np.ndarray,
    exposure: np.ndarray,
    background: np.ndarray,
    scale: np.ndarray,
    area: np.ndarray | None,
    energy_range: Sequence[float],
    hardness_bands: Sequence[Sequence[float]],
    windows: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the channels and global features of `"physics"` or, with an area, of `"flux"`.

    Args:
        counts: (B, n_bins) float32.
        exposure: (B,), s.
        background: (B, n_bins) counts of the background region.
        scale: (B, 1), ratio of expected background in the source aperture to `background`.
        area: effective area (B, n_bins), cm², or None.
        energy_range: outer edges of the bins, keV.
        hardness_bands: soft, medium and hard band, keV.
        windows: widths of the running means of shape and background, keV.

    Returns:
        `spectrum_values` (B, 3, n_bins) and `spectrum_globals` (B, G), float32.
    """
    low, high = energy_range
    n_bins = counts.shape[1]
    width = (high - low) / n_bins
    bands = band_matrix(n_bins, low, high, tuple(map(tuple, hardness_bands)))
    # Columns of `bands`: all bins, then the 13 logarithmic bands, then soft, medium and hard.
    in_source, in_background = counts @ bands, background @ bands
    net = in_source - scale * in_background
    variance = in_source + scale**2 * in_background + 1
    total, total_variance = net[:, :1], variance[:, :1]
    positive = np.maximum(total, 0)
    norm = np.sqrt(positive**2 + total_variance)

    # In place throughout: allocating memory takes longer than the arithmetic.
    values = np.empty((len(counts), 3, n_bins), dtype=np.float32)
    _stabilise(counts, values[:, 0])
    _running_mean(background, windows[1] / width, values[:, 1])
    values[:, 1] *= scale
    _stabilise(values[:, 1], values[:, 1])
    shape = values[:, 2]
    np.multiply(background, -scale, out=shape)
    shape += counts
    _running_mean(shape, windows[0] / width, shape)
    shape *= n_bins / norm
    np.copysign(np.log1p(np.abs(shape)), shape, out=shape)

    log_bands, soft_medium_hard = slice(1, 1 + N_BANDS), slice(1 + N_BANDS, None)
    log_net = np.log10(positive + 1)
    if area is None:
        brightness = [log_net - np.log10(exposure)[:, None]]
        fractions = [net[:, log_bands] / norm, np.sqrt(variance[:, log_bands]) / norm]
        ratios = _hardness(net[:, soft_medium_hard], variance[:, soft_medium_hard])
    else:
        areas = area @ bands[:, log_bands] / bands[:, log_bands].sum(axis=0)
        areas = np.maximum(areas, MIN_AREA * areas.max(axis=1, keepdims=True))
        areas *= exposure[:, None]
        brightness, fractions, ratios = _flux_features(
            net[:, log_bands] / areas,
            variance[:, log_bands] / areas**2,
            areas.mean(axis=1),
            band_edges(low, high),
            hardness_bands,
        )
    features = np.concatenate(
        [
            *brightness,
            np.log10(in_source[:, :1] + 1),
            log_net,
            np.log10(scale * in_background[:, :1] + 1),
            np.arcsinh(total / np.sqrt(total_variance)),
            *fractions,
            *ratios,
        ],
        axis=1,
    )
    return values, features.astype(np.float32)


def _flux_features(
    flux: np.ndarray,
    variance: np.ndarray,
    sensitivity: np.ndarray,
    edges: np.ndarray,
    hardness_bands: Sequence[Sequence[float]],
) -> tuple[list[np.ndarray], list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Compute the global features that depend on fluxes.

    Args:
        flux, variance: in the logarithmic bands, photons/cm²/s and its square, (B, 13).
        sensitivity: mean counts per photon/cm²/s, (B,).
        edges: edges of the logarithmic bands, keV, (14,).
        hardness_bands: soft, medium and hard band, keV.

    Returns:
        Logarithmic photon and energy flux; band fractions and their errors; hardness ratios and
        their errors.
    """
    centres = np.sqrt(edges[1:] * edges[:-1]) if edges[0] > 0 else (edges[1:] + edges[:-1]) / 2
    norm, energy = (
        np.sqrt(np.maximum(flux @ weights, 0) ** 2 + variance @ weights**2)[:, None]
        for weights in (np.ones(N_BANDS), centres)
    )
    # The flux is taken as constant within a logarithmic band. It is converted to counts of a
    # detector with constant area, so that the half count added by `_hardness` is meaningful.
    fractions = overlaps(edges[:-1], edges[1:], hardness_bands)
    counts = (flux @ fractions) * sensitivity[:, None]
    count_variance = (variance @ fractions**2) * sensitivity[:, None] ** 2
    return (
        [np.log10(norm), np.log10(energy)],
        [flux / norm, np.sqrt(variance) / norm],
        _hardness(counts, count_variance),
    )


def _stabilise(counts: np.ndarray, out: np.ndarray) -> None:
    """Apply the Anscombe (1948) transform to Poisson counts, shifted to 0 for no counts."""
    np.add(counts, 0.375, out=out)
    np.sqrt(out, out=out)
    out *= 2
    out -= 2 * 0.375**0.5


def _running_mean(values: np.ndarray, window: float, out: np.ndarray) -> None:
    """Compute a running mean over `window` bins, over fewer at the ends of the spectrum."""
    n = values.shape[1]
    half = min(max(round((window - 1) / 2), 0), n)
    # float64, so that rounding errors do not grow along the spectrum.
    sums = np.cumsum(values, axis=1, dtype=np.float64)
    out[:, : n - half] = sums[:, half:]
    out[:, n - half :] = sums[:, -1:]
    out[:, half + 1 :] -= sums[:, : max(n - half - 1, 0)]
    centres = np.arange(n)
    bins = np.minimum(centres + half + 1, n) - np.maximum(centres - half, 0)
    out /= bins.astype(np.float32)


def _hardness(net: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the hardness ratios hm, hs, ms and their errors from net counts in (s, m, h)."""
    net = np.maximum(net, 0) + np.float32(0.5)
    x, y = net[:, [2, 2, 1]], net[:, [1, 0, 0]]
    variance_x, variance_y = variance[:, [2, 2, 1]], variance[:, [1, 0, 0]]
    error = 2 * np.sqrt(y**2 * variance_x + x**2 * variance_y) / (x + y) ** 2
    return (x - y) / (x + y), np.minimum(error, 1)


@lru_cache(maxsize=16)
def band_matrix(
    n_bins: int, low: float, high: float, hardness_bands: tuple[tuple[float, ...], ...]
) -> np.ndarray:
    """Return the fraction of each bin in the full range, the 13 logarithmic bands, s, m and h;
    float32 (n_bins, 17)."""
    edges = np.linspace(low, high, n_bins + 1)
    bands = [(low, high), *pairwise(band_edges(low, high)), *hardness_bands]
    matrix = overlaps(edges[:-1], edges[1:], bands).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def band_edges(low: float, high: float) -> np.ndarray:
    """Return the edges of the 13 logarithmic bands, (14,)."""
    start = max(low, high / 1000)  # a logarithmic band cannot start at 0 keV
    edges = np.geomspace(start, high, N_BANDS + 1)
    edges[0], edges[-1] = low, high
    return edges


def overlaps(lower: np.ndarray, upper: np.ndarray, bands: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the fraction of each interval that lies in each band, (n_intervals, n_bands)."""
    widths = [
        np.clip(np.minimum(upper, top) - np.maximum(lower, bottom), 0, None)
        for bottom, top in bands
    ]
    return np.stack(widths, axis=1) / (upper - lower)[:, None]


__all__ = [
    "MIN_AREA",
    "band_edges",
    "band_matrix",
    "compute_features",
    "normalise_min_max",
    "overlaps",
]
