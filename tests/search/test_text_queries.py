"""Texts and questions as points of the shared space."""

import numpy as np
import pytest
from stub_embedder import StubEmbedder, tiny_model

from hf_specclip.search.questions import parse_question
from hf_specclip.search.text_queries import TextQueries
from hf_specclip.search.vocabulary import Vocabulary

TEXTS = ["It is a quasar.", "A hard spectrum is absorbed.", "A magnetar with bursts."] * 3


@pytest.fixture(params=["sentences", "sections"])
def queries(request, tmp_path):
    vectors = StubEmbedder().embed(TEXTS)
    Vocabulary.from_texts(TEXTS, vectors).save_pretrained(tmp_path)
    return TextQueries(tiny_model(request.param), StubEmbedder(), tmp_path)


def test_a_question_and_a_summary_are_unit_vectors(queries):
    points = queries.embed([{"identity": "It is a quasar."}, {"text": "quasar"}])
    assert points.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    assert np.abs(points[0] - points[1]).max() > 1e-3


def test_a_short_form_is_read_with_the_usual_name(queries):
    plain = queries.embed([{"text": "SGR"}])[0]
    asked = queries.embed_question(parse_question("SGR", queries.vocabulary))
    [both] = queries.embed([{"text": "SGR. magnetar"}])
    np.testing.assert_allclose(asked, both)
    assert np.abs(asked - plain).max() > 1e-3


def test_likeness_is_that_to_the_nearest_training_sentence(queries):
    assert queries.training_similarity("A magnetar with bursts.") == pytest.approx(1, abs=1e-3)
    assert queries.training_similarity("bananas for breakfast") < 0.5
    assert TextQueries(queries.model, StubEmbedder()).training_similarity("bananas") == 1


@pytest.mark.parametrize("text", ["  ", "x" * 30_000])
def test_empty_and_endless_texts_are_refused(queries, text):
    with pytest.raises(ValueError, match=r"empty|longer"):
        queries.embed([{"text": text}])


def test_another_embedder_is_refused(queries):
    other = TextQueries(queries.model, StubEmbedder(dimension=7))
    with pytest.raises(ValueError, match="use the embedder it was trained with"):
        other.embed([{"text": "a quasar"}])


def test_a_model_without_quantities_reads_questions():
    queries = TextQueries(tiny_model(numbers=2), StubEmbedder())
    assert queries.embed([{"text": "NH = 1e22"}]).shape == (1, 8)
