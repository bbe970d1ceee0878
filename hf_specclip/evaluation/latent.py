"""What the dimensions of a latent space stand for, and how its two modalities lie in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import hyp0f1
from scipy.stats import rankdata

from .bootstrap import GroupBootstrap

METHODS = ("pearson", "spearman")
# Below this many rows the best of 64 dimensions correlates with anything.
MIN_ROWS = 20


@dataclass(frozen=True)
class Correlations:
    """Correlation of each dimension of a latent space with each variable.

    Attributes:
        method: `"pearson"` or `"spearman"`.
        variables: names, in the order of the rows below.
        rho: (V, K) over the rows where the variable is known; nan where it has too few rows or
            does not vary, and for a dimension that does not vary.
        n: (V,) rows behind them.
        best: (V,) the dimension with the largest |ρ|, −1 where there is none.
        strength: (V,) |ρ| of that dimension.
        low, high: (V,) its 95 % interval over groups, for the dimension as chosen.
        null: (V,) what the best of the K dimensions stays below by chance in 95 % of all cases
            (variables dealt to other groups).
        mean: `value`, `low`, `high` of the mean of `strength` over the variables; `chance`, its
            mean where variables are dealt to other groups, and `null`, the 95 % point of that.
    """

    method: str
    variables: tuple[str, ...]
    rho: np.ndarray
    n: np.ndarray
    best: np.ndarray
    strength: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    mean: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON, None where there is no figure; without the full matrix."""
        rows: dict[str, Any] = {}
        for v, name in enumerate(self.variables):
            if self.best[v] < 0:
                rows[name] = {"n": int(self.n[v]), "dimension": None, "value": None}
                continue
            rows[name] = {
                "n": int(self.n[v]),
                "dimension": int(self.best[v]),
                "rho": _plain(self.rho[v, self.best[v]]),
                "value": _plain(self.strength[v]),
                "low": _plain(self.low[v]),
                "high": _plain(self.high[v]),
                "null": _plain(self.null[v]),
            }
        mean = {name: _plain(value) for name, value in self.mean.items()}
        return {"mean": mean, "variables": rows}


def correlate(
    points: np.ndarray,
    variables: Mapping[str, np.ndarray],
    groups: Sequence[Any] | np.ndarray,
    *,
    method: str = "pearson",
    n_bootstrap: int = 1000,
    n_permutations: int = 200,
    seed: int = 0,
) -> Correlations:
    """Correlate every dimension with every variable (arXiv 2603.04516, latent space).

    The best of many dimensions correlates with anything, so each figure stands beside what chance
    alone gives. Chance keeps groups together: rows of one source resemble each other, and shuffling
    them one by one would put the level too low. Groups change places as blocks.

    Intervals hold for the dimension that was chosen: they say how surely its correlation is known,
    not how much choosing it flattered it (`held_out_strength` says that). Ranks are taken once, not
    in each draw.

    Args:
        points: (n, K) finite.
        variables: name -> (n,), nan where unknown; each is compared over its own known rows.
        groups: (n,) what is drawn together.
        method: `"pearson"` or `"spearman"`.
        n_bootstrap: draws behind the intervals.
        n_permutations: behind the chance level.
        seed: of both.

    Raises:
        ValueError: for another method, points that are not finite, or lengths that differ.
    """
    points, groups = _points(points), np.asarray(groups)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if groups.shape != (len(points),):
        raise ValueError(f"{len(points)} points need as many groups, not shape {groups.shape}")
    names = tuple(variables)
    values = [_variable(variables[name], len(points), name) for name in names]
    rho = np.full((len(names), points.shape[1]), np.nan)
    n = np.array([int(np.isfinite(y).sum()) for y in values])
    best = np.full(len(names), -1)
    chosen: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(names)
    for v, y in enumerate(values):
        known = np.isfinite(y)
        if n[v] < MIN_ROWS:
            continue
        x, z = _prepared(points[known], y[known], method)
        rho[v] = _correlation(x, z)
        if np.isfinite(rho[v]).any():
            best[v] = int(np.nanargmax(np.abs(rho[v])))
            full = np.full((2, len(points)), np.nan)
            full[0, known], full[1, known] = x[:, best[v]], z
            chosen[v] = (full[0], full[1])

    signs = np.sign(rho[np.arange(len(names)), best])
    strength = np.abs(rho[np.arange(len(names)), best])
    strength[best < 0] = np.nan
    draws = _bootstrap_draws(chosen, groups, n_bootstrap, seed) * signs[:, None]
    low, high = np.full(len(names), np.nan), np.full(len(names), np.nan)
    found = best >= 0
    if found.any() and draws.shape[1]:
        low[found], high[found] = np.nanquantile(draws[found], [0.025, 0.975], axis=1)
    chance = _permuted_best(points, values, found, groups, method, n_permutations, seed)
    null = np.full(len(names), np.nan)
    mean = dict.fromkeys(("value", "low", "high", "chance", "null"), float("nan"))
    if found.any():
        null[found] = np.quantile(chance[found], 0.95, axis=1)
        means = chance[found].mean(axis=0)
        mean["value"] = float(strength[found].mean())
        mean["chance"], mean["null"] = float(means.mean()), float(np.quantile(means, 0.95))
        if draws.shape[1]:
            together = np.nanmean(draws[found], axis=0)
            mean["low"], mean["high"] = (float(q) for q in np.quantile(together, [0.025, 0.975]))
    return Correlations(method, names, rho, n, best, strength, low, high, null, mean)


