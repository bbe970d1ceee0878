"""Arithmetic of the spectral features: channels along the bins, and global numbers."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from .spectrum_input_specclip import N_BANDS

# Areas below this share of the best band's are raised to it before fluxes are divided by them.
MIN_AREA = 1e-3


def normalise_min_max(counts: np.ndarray) -> np.ndarray:
    """Scale each spectrum to 0–1; zeros for one without contrast."""
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
    """Compute the channels and global numbers of `"physics"` or, with an area, of `"flux"`.

    Args:
        counts: (B, n_bins) float32.
        exposure: (B,), s.
        background: (B, n_bins) counts of the background region.
        scale: (B, 1), factor that turns them into counts of the source aperture.
        area: (B, n_bins), cm², or None.
        energy_range: ends of the bins, keV.
        hardness_bands: soft, medium and hard band, keV.
        windows: widths over which shape and background are averaged, keV.

    Returns:
        `spectrum_values` (B, 3, n_bins) and `spectrum_globals` (B, G), float32.
    """
    low, high = energy_range
    n_bins = counts.shape[1]
    width = (high - low) / n_bins
    bands = band_matrix(n_bins, low, high, tuple(map(tuple, hardness_bands)))
    # Columns of `bands`: all bins, then the 13 bands, then soft, medium and hard.
    source, region = counts @ bands, background @ bands
    net = source - scale * region
    variance = source + scale**2 * region + 1
    total, total_variance = net[:, :1], variance[:, :1]
    positive = np.maximum(total, 0)
    norm = np.sqrt(positive**2 + total_variance)

    # Written in place throughout: allocating memory costs more than the arithmetic.
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

    parts, compared = slice(1, 1 + N_BANDS), slice(1 + N_BANDS, None)
    log_net = np.log10(positive + 1)
    if area is None:
        brightness = [log_net - np.log10(exposure)[:, None]]
        shares = [net[:, parts] / norm, np.sqrt(variance[:, parts]) / norm]
        ratios = _hardness(net[:, compared], variance[:, compared])
    else:
        areas = area @ bands[:, parts] / bands[:, parts].sum(axis=0)
        areas = np.maximum(areas, MIN_AREA * areas.max(axis=1, keepdims=True))
        areas *= exposure[:, None]
        brightness, shares, ratios = _flux_numbers(
            net[:, parts] / areas,
            variance[:, parts] / areas**2,
            areas.mean(axis=1),
            band_edges(low, high),
            hardness_bands,
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


def _flux_numbers(
    flux: np.ndarray,
    variance: np.ndarray,
    sensitivity: np.ndarray,
    edges: np.ndarray,
    hardness_bands: Sequence[Sequence[float]],
) -> tuple[list[np.ndarray], list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Compute the global numbers that fluxes replace.

    Args:
        flux, variance: in the bands of equal ratio, photons/cm²/s and its square, (B, 13).
        sensitivity: counts for one photon/cm²/s, on average, (B,).
        edges: of the bands of equal ratio, keV, (14,).
        hardness_bands: soft, medium and hard band, keV.

    Returns:
        The logarithms of the sums, the fractions with their errors, the ratios with theirs.
    """
    middles = np.sqrt(edges[1:] * edges[:-1]) if edges[0] > 0 else (edges[1:] + edges[:-1]) / 2
    norm, energy = (
        np.sqrt(np.maximum(flux @ weights, 0) ** 2 + variance @ weights**2)[:, None]
        for weights in (np.ones(N_BANDS), middles)
    )
    # A flux that is constant within each band is divided among s, m and h. As counts of a detector
    # of one area at all energies, the half count of the ratios keeps its meaning.
    shared = overlaps(edges[:-1], edges[1:], hardness_bands)
    counts = (flux @ shared) * sensitivity[:, None]
    errors = (variance @ shared**2) * sensitivity[:, None] ** 2
    return (
        [np.log10(norm), np.log10(energy)],
        [flux / norm, np.sqrt(variance) / norm],
        _hardness(counts, errors),
    )


def _stabilise(counts: np.ndarray, out: np.ndarray) -> None:
    """Take the square root of Poisson counts (Anscombe 1948): variance near 1, 0 for no counts."""
    np.add(counts, 0.375, out=out)
    np.sqrt(out, out=out)
    out *= 2
    out -= 2 * 0.375**0.5


def _running_mean(values: np.ndarray, window: float, out: np.ndarray) -> None:
    """Average over `window` bins around each; over fewer at the ends of the spectrum."""
    n = values.shape[1]
    half = min(max(round((window - 1) / 2), 0), n)
    # Sums are made in float64, so that rounding does not grow along the spectrum.
    sums = np.cumsum(values, axis=1, dtype=np.float64)
    out[:, : n - half] = sums[:, half:]
    out[:, n - half :] = sums[:, -1:]
    out[:, half + 1 :] -= sums[:, : max(n - half - 1, 0)]
    centres = np.arange(n)
    bins = np.minimum(centres + half + 1, n) - np.maximum(centres - half, 0)
    out /= bins.astype(np.float32)


def _hardness(net: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute (x − y)/(x + y) of (h, m), (h, s), (m, s), and errors, from net counts (s, m, h)."""
    net = np.maximum(net, 0) + np.float32(0.5)
    x, y = net[:, [2, 2, 1]], net[:, [1, 0, 0]]
    variance_x, variance_y = variance[:, [2, 2, 1]], variance[:, [1, 0, 0]]
    error = 2 * np.sqrt(y**2 * variance_x + x**2 * variance_y) / (x + y) ** 2
    return (x - y) / (x + y), np.minimum(error, 1)


@lru_cache(maxsize=16)
def band_matrix(
    n_bins: int, low: float, high: float, compared: tuple[tuple[float, ...], ...]
) -> np.ndarray:
    """Return each bin's share in: all, the 13 bands, s, m and h; (n_bins, 17) float32."""
    edges = np.linspace(low, high, n_bins + 1)
    bands = [(low, high), *pairwise(band_edges(low, high)), *compared]
    matrix = overlaps(edges[:-1], edges[1:], bands).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def band_edges(low: float, high: float) -> np.ndarray:
    """Return the edges of the 13 bands of equal ratio, (14,)."""
    start = max(low, high / 1000)  # they cannot begin at 0 keV
    steps = np.geomspace(start, high, N_BANDS + 1)
    steps[0], steps[-1] = low, high
    return steps


def overlaps(lower: np.ndarray, upper: np.ndarray, bands: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the share of each interval (n) that lies in each band (m), (n, m)."""
    shares = [
        np.clip(np.minimum(upper, top) - np.maximum(lower, bottom), 0, None)
        for bottom, top in bands
    ]
    return np.stack(shares, axis=1) / (upper - lower)[:, None]


__all__ = [
    "MIN_AREA",
    "band_edges",
    "band_matrix",
    "compute_features",
    "normalise_min_max",
    "overlaps",
]
