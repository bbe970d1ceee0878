"""Summaries of simulated sources: what they state is what they say, and of no row."""

import re
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest
from scipy.special import ndtr

from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs, text_stream
from specclip_datasets.simulation.prose import Manner, Statement, scales, write_summary
from specclip_datasets.simulation.prose.grammar import count_ways, expand, plainest
from specclip_datasets.simulation.prose.reporter import LOG, Reporter
from specclip_datasets.simulation.prose.statements import LABELS
from specclip_datasets.simulation.variety import measure_variety

SCALES_OF = {
    "hardness": (scales.HARDNESS,),
    "medium_soft": (scales.LOW_ENERGIES,),
    "nh": (scales.ABSORPTION,),
    "foreground_nh": (scales.ABSORPTION,),
    "flux": (scales.BRIGHTNESS,),
    "photons": (scales.PHOTONS,),
    "shape": (scales.SLOPES, scales.TEMPERATURES),
}
# How numbers stand in texts, and what one is in the units of the facts.
NUMBERS = (
    ("redshift", r"at redshift (\d+\.\d+)", 1.0),
    ("nh", r"([\d.]+)(?: × 10\^|e)(\d+) cm\^-2", 1e-22),
    ("flux", r"([\d.]+)(?: × 10\^|e)(-\d+) erg/cm", 1.0),
    ("luminosity", r"([\d.]+)(?: × 10\^|e)(\d+) erg/s", 1.0),
    ("abundance", r"(?:at|is|of) ([\d.]+)(?: of the)? solar", 1.0),
    ("shape", r"(?:photon index|Γ ≈|of slope)(?: Γ =)? (-?\d+\.\d+)", 1.0),
    ("shape", r"(?:kT = |kT ≈ |temperature )(\d[\d.]*)", 1.0),
    ("shape", r"at about ([\d.]+) million K", 1 / 11.6),
    ("distance_mpc", r"([\d.]+) Mpc", 1.0),
    ("distance_mpc", r"([\d.]+) kpc", 1e-3),
    ("distance_mpc", r"([\d.]+) pc\b", 1e-6),
)


# A literature that says all it can, in all ways that it knows.
TALKATIVE = {"usual": 0.0, "stated_numbers": 0.5, "asides": 0.6, "named": 0.5}


@pytest.fixture(scope="module")
def universe():
    return Universe(Knobs(pairs=600, seed=5, fits=False, **TALKATIVE))


@pytest.fixture(scope="module")
def summaries(universe):
    return universe.write_summaries(np.arange(len(universe.sources.names)))


@pytest.fixture(scope="module")
def fitted():
    universe = Universe(Knobs(pairs=700, seed=7))
    return universe, universe.rows(np.arange(700))


def whole(summary):
    return " ".join(summary.sections.values())


@cache
def ways_of(template):
    random = Random(3)
    return {expand(template, random) for _ in range(100)}


def steps_of(scale):
    return [
        (*scale.step(np.nextafter(limit, -np.inf))[:2], phrase) for limit, phrase in scale.steps
    ]


def test_numbers_lie_in_the_intervals_that_are_noted(summaries):
    found = dict.fromkeys((quantity for quantity, _, _ in NUMBERS), 0)
    for summary in summaries:
        for quantity, pattern, unit in NUMBERS:
            for match in re.finditer(pattern, whole(summary)):
                parts = match.groups()
                value = float(parts[0]) * (10.0 ** int(parts[1]) if len(parts) > 1 else 1.0) * unit
                names = ("shape", "shape2") if quantity == "shape" else (quantity,)
                near = [
                    one
                    for one in summary.statements
                    if one.quantity in names
                    and one.low <= value * (1 + 1e-9)
                    and value * (1 - 1e-9) <= one.high
                ]
                assert near, f"{match[0]!r} is noted nowhere: {summary.statements}"
                # A number's interval is narrow: its own, not the step of some word.
                width = min(one.high - one.low for one in near)
                assert width <= max(1.01 * abs(value), 0.11)
                found[quantity] += 1
    assert min(found.values()) >= 10


