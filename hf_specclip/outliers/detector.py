"""Detector of outliers among sources.

The paper uses an Isolation Forest in the shared space (arXiv 2603.04516). This module adds the
distance to the nearest spectra, the mismatch between a spectrum and its text, and a combined score,
the mean rank of the three.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from .files import read_detector, write_detector
from .isolation_forest import IsolationForestArrays
from .rows import COMPONENTS, OutlierRows, OutlierScores, Reference, stack_variables

# Reference rows that a detector keeps; more cost memory and would hardly change a score.
MAX_REFERENCE = 20_000
_QUANTILES = 201
_BLOCK_ROWS = 1024


class SpecCLIPOutlierDetector:
    """Outlier scores of sources against reference sources. Made by `fit` or `from_pretrained`.

    Attributes:
        reference: the reference sources.
        forest: Isolation Forest over spectrum and text together.
        variables: names of the physical variables.
        k: number of neighbours.
        variable_spread: (V,) robust spread of the variables' differences to the neighbours.
        levels: detector -> sorted scores of the reference.

    Examples:
        >>> detector = SpecCLIPOutlierDetector.from_pretrained("runs/best/outliers")
        >>> scores = detector.score(OutlierRows(spectrum=spectra, text=texts))
        >>> scores.percentile()
    """

    def __init__(
        self,
        reference: Reference,
        forest: IsolationForestArrays,
        *,
        variables: Sequence[str],
        k: int,
        variable_spread: np.ndarray | None = None,
        levels: Mapping[str, np.ndarray] | None = None,
    ):
        self.reference = reference
        self.forest = forest
        self.variables = tuple(variables)
        self.k = k
        spread = np.ones(len(variables)) if variable_spread is None else variable_spread
        self.variable_spread = spread
        self.levels = dict(levels or {})
        self._quantiles = _quantiles(reference.variables)
        # One row for each text: detections of one source share theirs.
        known = np.flatnonzero(np.isfinite(reference.text).all(axis=1))
        first = np.unique(reference.text[known], axis=0, return_index=True)[1]
        self._text_rows = known[np.sort(first)]
        self._codes = {group: code for code, group in enumerate(dict.fromkeys(reference.groups))}
        self._group = np.array([self._codes[g] for g in reference.groups], dtype=np.int64)

    @classmethod
    def fit(
        cls,
        rows: OutlierRows,
        calibration: OutlierRows | None = None,
        *,
        k: int = 10,
        n_trees: int = 200,
        seed: int = 0,
    ) -> SpecCLIPOutlierDetector:
        """Fit to reference sources.

        Args:
            rows: at least `k` + 1 groups, at least two rows with a text.
            calibration: held-out rows for the percentiles. Relative to the training pairs, which
                agree better than others, every new source would look like an outlier. By
                default, `rows` themselves, each compared without its own group.
            k: number of neighbours.
            n_trees: of the forest.
            seed: of the forest, and of the choice of `MAX_REFERENCE` rows where there are more.

        Raises:
            ValueError: for too few rows, or arrays of the wrong shape.
        """
        rows = rows.checked()
        if len(rows) > MAX_REFERENCE:
            chosen = np.random.default_rng([seed, 5]).choice(len(rows), MAX_REFERENCE, False)
            rows = rows.take(np.sort(chosen))
        paired = np.isfinite(rows.text).all(axis=1)
        groups = _group_names(rows)
        n_groups = len(set(groups))
        if n_groups <= k or paired.sum() < 2:
            raise ValueError(
                f"{n_groups} groups and {int(paired.sum())} rows with a text: an outlier detector "
                f"with k = {k} needs more than {k} groups and at least two texts"
            )
        names = tuple(rows.variables)
        reference = Reference(
            spectrum=rows.spectrum,
            text=rows.text,
            variables=stack_variables(rows, names),
            band_fluxes=np.asarray(rows.band_counts / rows.band_areas, np.float32),
            names=tuple(str(name) for name in rows.names),
            classes=tuple(None if c is None else str(c) for c in rows.classes),
            groups=groups,
        )
        both = np.concatenate([rows.spectrum, rows.text], axis=1)[paired]
        forest = IsolationForestArrays.fit(both, n_trees=n_trees, seed=seed)
        detector = cls(reference, forest, variables=names, k=k)
        departures = detector.variable_departures(rows)
        detector.variable_spread = np.array([_robust_spread(x) for x in departures.T])
        detector._set_levels(rows if calibration is None else calibration.checked())
        return detector

    def score(self, rows: OutlierRows) -> OutlierScores:
        """Score rows.

        Args:
            rows: with `spectrum`; without a text only `spectrum_neighbours` scores a row.

        Raises:
            ValueError: for widths other than the detector's.
        """
        raw = self._raw(self._checked(rows))
        tail = {name: self._tail(name, values) for name, values in raw.items()}
        raw["combined"] = _combine(tail)
        tail["combined"] = self._tail("combined", raw["combined"])
        return OutlierScores(raw, tail)

    def neighbours(self, rows: OutlierRows, n: int | None = None) -> np.ndarray:
        """Find the reference spectra nearest in the shared space.

        Returns:
            Indices (rows, n) in `reference`, nearest first, padded with −1. Each group contributes
            its nearest row only; the row's own group is excluded.
        """
        n = self.k if n is None else n
        order, _ = self._nearest(self._checked(rows), min(8 * n, len(self._group)))
        result = np.full((len(rows), n), -1, dtype=np.int64)
        for row, indices in enumerate(order):
            indices = indices[indices >= 0]
            _, first = np.unique(self._group[indices], return_index=True)
            nearest = indices[np.sort(first)][:n]
            result[row, : len(nearest)] = nearest
        return result

    def variable_departures(self, rows: OutlierRows) -> np.ndarray:
        """Compare each variable with the median of the nearest sources.

        Returns:
            Differences (n, V) of normal scores, in robust standard deviations of the reference; nan
            where the variable is unknown or fewer than three neighbours know it.
        """
        rows = self._checked(rows)
        values = _normal_scores(stack_variables(rows, self.variables), self._quantiles)
        reference = _normal_scores(self.reference.variables, self._quantiles)
        order, _ = self._nearest(rows, 4 * self.k)
        result = np.full(values.shape, np.nan)
        for start in range(0, len(values), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            around = np.where((order[block] >= 0)[..., None], reference[order[block]], np.nan)
            enough = np.isfinite(around).sum(axis=1) >= 3
            middle = np.nanmedian(np.where(enough[:, None], around, 0.0), axis=1)
            result[block] = np.where(enough, values[block] - middle, np.nan)
        return result / self.variable_spread

    def _raw(self, rows: OutlierRows) -> dict[str, np.ndarray]:
        raw = {name: np.full(len(rows), np.nan) for name in COMPONENTS}
        paired = np.isfinite(rows.text).all(axis=1)
        if paired.any():
            both = np.concatenate([rows.spectrum, rows.text], axis=1)[paired]
            raw["isolation_forest"][paired] = self.forest.score(both)
            raw["disagreement"][paired] = self._disagreement(rows.take(paired))
        _, cosine = self._nearest(rows, self.k)
        raw["spectrum_neighbours"] = _known_mean(1.0 - cosine)
        return raw

    def _nearest(self, rows: OutlierRows, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest reference spectra of other groups.

        Returns:
            Indices (n, k), −1 where there are fewer, and cosines, nan there.
        """
        bank, codes = self.reference.spectrum, self._group_codes(rows)
        k = min(k, len(bank))
        indices = np.empty((len(rows), k), dtype=np.int64)
        cosines = np.empty((len(rows), k))
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            cosine = rows.spectrum[block] @ bank.T
            cosine[codes[block, None] == self._group] = -np.inf
            best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
            value = np.take_along_axis(cosine, best, axis=1)
            # Ties in the order of the bank, so that the answer does not depend on the partition.
            order = np.lexsort((best, -value), axis=1)
            indices[block] = np.take_along_axis(best, order, axis=1)
            cosines[block] = np.take_along_axis(value, order, axis=1)
        absent = np.isneginf(cosines)
        indices[absent], cosines[absent] = -1, np.nan
        return indices, cosines

    def _disagreement(self, rows: OutlierRows) -> np.ndarray:
        """Share (n,) of other sources' texts that match the spectrum at least as well as its own
        text."""
        bank, group = self.reference.text[self._text_rows], self._group[self._text_rows]
        codes = self._group_codes(rows)
        result = np.empty(len(rows))
        matched = np.einsum("nd,nd->n", rows.spectrum, rows.text)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            other = codes[block, None] != group
            closer = (rows.spectrum[block] @ bank.T >= matched[block, None]) & other
            result[block] = closer.sum(axis=1) / np.maximum(other.sum(axis=1), 1)
        return result

    def _group_codes(self, rows: OutlierRows) -> np.ndarray:
        return np.array([self._codes.get(g, -1) for g in _group_names(rows)], dtype=np.int64)

    def _set_levels(self, rows: OutlierRows) -> None:
        raw = self._raw(rows)
        self.levels = {name: np.sort(x[np.isfinite(x)]) for name, x in raw.items()}
        combined = _combine({name: self._tail(name, x) for name, x in raw.items()})
        self.levels["combined"] = np.sort(combined[np.isfinite(combined)])

    def _tail(self, name: str, values: np.ndarray) -> np.ndarray:
        levels = self.levels[name]
        above = len(levels) - np.searchsorted(levels, values, side="left")
        return np.where(np.isfinite(values), (1.0 + above) / (1.0 + len(levels)), np.nan)

    def _checked(self, rows: OutlierRows) -> OutlierRows:
        rows = rows.checked()
        width = self.reference.spectrum.shape[1]
        if rows.spectrum.shape[1] != width:
            raise ValueError(
                f"spectrum has {rows.spectrum.shape[1]} columns, the detector has {width}: "
                "use the detector that came with the model"
            )
        return rows

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write `detector.json`, `reference.jsonl` and `detector.safetensors`, atomically."""
        return write_detector(Path(folder), self)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], **hub: Any
    ) -> SpecCLIPOutlierDetector:
        """Read a detector from its folder, a run or model that holds `outliers/`, or the Hub.

        Args:
            name_or_path: folder, or `user/name`.
            hub: passed to `huggingface_hub.snapshot_download` (`revision`, `token`, …).

        Raises:
            FileNotFoundError: when a file is absent.
            FileFormatError: when a file is damaged, or of another version.
        """
        return cls(**read_detector(name_or_path, **hub))


def _group_names(rows: OutlierRows) -> tuple[str, ...]:
    return tuple(str(group) for group in rows.groups)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Evenly spaced quantiles (V, Q) of each column over its known rows; nan where it has none."""
    result = np.full((values.shape[1], _QUANTILES), np.nan)
    for column, row in zip(values.T, result, strict=True):
        known = column[np.isfinite(column)]
        if len(known):
            row[:] = np.quantile(known, np.linspace(0, 1, _QUANTILES))
    return result


