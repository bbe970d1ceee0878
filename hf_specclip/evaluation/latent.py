"""Correlations of single latent dimensions with variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..storage import to_json
from .bootstrap import GroupBootstrap

# Below this many rows the best of 64 dimensions correlates with anything.
MIN_ROWS = 20


@dataclass(frozen=True)
class Correlations:
    """Pearson correlation of each dimension of a latent space with each variable.

    Attributes:
        variables: (V,) names.
        rho: (V, K) over the rows with a value; nan for too few rows, or for a variable or
            dimension that does not vary.
        n: (V,) number of rows with a value.
        best: (V,) the dimension with the largest |ρ|, −1 where there is none.
        strength: (V,) |ρ| of that dimension.
        low, high: (V,) its 95 % interval over groups, for the dimension as chosen.
        null: (V,) 95 % quantile of the largest |ρ| of all dimensions by chance (values permuted
            between groups).
        mean: `value`, `low`, `high` of the mean of `strength` over the variables, with `chance`
            and `null`, the mean and the 95 % quantile of the same under permutation.
    """

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
        """Return plain numbers for JSON, None for nan, without the full matrix."""
        rows: dict[str, Any] = {}
        columns = {"value": self.strength, "low": self.low, "high": self.high, "null": self.null}
        for v, name in enumerate(self.variables):
            rows[name] = {"n": int(self.n[v]), "dimension": None, "value": None}
            if self.best[v] >= 0:
                rows[name] |= {"dimension": int(self.best[v])}
                rows[name] |= {"rho": float(self.rho[v, self.best[v]])}
                rows[name] |= {key: float(values[v]) for key, values in columns.items()}
        return to_json({"mean": self.mean, "variables": rows})


def correlate(
    points: np.ndarray,
    variables: Mapping[str, np.ndarray],
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    n_permutations: int = 200,
    seed: int = 0,
) -> Correlations:
    """Correlate every dimension with every variable (arXiv 2603.04516, latent space).

    The best of many dimensions correlates with anything, so each figure is given with its level of
    chance. Rows of one source resemble each other, so groups are permuted as blocks: permuting
    single rows would give a level that is too low.

    Intervals hold for the chosen dimension: they do not include the bias of choosing it.

    Args:
        points: (n, K) finite.
        variables: name -> (n,), nan where unknown; each is compared over its known rows.
        groups: (n,) the unit of resampling.
        n_bootstrap: draws behind the intervals.
        n_permutations: permutations behind the chance level.
        seed: of both.

    Raises:
        ValueError: for points that are not finite, or lengths that differ.
    """
    points, groups = _check_points(points), np.asarray(groups)
    if groups.shape != (len(points),):
        raise ValueError(f"{len(points)} points need as many groups, not shape {groups.shape}")
    names = tuple(variables)
    values = [_check_variable(variables[name], len(points), name) for name in names]
    rho = np.full((len(names), points.shape[1]), np.nan)
    best = np.full(len(names), -1)
    draws = np.full((len(names), n_bootstrap), np.nan)
    chance = np.full((len(names), n_permutations), np.nan)
    bootstrap = GroupBootstrap(groups, n_bootstrap, seed)
    _, group = np.unique(groups, return_inverse=True)
    weights = np.concatenate(list(bootstrap.weights())).astype(np.float64)
    permutations = _permute_groups(group, n_permutations, seed)
    standard = _standardise(points)
    for v, y in enumerate(values):
        rows = np.isfinite(y)
        if rows.sum() < MIN_ROWS:
            continue
        x, z = _standardise(points[rows]), _standardise(y[rows])
        rho[v] = np.where(x.any(axis=0) & z.any(), np.clip(z @ x / len(z), -1.0, 1.0), np.nan)
        if np.isfinite(rho[v]).any():
            best[v] = int(np.nanargmax(np.abs(rho[v])))
            drawn = _weighted_correlations(x[:, best[v]], z, group[rows], weights)
            draws[v] = drawn * np.sign(rho[v, best[v]])
            chance[v] = _permuted_best(standard, rows, z, permutations)
    strength = np.where(best >= 0, np.abs(rho[np.arange(len(names)), best]), np.nan)
    if bootstrap.n_groups < 2:
        draws[:] = np.nan
    return Correlations(
        names, rho, np.array([int(np.isfinite(y).sum()) for y in values]), best, strength,
        *_summarise(strength, draws, chance),
    )  # fmt: skip


def _summarise(
    strength: np.ndarray, draws: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, float]]:
    """Return `low`, `high`, `null` and `mean` of `Correlations`, from (V,), (V, B) and (V, P)."""
    low, high, null = np.full((3, len(strength)), np.nan)
    mean = dict.fromkeys(("value", "low", "high", "chance", "null"), float("nan"))
    rows = np.isfinite(strength)
    if rows.any():
        null[rows] = np.quantile(chance[rows], 0.95, axis=1)
        means = chance[rows].mean(axis=0)
        mean["value"] = float(strength[rows].mean())
        mean["chance"], mean["null"] = float(means.mean()), float(np.quantile(means, 0.95))
        if np.isfinite(draws[rows]).any():
            low[rows], high[rows] = np.nanquantile(draws[rows], [0.025, 0.975], axis=1)
            edges = np.quantile(np.nanmean(draws[rows], axis=0), [0.025, 0.975])
            mean["low"], mean["high"] = (float(edge) for edge in edges)
    return low, high, null, mean


def _check_points(points: Any) -> np.ndarray:
    values = np.asarray(points, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"points must have shape (n, K) with n and K above 0, not {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"point {row} holds NaN or infinity: the model that made it has diverged")
    return values


def _check_variable(values: Any, n: int, name: str) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != (n,):
        raise ValueError(f"variable {name} must have {n} values, not shape {array.shape}")
    return np.where(np.isfinite(array), array, np.nan)


def _standardise(values: np.ndarray) -> np.ndarray:
    """Centre columns and scale them to unit spread; a column that does not vary becomes 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    # Rounding leaves a constant column with a tiny spread.
    flat = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0), 1e-300)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))


