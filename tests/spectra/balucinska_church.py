"""Photoelectric cross-sections of Balucinska-Church & McCammon (1992, ApJ 400, 699), for tests.

Their polynomials in ln E (eV) give ln of E³ times the mass absorption coefficient (cm²/g), element
by element between the K and L edges (catalogue VI/62 of the CDS), good to 2 % of the measurements
behind them and 7 % at worst. Helium is that of Yan, Sadeghpour & Dalgarno (1998, ApJ 496, 1044), as
in XSPEC's `bcmc`: the polynomial for helium is 50 % above it at 1 keV.

This is the oldest and simplest of the cross-sections with variable abundances, and independent of
the atoms of Verner et al. (1996) that the package's table is made of.
"""

from __future__ import annotations

import numpy as np
from verner_yakovlev import yan_helium

AVOGADRO = 6.02214076e23

# Atomic weight; number per hydrogen atom (Anders & Grevesse 1989); then the lower end (eV) of each
# piece and its coefficients. The slopes include the 3 of E³.
ELEMENTS: dict[str, tuple[float, float, tuple[tuple[float, tuple[float, ...]], ...]]] = {
    "H": (1.00797, 1.0, ((0.0, (21.46941, 0.939848, -0.1492932, 5.4634294e-3)),)),
    "C": (12.01115, 3.63e-4, (
        (0.0, (8.74161, 7.13348, -1.14604, 0.0677044)),
        (284.0, (3.81334, 8.93626, -1.06905, 0.0422195)),
    )),
    "N": (14.0067, 1.12e-4, (
        (0.0, (9.24058, 7.02985, -1.08849, 0.0611007)),
        (401.0, (-13.0353, 15.4851, -1.89502, 0.0769412)),
    )),
    "O": (15.9994, 8.51e-4, (
        (0.0, (2.57264, 10.9321, -1.79383, 0.102619)),
        (531.7, (16.53869, 3.6428144, -0.3177744, 7.9471897e-3)),
    )),
    "Ne": (20.183, 1.23e-4, (
        (0.0, (-3.04041, 13.0071, -1.93205, 0.0977639)),
        (867.0, (17.6007, 3.29278, -0.263065, 5.68290e-3)),
    )),
    "Na": (22.9898, 2.14e-6, (
        (0.0, (-2737.598, 2801.704, -1009.892, 87.16455, 43.20644, -15.27259, 2.180531,
               -0.1526546, 4.3137977e-3)),
        (1071.7, (1.534019, 9.261744, -0.9914126, 3.5278253e-2)),
    )),
    "Mg": (24.312, 3.80e-5, (
        (49.45, (-81.32915, 65.2775, -15.00826, 1.558686, -6.1339621e-2)),
        (1303.4, (-9.161526, 13.07448, -1.435878, 5.2728362e-2)),
    )),
    "Al": (26.9815, 2.95e-6, (
        (72.78, (-38.1232, 29.5161, -4.45416, 0.226204)),
        (1559.9, (14.6897, 4.22743, -0.344185, 8.18542e-3)),
    )),
    "Si": (28.086, 3.55e-5, (
        (100.6, (-182.7217, 128.061, -29.47269, 3.03284, -0.1173096)),
        (1840.0, (-33.39074, 21.42992, -2.385117, 8.887583e-2)),
    )),
    "S": (32.064, 1.62e-5, (
        (165.0, (3994.831, -3690.886, 1417.287, -287.9909, 32.70061, -1.968987, 4.9149349e-2)),
        (2470.5, (-22.49628, 17.24599, -1.848444, 6.6506132e-2)),
    )),
    "Cl": (35.453, 3.16e-7, (
        (202.0, (-233.0502, 146.9776, -31.12463, 2.938618, -0.104096)),
        (2819.6, (-23.74675, 17.50997, -1.857953, 6.6208832e-2)),
    )),
    "Ar": (39.94, 3.63e-6, (
        (245.0, (-5.71870, 8.85812, -0.307357, 0.00169351, -0.0138134, 0.00120451)),
        (3202.9, (19.1905, 2.74276, -0.164603, 0.00165895)),
    )),
    "Ca": (40.08, 2.29e-6, (
        (0.0, (-873.972, 868.5231, -339.678, 66.83369, -6.590398, 0.2601044)),
        (349.31, (-3449.707, 2436.409, -682.0668, 95.3563, -6.655018, 0.1854492)),
        (4038.1, (18.89376, 2.7096462, -0.1377201)),
    )),
    "Cr": (51.996, 4.68e-7, (
        (0.0, (-0.4919405, 15.66939, -5.199775, 1.086566, -0.1196001, 5.2152011e-3)),
        (598.0, (27.29282, 0.296664)),
        (691.0, (-15.2525, 16.23729, -1.966778, 8.062207e-2)),
        (5988.8, (8.307041, 5.008987, -0.2580816)),
    )),
    "Fe": (55.847, 4.68e-5, (
        (0.0, (-15.07332, 21.94335, -4.862457, 0.5573765, -3.0065542e-2, 4.9834867e-4)),
        (707.4, (-253.0979, 138.4238, -25.47119, 2.08867, -6.4264648e-2)),
        (7111.2, (-1.037655, 7.022304, -0.3638919)),
    )),
    "Ni": (58.71, 1.78e-6, (
        (0.0, (-7.919931, 14.06475, -1.935318, 9.3929626e-2)),
        (853.6, (3.71129, 8.45098, -0.896656, 0.0324889)),
        (8331.6, (28.4989, 0.485797)),
    )),
}  # fmt: skip
HELIUM = 9.77e-2


def cross_section(energy: np.ndarray) -> np.ndarray:
    """Cross-section per hydrogen atom, abundances of Anders & Grevesse, 1e-22 cm².

    Args:
        energy: keV, 0.3 to 10, (n).
    """
    ev = np.asarray(energy, dtype=np.float64) * 1e3
    total = np.zeros_like(ev)
    for weight, number, pieces in ELEMENTS.values():
        piece = np.searchsorted([low for low, _ in pieces], ev, side="right") - 1
        for index, (_, coefficients) in enumerate(pieces):
            here = piece == index
            power = np.polynomial.polynomial.polyval(np.log(ev[here]), coefficients)
            total[here] += number * weight / AVOGADRO * np.exp(power) / ev[here] ** 3
    total += HELIUM * yan_helium(ev)
    return total * 1e22