def test_every_number_that_is_noted_is_in_the_text(summaries):
    steps = {
        (low, high)
        for group in SCALES_OF.values()
        for scale in group
        for low, high, _ in steps_of(scale)
    }
    for summary in summaries:
        noted = [
            one
            for one in summary.statements
            if one.quantity not in LABELS and (one.low, one.high) not in steps
        ]
        text = whole(summary)
        assert len(noted) == sum(len(re.findall(pattern, text)) for _, pattern, _ in NUMBERS)


def test_words_are_those_of_the_steps_that_are_noted(summaries):
    seen = set()
    for summary in summaries:
        text = whole(summary).lower()
        for one in summary.statements:
            for scale in SCALES_OF.get(one.quantity, ()):
                for low, high, phrase in steps_of(scale):
                    if (low, high) == (one.low, one.high):
                        assert phrase.lower() in text, (one, text)
                        seen.add((one.quantity, high))
    assert len(seen) > 40


def test_nothing_is_said_in_words_that_is_not_noted(summaries):
    """Phrases of a scale, longest first: some statement must lie in the step of each."""
    meaning = {}
    for quantity, group in SCALES_OF.items():
        for scale in group:
            for low, high, phrase in steps_of(scale):
                meaning.setdefault(phrase.lower(), []).append((quantity, low, high))
    ordered = sorted(meaning, key=len, reverse=True)
    checked = 0
    for summary in summaries:
        text = whole(summary).lower()
        for phrase in ordered:
            if phrase not in text:
                continue
            text = text.replace(phrase, "#")
            if len(phrase.split()) < 3:  # `soft` and `hot` stand in other sentences, too
                continue
            checked += 1
            assert any(
                (one.quantity == quantity and one.low < high and one.high > low)
                or (quantity == "flux" and one.quantity == "luminosity")
                for quantity, low, high in meaning[phrase]
                for one in summary.statements
            ), (phrase, summary.statements)
    assert checked > 500


def test_phrases_tell_steps_apart():
    for scale in (scale for group in SCALES_OF.values() for scale in group):
        phrases = [phrase for _, _, phrase in steps_of(scale)]
        assert len(set(phrases)) == len(phrases)
        limits = [limit for limit, _ in scale.steps]
        assert limits == sorted(limits)
        assert limits[-1] == np.inf


def test_labels_are_true_and_measurements_scatter_as_they_say(universe, summaries):
    """Intervals hold noisy values of the truth, so Φ of their ends is even about one half."""
    shares = {}
    facts = universe.facts(np.arange(len(summaries)))
    for summary, truth in zip(summaries, facts, strict=True):
        if summary.mistaken:
            continue
        for one in summary.statements:
            assert one.log_likelihood(truth) > -20, (one, truth)
            if one.quantity in LABELS:
                assert one.log_likelihood(truth) == 0.0
                continue
            values = np.array([one.low, one.high, getattr(truth, one.quantity)])
            if one.scale == LOG:
                values = np.log(np.maximum(values, 1e-300))
            below, above = ndtr((values[:2] - values[2]) / one.error)
            shares.setdefault(one.quantity, []).append((below + above) / 2)
    assert {"hardness", "medium_soft", "nh", "flux", "photons", "shape"} <= set(shares)
    for quantity, found in shares.items():
        if len(found) > 50:
            error = np.std(found) / np.sqrt(len(found))
            assert abs(np.mean(found) - 0.5) < 5 * max(error, 0.005), quantity


def test_literature_is_rarely_mistaken():
    universe = Universe(Knobs(pairs=900, seed=6, fits=False))
    summaries = universe.write_summaries(np.arange(len(universe.sources.names)))
    assert 0.0 < np.mean([summary.mistaken for summary in summaries]) < 0.08


def stated(statements, quantity):
    """The mean of what is stated of a quantity in numbers or inner steps, in its scale."""
    values = []
    for one in statements:
        if one.quantity == quantity and np.isfinite(one.low) and np.isfinite(one.high):
            ends = np.array([one.low, one.high])
            values.append((np.log(np.maximum(ends, 1e-9)) if one.scale == LOG else ends).mean())
    return np.mean(values) if values else np.nan


