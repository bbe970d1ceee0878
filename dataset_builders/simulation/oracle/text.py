"""Likelihood of a text's statements, as a function of one quantity of its source at a time.

Statements on one quantity come from measurements of one truth: their likelihoods multiply into a
table over that quantity. A mistaken text took one wrong value for all of them, so its table is the
same one smeared by the sizes of mistakes. The classes and kinds of field that a text allows are
exact. The meaning of a number may depend on them: `shape` is a photon index or a temperature by the
class, a luminosity is a flux by the distances of the kind of field. Such quantities have several
tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log, log1p, pi
from random import Random

import numpy as np
from scipy.special import ndtr

from ..prose import Facts, Statement, mistaken
from ..prose.facts import MPC_IN_CM
from ..prose.statements import LABELS, LEAST_SHARE
from ..source_classes import (
    CLASS_NAMES,
    CLASSES,
    COMPONENTS,
    FIELD_KINDS,
    FIELD_NAMES,
    POWER_LAW,
)

_LOG_KT = np.arange(log(0.015), log(200.0), 0.005)
_GAMMA = np.arange(-0.5, 6.0, 0.01)
_LOG_NH = np.arange(log(3e-4), log(400.0), 0.01)
_LOG_FLUX = np.arange(log(1e-18), log(1e-8), 0.02)
_COLOUR = np.arange(-1.0, 1.001, 0.005)
# Stated redshifts are exact for the eye of ACIS; blurred in ln(1 + z) by less than the detector's
# resolution, they can be compared with sources that were drawn beforehand.
_REDSHIFT_BLUR = 0.02
_MISTAKES = 4000
_MISTAKE_NODES = 201
_DISTANCES = 4000
# A mistake on one of these is a factor; on one of the others, a value that takes its place.
_FACTORS = ("shape", "nh", "flux", "photons")
_COLOURS = ("hardness", "medium_soft")
MISTAKABLE = (*_FACTORS, *_COLOURS)


@dataclass(frozen=True)
class _Scale:
    """Grid of a quantity: linear, logarithmic, or in ln(1 + z)."""

    grid: np.ndarray
    linear: bool = False
    redshift: bool = False

    @property
    def truth(self) -> np.ndarray:
        """True values at the grid's nodes; of redshifts, 1 + z."""
        return self.grid if self.linear else np.exp(self.grid)

    def place(self, truth: np.ndarray) -> np.ndarray:
        """Return the positions of true values on the grid, in nodes and within it."""
        if self.redshift:
            value = np.log1p(truth)
        else:
            value = truth if self.linear else np.log(np.maximum(truth, 1e-30))
        place = (value - self.grid[0]) / (self.grid[1] - self.grid[0])
        return np.clip(place, 0.0, len(self.grid) - 1.001)


_SHAPES = (_Scale(_LOG_KT), _Scale(_GAMMA, linear=True))
# Quantities that change a spectrum, and the scale of each of their tables: shapes have one for
# temperatures and one for photon indices, the flux has one for each kind of field.
_SCALES: Mapping[str, tuple[_Scale, ...]] = {
    "shape": _SHAPES,
    "shape2": _SHAPES,
    "nh": (_Scale(_LOG_NH),),
    "foreground_nh": (_Scale(_LOG_NH),),
    "abundance": (_Scale(np.arange(log(0.02), log(10.0), 0.01)),),
    "redshift": (_Scale(np.arange(0.0, log(6.0), 0.004), redshift=True),),
    "flux": (_Scale(_LOG_FLUX),) * len(FIELD_NAMES),
    "photons": (_Scale(np.arange(-1.0, 14.0, 0.02)),),
    "hardness": (_Scale(_COLOUR, linear=True),),
    "medium_soft": (_Scale(_COLOUR, linear=True),),
}


def _table_number(quantity: str, stratum: Sequence[int]) -> int:
    """Return the number of a quantity's table for a class and a kind of field."""
    if quantity == "flux":
        return int(stratum[1])
    if quantity in ("shape", "shape2"):
        source_class = CLASSES[CLASS_NAMES[stratum[0]]]
        component = source_class.first if quantity == "shape" else source_class.second
        return int(component is not None and component.kind == POWER_LAW)
    return 0


def learn_mistakes(example: Facts) -> dict[str, np.ndarray]:
    """Measure the size of mistakes by drawing them for a source, which may be any.

    Returns:
        For each quantity, equally likely factors on the truth (`_FACTORS`) or values.

    Raises:
        ValueError: a mistake concerns an unexpected quantity.
    """
    random = Random(0)
    example = replace(example, **dict.fromkeys(_FACTORS, 1.0))
    drawn = [mistaken(example, random) for _ in range(_MISTAKES)]
    for name, value in vars(example).items():
        if name not in MISTAKABLE and any(repr(vars(one)[name]) != repr(value) for one in drawn):
            raise ValueError(f"texts are mistaken about {name}: the observer cannot tell")
    levels = (np.arange(_MISTAKE_NODES) + 0.5) / _MISTAKE_NODES
    return {name: np.quantile([vars(one)[name] for one in drawn], levels) for name in MISTAKABLE}


