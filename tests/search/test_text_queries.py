"""A few words as a point of the shared space."""

import numpy as np
import pytest
import torch

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.literature import embed_summaries, get_embedder
from hf_specclip.search.known_texts import KnownTexts
from hf_specclip.search.text_queries import TextQueries

SECTIONS = ("identity", "spectrum", "context")
KINDS = ("quasar", "young star", "magnetar")
COLOURS = ("soft", "hard")


@pytest.fixture(scope="module")
def queries():
    embedder = get_embedder("terms")
    config = SpecCLIPConfig(
        spectrum_config={"input_kind": "flux", "encoder": "mlp", "hidden_size": 16},
        text_config={"embedding_dim": embedder.dimension, "embedder_name": embedder.name},
        shared_dim=8,
        projection_hidden_size=16,
    )
    torch.manual_seed(0)
    model = SpecCLIPModel(config).eval()
    summaries = [
        {"identity": f"It is a {kind}.", "spectrum": f"It is {colour}.", "context": "A survey."}
        for kind in KINDS
        for colour in COLOURS
    ]
    queries = TextQueries(model, embedder)
    vectors = [
        np.concatenate([embedder.embed([summary[s]])[0] for s in SECTIONS]) for summary in summaries
    ]
    model.text_model.fit_statistics(torch.from_numpy(np.stack(vectors)))
    return queries


def test_what_a_question_does_not_mention_is_not_known(queries):
    mean = queries.model.text_model.text_statistics.mean
    said = torch.from_numpy(queries._embedder.embed(["quasar"]))[0]
    vectors = mean.clone()
    vectors[0] = torch.where(said == 0, mean[0], said)
    with torch.no_grad():
        expected = queries.model.get_text_features(
            text_embeds=vectors.flatten()[None], section_mask=torch.ones(1, 3, dtype=torch.bool)
        ).pooler_output[0]
    np.testing.assert_allclose(queries.embed_query("quasar"), expected, atol=1e-6)
    assert np.array_equal(
        queries.embed_prompts([{"identity": "quasar"}])[0], queries.embed_query("quasar")
    )


def test_a_whole_summary_that_lacks_a_word_says_so(queries):
    whole = {"identity": "It is a quasar.", "spectrum": "It is hard.", "context": "A survey."}
    [plain] = queries.embed([whole])
    [partial] = queries.embed([whole], partial=True)
    assert np.abs(plain - partial).max() > 1e-3
    assert np.linalg.norm(plain) == pytest.approx(1.0, abs=1e-5)


def test_another_embedder_is_refused(queries):
    other = TextQueries(queries.model, get_embedder("quantities"))
    with pytest.raises(ValueError, match="use the embedder it was trained with"):
        other.embed_query("a flux of 1e-13 erg/cm^2/s")


def test_known_texts_stand_in_for_questions_and_not_for_summaries(queries, tmp_path):
    model, embedder = queries.model, queries._embedder
    summaries = [
        {"identity": f"It is a {kind}.", "spectrum": f"It is {colour}.", "context": "A survey."}
        for kind in KINDS
        for colour in COLOURS
        for _ in range(20)
    ]
    vectors = embed_summaries(summaries, embedder, sections=SECTIONS)
    KnownTexts(vectors, queries.embed(summaries)).save_pretrained(tmp_path)
    asking = TextQueries(model, embedder, folder=tmp_path)
    quasars = queries.embed(summaries[:40]).mean(axis=0)
    quasars /= np.linalg.norm(quasars)
    assert asking.embed_query("quasar") @ quasars > 0.99
    assert asking.embed_query("quasar") @ quasars > queries.embed_query("quasar") @ quasars
    # Nothing that any of them says: as without them.
    odd = "supernova remnant"
    np.testing.assert_array_equal(asking.embed_query(odd), queries.embed_query(odd))
    np.testing.assert_array_equal(asking.embed(summaries[:3]), queries.embed(summaries[:3]))
    # By default those of the folder the model came from.
    model.save_pretrained(tmp_path)
    loaded = SpecCLIPModel.from_pretrained(tmp_path).eval()
    [found] = TextQueries(loaded).embed_prompts([{"identity": "quasar"}])
    np.testing.assert_allclose(found, asking.embed_query("quasar"), atol=1e-6)