def written(universe, facts, purpose):
    manner = replace(universe.knobs.manner, wrong=0.0, stated_errors=1.0)
    return write_summary(
        facts, text_stream(universe.knobs.seed, purpose, facts.name), manner
    ).statements


def correlation_with_rows(universe, quantity, measured, truth_of, *, leak):
    """Of errors of stated values with those of a row's measurement, and its standard error.

    An error of a stated value is its difference from what another text on the same source states:
    that is symmetric about nothing whatever the truth, so rounding and steps bring no correlation.
    With `leak` the text is written from the row's measurement in place of the truth.
    """
    first = {}
    for row, source in enumerate(universe.detections.source):
        first.setdefault(int(source), row)
    facts = universe.facts(np.arange(len(universe.sources.names)))
    pairs = []
    for source, row in first.items():
        value, truth = measured[row], truth_of(facts[source])
        if not (np.isfinite(value) and np.isfinite(truth)):
            continue
        told = facts[source]
        if leak:
            told = replace(told, **{quantity: np.exp(value) if quantity == "nh" else value})
        difference = stated(written(universe, told, "summary"), quantity) - stated(
            written(universe, facts[source], "another"), quantity
        )
        if np.isfinite(difference):
            pairs.append((difference, value - truth))
    assert len(pairs) > 80
    # Of ranks: a few wild fits shall not decide.
    ranks = [np.argsort(np.argsort(values)) for values in zip(*pairs, strict=True)]
    return np.corrcoef(*ranks)[0, 1], 1.0 / np.sqrt(len(pairs))


def test_stated_hardness_knows_nothing_of_the_rows_errors(universe):
    rows = universe.rows(np.arange(600))
    measured = rows["hard_hs"].to_numpy(zero_copy_only=False).astype(float)

    def check(leak):
        return correlation_with_rows(
            universe, "hardness", measured, lambda facts: facts.hardness, leak=leak
        )

    correlation, error = check(leak=False)
    assert abs(correlation) < 3.5 * error
    correlation, error = check(leak=True)
    assert correlation > 3.5 * error  # a leak would not have passed


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "column"), [("shape", "powlaw_gamma"), ("nh", "powlaw_nh")])
def test_stated_fits_know_nothing_of_the_rows_fits(quantity, column, fitted):
    universe, rows = fitted
    measured = rows[column].to_numpy(zero_copy_only=False).astype(float)
    if quantity == "nh":  # the catalogue's 1e20 cm⁻², in ln 1e22 cm⁻²
        measured = np.log(np.maximum(measured, 1e-2) / 100.0)

    def truth_of(facts):
        if facts.first != 0 or facts.second >= 0:
            return np.nan  # only a plain power law has these parameters
        return np.log(facts.nh) if quantity == "nh" else facts.shape

    correlation, error = correlation_with_rows(universe, quantity, measured, truth_of, leak=False)
    assert abs(correlation) < 3.5 * error
    correlation, error = correlation_with_rows(universe, quantity, measured, truth_of, leak=True)
    assert correlation > 3.5 * error


def test_texts_do_not_depend_on_what_was_observed():
    """Other fluxes, colours, backgrounds and exposures in the same visits: the same texts."""
    one, two = (Universe(Knobs(pairs=150, seed=8, fits=False)) for _ in range(2))
    sources = np.arange(len(one.sources.names))
    before = one.rows(np.arange(150))
    two.detections.flux_factor[:] *= 3.0
    two.detections.hardening[:] += 0.5
    two.detections.background[:] *= 2.0
    two.detections.exposure[:] *= 0.5
    after = two.rows(np.arange(150))
    assert before["counts"] != after["counts"]
    assert one.summaries(sources) == two.summaries(sources)
    assert before["summary"] == after["summary"]


def test_statements_come_with_their_summaries(universe, summaries):
    some = np.arange(20)
    assert universe.statements(some) == [summary.statements for summary in summaries[:20]]
    assert universe.summaries(some) == [dict(summary.sections) for summary in summaries[:20]]
    for summary in summaries:
        assert any(one.quantity == "class" for one in summary.statements)


