"""Minimisation of a fit statistic for many spectra at once, and its confidence limits.

Spectra are rows of tensors. For each, P parameter pairs (starts of a minimisation, or points on the
way to the limits) are dealt with side by side, so that a response is read once for all of them. The
normalisation never enters the search: for every pair of shape and column it is solved for, and the
derivatives account for that (variable projection; Golub & Pereyra 1973, SIAM J. Numer. Anal. 10,
413).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .models import TabulatedModel

__all__ = ["Chi2DataVar", "Minimum", "PoissonDeviance", "SpectraBatch", "limits", "minimise"]

# Smallest model counts in a group whose logarithm is taken.
_TINY = 1e-30
# A search whose later half has gained less than this has arrived.
_STALLED = 0.01
# A lower minimum met on the way to a limit is taken up when it is lower by this much.
_IMPROVEMENT = 1e-3


class Statistic(Protocol):
    """Fit statistic: a sum over groups of functions of the model's counts."""

    def take(self, rows: Tensor) -> Statistic:
        """Return the statistic of some of the spectra."""

    def normalisation(self, model: Tensor) -> Tensor:
        """Return (B, P) the factor on model counts (B, P, G) that minimises the statistic."""

    def terms(self, model: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the statistic (B, P), its slope by the model (B, P, G), and its expected
        curvature.
        """


class Chi2DataVar:
    """χ² of background-subtracted counts with the variance of the data.

    Args:
        net: (B, G) source counts − scale × background counts.
        variance: (B, G) source counts + scale² × background counts; infinite in the padding.
    """

    def __init__(self, net: Tensor, variance: Tensor) -> None:
        self.net, self.weight = net[:, None], variance.reciprocal()[:, None]

    def take(self, rows: Tensor) -> Chi2DataVar:
        return Chi2DataVar(self.net[rows, 0], self.weight[rows, 0].reciprocal())

    def normalisation(self, model: Tensor) -> Tensor:
        weighted = self.weight * model
        top, bottom = (weighted * self.net).sum(-1), (weighted * model).sum(-1)
        # A source cannot shine negatively: what is fitted best by that gets next to nothing.
        return torch.where(bottom > 0, top / bottom.clamp(min=_TINY), 0.0).clamp(min=_TINY)

    def terms(self, model: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        residual = model - self.net
        slope = 2.0 * self.weight * residual
        curvature = (2.0 * self.weight).expand_as(model)
        return 0.5 * (slope * residual).sum(-1), slope, curvature


class PoissonDeviance:
    """C-statistic (Cash 1979, ApJ 228, 939), or W where a background was measured.

    W gives each group a background of its own and leaves it at its best value (Wachter, Leach &
    Kellogg 1979, ApJ 230, 274; XSPEC's and Sherpa's `wstat`).

    Args:
        source: (B, G) counts in the aperture.
        background: (B, G) counts in the background region.
        scale: (B, G) factor from the background region to the aperture; 0 without a background.
    """

    def __init__(self, source: Tensor, background: Tensor, scale: Tensor) -> None:
        self.source, self.background, self.scale = source[:, None], background[:, None], scale
        self.ratio = scale[:, None]
        self.measured = self.ratio > 0
        safe = torch.where(self.measured, self.ratio, 1.0)
        self._per_count = 1.0 + 1.0 / safe
        entropy = torch.xlogy(self.source, self.source) - self.source
        around = torch.xlogy(self.background, self.background * safe) - self.background
        self._constant = 2.0 * (entropy + torch.where(self.measured, around, 0.0)).sum(-1)

    def take(self, rows: Tensor) -> PoissonDeviance:
        return PoissonDeviance(self.source[rows, 0], self.background[rows, 0], self.scale[rows])

    def _behind(self, model: Tensor) -> Tensor:
        """Return the best-fit background counts in the aperture, given the source's."""
        product = 4.0 * self._per_count * self.background * model
        excess = self.source + self.background - self._per_count * model
        root = torch.sqrt(excess.square() + product)
        # The root without cancellation, on either side.
        other = 2.0 * self.background * model / (root - excess).clamp(min=_TINY)
        best = torch.where(excess >= 0, (excess + root) / (2.0 * self._per_count), other)
        return torch.where(self.measured, best, 0.0)

    def normalisation(self, model: Tensor) -> Tensor:
        total = model.sum(-1).clamp(min=_TINY)
        plain = self.source.sum(-1) / total
        if not bool(self.measured.any()):
            return plain.clamp(min=_TINY)
        # W is convex in the normalisation: Fisher scoring, kept inside the bracket of the slope.
        low, high = torch.zeros_like(plain), 1.5 * plain + _TINY
        factor = (self.source - self.ratio * self.background).sum(-1) / total
        factor = torch.where(factor > 0.05 * plain, factor, 0.05 * plain)
        for _ in range(40):
            _, slope, curvature = self.terms(factor[..., None] * model)
            gradient = (slope * model).sum(-1)
            high = torch.where(gradient > 0, factor, high)
            low = torch.where(gradient > 0, low, factor)
            step = gradient / (curvature * model.square()).sum(-1).clamp(min=_TINY)
            fresh = factor - step
            fresh = torch.where((fresh <= low) | (fresh >= high), 0.5 * (low + high), fresh)
            done = ((fresh - factor).abs() <= 1e-10 * high).all()
            factor = fresh
            if done:
                break
        return factor.clamp(min=_TINY)

    def terms(self, model: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        behind = self._behind(model)
        seen = (model + behind).clamp(min=_TINY)
        value = model + behind - torch.xlogy(self.source, seen)
        region = behind * (self._per_count - 1.0) - torch.xlogy(
            self.background, behind.clamp(min=_TINY)
        )
        value = value + torch.where(self.measured, region, 0.0)
        slope = 2.0 * (1.0 - self.source / seen)
        curvature = 2.0 / (seen + self.ratio * behind)
        # Padding has no model counts and no data: it must not weigh.
        curvature = torch.where(model > 0, curvature, 0.0)
        return 2.0 * value.sum(-1) + self._constant, slope, curvature


class SpectraBatch:
    """Batch of B spectra: grouped responses and the statistic of the counts.

    Args:
        response: (B, G, k) counts in each group for one unit in each of k components; 0 in the
            padding.
        statistic: of the same spectra and groups.
        components: (n, k) what one photon/cm²/s in each energy bin is in these components; None
            where the components are the energy bins themselves.
        area: (B, n) factor on the photons of each spectrum, where they differ in it.
    """

    def __init__(
        self,
        response: Tensor,
        statistic: Statistic,
        components: Tensor | None = None,
        area: Tensor | None = None,
    ) -> None:
        self.response, self.statistic = response, statistic
        self.components, self.area = components, area

    def take(self, rows: Tensor) -> SpectraBatch:
        area = None if self.area is None else self.area[rows]
        return SpectraBatch(self.response[rows], self.statistic.take(rows), self.components, area)

    def fold(self, photons: Tensor) -> Tensor:
        """Fold (B, K, n) photons/cm²/s, or (K, n) the same for all spectra, into (B, K, G)
        counts.
        """
        if self.area is not None:
            photons = photons * self.area[:, None]
        if self.components is not None:
            photons = photons @ self.components
        return torch.matmul(photons, self.response.transpose(1, 2))

    def scan(self, model: TabulatedModel, points: Tensor) -> Tensor:
        """Return the statistic (B, K) at (K, 2) points, the same for all spectra."""
        photons, _ = model.photons(points, slopes=False)
        # The cut to the components may leave a little less than nothing where there is nothing.
        counts = self.fold(photons[:, 0]).clamp(min=0.0)
        value, _, _ = self.statistic.terms(self.statistic.normalisation(counts)[..., None] * counts)
        return value

    def evaluate(
        self, model: TabulatedModel, points: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the statistic at (B, P, 2) points with the best normalisation, and its
        derivatives.

        Returns:
            (B, P) statistic, (B, P, 2) gradient, (B, P, 2, 2) curvature and (B, P) normalisation.
        """
        n_spectra, n_points, _ = points.shape
        photons, shift = model.photons(points.reshape(-1, 2))
        counts = self.fold(photons.reshape(n_spectra, n_points * 3, -1))
        counts = counts.reshape(n_spectra, n_points, 3, -1)
        counts[:, :, 0].clamp_(min=0.0)
        factor = self.statistic.normalisation(counts[:, :, 0])
        scaled = factor[..., None, None] * counts
        value, slope, curvature = self.statistic.terms(scaled[:, :, 0])
        gradient = (scaled[:, :, 1:] * slope[:, :, None]).sum(-1)
        # With respect to (ln normalisation, shape, column); the first is then projected out.
        full = torch.matmul(scaled * curvature[:, :, None], scaled.transpose(-1, -2))
        cross = full[..., 0, 1:]
        reduced = full[..., 1:, 1:] - (
            cross[..., :, None] * cross[..., None, :] / full[..., 0, 0, None, None].clamp(min=_TINY)
        )
        norm = factor * torch.exp(-shift.reshape(n_spectra, n_points))
        return value, gradient, reduced, norm


@dataclass
class Minimum:
    """Result of a minimisation.

    Attributes:
        point: (B, P, 2) the fit's coordinates (shape, column).
        value: (B, P) the statistic.
        curvature: (B, P, 2, 2) of the statistic.
        norm: (B, P) normalisation.
        converged: (B, P) bool.
        expected: (B, P) by how much the statistic was still expected to fall.
    """

    point: Tensor
    value: Tensor
    curvature: Tensor
    norm: Tensor
    converged: Tensor
    expected: Tensor

    def put(self, rows: Tensor, other: Minimum) -> None:
        """Overwrite some rows by another's."""
        if other is self:
            return
        for name in ("point", "value", "curvature", "norm", "converged", "expected"):
            getattr(self, name)[rows] = getattr(other, name)


def minimise(
    batch: SpectraBatch,
    model: TabulatedModel,
    start: Tensor,
    *,
    free: Tensor | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 60,
) -> Minimum:
    """Minimise by Levenberg–Marquardt from (B, P, 2) points, inside the model's bounds.

    Args:
        batch: B spectra.
        model: on the batch's energies.
        start: (B, P, 2).
        free: (B, P, 2) bool, which coordinates may move; all by default.
        tolerance: fall of the statistic below which a step is not worth taking.
        max_iterations: evaluations after which a point counts as not converged.
    """
    if free is None:
        free = torch.ones_like(start, dtype=torch.bool)
    point = start.clone()
    value, gradient, curvature, norm = batch.evaluate(model, point)
    result = Minimum(
        point, value, curvature, norm, torch.zeros_like(value, dtype=torch.bool), value * 0
    )
    rows = torch.arange(len(start))
    here, damping = result, torch.full_like(value, 1e-4)
    halfway = torch.full_like(value, torch.inf)
    for iteration in range(max_iterations):
        if iteration == max_iterations // 2:
            halfway[rows] = here.value
        step, fall = _box_step(here.point, gradient, here.curvature, damping, free, model)
        # A step that damping has made tiny ends the search too (at a kink of the plasma's table).
        settled = (fall <= tolerance) & ((damping < 1.0) | (fall <= 0.1 * tolerance))
        here.converged |= settled & torch.isfinite(here.value)
        here.expected = torch.where(settled, fall, here.expected)
        if bool(here.converged.all()):
            break
        active = ~here.converged.all(dim=1)
        if 2 * int(active.sum()) <= len(active):
            result.put(rows, here)
            keep = active.nonzero()[:, 0]
            rows, batch = rows[keep], batch.take(keep)
            here = Minimum(*(getattr(here, f)[keep] for f in Minimum.__dataclass_fields__))
            gradient, damping, free, step = gradient[keep], damping[keep], free[keep], step[keep]
        trial = here.point + torch.where(here.converged[..., None], 0.0, step)
        value, slope, curvature, norm = batch.evaluate(model, trial)
        better = (value < here.value) & ~here.converged
        here.point = torch.where(better[..., None], trial, here.point)
        here.value = torch.where(better, value, here.value)
        here.norm = torch.where(better, norm, here.norm)
        gradient = torch.where(better[..., None], slope, gradient)
        here.curvature = torch.where(better[..., None, None], curvature, here.curvature)
        damping = torch.where(better, damping / 10.0, (damping * 10.0).clamp(min=0.1))
        damping = damping.clamp(1e-7, 1e12)
    result.put(rows, here)
    # In a long valley (a model far from the data) steps stay short to the end: that will do, where
    # the later half of them has not mattered.
    result.converged |= halfway - result.value < _STALLED
    return result


def _box_step(
    point: Tensor,
    gradient: Tensor,
    curvature: Tensor,
    damping: Tensor,
    free: Tensor,
    model: TabulatedModel,
) -> tuple[Tensor, Tensor]:
    """Return the damped step inside the bounds, and the fall of the statistic it promises.

    Both coordinates are stepped together; where that leaves the box, the best step along each of
    its sides is taken instead, and the better of the two.
    """
    diagonal = curvature.diagonal(dim1=-2, dim2=-1)
    floor = 1e-12 * diagonal.amax(-1, keepdim=True) + _TINY
    damped = diagonal * (1.0 + damping[..., None]) + floor
    cross = curvature[..., 0, 1]
    # No more than a factor of three in temperature or column at once.
    low = torch.maximum(model.lower - point, torch.full_like(point, -1.2)) * free
    high = torch.minimum(model.upper - point, torch.full_like(point, 1.2)) * free
    determinant = (damped[..., 0] * damped[..., 1] - cross.square()).clamp(min=_TINY)
    both = torch.stack(
        [
            cross * gradient[..., 1] - damped[..., 1] * gradient[..., 0],
            cross * gradient[..., 0] - damped[..., 0] * gradient[..., 1],
        ],
        dim=-1,
    )
    both = both / determinant[..., None]
    inside = ((both >= low) & (both <= high)).all(-1)
    clipped = torch.minimum(torch.maximum(both, low), high)
    second = -(gradient[..., 1] + cross * clipped[..., 0]) / damped[..., 1]
    first = -(gradient[..., 0] + cross * clipped[..., 1]) / damped[..., 0]
    sides = torch.stack(
        [
            torch.stack([clipped[..., 0], second], -1),
            torch.stack([first, clipped[..., 1]], -1),
        ],
        dim=-2,
    )
    sides = torch.minimum(torch.maximum(sides, low[..., None, :]), high[..., None, :])

    def fall(step: Tensor, slope: Tensor, bend: Tensor, mixed: Tensor) -> Tensor:
        squares = (bend * step.square()).sum(-1) / 2 + mixed * step[..., 0] * step[..., 1]
        return -(slope * step).sum(-1) - squares

    falls = fall(sides, gradient[..., None, :], damped[..., None, :], cross[..., None])
    choice = falls.argmax(-1, keepdim=True)
    side = torch.gather(sides, -2, choice[..., None].expand(*choice.shape, 2))[..., 0, :]
    step = torch.where(inside[..., None], both, side)
    return step, fall(step, gradient, damped, cross).clamp(min=0.0)


def limits(
    batch: SpectraBatch, model: TabulatedModel, best: Minimum, delta: float = 1.0
) -> tuple[Tensor, Minimum]:
    """Return one-parameter limits, where the profiled statistic has risen by `delta`.

    Args:
        batch: B spectra.
        model: on the batch's energies.
        best: (B, 1) minima.
        delta: 1 for 68.3 % (Avni 1976, ApJ 210, 642).

    Returns:
        (B, 4) the fit's coordinates at the limits: lower and upper of the shape, lower and upper of
        the column; NaN where the parameter's bound is met first. And the minima: better ones where
        the way to a limit led past one.
    """
    best = Minimum(*(getattr(best, f).clone() for f in Minimum.__dataclass_fields__))
    found = torch.full((len(best.point), 4), torch.nan, dtype=torch.float64)
    rows, part = torch.arange(len(found)), batch
    # Each turn starts from a lower minimum than the last; two are rare, four have not been seen.
    for _ in range(4):
        here = Minimum(*(getattr(best, f)[rows] for f in Minimum.__dataclass_fields__))
        found[rows], lowest, where = _limits_once(part, model, here, delta)
        lower = (lowest < here.value[:, 0] - _IMPROVEMENT).nonzero()[:, 0]
        if not len(lower):
            break
        rows, part = rows[lower], part.take(lower)
        best.put(rows, minimise(part, model, where[lower, None]))
    return found, best


def _limits_once(
    batch: SpectraBatch, model: TabulatedModel, best: Minimum, delta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (B, 4) limits, and the lowest statistic met (B,) with its point (B, 2)."""
    fixed = torch.tensor([0, 0, 1, 1])
    sign = torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    centre = best.point[:, 0]
    floor = best.value[:, 0]
    reach = torch.where(
        sign > 0, (model.upper - centre)[:, fixed], (centre - model.lower)[:, fixed]
    )
    bend = best.curvature[:, 0]
    mine = bend.diagonal(dim1=-2, dim2=-1)[:, fixed]
    others = bend.diagonal(dim1=-2, dim2=-1)[:, 1 - fixed]
    cross = bend[:, 0, 1, None]
    # Standard deviation from the curvature, and the way the other parameter goes along with.
    alone = (mine - cross.square() / others.clamp(min=_TINY)).clamp(min=_TINY)
    distance = (2.0 * delta / alone).sqrt().clamp(max=1.0)
    distance = torch.minimum(distance, reach)
    lean = -cross / others.clamp(min=_TINY) * sign
    other_low = model.lower[1 - fixed]
    other_high = model.upper[1 - fixed]
    other_centre = centre[:, 1 - fixed]
    # One that a bound holds back stays there at first.
    lean = torch.where((other_centre > other_low) & (other_centre < other_high), lean, 0.0)

    shape = distance.shape
    inner, outer = torch.zeros(shape), torch.full(shape, torch.inf)
    inner, outer = inner.double(), outer.double()
    rise_in, rise_out = torch.full_like(inner, -1.0), torch.full_like(inner, torch.nan)
    other_in, other_out = other_centre.clone(), other_centre.clone()
    answer = torch.full(shape, torch.nan, dtype=torch.float64)
    done = reach <= 0
    lowest, where = floor.clone(), centre.clone()
    rows = torch.arange(len(centre))
    last_side = torch.zeros(shape)

    for _ in range(30):
        active = (~done).any(dim=1).nonzero()[:, 0]
        if not len(active):
            break
        if 2 * len(active) <= len(rows):
            rows = rows[active]
            batch = batch.take(active)
            state = (done, distance, reach, inner, outer, rise_in, rise_out, other_in, other_out)
            done, distance, reach, inner, outer, rise_in, rise_out, other_in, other_out = (
                tensor[active] for tensor in state
            )
            lean, last_side = lean[active], last_side[active]
        here = centre[rows]
        # Where the other parameter should be: between the ends of the bracket, or along its lean.
        width = outer - inner
        between = other_in + (other_out - other_in) * ((distance - inner) / width)
        # Ends far apart lie in different valleys: then on from the inner one.
        between = torch.where((other_out - other_in).abs() < 1.0, between, other_in)
        guess = torch.where(torch.isfinite(outer), between, other_in + lean * (distance - inner))
        guess = torch.minimum(torch.maximum(guess, other_low), other_high)
        mine_at = here[:, fixed] + sign * distance
        is_shape = fixed == 0
        points = torch.stack(
            [torch.where(is_shape, mine_at, guess), torch.where(is_shape, guess, mine_at)], dim=-1
        )
        free = torch.stack([~is_shape, is_shape], dim=-1).expand(*done.shape, 2) & ~done[..., None]
        at = minimise(batch, model, points, free=free, tolerance=0.02, max_iterations=25)
        value = at.value - at.expected
        rise = torch.sqrt(((value - floor[rows, None]) / delta).clamp(min=0.0)) - 1.0
        other = torch.where(is_shape, at.point[..., 1], at.point[..., 0])

        masked = torch.where(done, torch.inf, at.value)
        low_value, low_index = masked.min(dim=1)
        lower = low_value < lowest[rows]
        lowest[rows] = torch.where(lower, low_value, lowest[rows])
        chosen = at.point[torch.arange(len(rows)), low_index]
        where[rows] = torch.where(lower[:, None], chosen, where[rows])

        narrow = torch.isfinite(outer) & (width < 1e-3 * outer)
        # A narrow bracket whose inner end is still low: its outer end was a higher valley. On.
        outer = torch.where(narrow & (rise < -0.02), torch.inf, outer)
        close = (rise.abs() < 0.02) | (narrow & (rise > 0))
        at_bound = (rise < 0) & (distance >= reach)
        fresh = ~done & close & ~at_bound
        # From there the root of the rise is straight enough.
        ahead = torch.minimum(distance / (1.0 + rise.clamp(-0.02, 0.02)), reach)
        limit = here[:, fixed] + sign * ahead
        answer[rows] = torch.where(fresh, limit, answer[rows])
        done = done | close | at_bound

        beyond = rise > 0
        # Illinois: an end kept twice weighs half, so that the other end moves as well.
        side = torch.where(beyond, 1.0, -1.0)
        again = side == last_side
        rise_in = torch.where(beyond & again, 0.5 * rise_in, rise_in)
        rise_out = torch.where(~beyond & again, 0.5 * rise_out, rise_out)
        last_side = side
        old_in, old_other = inner, other_in
        inner = torch.where(beyond, inner, distance)
        rise_in = torch.where(beyond, rise_in, rise)
        other_in = torch.where(beyond, other_in, other)
        outer = torch.where(beyond, distance, outer)
        rise_out = torch.where(beyond, rise, rise_out)
        other_out = torch.where(beyond, other, other_out)
        moved = inner - old_in
        lean = torch.where(moved > 0, (other_in - old_other) / moved.clamp(min=_TINY), lean)

        width = outer - inner
        secant = inner - rise_in * width / (rise_out - rise_in).clamp(min=_TINY)
        secant = torch.minimum(torch.maximum(secant, inner + 0.02 * width), outer - 0.02 * width)
        grown = distance * (1.0 / (1.0 + rise).clamp(min=0.1)).clamp(1.1, 3.0)
        ahead = torch.minimum(grown, reach)
        distance = torch.where(done, distance, torch.where(torch.isfinite(outer), secant, ahead))
    return answer, lowest, where
