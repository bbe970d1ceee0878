"""Black bodies: of one temperature, and of a disc."""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np
from numpy.typing import ArrayLike

from .grid import Array, check_edges, check_parameters, cubic_taps, in_rows, integrate_decay

# As XSPEC's manual has it. It stands for 15/π⁴ × 1e39 erg/s / (4π (10 kpc)²), which with today's
# constants is 0.25 % less; kept, so that norms agree with published ones.
BLACK_BODY_CONSTANT = 8.0525
# 16π/3 · (1 km / 10 kpc)² / (h³c²), photons/cm²/s/keV³. XSPEC's `diskbb` rounds: 1/361 in place of
# 1/361.3, 8e-4 more.
DISK_CONSTANT = 2.7680e-3


def black_body(
    edges: ArrayLike, kt: ArrayLike, norm: ArrayLike = 1.0, *, redshift: ArrayLike = 0.0
) -> Array:
    """Return a black body, XSPEC's `bbody` and `zbbody`, in closed form.

    Photons/cm²/s/keV are 8.0525 · `norm` · E² / (kT⁴ (exp(E/kT) − 1)).

    Args:
        edges: bin edges (n + 1,), keV.
        kt: temperature in the source's frame, keV, shape S.
        norm: luminosity in 1e39 erg/s over (distance in 10 kpc)², at z = 0; with a redshift the
            distance is D_L / (1 + z). Shape S.
        redshift: E becomes E (1 + z), shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,).

    Raises:
        ValueError: for bad edges, kT ≤ 0, or z ≤ −1.
    """
    grid = check_edges(edges)
    check_parameters(positive=[("kt", kt)], redshift=redshift)

    def rows(kt: Array, norm: Array, redshift: Array) -> Array:
        x = grid * ((1.0 + redshift) / kt)
        below, above = _planck_integrals(x)
        # The difference of the integral from 0 is exact at low energies, of that to ∞ in the tail.
        low = below[:, 1:] - below[:, :-1]
        high = above[:, :-1] - above[:, 1:]
        scale = BLACK_BODY_CONSTANT * norm / (kt * (1.0 + redshift))
        return scale * np.where(x[:, 1:] < 1.0, low, high)

    return in_rows(rows, (kt, norm, redshift), len(grid) - 1, len(grid))


def disk_black_body(
    edges: ArrayLike, kt: ArrayLike, norm: ArrayLike = 1.0, *, redshift: ArrayLike = 0.0
) -> Array:
    """Return a disc black body, XSPEC's `diskbb` (T ∝ r^(−3/4); Mitsuda et al. 1984, PASJ 36, 741).

    Photons/cm²/s/keV are 2.768e-3 · `norm` · E² ∫₀¹ x^(−11/3) / (exp(E/(x kT)) − 1) dx, that is, a
    disc with no outer edge.

    Args:
        edges: bin edges (n + 1,), keV.
        kt: temperature at the inner edge, keV in the source's frame, shape S.
        norm: (inner radius in km / distance in 10 kpc)² cos i, shape S.
        redshift: E becomes E (1 + z), shape S.

    Returns:
        Photons/cm²/s per bin, S + (n,). The integral over the bin is a Gauss–Legendre rule.

    Raises:
        ValueError: for bad edges, kT ≤ 0, or z ≤ −1.
    """
    grid = check_edges(edges)
    check_parameters(positive=[("kt", kt)], redshift=redshift)

    def log_slow(energy: Array, kt: Array, redshift: Array) -> Array:
        shifted = energy * (1.0 + redshift)
        return 2.0 * np.log(shifted) + _log_disk(shifted / kt)

    scaled = DISK_CONSTANT * np.asarray(norm, dtype=np.float64)
    return integrate_decay(grid, (kt, redshift), log_slow, kt, redshift, scaled)


# Coefficients of t²/(eᵗ − 1) = Σ B_k tᵏ⁺¹/k!, integrated from 0: B_k / (k! (k + 2)).
_BERNOULLI = {
    0: 1.0, 1: -0.5, 2: 1 / 6, 4: -1 / 30, 6: 1 / 42, 8: -1 / 30,
    10: 5 / 66, 12: -691 / 2730, 14: 7 / 6, 16: -3617 / 510,
}  # fmt: skip


def _planck_integrals(x: Array) -> tuple[Array, Array]:
    """Integrate t²/(eᵗ − 1) from 0 to x and from x to ∞, each exact where it is the smaller.

    Below x = 1 the power series of the first, above it the exponential series of the second.
    """
    total = 2.4041138063191885  # 2 ζ(3)
    small = x < 1.0
    below, above = np.empty_like(x), np.empty_like(x)
    low, high = x[small], x[~small]
    series = np.zeros_like(low)
    for k, number in _BERNOULLI.items():
        series += number / (factorial(k) * (k + 2)) * low ** (k + 2)
    below[small], above[small] = series, total - series
    tail = np.zeros_like(high)
    falling = np.exp(-high)
    power = np.ones_like(high)
    for k in range(1, 38):
        power *= falling
        tail += power * (high * (high / k + 2 / k**2) + 2 / k**3)
    below[~small], above[~small] = total - tail, tail
    return below, above


# The disc's integral is tabulated in ln(E / kT), beyond which it has reached its limits.
_DISK_RANGE = (-14.0, 7.0)
_DISK_STEP = 0.1


def _log_disk(y: Array) -> Array:
    """Return ln of eʸ ∫₀¹ x^(−11/3) / (exp(y/x) − 1) dx, y above 0."""
    table = _disk_table()
    log_y = np.log(y)
    position = (np.clip(log_y, *_DISK_RANGE) - _DISK_RANGE[0]) / _DISK_STEP
    left, taps = cubic_taps(position, len(table))
    result = -8.0 / 3.0 * log_y
    for tap in range(4):
        result += taps[tap] * table[left + tap]
    return result


@cache
def _disk_table() -> Array:
    """Tabulate ln of eʸ ∫ t^(5/3) / (eᵗ − 1) dt from y to ∞; t is y/x of the disc's integral."""
    n_nodes = round((_DISK_RANGE[1] - _DISK_RANGE[0]) / _DISK_STEP) + 1
    y = np.exp(np.linspace(*_DISK_RANGE, n_nodes))[:, None]
    # Trapezoidal rule in ln(t − y), which converges exponentially.
    step = 0.05
    beyond = np.exp(np.arange(-40.0, 5.0, step))
    t = y + beyond
    values = t ** (5.0 / 3.0) * np.exp(-beyond) / -np.expm1(-t)
    return np.log((values * beyond).sum(axis=1) * step)
