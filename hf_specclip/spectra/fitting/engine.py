"""Minimisation of a fit statistic for many spectra at once.

Spectra are rows of tensors. For each, P parameter pairs (starts of a minimisation, or points on the
way to the limits) are dealt with side by side, so that a response is read once for all of them. The
normalisation never enters the search: for every pair of shape and column it is solved for, and the
derivatives account for that (variable projection; Golub & Pereyra 1973, SIAM J. Numer. Anal. 10,
413).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .models import TabulatedModel

# Smallest model counts in a group whose logarithm is taken.
_TINY = 1e-30
# Draws from which the mean and variance of C and W are estimated: 5 % of the standard deviation.
_DRAWS = 400
# A search has converged if the second half of its steps gained less than this.
_STALLED = 0.01


class Chi2DataVar:
    """χ² of background-subtracted counts with the variance of the data.

    Args:
        net: (B, G) source counts − scale × background counts.
        variance: (B, G) source counts + scale² × background counts; infinite in the padding.
    """

    def __init__(self, net: Tensor, variance: Tensor) -> None:
        self.net, self.weight = net[:, None], variance.reciprocal()[:, None]

    def take(self, rows: Tensor) -> Chi2DataVar:
        """Return the statistic of some of the spectra."""
        return Chi2DataVar(self.net[rows, 0], self.weight[rows, 0].reciprocal())

    def normalisation(self, model: Tensor) -> Tensor:
        """Return (B, P) the factor on model counts (B, P, G) that minimises χ²."""
        weighted = self.weight * model
        top, bottom = (weighted * self.net).sum(-1), (weighted * model).sum(-1)
        # A negative normalisation is unphysical: a tiny positive one stands for it.
        return torch.where(bottom > 0, top / bottom.clamp(min=_TINY), 0.0).clamp(min=_TINY)

    def terms(self, model: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return χ² (B, P), its slope by the model (B, P, G), and its curvature."""
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
        """Return the statistic of some of the spectra."""
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
        """Return (B, P) the factor on model counts (B, P, G): the ratio of the counts without a
        background, else searched.
        """
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
            trial = factor - step
            trial = torch.where((trial <= low) | (trial >= high), 0.5 * (low + high), trial)
            done = ((trial - factor).abs() <= 1e-10 * high).all()
            factor = trial
            if done:
                break
        return factor.clamp(min=_TINY)

    def terms(self, model: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return C or W (B, P), its slope by the model (B, P, G), and its expected curvature."""
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

    def expected(self, model: Tensor) -> tuple[float, float]:
        """Return mean and variance of C or W of one spectrum if a model (G,) counts were right.

        In groups of few counts they are not those of χ² (Kaastra 2017, A&A 605, A51); they are
        estimated by drawing the counts, and those of the background, instead of by his sums.
        """
        generator = torch.Generator().manual_seed(0)
        behind = self._behind(model[None, None])[0, 0]
        region = torch.where(self.measured[0, 0], behind * (self._per_count[0, 0] - 1.0), 0.0)
        source, region = (
            torch.poisson(mean.expand(_DRAWS, -1), generator=generator)
            for mean in (model + behind, region)
        )
        drawn = PoissonDeviance(source, region, self.scale.expand(_DRAWS, -1))
        values = drawn.terms(model.expand(_DRAWS, 1, -1))[0]
        return float(values.mean()), float(values.var())


Statistic = Chi2DataVar | PoissonDeviance


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
        """Return the batch of some of the spectra."""
        area = None if self.area is None else self.area[rows]
        return SpectraBatch(self.response[rows], self.statistic.take(rows), self.components, area)

    def fold(self, photons: Tensor) -> Tensor:
        """Fold (B, K, n) photons/cm²/s, or (K, n) for all spectra, into (B, K, G) counts."""
        if self.area is not None:
            photons = photons * self.area[:, None]
        if self.components is not None:
            photons = photons @ self.components
        return torch.matmul(photons, self.response.transpose(1, 2))

    def scan(self, model: TabulatedModel, points: Tensor) -> Tensor:
        """Return the statistic (B, K) at (K, 2) points, the same for all spectra."""
        photons, _ = model.photons(points, slopes=False)
        # Leaving out small components may make zero counts slightly negative.
        counts = self.fold(photons[:, 0]).clamp(min=0.0)
        value, _, _ = self.statistic.terms(self.statistic.normalisation(counts)[..., None] * counts)
        return value

    def evaluate(
        self, model: TabulatedModel, points: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the statistic at (B, P, 2) points with the best normalisation, and derivatives.

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

    def take(self, index: Tensor | tuple[Tensor, ...]) -> Minimum:
        """Return a copy of some rows, or of one minimum of each row."""
        return Minimum(*(getattr(self, field.name)[index] for field in fields(self)))

    def put(self, rows: Tensor, other: Minimum) -> None:
        """Overwrite some rows by another's."""
        if other is self:
            return
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)


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
            here = here.take(keep)
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
    # In a long valley (a model far from the data) steps stay short to the end: accepted if the
    # second half of them gained nothing.
    result.converged |= halfway - result.value < _STALLED
    return result


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: the tensors of a fit are too small to share.

    Threads that wait for each other inside every operation cost more than they bring, four times
    the whole on a busy machine.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


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
    both = cross[..., None] * gradient.flip(-1) - damped.flip(-1) * gradient
    both = both / determinant[..., None]
    inside = ((both >= low) & (both <= high)).all(-1)
    clipped = both.clamp(low, high)
    # One coordinate at its bound, the other at its best given that.
    alone = -(gradient + cross[..., None] * clipped.flip(-1)) / damped
    at_bound = torch.eye(2, dtype=torch.bool)
    sides = torch.where(at_bound, clipped[..., None, :], alone[..., None, :])
    sides = sides.clamp(low[..., None, :], high[..., None, :])

    def fall(step: Tensor, slope: Tensor, bend: Tensor, mixed: Tensor) -> Tensor:
        squares = (bend * step.square()).sum(-1) / 2 + mixed * step[..., 0] * step[..., 1]
        return -(slope * step).sum(-1) - squares

    falls = fall(sides, gradient[..., None, :], damped[..., None, :], cross[..., None])
    choice = falls.argmax(-1, keepdim=True)
    side = torch.gather(sides, -2, choice[..., None].expand(*choice.shape, 2))[..., 0, :]
    step = torch.where(inside[..., None], both, side)
    return step, fall(step, gradient, damped, cross).clamp(min=0.0)
