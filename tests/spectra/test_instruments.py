"""Instruments as the keywords of real files name them."""

import pytest

from hf_specclip.spectra.instruments import DISPERSED, identify

ACIS = ("CHANDRA", "ACIS", "ACIS-7")


@pytest.mark.parametrize(
    ("keywords", "imaging_ccd", "dispersed", "resolves"),
    [
        ((*ACIS, "NONE"), True, False, True),
        ((*ACIS, "HETG"), True, False, True),  # the zeroth order
        ((*ACIS, "HETG", "HEG -1"), False, True, True),
        ((*ACIS, "LETG", DISPERSED), False, True, True),
        ((*ACIS, "HETG", None, 8192), False, True, True),
        (("CHANDRA", "HRC", "HRC-I", "NONE"), False, False, False),
        (("Chandra", None, "HRC-S", None), False, False, False),
        ((None, "HRC-I", None, None), False, False, False),
        (("CHANDRA", "HRC", "HRC-S", "LETG", "LEG 1"), False, True, True),
        (("CHANDRA", None, "ACIS-01236"), True, False, True),
        (("XMM", "EPN"), False, False, True),
        (("XMM", "EMOS1"), False, False, True),
        (("XMM", "RGS1"), False, True, True),
        (("ROSAT", "PSPCB"), False, False, True),
        (("ROSAT", "HRI"), False, False, False),
        (("EINSTEIN", "HRI"), False, False, False),
        (("SWIFT", "XRT"), False, False, True),
        (("NuSTAR", "FPMA"), False, False, True),
        (("MARS", "EYE"), False, False, True),
        ((None, "EPN"), False, False, True),
        ((), True, False, True),  # a row of a dataset names nothing, or its chip
        ((None, None, "S3"), True, False, True),
    ],
)
def test_what_a_model_of_acis_images_may_take(keywords, imaging_ccd, dispersed, resolves):
    found = identify(*keywords)
    assert (found.imaging_ccd, found.dispersed, found.resolves_energies) == (
        imaging_ccd, dispersed, resolves,
    )  # fmt: skip
    assert found.chandra == str(keywords[:1]).upper().startswith("('CHANDRA")


def test_names_and_bands():
    assert identify("XMM", "RGS2", order="-1").name == "XMM RGS2 -1"
    assert identify(*ACIS, "HETG", "HEG -1").name == "CHANDRA ACIS HETG HEG -1"
    assert identify("NUSTAR", "FPMB").band == (3.0, 79.0)
    assert identify(*ACIS).band == identify().band == (0.5, 7.0)
