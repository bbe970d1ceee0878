"""Which sources are unlike the others, and what sets them apart.

The paper scores sources by an Isolation Forest over the shared space (arXiv 2603.04516, outliers).
Beside it stand distances to the nearest sources in several views, because a rare kind is often
ordinary in most of them: a spectrum like no other, a text like no other, counts like no other, a
text that does not go with its spectrum, and catalogue values that sources nearby do not have.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from ..models.variables_specclip import HARDNESS_BANDS
from .isolation_forest import IsolationForestArrays

# Each gives one number for a row, higher for the odder; nan where the row lacks what it looks at.
COMPONENTS = (
    "isolation_forest",
    "mahalanobis",
    "spectrum_neighbours",
    "text_neighbours",
    "text_density",
    "identity_neighbours",
    "identity_density",
    "feature_neighbours",
    "disagreement",
    "variables",
)
# What is put together was chosen on simulated validation rows by leaving common classes out of the
# rows learned from, one at a time, never on the rare kinds that an injection test hides.
COMBINED = (
    "spectrum_neighbours",
    "text_neighbours",
    "text_density",
    "identity_neighbours",
    "identity_density",
    "feature_neighbours",
)
DETECTORS = (*COMPONENTS, "combined")
# Rows that a detector keeps to compare with; more of them cost memory and tell little more.
MAX_REFERENCE = 20_000
IDENTITY_AXES = 64
_QUANTILES = 201
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class OutlierRows:
    """Sources to learn from or to look at; what is not known is None, or nan in a row.

    Attributes:
        spectrum: (n, D) points in the shared space, of unit length.
        text: (n, D) the same of their texts; nan rows where there is none.
        identity: (n, d) embeddings of the sections on what each source is, before alignment; nan
            rows where there is none. A kind no one has met announces itself there first: alignment
            keeps of a text what its spectrum shows.
        features: (n, F) numbers that describe each spectrum as a whole (rates, bands, hardness).
        variables: name -> (n,) physical variables, nan where unknown.
        band_counts: (n, 3) net counts in `HARDNESS_BANDS`.
        band_errors: (n, 3) their standard deviations.
        names: (n,) str.
        classes: (n,) str or None.
        groups: (n,) rows of one group are never each other's neighbours; by default each row is
            a group of its own.
    """

    spectrum: np.ndarray
    text: np.ndarray | None = None
    identity: np.ndarray | None = None
    features: np.ndarray | None = None
    variables: Mapping[str, np.ndarray] = field(default_factory=dict)
    band_counts: np.ndarray | None = None
    band_errors: np.ndarray | None = None
    names: Sequence[str] | np.ndarray | None = None
    classes: Sequence[str | None] | np.ndarray | None = None
    groups: Sequence[Any] | np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.spectrum)

    def take(self, rows: np.ndarray) -> OutlierRows:
        """Some of the rows, by index or mask."""

        def some(values: Any) -> Any:
            return None if values is None else np.asarray(values, dtype=_kind(values))[rows]

        return OutlierRows(
            spectrum=np.asarray(self.spectrum)[rows],
            text=some(self.text),
            identity=some(self.identity),
            features=some(self.features),
            variables={name: np.asarray(x)[rows] for name, x in self.variables.items()},
            band_counts=some(self.band_counts),
            band_errors=some(self.band_errors),
            names=some(self.names),
            classes=some(self.classes),
            groups=some(self.groups),
        )


@dataclass(frozen=True)
class OutlierScores:
    """How odd each row is, in each way.

    Attributes:
        raw: detector -> (n,), higher for the odder; nan where a row lacks what it looks at.
        tail: detector -> (n,) share of the reference that is at least as odd, above 0 and at most
            1; for a row that is like the reference, any value is as likely as another.
    """

    raw: dict[str, np.ndarray]
    tail: dict[str, np.ndarray]

    def percentile(self, detector: str = "combined") -> np.ndarray:
        """(n,) percent of the reference rows that are less odd, 0 to 100."""
        return 100.0 * (1.0 - self.tail[detector])


@dataclass(frozen=True)
class Reference:
    """What a detector keeps of the rows it learned from, as arrays of one length n.

    Attributes:
        spectrum, text: (n, D) float32, unit length; text rows are nan where there is none.
        identity: (n, P) float32, principal components of the embedded section; nan where none.
        text_reach, identity_reach: (n,) float32, mean distance to a text's own neighbours.
        features: (n, F) float32, each column as a normal score.
        variables: (n, V) float32, each as a normal score, nan where unknown.
        band_counts, band_errors: (n, 3) float32, nan where unknown.
        names, classes, groups: tuples; "" for a name, None for a class that is not known.
    """

    spectrum: np.ndarray
    text: np.ndarray
    identity: np.ndarray
    text_reach: np.ndarray
    identity_reach: np.ndarray
    features: np.ndarray
    variables: np.ndarray
    band_counts: np.ndarray
    band_errors: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str | None, ...]
    groups: tuple[str, ...]


class SpecCLIPOutlierDetector:
    """Scores sources against those it learned from. Made by `fit` or `from_pretrained`.

    Attributes:
        reference: the rows it compares with.
        forest: Isolation Forest over spectrum and text together.
        variables: names of the physical variables.
        k: how many neighbours each distance is taken over.

    Example:
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
        arrays: Mapping[str, np.ndarray],
        levels: Mapping[str, np.ndarray] | None = None,
    ):
        self.reference = reference
        self.forest = forest
        self.variables = tuple(variables)
        self.k = k
        # centre (2D,), precision (2D, 2D), feature_quantiles (F, Q), variable_quantiles (V, Q),
        # residual_scale (V,): what `fit` learned besides the rows.
        self._arrays = dict(arrays)
        # Sorted scores of the reference, by detector.
        self._levels = dict(levels or {})
        # One row for each text: detections of one source share theirs.
        self._text_rows = _distinct(reference.text)
        self._identity_rows = _distinct(reference.identity)
        names = {group: place for place, group in enumerate(dict.fromkeys(reference.groups))}
        self._codes = names
        self._group = np.array([names[group] for group in reference.groups], dtype=np.int64)

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
        """Learn what is ordinary.

        Args:
            rows: at least `k` + 1 groups, each row with a text that is not nan somewhere.
            calibration: rows the model was not trained on, to take percentiles from. The pairs a
                model was trained on agree better than any others do, so against them every new
                source looks odd. Where None, `rows` themselves, each without its own group.
            k: neighbours of each distance.
            n_trees: of the forest.
            seed: of the forest, and of the choice of `MAX_REFERENCE` rows where there are more.

        Raises:
            ValueError: for too few rows, or arrays that do not fit.
        """
        from sklearn.covariance import LedoitWolf

        rows = _checked(rows)
        if len(rows) > MAX_REFERENCE:
            chosen = np.random.default_rng([seed, 5]).choice(len(rows), MAX_REFERENCE, False)
            rows = rows.take(np.sort(chosen))
        assert rows.text is not None  # _checked fills it
        paired = np.isfinite(rows.text).all(axis=1)
        n_groups = len(set(_groups(rows)))
        if n_groups <= k or paired.sum() < 2:
            raise ValueError(
                f"{n_groups} groups and {int(paired.sum())} rows with a text: an outlier detector "
                f"with k = {k} needs more than {k} groups and at least two texts"
            )
        both = np.concatenate([rows.spectrum, rows.text], axis=1)[paired]
        shrunk = LedoitWolf().fit(both.astype(np.float64))
        names = tuple(rows.variables)
        values = _stacked(rows, names)
        features = np.asarray(rows.features, np.float64)
        arrays = {
            "centre": shrunk.location_,
            "precision": shrunk.precision_,
            "feature_quantiles": _quantiles(features),
            "variable_quantiles": _quantiles(values),
            "residual_scale": np.ones(len(names)),
            **_identity_axes(np.asarray(rows.identity, np.float64)),
        }
        unknown = np.full(len(rows), np.nan, np.float32)
        reference = Reference(
            spectrum=rows.spectrum,
            text=rows.text,
            identity=_identity_places(rows, arrays),
            text_reach=unknown,
            identity_reach=unknown,
            features=_normal_scores(features, arrays["feature_quantiles"]),
            variables=_normal_scores(values, arrays["variable_quantiles"]),
            band_counts=np.asarray(rows.band_counts, np.float32),
            band_errors=np.asarray(rows.band_errors, np.float32),
            names=tuple(str(name) for name in rows.names),  # type: ignore[union-attr]
            classes=tuple(None if c is None else str(c) for c in rows.classes),  # type: ignore[union-attr]
            groups=_groups(rows),
        )
        forest = IsolationForestArrays.fit(both, n_trees=n_trees, seed=seed)
        found = cls(reference, forest, variables=names, k=k, arrays=arrays)
        for name in ("text", "identity"):
            reach: dict[str, Any] = {
                f"{name}_reach": found._text_distances(rows, name)[0].astype(np.float32)
            }
            found.reference = replace(found.reference, **reach)
        residual = found._residuals(rows)
        spread = [_robust_spread(column) for column in residual.T]
        found._arrays["residual_scale"] = np.array(spread, np.float64)
        ruler = rows if calibration is None else _checked(calibration)
        found._set_levels(found._raw(ruler))
        return found

    def score(self, rows: OutlierRows) -> OutlierScores:
        """Score rows.

        Args:
            rows: `spectrum` is needed; what else is missing leaves out what would look at it.

        Raises:
            ValueError: for widths other than the detector's.
        """
        raw = self._raw(self._fitting(rows))
        tail = {name: self._tail(name, values) for name, values in raw.items()}
        raw["combined"] = _combine(tail)
        tail["combined"] = self._tail("combined", raw["combined"])
        return OutlierScores(raw, tail)

    def neighbours(self, rows: OutlierRows, n: int | None = None) -> np.ndarray:
        """(rows, n) places in `reference` of the spectra nearest in the shared space.

        Of each group only the nearest row is named, and none of a row's own group.
        """
        rows = self._fitting(rows)
        wanted = self.k if n is None else n
        order, _ = self._nearest_spectra(rows, min(8 * wanted, len(self._group)))
        result = np.full((len(rows), wanted), -1, dtype=np.int64)
        for row, places in enumerate(order):
            _, first = np.unique(self._group[places[places >= 0]], return_index=True)
            some = places[places >= 0][np.sort(first)][:wanted]
            result[row, : len(some)] = some
        return result

    def usual_value(self, variable: int, score: float) -> float:
        """Catalogue value behind the normal score of a variable (by its place); nan stays nan."""
        quantiles = self._arrays["variable_quantiles"][variable]
        deviate = [NormalDist().inv_cdf(p) for p in _places()]
        return float(np.interp(score, deviate, quantiles)) if np.isfinite(score) else float("nan")

    def _raw(self, rows: OutlierRows) -> dict[str, np.ndarray]:
        reference, assembled = self.reference, np.full((len(rows), 0), np.nan)
        assert rows.text is not None  # _checked fills it
        raw = {name: np.full(len(rows), np.nan) for name in COMPONENTS}
        paired = np.isfinite(rows.text).all(axis=1)
        if paired.any():
            assembled = np.concatenate([rows.spectrum, rows.text], axis=1)[paired]
            raw["isolation_forest"][paired] = self.forest.score(assembled)
            apart = assembled - self._arrays["centre"]
            raw["mahalanobis"][paired] = np.sqrt(
                np.einsum("ni,ij,nj->n", apart, self._arrays["precision"], apart, optimize=True)
            )
            raw["disagreement"][paired] = _disagreement(
                rows.spectrum[paired],
                rows.text[paired],
                reference.text[self._text_rows],
                _codes(rows, self._codes)[paired],
                self._group[self._text_rows],
            )
        for name in ("text", "identity"):
            raw[f"{name}_neighbours"], raw[f"{name}_density"] = self._text_distances(rows, name)
        _, cosine = self._nearest_spectra(rows, self.k)
        raw["spectrum_neighbours"] = _mean_known(1.0 - cosine)
        features = _normal_scores(
            np.asarray(rows.features, np.float64), self._arrays["feature_quantiles"]
        )
        known = np.isfinite(features).all(axis=1) & (features.shape[1] > 0)
        if known.any():
            own = _codes(rows, self._codes)[known]
            _, close = _nearest(
                features[known], reference.features, own, self._group, self.k, euclidean=True
            )
            raw["feature_neighbours"][known] = _mean_known(np.sqrt(np.maximum(-close, 0.0)))
        if self.variables:
            raw["variables"] = _largest(
                np.abs(self._residuals(rows)) / self._arrays["residual_scale"]
            )
        return raw

    def _text_distances(self, rows: OutlierRows, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean distance of each text to its neighbours, and how many times that is theirs.

        The second is the idea of the local outlier factor (Breunig et al. 2000): a text beside a
        crowd of almost equal ones is odd at a distance that is nothing in emptier places.
        """
        distance, ratio = np.full((2, len(rows)), np.nan)
        reference = self.reference
        if name == "text":
            places, bank, chosen = rows.text, reference.text, self._text_rows
        else:
            places = _identity_places(rows, self._arrays)
            bank, chosen = reference.identity, self._identity_rows
        assert places is not None  # _checked fills it
        known = np.isfinite(places).all(axis=1) & (places.shape[1] > 0)
        if not known.any() or not len(chosen):
            return distance, ratio
        own = _codes(rows, self._codes)[known]
        near, close = _nearest(
            places[known], bank[chosen], own, self._group[chosen], self.k, euclidean=True
        )
        distance[known] = _mean_known(np.sqrt(np.maximum(-close, 0.0)))
        reach = getattr(reference, f"{name}_reach")[chosen][near].astype(np.float64)
        usual = _mean_known(np.where(near >= 0, reach, np.nan))
        ratio[known] = distance[known] / np.maximum(usual, 1e-6)
        return distance, ratio

    def _residuals(self, rows: OutlierRows) -> np.ndarray:
        """(n, V) normal score of each variable less the median of the neighbours'."""
        values = _normal_scores(
            _stacked(rows, self.variables), self._arrays["variable_quantiles"]
        ).astype(np.float64)
        order, _ = self._nearest_spectra(rows, 4 * self.k)
        result = np.full(values.shape, np.nan)
        for start in range(0, len(values), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            around = self.reference.variables[order[block]]
            around = np.where((order[block] >= 0)[..., None], around, np.nan)
            enough = np.isfinite(around).sum(axis=1) >= 3
            middle = np.nanmedian(np.where(enough[:, None], around, 0.0), axis=1)
            result[block] = np.where(enough, values[block] - middle, np.nan)
        return result

    def _nearest_spectra(self, rows: OutlierRows, k: int) -> tuple[np.ndarray, np.ndarray]:
        own = _codes(rows, self._codes)
        return _nearest(rows.spectrum, self.reference.spectrum, own, self._group, k)

    def _set_levels(self, raw: Mapping[str, np.ndarray]) -> None:
        self._levels = {name: np.sort(x[np.isfinite(x)]) for name, x in raw.items()}
        combined = _combine({name: self._tail(name, x) for name, x in raw.items()})
        self._levels["combined"] = np.sort(combined[np.isfinite(combined)])

    def _tail(self, name: str, values: np.ndarray) -> np.ndarray:
        levels = self._levels[name]
        above = len(levels) - np.searchsorted(levels, values, side="left")
        return np.where(np.isfinite(values), (1.0 + above) / (1.0 + len(levels)), np.nan)

    def _fitting(self, rows: OutlierRows) -> OutlierRows:
        rows = _checked(rows)
        for name, known in (
            ("spectrum", self.reference.spectrum.shape[1]),
            ("features", self.reference.features.shape[1]),
            ("identity", self._arrays["identity_mean"].shape[0]),
        ):
            given = getattr(rows, name).shape[1]
            if given != known and (given or name == "spectrum"):
                raise ValueError(
                    f"{name} has {given} columns, the detector knows {known}: "
                    "use the detector that came with the model"
                )
        for name, width in (
            ("features", self.reference.features.shape[1]),
            ("identity", self._arrays["identity_mean"].shape[0]),
        ):
            if not getattr(rows, name).shape[1]:
                blank: dict[str, Any] = {name: np.full((len(rows), width), np.nan, np.float32)}
                rows = replace(rows, **blank)
        return rows

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write `detector.json`, `reference.jsonl` and `detector.safetensors`.

        An older detector there is replaced only once the new one is whole.
        """
        from .files import write_detector

        return write_detector(self, Path(folder))

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
            FileFormatError: when a file is damaged, or of a later version.
        """
        from .files import read_detector

        return read_detector(name_or_path, **hub)


def _kind(values: Any) -> Any:
    return object if isinstance(values, list | tuple) else None


def _checked(rows: OutlierRows) -> OutlierRows:
    """The same rows with every attribute an array of the right shape, nan where not known."""
    spectrum = np.ascontiguousarray(rows.spectrum, np.float32)
    if spectrum.ndim != 2 or not len(spectrum) or not np.isfinite(spectrum).all():
        raise ValueError(f"spectrum must be finite, of shape (n, D), not {spectrum.shape}")
    n, width = spectrum.shape

    def matrix(name: str, columns: int | None) -> np.ndarray:
        values = getattr(rows, name)
        if values is None:
            return np.full((n, columns or 0), np.nan, np.float32)
        array = np.asarray(values, np.float32)
        if array.ndim != 2 or len(array) != n or columns not in (None, array.shape[1]):
            raise ValueError(f"{name} must be ({n}, {columns or 'any'}), not {array.shape}")
        return array

    def labels(name: str, absent: Any) -> np.ndarray:
        values = getattr(rows, name)
        found = np.empty(n, dtype=object)
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has {len(values)} entries for {n} rows")
        found[:] = [absent] * n if values is None else list(values)
        return found

    variables = {}
    for name, values in rows.variables.items():
        variables[name] = np.asarray(values, np.float64)
        if variables[name].shape != (n,):
            raise ValueError(f"variable {name} must be ({n},), not {variables[name].shape}")
    groups = labels("groups", None)
    if rows.groups is None:
        # A mark that no name has, so that an unknown source is kept from no neighbour.
        groups[:] = [f"\0{row}" for row in range(n)]
    return OutlierRows(
        spectrum=spectrum,
        text=np.ascontiguousarray(matrix("text", width)),
        identity=matrix("identity", None),
        features=matrix("features", None),
        variables=variables,
        band_counts=matrix("band_counts", len(HARDNESS_BANDS)),
        band_errors=matrix("band_errors", len(HARDNESS_BANDS)),
        names=labels("names", ""),
        classes=labels("classes", None),
        groups=groups,
    )


def _distinct(vectors: np.ndarray) -> np.ndarray:
    """Places of the first of each distinct known row."""
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (vectors.shape[1] > 0))
    if not len(rows):
        return rows
    _, first = np.unique(vectors[rows], axis=0, return_index=True)
    return rows[np.sort(first)]


def _identity_axes(identity: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and principal axes of the embedded sections: what keeps a detector small."""
    distinct = identity[_distinct(identity)]
    if len(distinct) < 2:
        width = identity.shape[1]
        return {"identity_mean": np.zeros(width), "identity_axes": np.zeros((0, width))}
    unit = _unit(distinct)
    mean = unit.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((unit - mean).T).reshape(unit.shape[1], unit.shape[1]))
    return {
        "identity_mean": mean,
        "identity_axes": np.ascontiguousarray(axes[:, ::-1][:, :IDENTITY_AXES].T),
    }


def _identity_places(rows: OutlierRows, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    unit = _unit(np.asarray(rows.identity, np.float64))
    return ((unit - arrays["identity_mean"]) @ arrays["identity_axes"].T).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    # A section that says nothing is embedded as zeros, and has no direction.
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, np.nan)


def _groups(rows: OutlierRows) -> tuple[str, ...]:
    return tuple(str(group) for group in rows.groups)  # type: ignore[union-attr]


def _codes(rows: OutlierRows, names: Mapping[str, int]) -> np.ndarray:
    return np.array([names.get(group, -1) for group in _groups(rows)], dtype=np.int64)


def _stacked(rows: OutlierRows, names: Sequence[str]) -> np.ndarray:
    blank = np.full(len(rows), np.nan)
    columns = [rows.variables.get(name, blank) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))


def _quantiles(values: np.ndarray) -> np.ndarray:
    """(V, Q) evenly spaced quantiles of each column over its known rows; nan where it has none."""
    result = np.full((values.shape[1], _QUANTILES), np.nan)
    for column in range(values.shape[1]):
        known = values[np.isfinite(values[:, column]), column]
        if len(known):
            result[column] = np.quantile(known, np.linspace(0, 1, _QUANTILES))
    return result


def _normal_scores(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Each column as the normal deviate of its rank, so that heavy tails do not rule a distance.

    Beyond the ends of what was seen it goes on in steps of the inner spread: far out is further
    than just outside.
    """
    deviate = np.array([NormalDist().inv_cdf(p) for p in _places()])
    result = np.full(values.shape, np.nan, np.float32)
    for column, edges in enumerate(quantiles):
        if not np.isfinite(edges).all():
            continue
        x = values[:, column]
        # The middle of a run of equal quantiles stands for a value that many rows share.
        low = np.searchsorted(edges, x, side="left")
        high = np.searchsorted(edges, x, side="right")
        inside = np.interp(x, edges, deviate)
        shared = high - low > 1
        inside[shared] = 0.5 * (
            deviate[np.minimum(low, _QUANTILES - 1)[shared]] + deviate[high[shared] - 1]
        )
        spread = edges[_QUANTILES * 3 // 4] - edges[_QUANTILES // 4]
        spread = spread if spread > 0 else max(edges[-1] - edges[0], 1e-12)
        beyond = np.maximum(x - edges[-1], 0.0) - np.maximum(edges[0] - x, 0.0)
        far = np.sign(beyond) * np.log1p(np.abs(beyond) / spread)
        result[:, column] = np.where(np.isfinite(x), inside + far, np.nan)
    return result


def _places() -> np.ndarray:
    # Half a step inside the ends, where the normal deviate is finite.
    step = 1.0 / (_QUANTILES - 1)
    return np.clip(np.linspace(0, 1, _QUANTILES), 0.5 * step, 1 - 0.5 * step)


def _nearest(
    queries: np.ndarray,
    bank: np.ndarray,
    own: np.ndarray,
    group: np.ndarray,
    k: int,
    euclidean: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of other groups: places (n, k), −1 where there are fewer, and closeness.

    Closeness is the cosine of unit vectors, or minus the squared Euclidean distance; nan where
    there is no row.
    """
    k = min(k, len(bank))
    places = np.empty((len(queries), k), dtype=np.int64)
    closeness = np.empty((len(queries), k))
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        close = queries[block] @ bank.T
        if euclidean:
            squares = (queries[block] ** 2).sum(axis=1)[:, None] + (bank**2).sum(axis=1)
            close = 2.0 * close - squares
        close[own[block, None] == group] = -np.inf
        best = np.argpartition(-close, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(close, best, axis=1)
        # Equal ones in the order of the bank, so that the answer does not hang on the partition.
        order = np.lexsort((best, -value), axis=1)
        places[block] = np.take_along_axis(best, order, axis=1)
        closeness[block] = np.take_along_axis(value, order, axis=1)
    absent = np.isneginf(closeness)
    places[absent], closeness[absent] = -1, np.nan
    return places, closeness


def _disagreement(
    spectrum: np.ndarray,
    text: np.ndarray,
    bank: np.ndarray,
    own: np.ndarray,
    group: np.ndarray,
) -> np.ndarray:
    """Share of other sources' texts that go with the spectrum at least as well as its own does."""
    result = np.empty(len(spectrum))
    mine = np.einsum("nd,nd->n", spectrum, text)
    for start in range(0, len(spectrum), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        other = own[block, None] != group
        closer = (spectrum[block] @ bank.T >= mine[block, None]) & other
        result[block] = closer.sum(axis=1) / np.maximum(other.sum(axis=1), 1)
    return result


def _mean_known(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _largest(values: np.ndarray) -> np.ndarray:
    return np.where(
        np.isfinite(values).any(axis=1), np.nan_to_num(values, nan=-np.inf).max(axis=1), np.nan
    )


def _combine(tail: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean of −ln(tail) over what is known of a row: Fisher's method, for ranks."""
    parts = np.stack([-np.log(tail[name]) for name in COMBINED], axis=1)
    return _mean_known(parts)


def _robust_spread(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    if not len(known):
        return 1.0
    spread = 1.4826 * float(np.median(np.abs(known - np.median(known))))
    return spread if spread > 0 else max(float(known.std()), 1e-3)


__all__ = [
    "COMBINED",
    "COMPONENTS",
    "DETECTORS",
    "OutlierRows",
    "OutlierScores",
    "Reference",
    "SpecCLIPOutlierDetector",
]
