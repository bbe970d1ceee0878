"""Fit real Chandra spectra with Sherpa, for `test_fit_sherpa.py` to compare with.

Sherpa (4.19, https://sherpa.readthedocs.io) reads the files, groups, subtracts, folds, minimises
and finds the limits; the models are this package's own, given to it as user models, since a Sherpa
from PyPI has none of XSPEC's. Run from the top of the checkout with a Python that has Sherpa
(building it takes Debian's bison, byacc, flex and gfortran) and not much else:

    python -m venv /tmp/sherpa && /tmp/sherpa/bin/pip install 'sherpa==4.19.*' astropy
    PYTHONPATH=. /tmp/sherpa/bin/python tests/spectra/make_sherpa_fits.py ../shared/data \
        tests/spectra/data/sherpa_fits.json
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import sherpa
from sherpa.astro import ui

from hf_specclip.spectra import emission as models

COMMAND = (
    "PYTHONPATH=. python tests/spectra/make_sherpa_fits.py ../shared/data "
    "tests/spectra/data/sherpa_fits.json"
)
# File below chandra_spectra/, counts in a group, and statistic.
CASES = [
    ("csc_1575/acisf01575_001N001_r0085_pha3.fits.gz", 16, "chi2datavar"),
    ("csc_4938/acisf04938_000N002_r0043_pha3.fits.gz", 16, "chi2datavar"),
    ("3c273/3c273.pi", 16, "chi2datavar"),
    ("cdfs_179/179.pi", 16, "chi2datavar"),
    ("obs1/obs1.pi", 5, "chi2datavar"),
    ("csc_1575/acisf01575_001N001_r0085_pha3.fits.gz", 1, "wstat"),
    ("3c273/3c273.pi", 1, "wstat"),
]
# Name, function, name of the shape, its bounds, and where to start from.
MODELS = {
    "powlaw": (models.power_law, "gamma", (-4.0, 10.0), (0.5, 1.5, 2.5, 5.0)),
    "bb": (models.black_body, "kt", (0.03, 100.0), (0.2, 0.6, 1.5)),
    "brems": (models.bremsstrahlung, "kt", (0.03, 100.0), (0.3, 1.5, 6.0, 25.0)),
    "apec": (models.thermal_plasma, "kt", (0.0545, 68.4), (0.2, 0.6, 1.5, 4.0, 8.0, 20.0)),
}
START_COLUMNS = (0.02, 0.3)  # 1e22 cm-2


def main(folder: Path, output: Path) -> None:
    logging.getLogger("sherpa").setLevel(logging.ERROR)
    np.seterr(all="ignore")
    fits = []
    for file, group, statistic in CASES:
        for name in MODELS:
            fits.append(fit(folder / "chandra_spectra" / file, group, statistic, name))
            fits[-1]["file"] = file
            print(json.dumps(fits[-1]), file=sys.stderr)
    found = {"command": COMMAND, "sherpa": sherpa.__version__, "fits": fits}
    output.write_text(json.dumps(found, indent=1) + "\n")


def fit(path: Path, group: int, statistic: str, name: str) -> dict:
    photons, shape_name, bounds, starts = MODELS[name]
    ui.clean()
    ui.load_pha(str(path))
    ui.set_analysis("energy")
    ui.ungroup()
    ui.notice()
    ui.notice(0.5, 7.0)
    ui.group_counts(group)
    # The channels left over, which do not make a whole group, are not fitted. (`ignore_bad` would
    # do that and forget the range.)
    data = ui.get_data()
    left = np.flatnonzero((np.asarray(data.quality) != 0) & np.asarray(data.get_mask()))
    if left.size:
        ui.ignore(data.get_response()[1].e_min[left[0]] + 1e-4, None)
    ui.set_stat(statistic)
    if statistic != "wstat":
        ui.subtract()
    ui.set_method("levmar")

    def source(parameters, low, high):
        shape, column, norm = parameters
        edges = np.append(low, high[-1])
        return norm * photons(edges, shape) * models.phabs(edges, column)

    ui.load_user_model(source, "source")
    ui.add_user_pars(
        "source",
        [shape_name, "nh", "norm"],
        [starts[0], START_COLUMNS[0], 1e-4],
        parmins=[bounds[0], 0.0, 0.0],
        parmaxs=[bounds[1], 100.0, 1e10],
    )
    ui.set_source("source")
    component = ui.get_model_component("source")
    shape = getattr(component, shape_name)
    # `conf` walks past the limits given above, and stops at the hard ones alone.
    shape._hard_min, shape._hard_max = bounds
    component.nh._hard_min = component.norm._hard_min = 0.0
    best = None
    for start in starts:
        for column in START_COLUMNS:
            shape.val, component.nh.val, component.norm.val = start, column, 1.0
            counts = ui.get_model_plot(recalc=True)
            data = ui.get_data_plot(recalc=True)
            component.norm.val = max(np.sum(data.y) / max(np.sum(counts.y), 1e-99), 1e-12)
            ui.fit()
            result = ui.get_fit_results()
            if best is None or result.statval < best[0]:
                best = (result.statval, result.parvals)
    shape.val, component.nh.val, component.norm.val = best[1]
    # A column of 0 is the edge of the box, where levmar comes to rest too early.
    ui.set_method("neldermead")
    ui.set_method_opt("ftol", 1e-9)
    ui.fit()
    ui.set_conf_opt("sigma", 1.0)
    ui.set_conf_opt("max_rstat", 100.0)
    ui.set_conf_opt("numcores", 1)
    ui.set_conf_opt("tol", 0.003)
    ui.conf(shape, component.nh)
    result, ends = ui.get_fit_results(), ui.get_conf_results()

    def limit(value, offset):
        return None if offset is None else float(value + offset)

    answer = {
        "model": name,
        "group": group,
        "statistic": statistic,
        "n_groups": int(result.numpoints),
        "value": float(result.statval),
        "dof": int(result.dof),
        "norm": float(component.norm.val),
    }
    names = ("shape", "nh")
    for key, parameter, low, high in zip(
        names, ends.parvals, ends.parmins, ends.parmaxes, strict=True
    ):
        answer[key] = [limit(parameter, low), float(parameter), limit(parameter, high)]
    return answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
