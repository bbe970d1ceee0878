"""Spectra and texts together."""

import numpy as np
import pytest
import torch

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPProcessor

COUNTS = np.arange(80).reshape(2, 40)


@pytest.fixture
def extractor():
    return SpecCLIPFeatureExtractor("physics", n_bins=40)


@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy, lambda x: x.tolist()])
def test_embeddings_of_plain_texts(extractor, form):
    query = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    found = SpecCLIPProcessor(extractor)(text_embeds=form(query), section="identity")
    assert found["text_embeds"].shape == (2, 18)
    np.testing.assert_allclose(found["text_embeds"][:, :6], query, rtol=1e-6)
    assert not found["text_embeds"][:, 6:].any()
    assert found["section_mask"].tolist() == [[True, False, False]] * 2


def test_embeddings_of_summaries(extractor):
    summaries = np.ones((2, 18), np.float32)
    summaries[1, 12:] = 0
    found = SpecCLIPProcessor(extractor)(text_embeds=summaries, return_tensors="np")
    np.testing.assert_array_equal(found["text_embeds"], summaries)
    assert found["section_mask"].tolist() == [[True] * 3, [True, True, False]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give spectra, text_embeds or sentences"),
        ({"text": "a star"}, r"takes embeddings.*text_embeds"),
        ({"text_embeds": [1.0], "sentences": []}, "give one of text_embeds and sentences"),
        ({"text_embeds": np.ones((2, 7))}, "7 numbers, which are not 3 sections"),
        ({"text_embeds": np.ones((1, 2, 3))}, r"must be \(batch, size\)"),
        ({"text_embeds": [[0.0] * 3, [0.0, np.nan, 0.0]]}, "row 1: .* NaN"),
        ({"text_embeds": [1.0], "section": "abstract"}, "section is 'abstract'.*identity"),
    ],
)
def test_what_is_refused(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        SpecCLIPProcessor(extractor)(**arguments)


def test_saved_and_loaded(extractor, tmp_path):
    processor = SpecCLIPProcessor(extractor, ["star", "population"], "sentences")
    processor.save_pretrained(tmp_path)
    loaded = SpecCLIPProcessor.from_pretrained(tmp_path)
    assert (loaded.sections, loaded.reads) == (["star", "population"], "sentences")
    for name, values in processor(COUNTS, exposure=[1.0, 2.0]).items():
        assert torch.equal(loaded(COUNTS, exposure=[1.0, 2.0])[name], values), name
    assert loaded.model_input_names == processor.model_input_names