@dataclass(frozen=True)
class TextTables:
    """Likelihood tables of t texts."""

    classes: np.ndarray  # True for the classes that each text allows, (t, c)
    # p(distance as stated | kind of field), 0 for the kinds that a text excludes, (t, k)
    kinds: np.ndarray
    # p(what is stated about a second component | none, each of `COMPONENTS`), (t, 6)
    second: np.ndarray
    # By quantity, p(what is stated about it | truth) on the quantity's grids, (t, v, g)
    right: Mapping[str, np.ndarray]
    # The same for a mistaken text, for the quantities of `MISTAKABLE`
    wrong: Mapping[str, np.ndarray]
    mistaken: np.ndarray  # chance of that, (t)
    stated: Mapping[str, np.ndarray]  # by quantity, how many statements there are on it, (t)

    def __len__(self) -> int:
        return len(self.classes)

    def allowed(self, strata: np.ndarray) -> np.ndarray:
        """Return p(a text's statements on class, kind of field and distance | stratum), (t, s).

        Strata are pairs of class and kind of field, (s, 2).
        """
        return self.classes[:, strata[:, 0]] * self.kinds[:, strata[:, 1]]

    def likelihood(
        self,
        quantity: str,
        texts: np.ndarray,
        truth: np.ndarray,
        stratum: Sequence[int],
        *,
        wrong: bool = False,
        rough: bool = False,
    ) -> np.ndarray:
        """Return p(the texts' statements about a quantity | its true value), (k, m) float32.

        Args:
            quantity: name of the quantity.
            texts: indices, (k).
            truth: true values, (m), in the units of `Facts`.
            stratum: class and kind of field of the sources.
            wrong: for mistaken texts.
            rough: at the nearest node of the grid, twice as fast.
        """
        tables = self.wrong if wrong and quantity in self.wrong else self.right
        number = _table_number(quantity, stratum)
        scale = _SCALES[quantity][number]
        place = scale.place(truth)
        rows = tables[quantity][texts, number, : len(scale.grid)]
        if rough:
            return np.take(rows, np.rint(place).astype(int), axis=1)
        lower = place.astype(int)
        part = (place - lower).astype(np.float32)
        below = np.take(rows, lower, axis=1) * (1.0 - part)
        return below + np.take(rows, lower + 1, axis=1) * part

    def second_likelihood(
        self, texts: np.ndarray, second: np.ndarray, share: np.ndarray
    ) -> np.ndarray:
        """Return p(the texts' statements on a second component, or their silence | truth), (k, m).

        Args:
            texts: indices, (k).
            second: index into `COMPONENTS`, −1 where there is none, (m).
            share: of the photons, (m).
        """
        present = np.where((second >= 0) & (share > LEAST_SHARE), second + 1, 0)
        return np.take(self.second[texts], present.astype(int), axis=1)


def tabulate(
    statements: Sequence[Sequence[Statement]],
    mistakes: Mapping[str, np.ndarray],
    chances: Sequence[float],
) -> TextTables:
    """Tabulate the likelihoods of the statements of texts.

    Args:
        statements: statements of each text.
        mistakes: result of `learn_mistakes`.
        chances: probability that each text is mistaken.

    Raises:
        ValueError: unknown statement.
    """
    n = len(statements)
    right = {
        name: np.ones((n, len(scales), max(len(scale.grid) for scale in scales)), np.float32)
        for name, scales in _SCALES.items()
    }
    stated = {name: np.zeros(n, dtype=int) for name in _SCALES}
    classes = np.ones((n, len(CLASS_NAMES)), dtype=bool)
    kinds = np.ones((n, len(FIELD_NAMES)))
    second = np.ones((n, len(COMPONENTS) + 1), dtype=np.float32)
    for row, of_text in enumerate(statements):
        about: dict[str, list[Statement]] = {}
        for statement in of_text:
            about.setdefault(statement.quantity, []).append(statement)
        unknown = set(about) - {*LABELS, *_SCALES, "luminosity", "distance_mpc"}
        if unknown:
            raise ValueError(
                f"text {row} states {', '.join(sorted(unknown))}, which the observer cannot read"
            )
        for statement in about.get("class", ()):
            classes[row] &= _among(statement, CLASS_NAMES)
        for statement in about.get("model", ()):
            allowed = _among(statement, COMPONENTS)
            classes[row] &= [allowed[item.first.kind] for item in CLASSES.values()]
        for statement in about.get("host", ()):
            kinds[row] *= _among(statement, FIELD_NAMES)
        for statement in about.get("second", ()):
            second[row] *= _second(statement)
        for name, scales in _SCALES.items():
            stated[name][row] = len(about.get(name, ()))
            for statement in about.get(name, ()):
                for number, scale in enumerate(scales):
                    likelihood = (
                        _redshift(statement, scale.grid)
                        if scale.redshift
                        else statement.likelihood(scale.truth)
                    )
                    right[name][row, number, : len(scale.grid)] *= likelihood
        luminosities = about.get("luminosity", [])
        if luminosities or "distance_mpc" in about:
            stated["flux"][row] += len(luminosities)
            kinds[row] *= _distances(
                luminosities, about.get("distance_mpc", []), kinds[row], right["flux"][row]
            )
    wrong = {name: _smeared(name, right[name], stated[name], mistakes[name]) for name in MISTAKABLE}
    return TextTables(classes, kinds, second, right, wrong, np.asarray(chances, float), stated)


