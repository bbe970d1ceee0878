"""Photoelectric cross-sections of Verner & Yakovlev (1995, A&AS 109, 125), for tests.

Each subshell of a neutral atom has σ = σ₀ [(y − 1)² + y_w²] y^(P/2 − l − 5.5) (1 + √(y/y_a))^(−P)
with y = E / E₀ above its threshold. Verner et al. (1996, ApJ 465, 487) have better fits for outer
shells below the inner ones' thresholds and refer to these above; helium, which has no inner shell,
is theirs. Together they are XSPEC's default cross-sections, `vern`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

# Nuclear charge, l, threshold and E₀ (eV), σ₀ (1e-18 cm²), y_a, P, y_w.
SUBSHELLS = np.loadtxt(
    """
    1 0 13.60 0.4298 5.475e4 32.88 2.963 0
    6 1 11.26 9.435 1152 5.687 6.336 0.4474
    6 0 19.39 10.26 4564 1.568 10.85 0
    6 0 291.0 86.55 74.21 54.98 1.503 0
    7 1 14.53 11.64 1.029e4 2.361 8.821 0.4239
    7 0 25.41 14.82 772.2 2.306 9.139 0
    7 0 404.8 127.0 47.48 138.0 1.252 0
    8 1 13.62 13.91 1.220e5 1.364 11.40 0.4103
    8 0 28.48 19.94 241.5 3.241 8.037 0
    8 0 538.0 177.4 32.37 381.2 1.083 0
    10 1 21.56 20.00 1.691e4 2.442 10.43 0.3345
    10 0 48.47 32.04 56.15 5.808 6.678 0
    10 0 870.1 314.4 16.64 2.042e5 0.8450 0
    11 0 5.139 5.968 1.460 2.557e7 3.789 0
    11 1 38.14 36.55 248.6 322.2 3.570 0.1465
    11 0 70.84 45.37 11.42 239.5 3.380 0
    11 0 1079 421.6 11.19 5.642e7 0.7736 0
    12 0 7.646 9.393 3.034 2.625e7 3.923 0
    12 1 54.90 49.37 202.3 1.079e4 2.960 0.01463
    12 0 94.00 45.87 16.71 23.89 4.742 0
    12 0 1311 271.1 35.61 23.74 1.952 0
    13 1 5.986 18.60 182.8 2.797 10.84 0.3076
    13 0 11.33 12.04 5.384 434.1 4.088 0
    13 1 80.40 64.45 173.5 1.131e4 2.762 0.02337
    13 0 125.6 55.94 14.25 30.94 4.399 0
    13 0 1567 367.0 22.06 44.05 1.588 0
    14 1 8.152 22.12 184.5 3.849 9.721 0.2921
    14 0 15.17 14.13 11.66 22.88 5.334 0
    14 1 106.0 78.08 153.2 5.765e6 2.639 2.774e-4
    14 0 156.0 70.17 11.66 47.42 3.933 0
    14 0 1846 532.2 11.84 258.0 1.102 0
    16 1 10.36 29.75 56.44 13.21 7.513 0.2621
    16 0 21.30 19.16 10.03 32.96 5.038 0
    16 1 170.0 91.52 188.3 71.93 3.633 0.2485
    16 0 235.0 104.7 8.520 94.69 3.346 0
    16 0 2477 811.4 6.649 3734 0.8646 0
    17 1 12.97 33.98 45.39 22.32 6.896 0.2479
    17 0 25.31 22.31 6.628 184.3 4.196 0
    17 1 209.0 80.04 305.3 34.98 4.457 0.2017
    17 0 278.0 109.2 10.59 24.91 4.205 0
    17 0 2830 970.0 5.255 1.856e6 0.7888 0
    18 1 15.76 38.54 48.72 26.40 6.662 0.2355
    18 0 28.92 25.25 6.394 170.0 4.223 0
    18 1 249.2 164.7 83.72 54.52 3.328 0.6270
    18 0 326.0 130.2 9.185 26.93 4.021 0
    18 0 3203 1135 4.280 3.285e7 0.7631 0
    20 0 6.113 7.366 2.373 208.2 4.841 5.841e-4
    20 1 34.43 44.87 90.17 14.65 7.498 0.2754
    20 0 48.30 30.12 7.227 173.6 4.165 0
    20 1 352.3 152.9 128.2 221.7 3.087 3.343e-3
    20 0 442.5 120.1 10.10 24.68 4.592 0
    20 0 4043 694.7 15.86 25.63 1.966 0
    24 0 6.767 9.636 0.6532 523.2 4.641 9.332e-5
    24 2 8.660 7.244 1485 9.671 15.75 0.7760
    24 1 49.00 65.67 53.13 19.81 7.258 0.2601
    24 0 79.00 42.34 5.602 135.6 4.374 0
    24 1 585.0 186.5 154.0 55.60 3.823 5.785e-3
    24 0 703.0 158.8 8.555 22.58 4.789 0
    24 0 5996 1035 10.25 33.43 1.822 0
    26 0 7.902 12.77 1.468 1.116e5 4.112 0.03238
    26 2 14.70 14.07 1.850e4 4.458 16.91 0.4039
    26 1 66.00 76.30 62.98 14.79 7.672 0.2646
    26 0 104.0 43.34 5.921 52.93 5.129 0
    26 1 724.0 294.8 71.91 321.9 2.837 0.06314
    26 0 857.0 57.27 10.76 27.85 6.635 0
    26 0 7124 804.4 20.55 36.33 2.118 0
    28 0 7.637 14.68 1.437 741.1 4.342 0.03908
    28 2 17.00 6.063 1186 6.823 22.23 6.227e-3
    28 1 82.00 88.96 43.51 19.42 7.372 0.2566
    28 0 125.0 54.48 4.611 115.7 4.548 0
    28 1 876.0 304.3 86.11 78.68 3.408 1.680e-5
    28 0 1024 113.2 9.424 27.12 5.643 0
    28 0 8348 736.6 28.36 36.22 2.316 0
    """.splitlines()
)

# Numbers per hydrogen atom, Anders & Grevesse (1989, GeCoA 53, 197).
ANDERS_GREVESSE = {
    **{1: 1.0, 2: 9.77e-2, 6: 3.63e-4, 7: 1.12e-4, 8: 8.51e-4, 10: 1.23e-4, 11: 2.14e-6},
    **{12: 3.80e-5, 13: 2.95e-6, 14: 3.55e-5, 16: 1.62e-5, 17: 3.16e-7, 18: 3.63e-6},
    **{20: 2.29e-6, 24: 4.68e-7, 26: 4.68e-5, 28: 1.78e-6},
}  # The same, Wilms, Allen & McCray (2000, ApJ 542, 914, table 2).
WILMS = {
    **{1: 1.0, 2: 9.77e-2, 6: 2.40e-4, 7: 7.59e-5, 8: 4.90e-4, 10: 8.71e-5, 11: 1.45e-6},
    **{12: 2.51e-5, 13: 2.14e-6, 14: 1.86e-5, 16: 1.23e-5, 17: 1.32e-7, 18: 2.57e-6},
    **{20: 1.58e-6, 24: 3.24e-7, 26: 2.69e-5, 28: 1.12e-6},
}


def cross_section(
    energy: np.ndarray,
    abundances: Mapping[int, float] = ANDERS_GREVESSE,
    helium: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Cross-section of atoms per hydrogen atom, 1e-22 cm².

    Args:
        energy: keV, 0.3 to 10, (n).
        abundances: number per hydrogen atom, by nuclear charge.
        helium: its cross-section in cm² from energies in eV; `verner_helium` where None.
    """
    ev = np.asarray(energy, dtype=np.float64) * 1e3
    total = abundances[2] * (helium or verner_helium)(ev)
    for charge, momentum, threshold, e0, sigma0, y_a, power, y_w in SUBSHELLS:
        y = ev / e0
        sigma = 1e-18 * sigma0 * ((y - 1.0) ** 2 + y_w**2) * y ** (power / 2 - momentum - 5.5)
        sigma *= (1.0 + np.sqrt(y / y_a)) ** -power
        total += abundances[int(charge)] * np.where(ev >= threshold, sigma, 0.0)
    return total * 1e22


def verner_helium(ev: np.ndarray) -> np.ndarray:
    """Helium's cross-section of Verner et al. 1996, cm², of energies in eV."""
    # Their table 1: E₀, σ₀, y_a, P, y_w, y₀, y₁.
    e0, sigma0, y_a, power, y_w, y0, y1 = 13.61, 949.2, 1.469, 3.188, 2.039, 0.4434, 2.136
    x = ev / e0 - y0
    y = np.hypot(x, y1)
    sigma = ((x - 1.0) ** 2 + y_w**2) * y ** (power / 2 - 5.5) * (1.0 + np.sqrt(y / y_a)) ** -power
    return 1e-18 * sigma0 * sigma


def yan_helium(ev: np.ndarray) -> np.ndarray:
    """Helium's cross-section of Yan, Sadeghpour & Dalgarno (1998, ApJ 496, 1044, eq. 3), cm²."""
    coefficients = (1.0, -4.7416, 14.8200, -30.8678, 37.3584, -23.4585, 5.9133)
    series = np.polynomial.polynomial.polyval((ev / 24.58) ** -0.5, coefficients)
    return 733e-24 * (ev / 1e3) ** -3.5 * series
