"""Writes `hf_specclip/spectra/tables/free_free_gaunt.csv`; needs mpmath and a minute.

    python tests/spectra/make_gaunt_table.py hf_specclip/spectra/tables/free_free_gaunt.csv

The exact non-relativistic free–free Gaunt factor of a bare nucleus (Karzas & Latter 1961, ApJS 6,
167), averaged over a Maxwellian, on a grid of γ² = Z² Ry / kT and u = E / kT.
"""

import argparse
from functools import cache
from pathlib import Path

import mpmath
import numpy as np

STEP = 0.2  # dex, of both axes
LOG_GAMMA2 = (-5.0, 1.0)
LOG_U = (-4.0, 3.0)
# The Maxwellian is integrated by the trapezoidal rule in log10 x, x = E_f / kT, with half a step:
# the Gaunt factors then serve several temperatures.
LOG_X = (-5.0, 1.8)


@cache
def gaunt(tenths_final: int, tenths_photon: int) -> float:
    """Gaunt factor of one collision.

    Args:
        tenths_final: 10 log10 of the electron's energy after it, in Z² Ry.
        tenths_photon: 10 log10 of the photon's energy, in Z² Ry.
    """
    final = mpmath.power(10, mpmath.mpf(tenths_final) / 10)
    before = mpmath.sqrt(final + mpmath.power(10, mpmath.mpf(tenths_photon) / 10))
    after = mpmath.sqrt(final)
    eta_before, eta_after = 1 / before, 1 / after
    ratio = 4 * before * after / (before - after) ** 2
    phase = mpmath.expj((eta_before + eta_after) * mpmath.log((before - after) / (before + after)))

    def integral(order: int) -> mpmath.mpf:
        a, b = order + 1 - 1j * eta_after, order + 1 - 1j * eta_before
        series = mpmath.re(phase * mpmath.hyp2f1(a, b, 2 * order + 2, -ratio, maxterms=10**6))
        size = mpmath.re(mpmath.loggamma(a) + mpmath.loggamma(b))
        size += mpmath.pi * abs(eta_before - eta_after) / 2
        return (
            ratio ** (order + 1) / 4 * mpmath.exp(size) / mpmath.factorial(2 * order + 1) * series
        )

    product = eta_before * eta_after
    zero, one = integral(0), integral(1)
    bracket = (eta_before**2 + eta_after**2 + 2 * product**2) * zero
    bracket -= 2 * product * mpmath.sqrt((1 + eta_before**2) * (1 + eta_after**2)) * one
    return float(2 * mpmath.sqrt(3) / (mpmath.pi * product) * bracket * zero)


def averaged(log_gamma2: float, log_u: float) -> float:
    """Mean of the Gaunt factor over a Maxwellian."""
    logs = np.arange(round(LOG_X[0] * 10), round(LOG_X[1] * 10) + 1)
    x = 10.0 ** (logs / 10)
    shift, photon = round(log_gamma2 * 10), round((log_u - log_gamma2) * 10)
    values = np.array([gaunt(int(log - shift), photon) for log in logs])
    total = (values * x * np.exp(-x)).sum()
    # The rule's sum over all smaller x, where the Gaunt factor has its value at the threshold.
    total += values[0] * x[0] / (10**0.1 - 1)
    return float(total * np.log(10.0) / 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    mpmath.mp.dps = 30
    gammas, us = (
        np.round(np.arange(low, high + STEP / 2, STEP), 1) for low, high in (LOG_GAMMA2, LOG_U)
    )
    lines = ["log10_gamma2," + ",".join(f"log10_u={u:.1f}" for u in us)]
    for gamma in gammas:
        row = [f"{averaged(gamma, u):.6g}" for u in us]
        lines.append(",".join([f"{gamma:.1f}", *row]))
    output.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
