"""The fitter against Sherpa, on real Chandra spectra.

Sherpa's numbers are stored; `make_sherpa_fits.py` makes them, with this package's models as its
user models.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_specclip.spectra import read_spectrum
from hf_specclip.spectra.fitting.fit import FittedParameter, ModelFit, fit_spectra

FILE = json.loads((Path(__file__).parent / "data" / "sherpa_fits.json").read_text())
STORED = FILE["fits"]
CASES = sorted({(fit["file"], fit["group"], fit["statistic"]) for fit in STORED})


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{Path(case[0]).parent}-{case[2]}")
def pair(request, real_data) -> tuple[list[dict], dict[str, ModelFit]]:
    """Return the result of Sherpa for a file, and ours."""
    file, group, statistic = request.param
    [result] = fit_spectra(
        read_spectrum(real_data / "chandra_spectra" / file),
        statistic="cstat" if statistic == "wstat" else statistic,
        group_counts=group,
        keep_incomplete=False,
        min_net_counts=0,
    )
    theirs = [
        fit
        for fit in STORED
        if (fit["file"], fit["group"], fit["statistic"]) == (file, group, statistic)
    ]
    return theirs, dict(result.models)


def test_statistic_to_one_per_cent(pair):
    theirs, ours = pair
    for fit in theirs:
        mine = ours[fit["model"]]
        assert (mine.dof, mine.converged) == (fit["dof"], True)
        assert mine.statistic == pytest.approx(fit["value"], rel=0.01), fit["model"]
        # Never a worse minimum than Sherpa's.
        assert mine.statistic < fit["value"] + 0.05, fit["model"]


def parameters(pair):
    """(name, Sherpa's [low, value, high], ours, Sherpa's mean error)."""
    theirs, ours = pair
    for fit in theirs:
        for name, parameter in ours[fit["model"]].parameters.items():
            if name in ("ampl", "norm"):
                continue
            low, value, high = fit["nh" if name == "nh" else "shape"]
            if name == "nh":
                low, value, high = (None if v is None else 100 * v for v in (low, value, high))
            errors = [abs(end - value) for end in (low, high) if end is not None]
            error = sum(errors) / len(errors) if errors else 0.1 * abs(value)
            yield f"{fit['model']}_{name}", (low, value, high), parameter, error


def test_parameters_to_a_tenth_of_their_errors(pair):
    for name, (_, value, _), mine, error in parameters(pair):
        assert isinstance(mine, FittedParameter)
        assert mine.value == pytest.approx(value, abs=0.1 * error), name


def test_limits(pair):
    for name, (low, _, high), mine, error in parameters(pair):
        for theirs, ours in ((low, mine.low), (high, mine.high)):
            if theirs is None or ours is None:
                continue
            assert ours == pytest.approx(theirs, abs=0.1 * error), name
        # Where Sherpa meets a bound of N_H, so do we.
        if name.endswith("_nh"):
            assert (low is None) == (mine.low is None), name


def test_photon_index_of_3c273(real_data):
    """Its ACIS spectrum is a power law of Γ between 1.6 and 2.1 in every published fit."""
    spectrum = read_spectrum(real_data / "chandra_spectra" / "3c273" / "3c273.pi")
    [result] = fit_spectra(spectrum, ["powlaw"])
    assert 1.7 < result.models["powlaw"].parameters["gamma"].value < 2.1