def test_likelihood_of_a_statement(universe):
    facts = universe.facts(np.arange(1))[0]
    inside = Statement("hardness", facts.hardness - 0.1, facts.hardness + 0.1, 0.1)
    assert inside.log_likelihood(facts) == pytest.approx(np.log(0.6826895))
    ratio = Statement("flux", facts.flux * np.exp(-0.2), facts.flux * np.exp(0.2), 0.2, LOG)
    assert ratio.log_likelihood(facts) == pytest.approx(np.log(0.6826895))
    half = Statement("flux", 0.0, facts.flux, 0.2, LOG)
    assert half.log_likelihood(facts) == pytest.approx(np.log(0.5))
    assert Statement("class", label="nothing").log_likelihood(facts) == -np.inf


def test_rounding_intervals_hold_what_rounds_to_them():
    random = Random(1)
    for _ in range(300):
        reporter = Reporter(random, Manner())
        found = reporter.measure("flux", 10.0 ** random.uniform(-17, 3), 0.5, LOG)
        mantissa, exponent = reporter.significant(found, 1 + random.randrange(3))
        one = reporter.statements[0]
        assert one.low <= found.value <= one.high
        assert one.low < float(mantissa) * 10.0**exponent < one.high
    reporter = Reporter(random, Manner())
    found = reporter.measure("flux", 9.96e-15, 1e-9, LOG)
    assert reporter.significant(found, 2) == ("1.0", -14)
    assert reporter.statements[0].low == pytest.approx(9.95e-15)


def test_grammar_puts_a_template_in_all_its_ways():
    template = "It <is|was> <very <soft|hard>|faint>."
    words = ("very soft", "very hard", "faint")
    assert count_ways(template) == 6
    assert ways_of(template) == {f"It {verb} {word}." for verb in ("is", "was") for word in words}
    assert count_ways("plain | text") == 1
    assert plainest(template) == "It is very soft."
    for broken in ("a <b|c", "a > b"):
        with pytest.raises(ValueError, match="choice"):
            expand(broken, Random(0))


def test_what_is_usual_is_said_in_one_way():
    universe = Universe(Knobs(pairs=60, seed=5, fits=False))
    facts = universe.facts(np.arange(len(universe.sources.names)))
    manner = Manner(usual=1.0, stated_numbers=0.0, asides=0.0, named=0.0, silent=0.0)
    for truth in facts:
        text = write_summary(truth, Random(1), manner).sections
        assert re.match(r"The source is an? [^.]+\. In X-rays it is ", text["identity"])
        assert text["spectrum"].startswith("The best fit is ")
        assert text["context"].startswith("It lies in ")
        assert truth.name not in " ".join(text.values())


def test_manners_that_cannot_be():
    with pytest.raises(ValueError, match=r"usual is 1.5: it must be from 0 to 1"):
        Knobs(usual=1.5)
    for errors in (0.0, float("nan")):
        with pytest.raises(ValueError, match=r"stated_errors is .*: it must be above 0"):
            Knobs(stated_errors=errors)


def test_summaries_vary():
    """The calibrated prose is a form filled in with few variants: see the dataset's card."""
    universe = Universe(Knobs(pairs=900, seed=6, fits=False))
    texts = universe.write_summaries(np.arange(len(universe.sources.names)))
    found = measure_variety([whole(text) for text in texts])
    assert found["neighbour_50"] > 0.25
    assert found["words_min"] >= 60
    assert found["words_max"] <= 250


def test_a_talkative_literature_varies_more(summaries):
    texts = [whole(summary) for summary in summaries]
    assert len(set(texts)) == len(texts)
    found = measure_variety(texts)
    assert found["neighbour_50"] > 0.6
    assert found["distinct_4"] > 0.08
    assert found["words_min"] >= 60
    assert found["words_max"] <= 250


def test_sentences_are_counted_one_by_one():
    texts = ["The source is red. It has 5 counts.", "The source is red. It is big."]
    assert measure_variety(texts)["sentences"] == 0.75
