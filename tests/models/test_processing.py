"""Spectra and texts together."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel, SpecCLIPProcessor

COUNTS = np.arange(80).reshape(2, 40)


@pytest.fixture
def extractor():
    return SpecCLIPFeatureExtractor("physics", n_bins=40)


@pytest.fixture
def with_tokenizer(extractor, tiny_bert):
    return SpecCLIPProcessor(extractor, AutoTokenizer.from_pretrained(tiny_bert))


def test_summaries_become_tokens(with_tokenizer):
    summaries = [
        {"identity": "a black hole", "spectrum": "soft", "context": None},
        {"identity": "", "spectrum": "a hard x ray binary in the galaxy"},
        "bright star",
    ]
    found = with_tokenizer(text=summaries)
    assert found["input_ids"].shape == found["attention_mask"].shape
    assert found["input_ids"].shape[:2] == (3, 3)
    assert found["section_mask"].tolist() == [
        [True, True, False],
        [False, True, False],
        [False, True, False],
    ]
    tokens = with_tokenizer.tokenizer.convert_ids_to_tokens(found["input_ids"][2, 1])
    assert tokens[:4] == ["[CLS]", "bright", "star", "[SEP]"]


def test_plain_text_fills_the_section_asked_for(with_tokenizer):
    found = with_tokenizer(text="a cluster of galaxy", section="context")
    assert found["section_mask"].tolist() == [[False, False, True]]
    assert with_tokenizer(text="a", max_length=3)["input_ids"].shape[-1] <= 3


def test_tokens_fit_the_model(with_tokenizer, small_config, tiny_bert):
    text = {"embedding_dim": None, "text_encoder": str(tiny_bert)}
    config = small_config(text=text, spectrum={"input_kind": "physics"})
    model = SpecCLIPModel(config).eval()
    inputs = with_tokenizer(COUNTS, ["soft", {"identity": "a star"}], exposure=[1.0, 2.0])
    output = model(**inputs, return_loss=True)
    assert output.logits_per_spectrum.shape == (2, 2)
    assert torch.isfinite(output.loss)
    # A section that is absent counts as absent, although the tokenizer gives it two tokens.
    joined = model.text_model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        section_mask=inputs["section_mask"],
    ).pooler_output
    assert torch.equal(joined[0, :8], model.text_model.absent_sections[0])


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
        ({}, "give spectra, text, text_embeds or sentences"),
        ({"text": "a star"}, r"no tokenizer.*text_embeds"),
        ({"text": "a", "text_embeds": [1.0]}, "give one of text, text_embeds"),
        ({"text_embeds": np.ones((2, 7))}, "7 dimensions, not a multiple of 3 sections"),
        ({"text_embeds": np.ones((1, 2, 3))}, r"must be \(batch, size\)"),
        ({"text_embeds": [[0.0] * 3, [0.0, np.nan, 0.0]]}, "row 1: .* NaN"),
        ({"text_embeds": [1.0], "section": "abstract"}, "section is 'abstract'.*identity"),
    ],
)
def test_what_is_refused(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        SpecCLIPProcessor(extractor)(**arguments)


def test_unknown_sections_are_refused(with_tokenizer):
    with pytest.raises(ValueError, match="row 1: unknown section 'spectra'"):
        with_tokenizer(text=["a star", {"spectra": "soft"}])


def test_saved_and_loaded(extractor, with_tokenizer, tmp_path):
    SpecCLIPProcessor(extractor).save_pretrained(tmp_path / "without")
    loaded = SpecCLIPProcessor.from_pretrained(tmp_path / "without")
    assert loaded.tokenizer is None
    with_tokenizer.save_pretrained(tmp_path / "with")
    again = SpecCLIPProcessor.from_pretrained(tmp_path / "with")
    expected = with_tokenizer(COUNTS, ["soft", "hard"], exposure=[1.0, 2.0])
    found = again(COUNTS, ["soft", "hard"], exposure=[1.0, 2.0])
    for name in expected:
        assert torch.equal(found[name], expected[name]), name
    assert again.model_input_names == with_tokenizer.model_input_names
    # A folder that lost its tokenizer says so in place of loading without.
    for file in (tmp_path / "with").glob("*token*"):
        file.unlink()
    with pytest.raises((OSError, ValueError)):
        SpecCLIPProcessor.from_pretrained(tmp_path / "with")


def test_texts_become_the_tokens_of_their_sentences(extractor, with_tokenizer):
    processor = SpecCLIPProcessor(extractor, with_tokenizer.tokenizer, reads="sentences")
    texts = [{"identity": "A star. A photon index of 1.7.", "context": "Faint."}, "A soft galaxy"]
    inputs = processor(text=texts, return_tensors="np")
    assert inputs["input_ids"].shape[:2] == inputs["sentence_mask"].shape == (2, 3)
    assert inputs["sentence_mask"].tolist() == [[True] * 3, [True, False, False]]
    assert inputs["sentence_sections"].tolist() == [[0, 0, 2], [3, 3, 3]]
    stated = (inputs["sentence_numbers"] != 0).any(axis=-1)
    assert stated.tolist() == [[False, True, False], [False] * 3]
    assert set(processor.model_input_names) >= set(inputs)
