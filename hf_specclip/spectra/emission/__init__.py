"""Spectral models: photons per energy bin, for many parameter sets at once.

Every emission model gives photons/cm²/s in each bin of `edges`, integrated over the bin, so that
photons are conserved whatever the grid. Normalisations follow XSPEC. A parameter is a number or an
array of any shape S; the result then has shape S + (n,), with S broadcast over all parameters.

    >>> edges = np.linspace(0.5, 8.0, 401)
    >>> flux = power_law(edges, [1.7, 2.1], norm=1e-4)
    >>> flux.shape
    (2, 400)

Models add up, and `absorbed` puts gas in front of them, inside the bins too:

    >>> flux = absorbed(
    ...     edges,
    ...     lambda e: power_law(e, 1.8, 1e-4, redshift=0.1) + thermal_plasma(e, 0.6, norm=1e-4),
    ...     lambda e: phabs(e, 0.03) * phabs(e, 20.0, redshift=0.1),
    ... )

A redshift moves a source's spectrum as XSPEC's models with a z do: a bin from E to E' holds the
source's photons from E (1 + z) to E' (1 + z), divided by 1 + z because they arrive slower.

The tables (plasma emissivity, cross-sections, Gaunt factors) lie in `spectra/tables/`, with their
sources.
"""

from .absorption import absorbed, phabs, photoelectric_cross_section
from .free_free import bremsstrahlung, gaunt_factor
from .nonthermal import cutoff_power_law, power_law
from .planck import black_body, disk_black_body
from .plasma import plasma_temperatures, thermal_plasma

__all__ = [
    "absorbed",
    "black_body",
    "bremsstrahlung",
    "cutoff_power_law",
    "disk_black_body",
    "gaunt_factor",
    "phabs",
    "photoelectric_cross_section",
    "plasma_temperatures",
    "power_law",
    "thermal_plasma",
]
