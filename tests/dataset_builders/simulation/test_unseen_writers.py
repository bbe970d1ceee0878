"""Writers that no model is trained on: every class, statements that are true, their own lengths."""

import re
from functools import cache
from math import isfinite, nan
from random import Random

import pytest

from specclip_datasets.simulation.prose import Facts
from specclip_datasets.simulation.prose.reporter import Reporter
from specclip_datasets.simulation.prose.statements import LABELS
from specclip_datasets.simulation.prose.writers.notice import WRITER as NOTICE
from specclip_datasets.simulation.prose.writers.survey_abstract import WRITER as SURVEY
from specclip_datasets.simulation.source_classes import CLASSES, FIELD_KINDS

LEFT_OVER = re.compile(r"\||  | [.,;]|\.\.|\ba (?!one)[aeio]\w")
WORDS = {SURVEY: (90, 220), NOTICE: (50, 170)}


def facts_of(name, seed=0):
    kind = CLASSES[name]
    random = Random(seed)
    field = random.choice(
        [key for key, item in FIELD_KINDS.items() if name in item.classes or item.target == name]
    )

    def middle(spread):
        return getattr(spread, "median", None) or getattr(spread, "mean", 0.0)

    flux = 10.0 ** random.uniform(-14.0, -11.5)
    distance = FIELD_KINDS[field].distance_mpc
    return Facts(
        name="2CXO J101115.2+301256X" if kind.extended else "2CXO J101115.2-301256",
        class_name=name,
        field_kind=field,
        place=0,
        host="the Vela deep field 12",
        distance_mpc=middle(distance) if distance else nan,
        foreground_nh=0.06,
        papers=(),
        flux=flux,
        hardness=random.uniform(-0.9, 0.95),
        medium_soft=random.uniform(-0.7, 0.7),
        first=float(kind.first.kind),
        second=float(kind.second.kind) if kind.second else -1.0,
        shape=middle(kind.first.shape),
        shape2=middle(kind.second.shape) if kind.second else 0.0,
        share2=0.3 if kind.second else 0.0,
        nh=0.06 + middle(kind.local_nh),
        abundance=middle(kind.abundance),
        redshift=middle(kind.redshift),
        line=0.0,
        covering=1.0,
        photons=flux * 4e15,
    )


@cache
def texts_of(writer, name, number=60):
    texts = []
    for seed in range(number):
        facts = facts_of(name, seed)
        reporter = Reporter(Random(seed), writer.errors)
        texts.append((facts, writer.write(facts, reporter), reporter.statements))
    return texts


BOTH = pytest.mark.parametrize("writer", [SURVEY, NOTICE], ids=lambda writer: writer.name)


@BOTH
@pytest.mark.parametrize("name", CLASSES)
def test_statements_are_possible_under_the_truth(writer, name):
    for facts, _, statements in texts_of(writer, name):
        assert all(isfinite(statement.log_likelihood(facts)) for statement in statements)


@BOTH
def test_texts_are_as_long_as_such_texts_and_leave_no_template(writer):
    shortest, longest = WORDS[writer]
    for name in CLASSES:
        for _, sections, _ in texts_of(writer, name):
            text = " ".join(sections.values())
            assert shortest <= len(text.split()) <= longest, text
            assert not LEFT_OVER.search(text), text


@BOTH
def test_labels_are_told_once_and_shapes_with_their_model(writer):
    for name in CLASSES:
        for _, _, statements in texts_of(writer, name):
            stated = [statement.quantity for statement in statements]
            assert all(stated.count(label) <= 1 for label in LABELS)
            assert "shape" not in stated or "model" in stated


@BOTH
def test_class_is_at_times_exact_at_times_a_family_at_times_missing(writer):
    for name in CLASSES:
        labels = {
            statement.label
            for _, _, statements in texts_of(writer, name)
            for statement in statements
            if statement.quantity == "class"
        }
        assert all(name in label.split("|") for label in labels)
        # A disruption of a star is a family of its own.
        assert name in labels or len(labels) > 1


def test_luminosity_comes_with_a_host_or_a_redshift():
    for writer in (SURVEY, NOTICE):
        for name in CLASSES:
            for _, _, statements in texts_of(writer, name):
                stated = {statement.quantity for statement in statements}
                assert "luminosity" not in stated or "host" in stated


def test_neither_writer_is_trained_on():
    assert SURVEY.unseen
    assert NOTICE.unseen
