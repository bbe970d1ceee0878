"""Limits of a model's range, told by what a file says of its observation."""

import numpy as np
import pytest

from hf_specclip import XRaySpectrum
from hf_specclip.describe.limitations import EVERYTHING, INFERRED, find_limitations
from hf_specclip.spectra.facts import pile_up_share, spectrum_facts
from hf_specclip.spectra.response import EffectiveArea

EDGES = np.linspace(0.3, 10.0, 501)
CHANDRA = {"telescope": "CHANDRA", "instrument": "ACIS", "backscal": 2e-6}


def limitations_of(counts=400, exposure=4e4, area=550.0, edges=EDGES, needs_area=True, **header):
    channels = np.bincount(np.arange(counts) % 400 + 20, minlength=500)
    arf = None if area is None else EffectiveArea(energy_edges=edges, area=np.full(500, area))
    spectrum = XRaySpectrum(
        counts=channels, energy_edges=edges, exposure=exposure, arf=arf, **{**CHANDRA, **header}
    )
    facts = spectrum_facts(spectrum)
    return find_limitations(spectrum, facts, needs_area=needs_area)


def test_a_spectrum_like_the_training_spectra_has_none():
    assert limitations_of() == ()


@pytest.mark.parametrize(
    ("changes", "words", "withheld"),
    [
        ({"telescope": "XMM", "instrument": "EPN"}, "XMM EPN", INFERRED),
        ({"instrument": "HRC"}, "no energy resolution", EVERYTHING),
        ({"grating": "HETG"}, "zeroth order", ()),
        ({"grating": "HETG", "order": "HEG -1"}, "dispersed spectrum", INFERRED),
        ({"detector": "HRC-I"}, "no energy resolution", EVERYTHING),
        ({"grating": "HETG", "area": None}, "no ARF", EVERYTHING),
        ({"area": None}, "place the ARF", EVERYTHING),
        (
            {"telescope": None, "instrument": None, "path": "a.pha"},
            "not state the instrument",
            (),
        ),
        ({"area": 150.0}, "150 cm²", ()),
        ({"edges": np.linspace(2.0, 10.0, 501)}, "cover 2–10 keV", EVERYTHING),
        ({"counts": 12}, "trained on 20 or more", INFERRED),
        ({"counts": 60}, "dominated by the prior", ()),
        ({"exposure": 4e6}, "4,000 ks", ()),
        ({"counts": 4000, "frame_time": 3.2}, "piled up", INFERRED),
        ({"counts": 4000, "backscal": 5e-5}, "3.2 s assumed", ()),
        (
            {"quality": np.repeat([0, 5, 0], [60, 60, 380])},
            "bad channels (QUALITY) cover",
            EVERYTHING,
        ),
        ({"hduclas2": "NET"}, "HDUCLAS2 = NET", EVERYTHING),
        ({"hduclas2": "BKG"}, "marked as a background", ()),
        ({"source_name": "2CXO J004722.6-252050X"}, "extended", ()),
        ({"backscal": 5e-4}, "large aperture", ()),
    ],
)
def test_each_departure_is_named_and_withholds_what_cannot_be_known(changes, words, withheld):
    [limitation] = limitations_of(**changes)
    assert words in limitation.text
    assert limitation.withheld == withheld


def test_a_model_of_counts_needs_no_area():
    """Of a zeroth order the area differs, whatever the model divides by."""
    assert limitations_of(area=None, needs_area=False) == ()
    [limitation] = limitations_of(area=None, needs_area=False, grating="HETG")
    assert limitation.withheld == INFERRED


def test_short_frames_do_not_pile_up():
    assert limitations_of(counts=4000, frame_time=0.2) == ()
    assert pile_up_share(1e-6) < 1e-5
    assert pile_up_share(0.2) == pytest.approx(0.11, abs=0.01)
