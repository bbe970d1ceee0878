"""Questions in words, as they are understood."""

import math
import time

import pytest

from hf_specclip.search.filter import Condition
from hf_specclip.search.questions import MAX_QUESTION, parse_question
from hf_specclip.search.vocabulary import Vocabulary

INF = math.inf
WORDS = """obscured unobscured absorbed hard soft flaring thermal emission plasma bright faint
spectrum power law black body bremsstrahlung temperature keV photon index column density counts
redshift quasar pulsar remnant galaxy cluster star binary neutron dwarf magnetar corona wind bulge
source"""


@pytest.fixture(scope="module")
def vocabulary():
    texts = [f"{word} source" for word in WORDS.split() for _ in range(2)]
    return Vocabulary.from_texts(texts)


def test_kinds_are_understood_by_name(vocabulary):
    question = parse_question("obscured quasars or magnetars", vocabulary)
    assert {"QSO", "Magnetar"} <= question.labels
    assert "Star" not in question.labels
    assert question.refusal is None
    assert question.lines()[0].startswith("class: ")


def test_a_kind_that_says_where_a_source_is_is_not_asked_for(vocabulary):
    question = parse_question("pulsars in a galaxy cluster", vocabulary)
    assert "Pulsar" in question.labels
    assert "ClG" not in question.labels
    both = parse_question("emission from young stars and AGN", vocabulary)
    assert {"YSO", "QSO"} <= both.labels


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("photon index 2.1", Condition("powlaw_gamma", 1.9, 2.3)),
        ("HR > -0.3", Condition("hard_hs", -0.3, INF)),
        ("a hardness ratio of 0.5", Condition("hard_hs", 0.4, 0.6)),
        ("HR between -0.6 and -0.3", Condition("hard_hs", -0.6, -0.3)),
        ("(M-S)/(M+S) > 0.2", Condition("hard_ms", 0.2, INF)),
        ("a column density of 4e21 cm^-2", Condition("powlaw_nh", 20, 80)),
        ("thermal plasma, kT = 0.6 keV", Condition("apec_kt", 0.4, 0.9)),
        ("a black body with kT = 0.6 keV", Condition("bb_kt", 0.4, 0.9)),
        ("kT = 3 keV, bremsstrahlung", Condition("brems_kt", 2, 4.5)),
        ("sources with 300 counts", Condition("counts", 150, 600)),
        ("bb_kt < 0.2", Condition("bb_kt", -INF, 0.2)),
        ("1 <= apec_kt < 2.5", Condition("apec_kt", 1, 2.5)),
        ("Powlaw_Gamma < 1.9", Condition("powlaw_gamma", -INF, 1.9)),
        ("quasars with counts > 300", Condition("counts", 300, INF)),
    ],
)
def test_numbers_are_conditions_in_the_units_of_the_catalogue(vocabulary, text, condition):
    [read] = parse_question(text, vocabulary).conditions
    assert read.variable == condition.variable
    assert (read.low, read.high) == pytest.approx((condition.low, condition.high))


def test_quantities_that_the_index_lacks_are_said_to_be_unused(vocabulary):
    question = parse_question("quasars at redshift z = 2", vocabulary)
    assert not question.conditions
    assert any("redshift" in item for item in question.unused)
    question = parse_question("quasars with photon index 2", vocabulary, variables=["counts"])
    assert not question.conditions
    assert any("photon index" in item for item in question.unused)
    question = parse_question("quasars with HR > 0.3 (0.5-2 vs 2-10 keV)", vocabulary)
    assert not question.conditions
    assert any("of these bands" in item for item in question.unused)
    question = parse_question("quasars, bb_kt < 1", vocabulary, variables=["counts"])
    assert not question.conditions
    assert question.unused == ("bb_kt (not in the index)",)


@pytest.mark.parametrize(
    "name", ["NGC 4038", "M81", "3C 48", "Vel X-1", "M82 X-2", "47 Tuc", "Cas A", "PSR J0030+0451",
             "RX J0720.4-3125", "Terzan 5", "Holmberg II X-1", "4U 1626-67",
             "Sgr A*"]
)  # fmt: skip
def test_designations_are_unused(vocabulary, name):
    question = parse_question(f"hard binary in {name}", vocabulary)
    assert question.unused == (name,)
    assert name not in question.content
    alone = parse_question(name, vocabulary)
    assert "describe the source" in alone.refusal


@pytest.mark.parametrize(
    ("text", "cone"),
    [
        ("stars near 01:02:03.0 -04:05:06", (15.5125, -4.085, 5 / 60)),
        ("01h02m03s -04d05m06s within 2 arcmin", (15.5125, -4.085, 2 / 60)),
        ("radius 1.5 deg around 15.5 -4.1", (15.5, -4.1, 1.5)),
        ('RA = 15.5, Dec = -4.1, within 30"', (15.5, -4.1, 30 / 3600)),
    ],
)
def test_coordinates_are_a_cone(vocabulary, text, cone):
    question = parse_question(text, vocabulary)
    assert question.cone == pytest.approx(cone, abs=1e-4)
    assert question.refusal is None
    assert not question.unknown


@pytest.mark.parametrize(
    "text", ["not a star", "pulsars without wind", "all but no quasars", "sources that aren't hard"]
)
def test_negation_is_refused_with_a_way_out(vocabulary, text):
    question = parse_question(text, vocabulary)
    assert question.negated
    assert "Use a positive term" in question.refusal
    assert not parse_question("no more than 100 counts", vocabulary).negated


@pytest.mark.parametrize(
    "text",
    ["a sandwich", "wxyz", "the and of", "x", "7", "!", "中子星", "étoile", "source", "\ud800"],
)
def test_what_says_nothing_is_not_understood(vocabulary, text):
    question = parse_question(text, vocabulary)
    assert question.refusal
    assert not question.negated
    assert question.to_dict()["refusal"] == question.refusal


def test_misspellings_get_a_suggestion(vocabulary):
    question = parse_question("obscurde quasar", vocabulary)
    assert question.suggestions == {"obscurde": ("obscured", "unobscured")}
    assert question.refusal is None
    assert question.unknown == ("obscurde",)
    assert question.content == "quasar"
    many = parse_question("obscurde sorce hadr fluxx spectrun absorbd", vocabulary)
    assert 0 < len(many.suggestions) <= 4 < len(many.unknown)


def test_a_long_text_is_refused():
    with pytest.raises(ValueError, match="shorten it"):
        parse_question("quasar " * MAX_QUESTION)


def test_no_text_takes_long_to_read():
    start = time.perf_counter()
    for text in ("1" * 2000, "SDSS J" + "1" * 1900, "1." * 1000, "log N_H " * 250, "NGC " * 500):
        parse_question(text)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("text", ["powlaw_gamma", "a<b", "x=2", "2<1", "f(x)<1"])
def test_conditions_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match="condition"):
        Condition.parse(text)
    with pytest.raises(ValueError, match="is empty"):
        Condition.parse("2<x<1")
