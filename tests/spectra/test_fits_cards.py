"""Cards read without astropy have the value that astropy gives them."""

import pytest
from astropy.io.fits import Card

from hf_specclip.spectra.ogip.errors import SpectrumFileError
from hf_specclip.spectra.ogip.fits_table import _PLAIN_VALUE, Header

PLAIN = [
    "KEY     =                    7 / a number",
    "KEY     =                   -7",
    "KEY     =                 +007 / leading zeros",
    "KEY     =              3.5E+04 / seconds",
    "KEY     =                  -0.",
    "KEY     = 1.25",
    "KEY     =                    T / yes",
    "KEY     =                    F",
    "KEY     = 'SPECTRUM'           / name",
    "KEY     = '  led by blanks '   / name",
    "KEY     = ''",
    "KEY     = 'a/b.arf '           / a slash in the text",
]
OTHERS = [
    "KEY     = 'O''HARA  '          / a quote inside",
    "KEY     = 'DP1.FIELD: 2'       / a record",
    "KEY     =              1.5D+03 / FORTRAN's exponent",
    "KEY     =                      / nothing",
    "KEY     = (1.0, 2.0)           / a complex number",
]


@pytest.mark.parametrize("card", PLAIN + OTHERS)
def test_values_are_astropys(card):
    text = card.ljust(80)
    expected = Card.fromstring(text).value
    found = Header([text], "file", "1").get("KEY")
    if isinstance(expected, str):
        expected = expected.strip()
    if type(expected).__name__ == "Undefined":
        expected = None
    assert found == expected
    assert type(found) is type(expected)


def test_plain_cards_go_the_fast_way_and_no_others():
    assert all(_PLAIN_VALUE.fullmatch(card.ljust(80), 10) for card in PLAIN)
    assert not any(_PLAIN_VALUE.fullmatch(card.ljust(80), 10) for card in OTHERS)


def test_a_text_that_goes_on_is_put_together():
    first = "KEY     = 'begins &'".ljust(80)
    long = ("KEY     = '" + "x" * 67 + "&'").ljust(80)
    assert Header([long, "CONTINUE  'ends'".ljust(80)], "file", "1").get("KEY") == "x" * 67 + "ends"
    expected = Card.fromstring(first + "CONTINUE  'ends'".ljust(80)).value
    assert Header([first, "CONTINUE  'ends'".ljust(80)], "file", "1").get("KEY") == expected


def test_a_card_that_is_none_is_named():
    with pytest.raises(SpectrumFileError, match="KEY"):
        Header(["KEY     = 'never ends".ljust(80)], "file", "1").get("KEY")
