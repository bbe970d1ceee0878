"""Study of questions in words: the list, and the measures of the answers."""

import numpy as np
import pytest
from stub_embedder import tiny_index
from study_rows import invented_run

from hf_specclip.literature import source_classes
from hf_specclip.models.variables_specclip import VARIABLES
from specclip_training.reports.blocks import to_markdown
from specclip_training.studies.questions import (
    _section,
    measure_questions,
    read_questions,
    study_questions,
)
from specclip_training.studies.subject import Subject


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Twelve quasars of photon indices 1 to 2.1 and twelve stars without, each with its text."""
    kinds = ["QSO"] * 12 + ["Star"] * 12
    words = {"QSO": "obscured quasar", "Star": "flaring star"}
    summaries = {
        str(n): {"identity": f"A {words[kind]} of field {n}."} for n, kind in enumerate(kinds)
    }
    gamma = np.where(np.arange(24) < 12, 1 + np.arange(24) / 10, np.nan)
    columns = {"counts": np.full(24, 100), "source_name": [f"S{n}" for n in range(24)]}
    columns |= {"source_class": kinds, "powlaw_gamma": gamma}
    folder = tmp_path_factory.mktemp("model")
    return tiny_index(folder, summaries, columns, np.arange(24))


def test_the_list_is_whole():
    questions = read_questions()
    assert len(questions) >= 120
    assert len({question["ask"] for question in questions}) == len(questions)
    labels = {each.label for each in source_classes()}
    for question in questions:
        assert set(question.get("kinds", ())) <= labels
        for ranges in (question.get("conditions", {}), question.get("fits", {})):
            assert set(ranges) <= {*VARIABLES, "counts"}


def test_answers_are_measured_against_what_is_fair(gallery, tmp_path):
    questions = [
        {"group": "kinds", "ask": "quasar", "kinds": ["QSO"]},
        {"group": "kinds", "ask": "magnetar", "kinds": ["Magnetar"]},
        {"group": "numbers", "ask": "photon index 1.5", "conditions": {"powlaw_gamma": [1.3, 1.7]}},
        {"group": "nonsense", "ask": "marmalade", "answer": "not understood"},
        {"group": "nonsense", "ask": "not a star", "answer": "not understood"},
        {"group": "places", "ask": "star in M31", "kinds": ["Star"], "unused": ["M31"]},
        {"group": "spelling", "ask": "obscurd quasar", "suggests": "obscured"},
        {"group": "positions", "ask": "near 10.50 -3.20", "cone": [10.5, -3.2, None],
         "answer": "either"},
    ]  # fmt: skip
    metrics = measure_questions(*gallery, questions, "test")
    measured = {row["ask"]: row for row in metrics["questions"]}
    assert measured["quasar"]["kinds"] == 1
    assert 0 <= measured["quasar"]["kinds_by_similarity"] <= 1
    assert measured["magnetar"]["kinds"] is None  # the split has none
    assert measured["photon index 1.5"]["conditions"] == 1
    assert measured["marmalade"]["answer"] == 1
    assert measured["not a star"]["answer"] == 0  # refused for another reason
    for ask in ("star in M31", "obscurd quasar", "near 10.50 -3.20"):
        assert measured[ask]["read"] == 1
    means = {(row["measure"], row["group"]): row for row in metrics["means"]}
    nonsense = means["answer", "nonsense"]
    assert (nonsense["n"], nonsense["value"]) == (2, 0.5)
    assert nonsense["low"] <= 0.5 <= nonsense["high"]
    text = to_markdown("T", [_section(metrics, "simulated ")], tmp_path)
    assert "24 simulated sources" in text
    with pytest.raises(ValueError, match="no spectra of validation"):
        measure_questions(*gallery, questions, "validation")


def test_the_reason_of_a_skipped_study_is_given(tmp_path):
    study = study_questions(Subject(invented_run(tmp_path), {}))
    assert "could not be asked" in study.metrics["skipped"]
