"""Confidence limits of fitted parameters, for many spectra at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .engine import Minimum, SpectraBatch, minimise
from .models import TabulatedModel

# Smallest divisor.
_TINY = 1e-30
# A lower minimum met on the way to a limit is taken up when it is lower by this much.
_IMPROVEMENT = 1e-3
# The four limits: coordinate held, and direction (shape down and up, column down and up).
_HELD = torch.tensor([0, 0, 1, 1])
_SIGN = torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)


def limits(batch: SpectraBatch, model: TabulatedModel, best: Minimum) -> tuple[Tensor, Minimum]:
    """Return 68.3 % limits, where the profiled statistic has risen by 1 (Avni 1976, ApJ 210, 642).

    Args:
        batch: B spectra.
        model: on the batch's energies.
        best: (B, 1) minima.

    Returns:
        (B, 4) the fit's coordinates at the limits: lower and upper of the shape, lower and upper of
        the column; NaN where the parameter's bound is met first. And the minima: better ones where
        the way to a limit led past one.
    """
    ends = torch.full((len(best.point), 4), torch.nan, dtype=torch.float64)
    rows, part = torch.arange(len(ends)), batch
    best = best.take(rows)
    # Each turn starts from a lower minimum than the last; two are rare, four have not been seen.
    for _ in range(4):
        start = best.take(rows)
        ends[rows], lowest, where = _search(part, model, start)
        lower = (lowest < start.value[:, 0] - _IMPROVEMENT).nonzero()[:, 0]
        if not len(lower):
            break
        rows, part = rows[lower], part.take(lower)
        best.put(rows, minimise(part, model, where[lower, None]))
    return ends, best


@dataclass
class _Brackets:
    """Brackets around the four limits of each spectrum, all (B, 4).

    Attributes:
        done: the limit is known, or beyond the parameter's bound.
        distance: next trial, from the best fit.
        reach: distance to the parameter's bound.
        lean: change of the other parameter with the distance.
        inner, outer: distances known to be too small and too large (infinite where none).
        rise_in, rise_out: √(rise of the statistic) − 1 there.
        other_in, other_out: best value of the other parameter there.
        last_side: −1 or 1 where the last trial became the inner or outer end.
    """

    done: Tensor
    distance: Tensor
    reach: Tensor
    lean: Tensor
    inner: Tensor
    outer: Tensor
    rise_in: Tensor
    rise_out: Tensor
    other_in: Tensor
    other_out: Tensor
    last_side: Tensor

    @classmethod
    def begin(cls, model: TabulatedModel, best: Minimum) -> _Brackets:
        """Return brackets that reach one standard deviation by the curvature of the minimum."""
        centre = best.point[:, 0]
        reach = torch.where(
            _SIGN > 0, (model.upper - centre)[:, _HELD], (centre - model.lower)[:, _HELD]
        )
        diagonal = best.curvature[:, 0].diagonal(dim1=-2, dim2=-1)
        held, others = diagonal[:, _HELD], diagonal[:, 1 - _HELD].clamp(min=_TINY)
        cross = best.curvature[:, 0, 0, 1, None]
        alone = (held - cross.square() / others).clamp(min=_TINY)
        distance = torch.minimum((2.0 / alone).sqrt().clamp(max=1.0), reach)
        other = centre[:, 1 - _HELD]
        # A parameter at its bound stays there at first.
        free = (other > model.lower[1 - _HELD]) & (other < model.upper[1 - _HELD])
        zero = torch.zeros_like(distance)
        return cls(
            done=reach <= 0,
            distance=distance,
            reach=reach,
            lean=torch.where(free, -cross / others * _SIGN, 0.0),
            inner=zero,
            outer=zero + torch.inf,
            rise_in=zero - 1.0,
            rise_out=zero + torch.nan,
            other_in=other,
            other_out=other,
            last_side=zero,
        )

    def take(self, rows: Tensor) -> _Brackets:
        """Return the brackets of some spectra."""
        return _Brackets(*(getattr(self, field.name)[rows] for field in fields(self)))

    def other(self) -> Tensor:
        """Return where the other parameter should be: between the ends, or along its lean."""
        share = (self.distance - self.inner) / (self.outer - self.inner)
        between = self.other_in + (self.other_out - self.other_in) * share
        # Ends far apart lie in different valleys: then on from the inner one.
        near = (self.other_out - self.other_in).abs() < 1.0
        between = torch.where(near, between, self.other_in)
        along = self.other_in + self.lean * (self.distance - self.inner)
        return torch.where(torch.isfinite(self.outer), between, along)

    def settle(self, rise: Tensor) -> tuple[Tensor, Tensor]:
        """Mark what is done; return which limits were reached, and their distances."""
        narrow = torch.isfinite(self.outer) & (self.outer - self.inner < 1e-3 * self.outer)
        # A narrow bracket with a low inner end: its outer end lay in a higher valley. Search on.
        self.outer = torch.where(narrow & (rise < -0.02), torch.inf, self.outer)
        close = (rise.abs() < 0.02) | (narrow & (rise > 0))
        at_bound = (rise < 0) & (self.distance >= self.reach)
        reached = ~self.done & close & ~at_bound
        self.done = self.done | close | at_bound
        # From there the root of the rise is straight enough.
        return reached, torch.minimum(self.distance / (1.0 + rise.clamp(-0.02, 0.02)), self.reach)

    def tighten(self, rise: Tensor, other: Tensor) -> None:
        """Make the last trial an end of its bracket, and choose the next one."""
        beyond = rise > 0
        # Illinois: an end kept twice weighs half, so that the other end moves as well.
        side = torch.where(beyond, 1.0, -1.0)
        again = side == self.last_side
        self.rise_in = torch.where(beyond & again, 0.5 * self.rise_in, self.rise_in)
        self.rise_out = torch.where(~beyond & again, 0.5 * self.rise_out, self.rise_out)
        self.last_side = side
        old_in, old_other = self.inner, self.other_in
        self.inner = torch.where(beyond, self.inner, self.distance)
        self.rise_in = torch.where(beyond, self.rise_in, rise)
        self.other_in = torch.where(beyond, self.other_in, other)
        self.outer = torch.where(beyond, self.distance, self.outer)
        self.rise_out = torch.where(beyond, rise, self.rise_out)
        self.other_out = torch.where(beyond, other, self.other_out)
        moved = self.inner - old_in
        slope = (self.other_in - old_other) / moved.clamp(min=_TINY)
        self.lean = torch.where(moved > 0, slope, self.lean)

        width = self.outer - self.inner
        secant = self.inner - self.rise_in * width / (self.rise_out - self.rise_in).clamp(min=_TINY)
        secant = secant.clamp(self.inner + 0.02 * width, self.outer - 0.02 * width)
        grown = self.distance * (1.0 / (1.0 + rise).clamp(min=0.1)).clamp(1.1, 3.0)
        ahead = torch.minimum(grown, self.reach)
        trial = torch.where(torch.isfinite(self.outer), secant, ahead)
        self.distance = torch.where(self.done, self.distance, trial)


def _search(
    batch: SpectraBatch, model: TabulatedModel, best: Minimum
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (B, 4) limits, and the lowest statistic met (B,) with its point (B, 2)."""
    centre, floor = best.point[:, 0], best.value[:, 0]
    other_low, other_high = model.lower[1 - _HELD], model.upper[1 - _HELD]
    brackets = _Brackets.begin(model, best)
    ends = torch.full_like(brackets.distance, torch.nan)
    lowest, where = floor.clone(), centre.clone()
    rows = torch.arange(len(centre))
    is_shape = _HELD == 0
    for _ in range(30):
        active = (~brackets.done).any(dim=1).nonzero()[:, 0]
        if not len(active):
            break
        if 2 * len(active) <= len(rows):
            rows, batch, brackets = rows[active], batch.take(active), brackets.take(active)
        held = centre[rows][:, _HELD] + _SIGN * brackets.distance
        guess = brackets.other().clamp(other_low, other_high)
        points = torch.stack(
            [torch.where(is_shape, held, guess), torch.where(is_shape, guess, held)], dim=-1
        )
        free = torch.stack([~is_shape, is_shape], dim=-1) & ~brackets.done[..., None]
        at = minimise(batch, model, points, free=free, tolerance=0.02, max_iterations=25)
        rise = torch.sqrt((at.value - at.expected - floor[rows, None]).clamp(min=0.0)) - 1.0

        low_value, low_index = torch.where(brackets.done, torch.inf, at.value).min(dim=1)
        lower = low_value < lowest[rows]
        lowest[rows] = torch.where(lower, low_value, lowest[rows])
        chosen = at.point[torch.arange(len(rows)), low_index]
        where[rows] = torch.where(lower[:, None], chosen, where[rows])

        reached, distance = brackets.settle(rise)
        limit = centre[rows][:, _HELD] + _SIGN * distance
        ends[rows] = torch.where(reached, limit, ends[rows])
        brackets.tighten(rise, torch.where(is_shape, at.point[..., 1], at.point[..., 0]))
    return ends, lowest, where