def _normal_scores(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Each column as the normal deviate of its rank, so that heavy tails do not dominate.

    Beyond the ends of the reference it grows with the logarithm of the distance in units of the
    inner spread.
    """
    # Half a step inside the ends, where the normal deviate is finite.
    step = 1.0 / (_QUANTILES - 1)
    levels = np.clip(np.linspace(0, 1, _QUANTILES), 0.5 * step, 1 - 0.5 * step)
    deviates = np.array([NormalDist().inv_cdf(level) for level in levels])
    result = np.full(values.shape, np.nan)
    for column, edges in enumerate(quantiles):
        if not np.isfinite(edges).all():
            continue
        x = values[:, column]
        # Both directions, so that a value shared by many rows has their middle rank.
        upper = np.interp(x, edges, deviates)
        lower = -np.interp(-x, -edges[::-1], -deviates[::-1])
        spread = edges[_QUANTILES * 3 // 4] - edges[_QUANTILES // 4]
        spread = spread if spread > 0 else max(edges[-1] - edges[0], 1e-12)
        beyond = np.maximum(x - edges[-1], 0.0) - np.maximum(edges[0] - x, 0.0)
        far = np.sign(beyond) * np.log1p(np.abs(beyond) / spread)
        result[:, column] = (upper + lower) / 2 + far
    return result


def _known_mean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _combine(tail: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean of −ln(tail) over the detectors that score a row: Fisher's method, for ranks."""
    return _known_mean(np.stack([-np.log(tail[name]) for name in COMPONENTS], axis=1))


def _robust_spread(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    if not len(known):
        return 1.0
    spread = 1.4826 * float(np.median(np.abs(known - np.median(known))))
    return spread if spread > 0 else max(float(known.std()), 1e-3)


__all__ = ["SpecCLIPOutlierDetector"]
