"""Names of sources in sentences."""

import time

import pytest

from hf_specclip.literature.source_names import name_matcher


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("NGC 300 X-1", "Observations of NGC300 X–1 in outburst", True),
        ("NGC 300 X-1", "Observations of NGC 300 X-12", False),
        ("NGC 300 X-1", "NGC 3001", False),
        ("NGC 253", "NGC~0253 is near", True),
        ("NGC 253", "NGC 253 X-1 is near", False),
        ("NGC 6397", "NGC 6397-CV3", False),
        ("NGC 3201 22", "NGC 3201, 22 sources", False),
        ("Mrk 3", "Mrk 335", False),
        ("Mrk 3", "(Mrk~3)", True),
        ("Her X-1", "another X-1", False),
        ("3C 273", "B3C 273", False),
        ("HD 1234", "HD 1234b", False),
        ("Sgr A*", "Sgr~A$^*$ flares", True),
        ("NAME Crab Pulsar", "the crab pulsar wind", True),
        ("V* V404 Cyg", "V404  Cyg and others", True),
        ("M 31", "the galaxy M 31", False),  # too short to be sure
        ("[HPH2013] 189", "189 sources", False),
        ("a (b[c", "a (b[c", False),
    ],
)
def test_names_are_found_however_written_but_not_inside_longer_ones(name, text, found):
    assert name_matcher([name])(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2CXO J064225.1+490403", True),
        ("XMMU J064225.2$+$490404", True),
        ("RX J0642.4+4904", True),
        ("IGR J06424+4904 and 12 others", True),
        ("J0642+4904 is hard", True),
        ("J0642+4903", False),
        ("RX J0642.9+4904", False),
        ("2CXO J064258.9+490459", False),  # in the same minutes
        ("CXOU J064225.9+490403", False),
        ("J0642−4904", False),
        ("PSR J0642+4904E", False),
    ],
)
def test_positions_agree_as_far_as_their_digits_go(text, found):
    assert name_matcher(["Some 1", "2CXO J064225.1+490403"])(text) == found


def test_southern_positions_are_cut_towards_the_equator():
    named = name_matcher(["2CXO J184401.2-352311"])
    assert [named(f"J1844−35{minutes}") for minutes in (22, 23, 24)] == [False, True, False]


def test_long_texts_take_no_time():
    start = time.process_time()
    named = name_matcher([f"ABC {n}" for n in range(30)] + ["2CXO J064225.1+490403"])
    named(" \\ ~" * 5000 + "J0642" * 5000 + "1" * 5000 + "J064225." + "1" * 5000 + "+4904")
    assert time.process_time() - start < 1
