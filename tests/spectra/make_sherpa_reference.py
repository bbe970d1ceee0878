"""Store what Sherpa makes of the real spectra, for `test_real_files.py`.

Sherpa is a development check, not a dependency. It comes as source and wants an environment of its
own:

    apt-get install bison byacc flex gfortran libfftw3-dev
    python3.11 -m venv /tmp/sherpa && /tmp/sherpa/bin/pip install astropy "sherpa==4.19.0"
    /tmp/sherpa/bin/python tests/spectra/make_sherpa_reference.py ../shared/data/chandra_spectra

writes tests/spectra/data/sherpa_reference.json.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import sherpa
from sherpa.astro.ui.utils import Session
from sherpa.models.basic import PowLaw1D

COMMAND = "python tests/spectra/make_sherpa_reference.py ../shared/data/chandra_spectra"
GAMMA, NORM = 1.7, 1e-4
FILES = (
    "3c273/3c273.pi",
    "bubble/bubble.pi",
    "cdfs_179/179.pi",
    "csc_1575/acisf01575_001N001_r0085_pha3.fits.gz",
    "csc_4938/acisf04938_000N002_r0043_pha3.fits.gz",
    "obs1/obs1.pi",
    "obs4/obs4.pi",
    "source_back/source.pi",
    "source_back/back.pi",
)


def describe(folder: Path, name: str) -> dict:
    """Sherpa's view of one spectrum; long vectors as sums and every 50th value."""
    session = Session()
    session._add_model_types(sherpa.models.basic)
    begin = time.perf_counter()
    session.load_pha(1, str(folder / name))
    data = session.get_data()
    if data.get_arf() is None:  # these headers name nothing: Sherpa looks for no stem
        stem = str(folder / name).rpartition(".")[0]
        session.load_arf(1, f"{stem}.arf")
        session.load_rmf(1, f"{stem}.rmf")
    seconds = time.perf_counter() - begin
    data.ungroup()
    arf, rmf = data.get_arf(), data.get_rmf()
    law = PowLaw1D("law")
    law.gamma, law.ampl = GAMMA, NORM
    photons = law(arf.energ_lo, arf.energ_hi)
    folded = rmf.apply_rmf(arf.apply_arf(photons))
    background = data.get_background() if data.background_ids else None
    scale = data.get_background_scale() if background is not None else 0.0
    return {
        "exposure": float(data.exposure),
        "counts": int(data.counts.sum()),
        "counts_by_50": [int(part.sum()) for part in np.split(data.counts, range(50, 1024, 50))],
        "background_counts": None if background is None else int(background.counts.sum()),
        "background_scale": float(np.asarray(scale)),
        "channel_energies": rmf.e_min[::50].tolist() + rmf.e_max[-1:].tolist(),
        "arf_energies": arf.energ_lo[::50].tolist() + arf.energ_hi[-1:].tolist(),
        "arf": arf.specresp[::50].tolist(),
        "arf_sum": float(arf.specresp.sum()),
        "folded": folded[::50].tolist(),
        "folded_sum": float(folded.sum()),
        "folded_weighted_sum": float(folded @ np.arange(folded.size)),
        "seconds": seconds,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    found = {name: describe(folder, name) for name in FILES}
    for name, values in found.items():
        print(f"{name}: read by Sherpa in {values.pop('seconds') * 1e3:.0f} ms")
    about = {
        "command": COMMAND,
        "sherpa": sherpa.__version__,
        "power_law": {"gamma": GAMMA, "norm": NORM},
    }
    target = Path(__file__).parent / "data" / "sherpa_reference.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({**about, "files": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
