"""What is known of a source before its spectrum or a text about it is read.

Everything is counted in a universe of the same knobs and another seed, far larger than the dataset,
with the sources that are not seen left in: how classes, kinds of field, exposures and fluxes go
together, and who is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .catalogue import REFERENCE_AREA, Knobs, Universe, is_detected
from .populations import CLASS_NAMES, CLASSES, FIELD_NAMES

# Fields that are counted: some hundred thousand detections.
_FIELDS = 80_000
_SEED_OFFSET = 7_919
_EXPOSURE_BINS = 12
# Steps of the tables over ln(flux) and ln(expected counts).
STEP = 0.1
_LOG_COUNTS = np.arange(0.0, 12.0, STEP)
LOG_FLUX = np.arange(-20.0, -5.0, STEP)


class _Everything(Universe):
    """A universe that is laid out and no more, and keeps sources that are not seen."""

    def __init__(self, knobs: Knobs, n_fields: int) -> None:
        self.knobs = knobs
        self._response_files = ()
        self._lay_out(n_fields)

    def _seen(self, net: np.ndarray, behind: np.ndarray) -> np.ndarray:
        self.seen = is_detected(net, behind)
        return np.ones(len(net), dtype=bool)


@dataclass(frozen=True)
class Prior:
    """Chances that hold before anything is read.

    A stratum is a class in a kind of field.

    Attributes:
        strata: (s, 2) int, class and kind of field (indices into `CLASS_NAMES`, `FIELD_NAMES`).
        share: (s,) share of the detections in each.
        exposure_edges: (e + 1,) ln s.
        joint: (s, e, f) of source–observation pairs, seen or not, per pair that is seen: mass in
            each bin of exposure, density in ln(flux) on `LOG_FLUX`.
        flux: (s, f) density of ln(flux) of detections on `LOG_FLUX`.
        flares: for each class, ln(mean rate over quiescent rate) of some observations.
    """

    strata: np.ndarray
    share: np.ndarray
    exposure_edges: np.ndarray
    joint: np.ndarray
    flux: np.ndarray
    flares: tuple[np.ndarray, ...]

    def exposure_bin(self, exposure: np.ndarray) -> np.ndarray:
        """Bin of each exposure (s)."""
        inner = self.exposure_edges[1:-1]
        return np.searchsorted(inner, np.log(exposure), side="right")


def count_prior(knobs: Knobs, n_fields: int = _FIELDS) -> Prior:
    """Count what a universe of these knobs holds.

    Args:
        knobs: of the dataset; the universe counted has another seed.
        n_fields: fields that are counted.
    """
    seed = (knobs.seed + _SEED_OFFSET) % 2**63
    sky = _Everything(replace(knobs, seed=seed), n_fields)
    pairs, sources, seen = sky.detections, sky.sources, sky.seen
    of_class = sources.class_index[pairs.source]
    kind = sky.field_kind[sources.field[pairs.source]]
    log_exposure, log_flux = np.log(pairs.exposure), np.log(sources.flux[pairs.source])
    log_counts = log_flux + log_exposure + np.log(REFERENCE_AREA)
    edges = np.quantile(log_exposure[seen], np.linspace(0.0, 1.0, _EXPOSURE_BINS + 1))
    edges[0], edges[-1] = -np.inf, np.inf
    bins = np.searchsorted(edges[1:-1], log_exposure, side="right")
    middles = np.array([log_exposure[bins == e].mean() for e in range(_EXPOSURE_BINS)])

    # Counts that are expected in an observation do not depend on the kind of field, and on the
    # class through its brightness alone: pooled, they are smooth.
    brightness = np.array([CLASSES[name].brightness for name in CLASS_NAMES])
    density = np.zeros((len(CLASS_NAMES), _EXPOSURE_BINS, len(_LOG_COUNTS)))
    for value in np.unique(brightness):
        alike = brightness == value
        for e in range(_EXPOSURE_BINS):
            rows = alike[of_class] & (bins == e)
            density[alike, e] = _histogram(log_counts[rows])
    detected = np.stack(
        [
            _chance_to_be_seen(log_counts[of_class == c], seen[of_class == c])
            for c in range(len(CLASS_NAMES))
        ]
    )
    strata = np.array(
        [
            (c, k)
            for c in range(len(CLASS_NAMES))
            for k in range(len(FIELD_NAMES))
            if np.any(seen & (of_class == c) & (kind == k))
        ]
    )
    n_seen = seen.sum()
    share = np.array([np.sum(seen & (of_class == c) & (kind == k)) for c, k in strata], dtype=float)
    joint = np.zeros((len(strata), _EXPOSURE_BINS, len(LOG_FLUX)))
    flux = np.zeros((len(strata), len(LOG_FLUX)))
    for row, (c, k) in enumerate(strata):
        of_kind = np.bincount(bins[kind == k], minlength=_EXPOSURE_BINS) / np.sum(kind == k)
        for e in range(_EXPOSURE_BINS):
            at = LOG_FLUX + middles[e] + np.log(REFERENCE_AREA)
            here = np.interp(at, _LOG_COUNTS, density[c, e], left=0.0, right=0.0)
            joint[row, e] = of_kind[e] * here
            flux[row] += of_kind[e] * here * np.interp(at, _LOG_COUNTS, detected[c])
        total = flux[row].sum() * STEP
        flux[row] /= total
        joint[row] *= share[row] / n_seen / total
    flares = tuple(
        np.log(pairs.light.take(rows).flare_boost(pairs.exposure[rows]))
        for rows in (np.flatnonzero(seen & (of_class == c))[:20_000] for c in range(len(CLASSES)))
    )
    return Prior(strata, share / n_seen, edges, joint, flux, flares)


def _histogram(values: np.ndarray) -> np.ndarray:
    """Density on `_LOG_COUNTS`, smoothed by one step."""
    edges = np.append(_LOG_COUNTS, _LOG_COUNTS[-1] + STEP) - STEP / 2
    counts, _ = np.histogram(values, edges)
    smooth = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    return smooth / max(smooth.sum(), 1.0) / STEP


def _chance_to_be_seen(log_counts: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Share of sources that are seen, on `_LOG_COUNTS`."""
    edges = np.append(_LOG_COUNTS, _LOG_COUNTS[-1] + STEP) - STEP / 2
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    everyone = np.convolve(np.histogram(log_counts, edges)[0], kernel, mode="same")
    those = np.convolve(np.histogram(log_counts[seen], edges)[0], kernel, mode="same")
    # Where there are none, brighter ones are seen and fainter ones are not.
    known = everyone > 5.0
    return np.interp(_LOG_COUNTS, _LOG_COUNTS[known], those[known] / everyone[known])


__all__ = ["LOG_FLUX", "STEP", "Prior", "count_prior"]
