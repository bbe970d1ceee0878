"""Example of another band: simulated hard X-ray spectra of active galaxies, 3–79 keV.

python training/examples/hard_xrays.py runs/hard_xrays
"""

import sys
from pathlib import Path

import numpy as np

from hf_specclip.spectra.emission import absorbed, cutoff_power_law, phabs
from specclip_datasets import Domain, SpecCLIPDatasetInfo, write_arrays
from specclip_training.engine.commands import call
from specclip_training.reproduce import main, options

output, n = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1200
random = np.random.default_rng(0)
edges = np.linspace(3.0, 79.0, 191)
energy = (edges[1:] + edges[:-1]) / 2
gamma, cutoff = random.uniform(1.4, 2.4, n), 10 ** random.uniform(1.3, 2.5, n)
nh = 10 ** random.uniform(-1, 2.3, n)  # 1e22 cm-2
flux = absorbed(edges, lambda e: cutoff_power_law(e, gamma, cutoff), lambda e: phabs(e, nh))
area = 600 * np.exp(-((np.log(energy / 10) / 0.9) ** 2))  # cm2
blur = np.exp(-(((energy[:, None] - energy) / (0.4 + 0.006 * energy)) ** 2))
folded = flux * area @ (blur / blur.sum(axis=1, keepdims=True))
folded *= 10 ** random.uniform(2.5, 4, (n, 1)) / folded.sum(axis=1, keepdims=True)
texts = [
    {
        "identity": random.choice(["A Seyfert galaxy.", "A quasar.", "An active nucleus."]),
        "spectrum": f"{'Compton-thick' if h > 100 else 'Obscured' if h > 3 else 'Unobscured'}, "
        f"with a {'flat' if g < 1.7 else 'steep' if g > 2.1 else 'canonical'} continuum and "
        f"{'a low-energy cutoff' if c < 60 else 'no cutoff in the band'}: "
        f"photon index {g:.1f}, column {h:.1g}e22.",
        "context": None,
    }
    for g, c, h in zip(gamma, cutoff, nh, strict=True)
]
variables = (("gamma", ""), ("cutoff", "keV"), ("nh", "1e22 cm-2"))
info = SpecCLIPDatasetInfo(
    "hard_xrays", simulated=True, n_bins=190, energy_range=(3.0, 79.0),
    domain=Domain(variables=variables, on_sky=False),
)  # fmt: skip
write_arrays(
    output / "dataset", info, overwrite=True, source_name=[f"AGN {i}" for i in range(n)],
    exposure=np.full(n, 2e4), counts=random.poisson(folded), summary=texts, gamma=gamma,
    cutoff=cutoff, nh=nh, background_counts=random.poisson(2.0, folded.shape), background_scale=0.1,
)  # fmt: skip
settings = [
    "text.embedder=offline", "spectrum.n_bins=190", "spectrum.energy_range=[3, 79]",
    "spectrum.patch_size=19", "spectrum.bands=[[3, 8], [8, 20], [20, 79]]",
    "spectrum.windows=[1.2, 4]",
]  # fmt: skip
arguments = ["--config", "demo", "--dataset", str(output / "dataset"), "--output", str(output)]
arguments += ["--studies", "experts", *(f"--set={setting}" for setting in settings)]
sys.exit(call(main, options().parse_args(arguments + sys.argv[3:])))
