"""Cards read without astropy have the value that astropy gives them."""

import pytest
from astropy.io.fits import Card

from hf_specclip.spectra.ogip.errors import SpectrumFileError
from hf_specclip.spectra.ogip.fits_header import _PLAIN_VALUE, Header

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
    "KEY     = 'O''HARA  '          / a quote inside",
]
OTHERS = [
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


@pytest.mark.parametrize(
    ("card", "text"),
    [
        (b"'S\xe9yfert'  / Latin-1", "Séyfert"),
        ("'Séyfert'  / UTF-8".encode(), "Séyfert"),
        (b"'L''\xc9toile'", "L'Étoile"),
        (b"'\x1b[2Jred\x9b' / steers a terminal", "?[2Jred?"),
    ],
)
def test_text_beyond_ascii(card, text):
    header = Header([(b"KEY     = " + card).ljust(80).decode("latin-1")], "file", "1")
    assert header.text("KEY") == text


@pytest.mark.parametrize(
    ("card", "number"), [("'0'", 0), ("' -3 '", -3), ("'2.50D+01'", 25.0), ("'1e3'", 1000.0)]
)
def test_numbers_as_text(card, number):
    """NuSTAR and HXMT quote TLMIN."""
    header = Header([f"KEY     = {card}".ljust(80)], "file", "1")
    assert header.number("KEY") == header.integer("KEY") == number
    assert header.text("KEY") == card.strip("' ")


@pytest.mark.parametrize("card", ["'eight'", "'nan'", "'1_000'", "'1e999'", "'²'", "'0x10'"])
def test_text_that_is_no_number(card):
    header = Header([f"KEY     = {card}".ljust(80)], "file", "1")
    for read in (header.number, header.integer):
        with pytest.raises(SpectrumFileError, match="KEY"):
            read("KEY")


@pytest.mark.parametrize("card", ["9223372036854775808", "-1E30", "'99999999999999999999'"])
def test_whole_numbers_beyond_64_bits(card):
    header = Header([f"KEY     = {card}".ljust(80)], "file", "1")
    with pytest.raises(SpectrumFileError, match="64 bits"):
        header.integer("KEY")


@pytest.mark.parametrize("n_more", [5, 64])
def test_numbers_beyond_all_bounds_are_refused(n_more):
    digits = "1" * 67 + "&'"
    cards = [f"KEY     = '{digits}".ljust(80), *[f"CONTINUE  '{digits}".ljust(80)] * n_more]
    for read in (Header(cards, "file", "1").number, Header(cards, "file", "1").integer):
        with pytest.raises(SpectrumFileError, match="keyword KEY"):
            read("KEY")
