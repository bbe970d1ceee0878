"""Numbers in texts, as papers print them, and what they say of the measurement behind them."""

from math import pi, sqrt
from random import Random

import pytest

from specclip_datasets.simulation.prose.composition import Composition
from specclip_datasets.simulation.prose.facts import MPC_IN_CM
from specclip_datasets.simulation.prose.grammar import with_article
from specclip_datasets.simulation.prose.notation import (
    Notation,
    Numerals,
    luminosity_over_flux,
)
from specclip_datasets.simulation.prose.reporter import LOG, Measurement, Reporter

LATEX = Notation(
    {"gamma": r"\Gamma", "column": r"N_{\rm H}", "kt": "kT"},
    {"column": r"cm$^{-2}$", "kt": "keV"},
    (r"\sim",),
    r"{m}\times10^{{{e}}}",
    (r"{v}\pm{e}",),
    quote="$",
    gap="",
)
COLUMN = Measurement("nh", 2.34, 0.1, LOG)


@pytest.fixture
def reporter():
    return Reporter(None, Random(1))


def interval(reporter):
    (statement,) = reporter.statements
    return statement.low, statement.high


def test_a_value_with_its_error(reporter):
    text = Numerals(reporter, LATEX).state(
        "gamma", Measurement("shape", 1.873, 0.1, "linear"), error=True
    )
    assert text == r"$\Gamma=1.87\pm0.10$"
    assert interval(reporter) == pytest.approx((1.865, 1.875))


def test_a_column_in_units_of_its_own(reporter):
    text = Numerals(reporter, LATEX).state("column", COLUMN)
    assert text == r"$N_{\rm H}\sim2.3\times10^{22}$ cm$^{-2}$"
    assert interval(reporter) == pytest.approx((2.25, 2.35))


def test_a_logarithm(reporter):
    assert Numerals(reporter, LATEX).logarithm("column", COLUMN) == r"$log N_{\rm H}\sim22.4$"
    assert interval(reporter) == pytest.approx((10**0.35, 10**0.45))


@pytest.mark.parametrize("upper", [True, False])
def test_a_limit_is_round_and_beyond_the_measurement(reporter, upper):
    text = Numerals(reporter, LATEX).limit("column", COLUMN, upper=upper)
    assert text == rf"$N_{{\rm H}}{'<3' if upper else '>2'}\times10^{{22}}$ cm$^{{-2}}$"
    low, high = interval(reporter)
    assert (high if upper else low) == pytest.approx(3.0 if upper else 2.0)


@pytest.mark.parametrize(
    "noun", ["an AGN", "a ULX", "an X-ray binary", "a MEKAL plasma", "an M-dwarf", "a quasar"]
)
def test_articles_go_by_sound(noun):
    assert with_article(noun.split(" ", 1)[1]) == noun


def test_luminosity_distance_at_redshift_one():
    distance = sqrt(luminosity_over_flux(1.0) / (4.0 * pi)) / MPC_IN_CM
    assert distance == pytest.approx(6607, rel=2e-3)


def test_a_text_uses_a_template_once(reporter):
    composition = Composition(reporter)
    for _ in range(5):
        composition.add("context", ("one {thing}.", "another {thing}."), thing="sentence")
    assert set(composition.sections()["context"].split()) == {"One", "Another", "sentence."}
    assert composition.words == 4