def held_out_strength(
    chosen: Correlations, points: np.ndarray, variables: Mapping[str, np.ndarray]
) -> np.ndarray:
    """|ρ| on fresh rows of the dimension that other rows chose: what the choice flattered is gone.

    Args:
        chosen: of other rows of the same space.
        points: (n, K).
        variables: name -> (n,), nan where unknown.

    Returns:
        (V,) in the order of `chosen.variables`; with the sign that `chosen` found (a correlation
        that turned round counts as negative), nan where there is none.
    """
    points = _points(points)
    result = np.full(len(chosen.variables), np.nan)
    for v, name in enumerate(chosen.variables):
        y = _variable(variables[name], len(points), name)
        known = np.isfinite(y)
        if chosen.best[v] < 0 or known.sum() < MIN_ROWS:
            continue
        x, z = _prepared(points[known][:, [chosen.best[v]]], y[known], chosen.method)
        result[v] = _correlation(x, z)[0] * np.sign(chosen.rho[v, chosen.best[v]])
    return result


def alignment_and_uniformity(
    spectrum: np.ndarray,
    text: np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """How close pairs lie, how evenly all points fill the sphere, and how far the modalities part.

    Alignment is the mean squared distance of the two of a pair; chance is that of spectra with
    texts of other groups. Uniformity is log E exp(−2‖x − y‖²) over rows of different groups (Wang
    & Isola 2020, arXiv 2005.10242, with α = 2 and t = 2): lower is more even, and `chance` is the
    value of the uniform distribution itself. The modality gap is the distance of the two means
    (Liang et al. 2022, arXiv 2203.02053); `chance` is the 95 % point where spectrum and text
    change places at random, group by group.

    Args:
        spectrum, text: (n, D) of unit length, row by row a pair.
        groups: (n,).
        n_bootstrap: draws behind the intervals, and swaps behind the gap's chance.
        seed: of both.

    Returns:
        `alignment`, `uniformity_spectrum`, `uniformity_text`, `modality_gap`, each with `value`,
        `low`, `high`, `chance`.

    Raises:
        ValueError: for shapes that differ, vectors that are not of unit length, fewer than two
            groups.
    """
    x, y, labels = _points(spectrum), _points(text), np.asarray(groups)
    if x.shape != y.shape or labels.shape != (len(x),):
        raise ValueError(f"spectrum {x.shape}, text {y.shape}, groups {labels.shape} do not fit")
    for name, vectors in (("spectrum", x), ("text", y)):
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
            raise ValueError(f"{name} must be of unit length: these are points on a sphere")
    bootstrap = GroupBootstrap(labels, n_bootstrap, seed)
    if bootstrap.n_groups < 2:
        raise ValueError("pairs of different groups are needed, and all rows are of one")
    _, group = np.unique(labels, return_inverse=True)
    sizes = np.bincount(group).astype(np.float64)
    weights = np.concatenate(list(bootstrap.weights())).astype(np.float64)

    squared = ((x - y) ** 2).sum(axis=1)
    low, high = bootstrap.interval(bootstrap.means(squared))
    across = _between_groups(np.maximum(2.0 - 2.0 * x @ y.T, 0.0), group, len(sizes))
    others = np.outer(sizes, sizes)
    np.fill_diagonal(others, 0.0)
    result = {
        "alignment": {
            "value": float(squared.mean()),
            "low": float(low),
            "high": float(high),
            "chance": float(across.sum() / others.sum()),
        }
    }
    even = float(np.log(hyp0f1(x.shape[1] / 2, 4.0)) - 4.0)
    for name, vectors in (("spectrum", x), ("text", y)):
        kernel = np.exp(-2.0 * np.maximum(2.0 - 2.0 * vectors @ vectors.T, 0.0))
        summed = _between_groups(kernel, group, len(sizes))
        drawn = np.log(
            np.einsum("bg,bg->b", weights @ summed, weights)
            / np.einsum("bg,bg->b", weights @ others, weights)
        )
        low, high = bootstrap.interval(drawn[np.isfinite(drawn)])
        result[f"uniformity_{name}"] = {
            "value": float(np.log(summed.sum() / others.sum())),
            "low": float(low),
            "high": float(high),
            "chance": even,
        }
    apart = np.stack([np.bincount(group, weights=column) for column in (x - y).T], axis=1)
    gaps = np.linalg.norm((weights @ apart) / (weights @ sizes)[:, None], axis=1)
    swaps = np.random.default_rng([seed, 1]).choice([-1.0, 1.0], size=(n_bootstrap, len(sizes)))
    low, high = bootstrap.interval(gaps)
    result["modality_gap"] = {
        "value": float(np.linalg.norm(apart.sum(axis=0)) / len(x)),
        "low": float(low),
        "high": float(high),
        "chance": float(np.quantile(np.linalg.norm(swaps @ apart, axis=1) / len(x), 0.95)),
    }
    return result


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _between_groups(pairs: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Sums of a (n, n) matrix over blocks of groups, (G, G), without pairs inside a group."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(n_groups))
    rows = np.add.reduceat(pairs[order], starts, axis=0)
    sums = np.add.reduceat(rows[:, order], starts, axis=1)
    np.fill_diagonal(sums, 0.0)
    return sums


def _points(points: Any) -> np.ndarray:
    values = np.asarray(points, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"points must have shape (n, K) with n and K above 0, not {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"point {row} holds NaN or infinity: the model that made it has diverged")
    return values


def _variable(values: Any, n: int, name: str) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != (n,):
        raise ValueError(f"variable {name} must have {n} values, not shape {array.shape}")
    return np.where(np.isfinite(array), array, np.nan)


def _prepared(x: np.ndarray, y: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Both centred and of unit spread (a column that does not vary stays 0), as ranks if asked."""
    if method == "spearman":
        x, y = rankdata(x, axis=0), rankdata(y)
    return _standard(x), _standard(y)


def _standard(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    # What is left of a constant after rounding is no spread.
    flat = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0), 1e-300)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))


def _correlation(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    rho = z @ x / len(z)
    return np.where(x.any(axis=0) & z.any(), np.clip(rho, -1.0, 1.0), np.nan)


def _bootstrap_draws(
    chosen: Sequence[tuple[np.ndarray, np.ndarray] | None],
    groups: np.ndarray,
    n_bootstrap: int,
    seed: int,
) -> np.ndarray:
    """Correlation of each variable with its dimension in each draw, (V, draws)."""
    bootstrap = GroupBootstrap(groups, n_bootstrap, seed)
    if bootstrap.n_groups < 2:
        return np.empty((len(chosen), 0))
    _, group = np.unique(groups, return_inverse=True)
    weights = np.concatenate(list(bootstrap.weights())).astype(np.float64)
    result = np.full((len(chosen), n_bootstrap), np.nan)
    for v, pair in enumerate(chosen):
        if pair is None:
            continue
        known = np.isfinite(pair[0])
        x, y = np.nan_to_num(pair[0]), np.nan_to_num(pair[1])
        sums = [
            weights @ np.bincount(group, weights=part, minlength=bootstrap.n_groups)
            for part in (known.astype(float), x, y, x * x, y * y, x * y)
        ]
        n, sx, sy, sxx, syy, sxy = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))
            result[v] = np.where(spread > 0, (n * sxy - sx * sy) / spread, np.nan)
    return result


def _permuted_best(
    points: np.ndarray,
    values: Sequence[np.ndarray],
    wanted: np.ndarray,
    groups: np.ndarray,
    method: str,
    n_permutations: int,
    seed: int,
) -> np.ndarray:
    """The largest |ρ| of all dimensions where groups have changed places, (V, permutations)."""
    names, group = np.unique(groups, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(names) + 1))
    x = _standard(rankdata(points, axis=0) if method == "spearman" else points)[order]
    squares = x**2
    random = np.random.default_rng([seed, 2])
    places = np.empty((n_permutations, len(points)), dtype=np.int64)
    for row in places:
        blocks = random.permutation(len(names))
        row[:] = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in blocks])
    result = np.full((len(values), n_permutations), np.nan)
    for v in np.flatnonzero(wanted).tolist():
        y = values[v][order]
        known = np.isfinite(y)
        z = np.zeros(len(y))
        z[known] = _standard(rankdata(y[known]) if method == "spearman" else y[known])
        n = known.sum()
        mask, moved = known[places].astype(np.float64), z[places]
        mean = mask @ x / n
        spread = np.sqrt(np.maximum(mask @ squares / n - mean**2, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = np.where(spread > 0, moved @ x / n / spread, 0.0)
        result[v] = np.abs(rho).max(axis=1)
    return result


__all__ = [
    "METHODS",
    "Correlations",
    "alignment_and_uniformity",
    "correlate",
    "held_out_strength",
]
