"""Prior of a source before its spectrum or a text about it is read.

Everything is counted in a universe of the same knobs and another seed, far larger than the dataset,
with the sources that are not seen left in: how classes, kinds of field, exposures and counts go
together, and who is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..detections import REFERENCE_AREA
from ..knobs import Knobs
from ..layout import lay_out
from ..source_classes import CLASS_NAMES, CLASSES, FIELD_NAMES, class_values

# Fields that are counted: some hundred thousand detections.
_FIELDS = 80_000
_SEED_OFFSET = 7_919
# Steps of the tables over ln(counts in a usual exposure) and ln(usual exposure).
STEP = 0.1
LOG_COUNTS = np.arange(0.0, 12.0, STEP)
LOG_EXPOSURE = np.arange(5.0, 13.0, STEP)
# ln(exposure) − ln(usual exposure).
_VISITS = np.arange(-2.0, 2.001, 0.05)
# Fainter sources are hardly ever seen, and what is counted of them means little.
_LEAST_CHANCE = 2e-3


@dataclass(frozen=True)
class Prior:
    """Prior probabilities, of detections unless stated otherwise.

    A stratum is a class in a kind of field. Within one, the counts that a source gives in an
    exposure as is usual for its field do not depend on how long that is.
    """

    # (s, 2) int, class and kind of field (indices into `CLASS_NAMES`, `FIELD_NAMES`)
    strata: np.ndarray
    share: np.ndarray  # (s,) share of the detections in each
    counts: np.ndarray  # (s, c) chance of each step of ln(counts in a usual exposure), `LOG_COUNTS`
    # (s, c) chance of a source of so many counts to be seen, over that of all sources
    chance: np.ndarray
    exposure: np.ndarray  # (s, e) chance of each step of ln(usual exposure), `LOG_EXPOSURE`
    # (e, v) density of ln(exposure) about ln(usual exposure), for each of the latter, of all
    # observations
    visits: np.ndarray
    # For each class, ln(mean rate over quiescent rate) of some observations
    flares: tuple[np.ndarray, ...]

    def visit_density(self, exposure: float, log_usual: np.ndarray) -> np.ndarray:
        """Return the density of ln(exposure, s) for fields with ln(usual exposure), (m)."""
        place = (np.log(exposure) - log_usual - _VISITS[0]) / (_VISITS[1] - _VISITS[0])
        inside = (place >= 0.0) & (place <= len(_VISITS) - 1)
        lower = np.clip(place.astype(int), 0, len(_VISITS) - 2)
        part = place - lower
        cell = np.clip(np.rint((log_usual - LOG_EXPOSURE[0]) / STEP).astype(int), 0, None)
        cell = np.minimum(cell, len(LOG_EXPOSURE) - 1)
        density = (1.0 - part) * self.visits[cell, lower] + part * self.visits[cell, lower + 1]
        return np.where(inside, density, 0.0)


def count_prior(knobs: Knobs, n_fields: int = _FIELDS) -> Prior:
    """Count the contents of a universe of these knobs with another seed."""
    seed = (knobs.seed + _SEED_OFFSET) % 2**63
    layout = lay_out(replace(knobs, seed=seed), n_fields)
    pairs, sources, seen = layout.detections, layout.sources, layout.detected
    of_class, field = sources.class_index[pairs.source], sources.field[pairs.source]
    kind = layout.fields.kind[field]
    usual = np.log(layout.fields.usual_exposure[field])
    log_counts = np.log(sources.flux[pairs.source] * REFERENCE_AREA) + usual
    # The expected counts depend on the class through its brightness alone: pooled, they are smooth.
    brightness = class_values("brightness")
    density = np.empty((len(CLASS_NAMES), len(LOG_COUNTS)))
    for value in np.unique(brightness):
        alike = brightness == value
        density[alike] = _histogram(log_counts[alike[of_class]], LOG_COUNTS)
    # Who is seen depends on how the class varies.
    scatter = class_values("variability")
    detected = np.empty_like(density)
    for value in np.unique(scatter):
        alike = scatter == value
        rows = alike[of_class]
        detected[alike] = _chance_to_be_seen(log_counts[rows], seen[rows])
    strata, share = np.unique(
        np.stack([of_class[seen], kind[seen]], axis=1), axis=0, return_counts=True
    )
    counts = (density * detected)[strata[:, 0]]
    counts /= counts.sum(axis=1, keepdims=True)
    by_kind = np.stack(
        [_histogram(usual[seen & (kind == k)], LOG_EXPOSURE) for k in range(len(FIELD_NAMES))]
    )
    flares = tuple(
        np.log(pairs.light.take(rows).flare_boost(pairs.exposure[rows]))
        for rows in (np.flatnonzero(seen & (of_class == c))[:20_000] for c in range(len(CLASSES)))
    )
    return Prior(
        strata=strata,
        share=share / seen.sum(),
        counts=counts,
        chance=detected[strata[:, 0]] / seen.mean(),
        exposure=by_kind[strata[:, 1]],
        visits=_visits(usual, np.log(pairs.exposure) - usual),
        flares=flares,
    )


def _visits(usual: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Return densities of `off` on `_VISITS`, for each step of `usual`."""
    result = np.zeros((len(LOG_EXPOSURE), len(_VISITS)))
    step = _VISITS[1] - _VISITS[0]
    for row, middle in enumerate(LOG_EXPOSURE):
        near = np.abs(usual - middle) < STEP
        # With few, none is dense: at the ends of the range.
        if near.sum() < 200:
            near = np.argsort(np.abs(usual - middle))[:2000]
        clipped = np.clip(off[near], _VISITS[0], _VISITS[-1])
        result[row] = _histogram(clipped, _VISITS, step) / step
    return result


def _edges(grid: np.ndarray, step: float) -> np.ndarray:
    """Return the edges of the cells about the nodes of an even grid."""
    return np.append(grid, grid[-1] + step) - step / 2


def _histogram(values: np.ndarray, grid: np.ndarray, step: float = STEP) -> np.ndarray:
    """Return the probability of each step of a grid, smoothed by one step."""
    counts, _ = np.histogram(values, _edges(grid, step))
    smooth = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    return smooth / max(smooth.sum(), 1.0)


def _chance_to_be_seen(log_counts: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the share of sources that are detected, on `LOG_COUNTS`."""
    edges = _edges(LOG_COUNTS, STEP)
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    n_all, n_seen = (
        np.convolve(np.histogram(values, edges)[0], kernel, mode="same")
        for values in (log_counts, log_counts[seen])
    )
    # Where there are none, brighter ones are seen and fainter ones are not.
    enough = n_all > 5.0
    share = np.interp(LOG_COUNTS, LOG_COUNTS[enough], n_seen[enough] / n_all[enough])
    return np.maximum(share, _LEAST_CHANCE)