def _among(statement: Statement, names: Sequence[str]) -> np.ndarray:
    """Return True for the names that a label allows."""
    labels = statement.label.split("|")
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no {statement.quantity}")
    return np.array([name in labels for name in names])


def _second(statement: Statement) -> np.ndarray:
    """Return p(a second component as told, or silence | none, each of `COMPONENTS`), (6)."""
    if not statement.label:
        return np.array([1.0, *[1.0 - statement.chance] * len(COMPONENTS)])
    return np.array([0.0, *(statement.chance * _among(statement, COMPONENTS))])


def _smeared(
    quantity: str, right: np.ndarray, stated: np.ndarray, mistakes: np.ndarray
) -> np.ndarray:
    """Return tables for a truth that was first mistaken, (t, v, g): the mean over mistakes."""
    wrong = np.ones_like(right)
    rows = np.flatnonzero(stated)
    if quantity in _COLOURS:
        grid = _SCALES[quantity][0].grid
        for row in rows:
            wrong[row] = np.interp(mistakes, grid, right[row, 0]).mean()
        return wrong
    for number, scale in enumerate(_SCALES[quantity]):
        truth = scale.truth[:, None] * mistakes
        place = scale.place(truth)
        lower = place.astype(int)
        size = len(scale.grid)
        smear = np.zeros((size, size))
        at = np.broadcast_to(np.arange(size)[:, None], lower.shape)
        np.add.at(smear, (at, lower), 1.0 - place + lower)
        np.add.at(smear, (at, lower + 1), place - lower)
        wrong[rows, number, :size] = right[rows, number, :size] @ smear.T / truth.shape[1]
    return wrong


def _redshift(statement: Statement, grid: np.ndarray) -> np.ndarray:
    """Return p(interval | ln(1 + z)), blurred."""
    low, high = (log1p(end) if end > 0.0 else -inf for end in (statement.low, statement.high))
    # The error is that at a finite end of the interval.
    z = np.expm1(np.mean([end for end in (low, high) if np.isfinite(end)] or [0.0]))
    error = statement.error * (z if statement.scale == "log" else 1.0) / (1.0 + z)
    width = np.hypot(_REDSHIFT_BLUR, error)
    return ndtr((high - grid) / width) - ndtr((low - grid) / width)


def _distances(
    luminosities: Sequence[Statement],
    stated: Sequence[Statement],
    allowed: np.ndarray,
    flux_tables: np.ndarray,
) -> np.ndarray:
    """Multiply flux tables (k, g) by p(luminosities as stated | flux, kind of field).

    Returns:
        p(distance as stated | kind of field), (k); 0 for kinds without distances.
    """
    result = np.zeros(len(FIELD_NAMES))
    hosted = np.array([item.distance_mpc is not None for item in FIELD_KINDS.values()])
    for kind in np.flatnonzero(hosted & (allowed > 0.0)):
        spread = FIELD_KINDS[FIELD_NAMES[kind]].distance_mpc
        distances = spread.draw(np.random.default_rng(0), _DISTANCES)
        weights = _product(stated, distances)
        result[kind] = weights.mean()
        finite = [said for said in stated if said.low > 0.0 and said.high < inf]
        if finite:
            # The same chances on a comb: around what is stated the prior hardly changes.
            middle = np.sqrt(finite[0].low * finite[0].high)
            error = finite[0].error / (1.0 if finite[0].scale == "log" else middle)
            width = np.hypot(error, log(finite[0].high / finite[0].low))
            distances = middle * np.exp(width * np.linspace(-5.0, 5.0, 41))
            weights = _product(stated, distances)
        if not weights.any():
            continue
        keep = np.flatnonzero(weights > 1e-6 * weights.max())
        keep = keep[:: max(len(keep) // 100, 1)]
        factor = 4.0 * pi * (distances[keep] * MPC_IN_CM) ** 2
        table = _product(luminosities, np.exp(_LOG_FLUX)[:, None] * factor)
        flux_tables[kind] *= table @ weights[keep] / weights[keep].sum()
    # Far from all distances that were drawn, nothing is said about the kind.
    return result if result.any() else (hosted & (allowed > 0.0)).astype(float)


def _product(statements: Sequence[Statement], truth: np.ndarray) -> np.ndarray:
    """Return the product of the likelihoods of statements."""
    result = np.ones_like(truth)
    for statement in statements:
        result *= statement.likelihood(truth)
    return result