def _weighted_correlations(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Correlate (n,) with (n,) in each draw of (draws, G) group weights; (draws,)."""
    n, sx, sy, sxx, syy, sxy = (
        weights @ np.bincount(group, weights=part, minlength=weights.shape[1])
        for part in (np.ones(len(x)), x, y, x * x, y * y, x * y)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))
        return np.where(spread > 0, (n * sxy - sx * sy) / spread, np.nan)


def _permute_groups(group: np.ndarray, n_permutations: int, seed: int) -> np.ndarray:
    """Return (1 + P, n) orders of rows: sorted by group, then with groups permuted as blocks."""
    order = np.argsort(group, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    random = np.random.default_rng([seed, 2])
    draws = [random.permutation(len(blocks)) for _ in range(n_permutations)]
    return np.stack([order, *(np.concatenate([blocks[b] for b in drawn]) for drawn in draws)])


def _permuted_best(
    points: np.ndarray, rows: np.ndarray, values: np.ndarray, permutations: np.ndarray
) -> np.ndarray:
    """Return the largest |ρ| of all dimensions in each permutation of the groups, (P,).

    Args:
        points: (n, K) standardised.
        rows: (n,) bool, rows with a value.
        values: (rows.sum(),) standardised values.
        permutations: of `_permute_groups`.
    """
    spread_out = np.zeros(len(rows))
    spread_out[rows] = values
    x = points[permutations[0]]
    mask, moved = rows[permutations[1:]].astype(np.float64), spread_out[permutations[1:]]
    n = rows.sum()
    mean = mask @ x / n
    spread = np.sqrt(np.maximum(mask @ x**2 / n - mean**2, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = np.where(spread > 0, moved @ x / n / spread, 0.0)
    return np.asarray(np.abs(rho).max(axis=1))


__all__ = ["MIN_ROWS", "Correlations", "correlate"]
