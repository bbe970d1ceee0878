"""Answers to questions in words: sources of an index, ranked and filtered."""

import numpy as np
import pytest
from stub_embedder import tiny_index

from hf_specclip import IndexFilter
from hf_specclip.describe.answers import answer_question
from hf_specclip.describe.text import answer_lines

# Name, class, photon index and counts of each detection; Q1 has two.
ROWS = [
    ("Q1", "QSO", 1.6, 100), ("Q1", "QSO", 2.4, 900), ("Q2", "QSO", 1.9, 50),
    ("S1", "Star", np.nan, 500), ("X1", "Star?", 1.8, 300),
]  # fmt: skip
TEXTS = {
    "Q1": "A hard absorbed quasar.", "Q2": "A soft quasar.", "S1": "A flaring soft star.",
    "X1": "An unidentified hard source.",
}  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    texts = {name: {"identity": text} for name, text in TEXTS.items()}
    names, classes, gamma, counts = (list(column) for column in zip(*ROWS, strict=True))
    text_of = np.array([list(TEXTS).index(name) for name in names])
    columns = {
        "counts": counts, "source_name": names, "aliases": [[f"J1 {name}"] for name in names],
        "source_class": classes, "powlaw_gamma": np.array(gamma), "ra": [10.0, 10.0, 11, 12, 13],
        "dec": [0.0] * 5,
    }  # fmt: skip
    index, queries = tiny_index(tmp_path_factory.mktemp("model"), texts, columns, text_of)
    return lambda text, **options: answer_question(index, queries, text, **options)


def test_sources_of_the_class_come_first_each_once(asked):
    answer = asked("quasar")
    assert [hit.name for hit in answer][:2] in (["Q1", "Q2"], ["Q2", "Q1"])
    assert [hit.asked_class for hit in answer] == [True, True, False, False]
    assert {hit.name: len(hit.observations) for hit in answer}["Q1"] == 2
    assert "first 2 have a requested" in answer.notes[0]
    scores = [hit.score for hit in asked("quasar", by_class=False)]
    assert scores == sorted(scores, reverse=True)
    assert "class: quasar" in answer_lines(answer)[0]


def test_candidates_come_after_the_class_and_before_the_similar(asked):
    answer = asked("star")
    assert [hit.name for hit in answer][:2] == ["S1", "X1"]
    assert "first 1 have a requested catalogue class and 1 are candidates" in answer.notes[0]


def test_stated_numbers_are_conditions(asked):
    answer = asked("quasar with a photon index of 1.7")
    assert {hit.name for hit in answer} == {"Q1", "Q2", "X1"}
    for hit in answer:
        assert 1.5 <= hit.values["powlaw_gamma"] <= 1.9 + 1e-6
        assert len(hit.observations) == 1
    where = IndexFilter(where=["powlaw_gamma>2"])
    assert [hit.name for hit in asked("quasar", where=where)] == ["Q1"]
    assert "powlaw_gamma: known for 3 of 4 sources; the other 1 are excluded" in answer.notes
    papers = asked("quasar", where=where, kind="papers")
    assert [hit.id for hit in papers] == ["Q1"]
    with pytest.raises(ValueError, match="no values of 'apec_kt', only of counts, powlaw_gamma"):
        asked("quasar", where=IndexFilter(where=["apec_kt<1"]))


def test_a_source_asked_for_by_name_or_as_a_likeness(asked):
    [hit] = asked("J1 Q2")
    assert hit.name == "Q2"
    assert hit.score is None
    assert "1.         Q2" in "\n".join(answer_lines(asked("J1 Q2")))
    like = asked("flaring like J1 Q2")
    assert "not used beside “like”: flaring" in like.notes
    assert "Q2" not in [hit.name for hit in like]
    scores = [hit.score for hit in like]
    assert scores == sorted(scores, reverse=True)


def test_a_position_alone_gives_the_sources_around_it(asked):
    answer = asked("within 1.5 degrees of 11.00 +0.10")
    assert [hit.name for hit in answer] == ["Q2", "Q1", "S1"]
    # No words were compared: separations stand in place of cosines.
    assert [hit.score for hit in answer] == [None] * 3
    assert answer.hits[0].separation_arcsec == pytest.approx(360, rel=1e-3)
    assert "1. 360.0″  Q2" in "\n".join(answer_lines(answer))
    assert not asked("within 1 arcmin of 200.0 +10.0").hits


@pytest.mark.parametrize("text", ["bananas", "the source", "Cas A", "no quasars"])
def test_what_says_nothing_gets_no_list(asked, text):
    answer = asked(text)
    assert not answer.hits
    assert answer.question.refusal
    assert answer.to_dict()["hits"] == []


def test_words_alone_rank_by_similarity(asked):
    answer = asked("flaring soft star.")
    assert answer.hits[0].name == "S1"
