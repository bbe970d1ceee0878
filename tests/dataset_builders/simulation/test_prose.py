"""Summaries of simulated sources: what they state is what they say, and of no row."""

import re
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr
from simulated_truth import log_likelihood

from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs
from specclip_datasets.simulation.prose import WRITERS, Statement, write_summary
from specclip_datasets.simulation.prose.grammar import expand
from specclip_datasets.simulation.prose.reporter import LOG, Reporter
from specclip_datasets.simulation.prose.statements import LABELS
from specclip_datasets.simulation.variety import SummaryTexts


@pytest.fixture(scope="module")
def summaries(universe):
    return universe.write_summaries(np.arange(len(universe.sources.names)))


def whole(summary):
    return " ".join(summary.sections.values())


def test_labels_are_true_and_measurements_scatter_as_they_say(universe, summaries):
    """Intervals hold noisy values of the truth, so Φ of their ends is even about one half."""
    shares = {}
    facts = universe.facts(np.arange(len(summaries)))
    for summary, truth in zip(summaries, facts, strict=True):
        if summary.mistaken:
            continue
        for one in summary.statements:
            assert log_likelihood(one, truth) > -25, (one, truth)
            if one.quantity in LABELS or not np.isfinite(one.high - one.low):
                continue
            values = np.array([one.low, one.high, getattr(truth, one.quantity)])
            if one.scale == LOG:
                values = np.log(np.maximum(values, 1e-300))
            below, above = ndtr((values[:2] - values[2]) / one.error)
            shares.setdefault(one.quantity, []).append((below + above) / 2)
    assert {"hardness", "nh", "flux", "shape", "redshift"} <= set(shares)
    for quantity, found in shares.items():
        if len(found) > 50:
            error = np.std(found) / np.sqrt(len(found))
            assert abs(np.mean(found) - 0.5) < 6 * max(error, 0.006), quantity


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name)
def test_a_writer_writes_about_every_class(writer, universe):
    of_class = {
        facts.class_name: facts for facts in universe.facts(np.arange(len(universe.papers)))
    }
    texts = set()
    for number, facts in enumerate(list(of_class.values()) * 6):
        text = write_summary(facts, [writer], lambda name, n=number: Random(f"{name}{n}"))
        assert text.writer == writer.name
        assert text.wrong == writer.wrong
        stated = [one.quantity for one in text.statements]
        if not text.mistaken:
            assert min(log_likelihood(one, facts) for one in text.statements) > -25
        if writer.unseen:
            assert all(stated.count(label) <= 1 for label in LABELS)
            assert "shape" not in stated or "model" in stated
            assert "luminosity" not in stated or {"host", "redshift"} & set(stated)
        assert set(text.sections) <= {"identity", "spectrum", "context"}
        for section in text.sections.values():
            assert section == section.strip()
            assert not re.search(r"\{[a-z_]+\}|  |\.\.|nan\b|\binf\b", section), section
        texts.add(whole(text))
    assert len(texts) > 3 * len(of_class)


def test_unseen_writers_write_for_validation_and_test_only(universe, rows, summaries):
    unseen = {writer.name for writer in WRITERS if writer.unseen}
    by_split = {}
    for summary, split in zip(summaries, universe.source_splits, strict=True):
        by_split.setdefault(str(split), set()).update(summary.writer.split(" + "))
    for split in ("train", "calibration"):
        assert not by_split[split] & unseen
    assert unseen <= by_split["validation"] | by_split["test"]
    assert rows["writer"].to_pylist() == [
        summaries[source].writer for source in universe.detections.source
    ]


def test_a_text_depends_on_its_source_and_writer_alone(universe, summaries):
    """Of all nine writers or of one: the same words."""
    one = Universe(replace(universe.knobs, writers=("talkative",)))
    by_one = one.write_summaries(np.arange(len(summaries)))
    alone = [number for number, text in enumerate(summaries) if text.writer == "talkative"]
    assert len(alone) > 10
    assert all(by_one[number] == summaries[number] for number in alone)


def test_sources_of_train_have_further_texts_by_other_writers(universe, rows):
    several = Universe(replace(universe.knobs, texts=3))
    again = several.rows(np.arange(len(rows)))
    assert again.drop_columns(["further_texts"]) == rows.drop_columns(["further_texts"])
    assert rows["further_texts"].to_pylist() == [[]] * len(rows)
    unseen = {writer.name for writer in WRITERS if writer.unseen}
    for source, texts in enumerate(several.write_texts(np.arange(len(universe.sources.names)), 3)):
        names = [name for text in texts for name in text.writer.split(" + ")]
        if universe.source_splits[source] != "train":
            assert len(texts) == 1
        else:
            assert len(texts) == 3
            assert len(set(names)) == len(names)
            assert not unseen & set(names)
        [row] = np.flatnonzero(universe.detections.source == source)[:1]
        further = [
            {k: v for k, v in text.items() if v} for text in again["further_texts"][row].as_py()
        ]
        assert further == [text.sections for text in texts[1:]]


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
    assert one.write_summaries(sources) == two.write_summaries(sources)
    assert before["summary"] == after["summary"]


def test_likelihood_of_a_statement():
    inside = Statement("hardness", 0.2, 0.4, 0.1)
    ratio = Statement("flux", 2e-14 * np.exp(-0.2), 2e-14 * np.exp(0.2), 0.2, LOG)
    half = Statement("flux", 0.0, 2e-14, 0.2, LOG)
    assert inside.likelihood(0.3) == pytest.approx(0.6826895)
    np.testing.assert_allclose(
        ratio.likelihood(np.array([2e-14, 2e-13])), [0.6826895, 0], atol=1e-6
    )
    assert half.likelihood(2e-14) == pytest.approx(0.5)


def test_rounding_intervals_hold_what_rounds_to_them():
    random = Random(1)
    for _ in range(300):
        reporter = Reporter(SimpleNamespace(flux=10.0 ** random.uniform(-17, 3)), random)
        found = reporter.measure("flux", 0.5)
        mantissa, exponent = reporter.significant(found, 1 + random.randrange(3))
        one = reporter.statements[0]
        assert one.low <= found.value <= one.high
        assert one.low < float(mantissa) * 10.0**exponent < one.high
    reporter = Reporter(SimpleNamespace(flux=9.96e-15), random)
    found = reporter.measure("flux", 1e-9)
    assert reporter.significant(found, 2) == ("1.0", -14)
    assert reporter.statements[0].low == pytest.approx(9.95e-15)


def test_grammar_puts_a_template_in_all_its_ways():
    template = "It <is|was> <very <soft|hard>|faint>."
    words = ("very soft", "very hard", "faint")
    random = Random(3)
    assert {expand(template, random) for _ in range(100)} == {
        f"It {verb} {word}." for verb in ("is", "was") for word in words
    }
    assert expand("plain | text", random) == "plain | text"
    assert expand(r"kT \<<| 2> keV", Random(0)).startswith("kT <")
    for broken in ("a <b|c", "a > b"):
        with pytest.raises(ValueError, match="choice"):
            expand(broken, Random(0))


def test_variety_is_measured_for_each_writer(rows):
    texts = SummaryTexts()
    texts.add(rows)
    measured = texts.measure()
    assert {"all", *(writer.name for writer in WRITERS if not writer.unseen)} <= set(measured)
    assert measured["all"]["neighbour_50"] > 0.6
    for name in measured:
        assert f"| {name} |" in texts.describe()
