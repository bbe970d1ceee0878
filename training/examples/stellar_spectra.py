"""Example of another kind of observation: simulated optical spectra of stars by wavelength.

python training/examples/stellar_spectra.py runs/stars
"""

import sys
from pathlib import Path

import numpy as np

from specclip_datasets import Domain, SpecCLIPDatasetInfo, write_arrays
from specclip_training.engine.commands import call
from specclip_training.reproduce import main, options

output, n = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1200
random = np.random.default_rng(0)
edges = np.linspace(380.0, 900.0, 261)
wavelength = (edges[1:] + edges[:-1]) / 2  # nm
teff = 10 ** random.uniform(3.53, 4.2, (n, 1))
feh, reddening = random.uniform(-2, 0.4, (n, 1)), random.exponential(0.3, (n, 1))
photons = wavelength**-4 / np.expm1(1.4388e7 / (wavelength * teff))  # Planck, photons


def line(centre, depth, width):
    """Return the transmission of a Gaussian absorption line at each wavelength."""
    return 1 - np.clip(depth, 0, 0.9) * np.exp(-(((wavelength - centre) / width) ** 2))


hot = np.exp(-((np.log(teff / 9500) / 0.35) ** 2))  # Balmer lines peak in A stars
cool = 10 ** (0.4 * feh) / (1 + (teff / 5800) ** 6)
for balmer in (410.2, 434.0, 486.1, 656.3):
    photons *= line(balmer, 0.6 * hot, 3.0)
for metal, depth in ((393.4, 0.9), (396.8, 0.9), (430.5, 0.6), (517.5, 0.7), (589.2, 0.6)):
    photons *= line(metal, depth * cool, 2.0)
for head in (615.0, 705.0, 845.0):  # TiO bands of M stars
    photons *= line(head, 0.8 * (teff < 4000) * 10 ** (0.3 * feh), 12.0)
photons *= 10 ** (-0.4 * 3.1 * reddening * (550 / wavelength) ** 1.3)
photons *= 10 ** random.uniform(3, 4.5, (n, 1)) / photons.sum(axis=1, keepdims=True)
spectral_types = np.array(list("MKGFAB"))[
    np.searchsorted([3900, 5300, 6000, 7300, 10000], teff[:, 0])
]
texts = [
    {
        "star": f"A {letter}-type star with an effective temperature near {round(t, -2):.0f} K.",
        "population": f"A {'halo' if z < -1 else 'thick disc' if z < -0.4 else 'thin disc'} star, "
        f"{'reddened by dust' if e > 0.4 else 'hardly reddened'}.",
    }
    for letter, t, z, e in zip(spectral_types, teff[:, 0], feh[:, 0], reddening[:, 0], strict=True)
]
variables = (("teff", "K"), ("feh", "dex"), ("reddening", "mag"))
domain = Domain("wavelength", "nm", ("star", "population"), variables, on_sky=False)
info = SpecCLIPDatasetInfo(
    "stars", simulated=True, n_bins=260, energy_range=(380, 900), domain=domain
)
write_arrays(output / "dataset", info, overwrite=True, source_name=[f"star {i}" for i in range(n)],
             exposure=np.full(n, 900.0), counts=random.poisson(photons), summary=texts,
             teff=teff[:, 0], feh=feh[:, 0], reddening=reddening[:, 0])  # fmt: skip
settings = [
    "text.embedder=offline", "spectrum.n_bins=260", "spectrum.energy_range=[380, 900]",
    "spectrum.bands=[[380, 500], [500, 650], [650, 900]]", "spectrum.windows=[4, 20]",
]  # fmt: skip
arguments = ["--config", "demo", "--dataset", str(output / "dataset"), "--output", str(output)]
arguments += ["--studies", "experts", *(f"--set={setting}" for setting in settings)]
sys.exit(call(main, options().parse_args(arguments + sys.argv[3:])))
