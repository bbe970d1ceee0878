"""Likelihood of a text's statements, as a function of one quantity of its source at a time.

Statements on one quantity come from measurements of one truth: their likelihoods multiply into a
table over that quantity. A mistaken text took one wrong value for all of them, so its table is the
same one smeared by the sizes of mistakes. What a text says of its class and the kind of its field
is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log, pi
from random import Random

import numpy as np
from scipy.special import ndtr

from ..prose import Facts, Statement, mistaken
from ..prose.facts import MPC_IN_CM
from ..prose.statements import LEAST_SHARE
from ..source_classes import CLASS_NAMES, CLASSES, COMPONENTS, FIELD_KINDS, FIELD_NAMES, POWER_LAW

_LOG_KT = np.arange(log(0.015), log(200.0), 0.005)
_GAMMA = np.arange(-0.5, 6.0, 0.01)
_LOG_NH = np.arange(log(3e-4), log(400.0), 0.01)
# Quantities that change a spectrum, and on which grid each is tabulated; temperatures have the
# logarithm's, photon indices the linear one.
_GRIDS: Mapping[str, np.ndarray] = {
    "shape": _LOG_KT,
    "shape2": _LOG_KT,
    "nh": _LOG_NH,
    "foreground_nh": _LOG_NH,
    "abundance": np.arange(log(0.02), log(10.0), 0.01),
    "redshift": np.arange(0.0, log(6.0), 0.004),
    "flux": np.arange(log(1e-18), log(1e-8), 0.02),
    "photons": np.arange(-1.0, 14.0, 0.02),
    "hardness": np.arange(-1.0, 1.001, 0.005),
    "medium_soft": np.arange(-1.0, 1.001, 0.005),
}
# Stated redshifts are exact for the eye of ACIS; blurred in ln(1 + z) by less than the detector's
# resolution, they can be compared with sources that were drawn beforehand.
_REDSHIFT_BLUR = 0.02
SECOND_TOLD = 0.7
_MISTAKES = 4000
_MISTAKE_NODES = 201
_DISTANCES = 4000
# A mistake on one of these is a factor; on one of the others, a value that takes its place.
_FACTORS = ("shape", "nh", "flux", "photons")
_COLOURS = ("hardness", "medium_soft")
MISTAKABLE = (*_FACTORS, *_COLOURS)


@dataclass(frozen=True)
class Mistakes:
    """Size of the errors in mistaken texts. Each quantity is taken for itself.

    Attributes:
        chance: that a text is mistaken.
        factors: for some quantities, equally likely factors on the truth.
        values: for others, equally likely values that take the place of the truth.
    """

    chance: float
    factors: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]


def learn_mistakes(example: Facts, chance: float) -> Mistakes:
    """Draw mistakes about a source, to measure their size.

    Args:
        example: any source.
        chance: the knob `wrong`.

    Raises:
        ValueError: when a mistake is about something that is not expected here.
    """
    random = Random(0)
    example = replace(example, **dict.fromkeys(_FACTORS, 1.0))
    drawn = [mistaken(example, random) for _ in range(_MISTAKES)]
    for name, value in vars(example).items():
        if name not in MISTAKABLE and any(repr(vars(one)[name]) != repr(value) for one in drawn):
            raise ValueError(f"texts are mistaken about {name}: the observer cannot tell")
    levels = (np.arange(_MISTAKE_NODES) + 0.5) / _MISTAKE_NODES
    factors, values = (
        {name: np.quantile([getattr(one, name) for one in drawn], levels) for name in names}
        for names in (_FACTORS, _COLOURS)
    )
    return Mistakes(chance, factors, values)


@dataclass(frozen=True)
class TextTables:
    """Likelihood tables of t texts.

    Attributes:
        class_index, kind: class and kind of field that each states, (t).
        second: index into `COMPONENTS` of the second model it tells of, −1 where none, (t).
        describes: True where it states a model of the spectrum, (t).
        right: by quantity, p(what is stated about it | truth) on the quantity's grid, (t, g).
        wrong: the same for a mistaken text, for the quantities of `MISTAKABLE`.
        mistaken: chance of that.
        stated: by quantity, how many statements there are on it, (t).
    """

    class_index: np.ndarray
    kind: np.ndarray
    second: np.ndarray
    describes: np.ndarray
    right: Mapping[str, np.ndarray]
    wrong: Mapping[str, np.ndarray]
    mistaken: float
    stated: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.class_index)

    def likelihood(
        self,
        quantity: str,
        texts: np.ndarray,
        truth: np.ndarray,
        *,
        wrong: bool = False,
        rough: bool = False,
    ) -> np.ndarray:
        """Return p(the texts' statements about a quantity | its true value).

        Args:
            quantity: name of the quantity.
            texts: indices, (k); all of one class.
            truth: true values, (m), in the units of `Facts`.
            wrong: for mistaken texts.
            rough: at the nearest node of the grid, twice as fast.

        Returns:
            (k, m) float32.
        """
        tables = self.wrong if wrong and quantity in self.wrong else self.right
        said = self.stated[quantity][texts] > 0
        result = np.ones((len(texts), len(truth)), dtype=np.float32)
        if not said.any():
            return result
        scale = _scale_of(quantity, int(self.class_index[texts[0]]))
        place = scale.place(truth)
        rows = tables[quantity][texts[said], : len(scale.grid)].astype(np.float32)
        if rough:
            result[said] = np.take(rows, np.rint(place).astype(int), axis=1)
            return result
        lower = place.astype(int)
        part = (place - lower).astype(np.float32)
        below = np.take(rows, lower, axis=1) * (1.0 - part)
        result[said] = below + np.take(rows, lower + 1, axis=1) * part
        return result

    def second_likelihood(
        self, texts: np.ndarray, second: np.ndarray, share: np.ndarray
    ) -> np.ndarray:
        """Return p(the texts' statements on a second component, or their silence | truth), (k, m).

        Args:
            texts: indices, (k).
            second: index into `COMPONENTS`, −1 where there is none, (m).
            share: of the photons, (m).
        """
        # Kinds of members are few: no second (0), or one of each component.
        kind = np.where((second >= 0) & (share > LEAST_SHARE), second + 1, 0)
        second_stated = self.second[texts]
        table = np.zeros((len(texts), len(COMPONENTS) + 1), dtype=np.float32)
        table[second_stated < 0] = 1.0
        table[(second_stated < 0) & self.describes[texts], 1:] = 1.0 - SECOND_TOLD
        stated = np.flatnonzero(second_stated >= 0)
        table[stated, second_stated[stated] + 1] = SECOND_TOLD
        return np.take(table, kind, axis=1)


def tabulate(statements: Sequence[Sequence[Statement]], mistakes: Mistakes) -> TextTables:
    """Tabulate the likelihoods of some texts.

    Args:
        statements: of each text; every text states its class and the kind of its field.
        mistakes: how texts are mistaken.

    Raises:
        ValueError: for a statement that the observer cannot read.
    """
    n = len(statements)
    width = {name: len(grid) for name, grid in _GRIDS.items()}
    width |= dict.fromkeys(("shape", "shape2"), max(len(_GAMMA), len(_LOG_KT)))
    right = {name: np.ones((n, width[name])) for name in _GRIDS}
    stated = {name: np.zeros(n, dtype=int) for name in _GRIDS}
    of_class, kind = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    second, describes = np.full(n, -1), np.zeros(n, dtype=bool)
    for row, of_text in enumerate(statements):
        labels = {statement.quantity: statement.label for statement in of_text if statement.label}
        if "class" not in labels or "host" not in labels:
            raise ValueError(f"text {row} does not state its class and the kind of its field")
        of_class[row] = CLASS_NAMES.index(labels.pop("class"))
        kind[row] = FIELD_NAMES.index(labels.pop("host"))
        describes[row] = "model" in labels
        component = CLASSES[CLASS_NAMES[of_class[row]]].first.kind
        if labels.pop("model", COMPONENTS[component]) != COMPONENTS[component]:
            raise ValueError(f"text {row} states a model that its class does not have")
        if "second" in labels:
            second[row] = COMPONENTS.index(labels.pop("second"))
        if labels:
            raise ValueError(
                f"text {row} states {', '.join(labels)}, which the observer cannot read"
            )
        distance = [statement for statement in of_text if statement.quantity == "distance_mpc"]
        for statement in of_text:
            if statement.label or statement.quantity == "distance_mpc":
                continue
            name = "flux" if statement.quantity == "luminosity" else statement.quantity
            if name not in _GRIDS:
                raise ValueError(f"text {row} states {name}, which the observer cannot read")
            scale = _scale_of(name, of_class[row])
            if statement.quantity == "luminosity":
                table = _luminosity(statement, distance, int(kind[row]), scale.grid)
            elif name == "redshift":
                table = _redshift(statement, scale.grid)
            else:
                table = _normal(statement, scale.truth)
            right[name][row, : len(scale.grid)] *= table
            stated[name][row] += 1
    wrong = {name: _smeared(name, right[name], of_class, mistakes) for name in MISTAKABLE}
    return TextTables(
        of_class, kind, second, describes, right, wrong, float(mistakes.chance), stated
    )


def _smeared(
    quantity: str, right: np.ndarray, of_class: np.ndarray, mistakes: Mistakes
) -> np.ndarray:
    """Return tables for a truth that was first mistaken, (t, g): the mean over mistakes."""
    wrong = np.ones_like(right)
    if quantity in mistakes.values:
        grid, values = _GRIDS[quantity], mistakes.values[quantity]
        wrong[:] = np.stack([np.interp(values, grid, row).mean() for row in right])[:, None]
        return wrong
    linear = np.array([_scale_of(quantity, index).linear for index in of_class], dtype=bool)
    for rows in (np.flatnonzero(linear), np.flatnonzero(~linear)):
        if not len(rows):
            continue
        scale = _scale_of(quantity, int(of_class[rows[0]]))
        grid, truth = scale.grid, scale.truth[:, None] * mistakes.factors[quantity]
        place = scale.place(truth)
        lower = place.astype(int)
        smear = np.zeros((len(grid), len(grid)))
        at = np.broadcast_to(np.arange(len(grid))[:, None], lower.shape)
        np.add.at(smear, (at, lower), 1.0 - place + lower)
        np.add.at(smear, (at, lower + 1), place - lower)
        wrong[rows, : len(grid)] = right[rows, : len(grid)] @ smear.T / truth.shape[1]
    return wrong


@dataclass(frozen=True)
class _Scale:
    """Grid of a quantity for sources of a class: linear, logarithmic, or in ln(1 + z)."""

    grid: np.ndarray
    linear: bool
    redshift: bool

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


def _scale_of(quantity: str, of_class: int) -> _Scale:
    if quantity in ("shape", "shape2"):
        source_class = CLASSES[CLASS_NAMES[of_class]]
        component = source_class.first if quantity == "shape" else source_class.second
        if component is not None and component.kind == POWER_LAW:
            return _Scale(_GAMMA, linear=True, redshift=False)
    return _Scale(_GRIDS[quantity], quantity in _COLOURS, quantity == "redshift")


def _normal(statement: Statement, truth: np.ndarray) -> np.ndarray:
    """Return p(interval | truth) of `Statement.log_likelihood`, for many values of the truth."""
    low, high = statement.low, statement.high
    if statement.scale == "log":
        truth = np.log(truth)
        low = log(low) if low > 0.0 else -np.inf
        high = log(high) if high > 0.0 else -np.inf
    return ndtr((high - truth) / statement.error) - ndtr((low - truth) / statement.error)


def _redshift(statement: Statement, grid: np.ndarray) -> np.ndarray:
    centre = 0.5 * (statement.low + statement.high)
    middle = log(1.0 + max(centre, 0.0))
    width = np.hypot(_REDSHIFT_BLUR, statement.error / (1.0 + centre))
    return np.exp(-0.5 * ((grid - middle) / width) ** 2)


def _luminosity(
    statement: Statement, distance: Sequence[Statement], kind: int, grid: np.ndarray
) -> np.ndarray:
    """Return p(luminosity as stated, and the distance | flux), over the distances of such
    fields.
    """
    spread = FIELD_KINDS[FIELD_NAMES[kind]].distance_mpc
    if spread is None:
        raise ValueError(f"a luminosity is stated in a field of kind {FIELD_NAMES[kind]}")
    distances = spread.draw(np.random.default_rng(0), _DISTANCES)
    if distance and isfinite(distance[0].low):
        # The same chances on a finer comb: around what is stated the prior hardly changes.
        middle = np.sqrt(distance[0].low * distance[0].high)
        width = np.hypot(distance[0].error, log(distance[0].high / distance[0].low))
        distances = middle * np.exp(width * np.linspace(-5.0, 5.0, 101))
    weights = np.ones(len(distances))
    for said in distance:
        weights *= _normal(said, distances)
    keep = weights > 1e-6 * weights.max()
    distances, weights = distances[keep], weights[keep] / weights[keep].sum()
    if len(distances) > 200:
        distances, weights = distances[:200], np.full(200, 1 / 200)
    factor = 4.0 * pi * (distances * MPC_IN_CM) ** 2
    table = _normal(statement, np.exp(grid)[:, None] * factor)
    return table @ weights


__all__ = ["MISTAKABLE", "Mistakes", "TextTables", "learn_mistakes", "tabulate"]
