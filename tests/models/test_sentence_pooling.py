"""Texts as sets of sentences: pooling, masks, refusals, round trip."""

import numpy as np
import pytest
import torch

from hf_specclip import SpecCLIPModel, SpecCLIPTextModel
from hf_specclip.literature.quantities import KINDS, quantity_numbers, scaled
from hf_specclip.literature.sentence_sets import SENTENCE_NUMBERS
from hf_specclip.models.layers_specclip import SpecCLIPStatistics

NUMBERS = 3


@pytest.fixture
def model(small_model):
    text = {"reads": "sentences", "numbers_dim": NUMBERS, "hidden_size": 16, "embedder_name": "e5"}
    return small_model(text=text)


@pytest.fixture
def texts(model):
    random = torch.Generator().manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    return {
        "sentence_embeds": torch.randn(3, 4, 6, generator=random),
        "sentence_numbers": torch.randn(3, 4, NUMBERS, generator=random),
        "sentence_sections": torch.tensor([[0, 1, 2, 3]] * 3),
        "sentence_mask": mask,
    }


def embed(model, **texts):
    return model.get_text_features(**texts).pooler_output


def test_a_text_is_a_set_whatever_the_order_and_the_padding(model, texts):
    points = embed(model, **texts)
    turned = {name: values.flip(1) for name, values in texts.items()}
    torch.testing.assert_close(embed(model, **turned), points)
    alone = {name: values[1:2, :2] for name, values in texts.items()}
    torch.testing.assert_close(embed(model, **alone), points[1:2])
    other = texts["sentence_embeds"].masked_fill(~texts["sentence_mask"][..., None], 9.0)
    torch.testing.assert_close(embed(model, **{**texts, "sentence_embeds": other}), points)


@pytest.mark.parametrize("name", ["sentence_embeds", "sentence_numbers", "sentence_sections"])
def test_words_numbers_and_sections_all_count(model, texts, name):
    changed = texts[name].clone()
    changed[:, 0] = 2 if name == "sentence_sections" else changed[:, 0] + 1
    assert not torch.allclose(embed(model, **{**texts, name: changed}), embed(model, **texts))


def test_a_text_without_sentences_has_a_finite_point(model, texts):
    texts["sentence_mask"][0] = False
    assert embed(model, **texts).isfinite().all()


def test_all_parameters_learn(model, texts, small_batch):
    model.train()
    spectra = {k: v for k, v in small_batch(3).items() if k != "text_embeds"}
    model(**spectra, **texts, return_loss=True).loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_sections_and_numbers_may_be_left_out(model, texts):
    plain = {name: texts[name] for name in ("sentence_embeds", "sentence_mask")}
    spelled = {
        **plain,
        "sentence_numbers": torch.zeros(3, 4, NUMBERS),
        "sentence_sections": torch.full((3, 4), 3),
    }
    assert torch.equal(embed(model, **plain), embed(model, **spelled))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence_embeds": torch.ones(3, 4, 7)}, r"needs \(batch, sentences, 6\).*e5"),
        ({"sentence_numbers": torch.ones(3, 4, 1)}, r"must be \(3, 4, 3\)"),
        ({"sentence_embeds": None}, "reads sentences: give sentence_embeds"),
    ],
)
def test_other_shapes_are_refused(model, texts, changes, message):
    with pytest.raises(ValueError, match=message):
        embed(model, **{**texts, **changes})


def test_the_normalisation_is_of_the_training_sentences(model, texts, tmp_path):
    sentences = 5 + 2 * torch.randn(200, 6)
    model.text_model.fit_statistics(sentences)
    statistics = model.text_model.text_statistics
    torch.testing.assert_close(statistics.mean, sentences.mean(0))
    model.save_pretrained(tmp_path)
    loaded = SpecCLIPModel.from_pretrained(tmp_path).eval()
    assert torch.equal(embed(loaded, **texts), embed(model, **texts))


def test_tokens_of_sentences_go_through_an_encoder_trained_along(small_model):
    encoder = {
        "model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16,
    }  # fmt: skip
    text = {"reads": "sentences", "hidden_size": 16, "text_encoder_config": encoder}
    model = small_model(text={**text, "embedding_dim": None}).text_model
    assert isinstance(model, SpecCLIPTextModel)
    tokens = torch.randint(1, 30, (2, 3, 5))
    mask = torch.ones_like(tokens)
    mask[1, 2] = 0
    pooled = model(input_ids=tokens, attention_mask=mask).pooler_output
    pooled.sum().backward()
    assert model.text_encoder.embeddings.word_embeddings.weight.grad.abs().sum() > 0
    fewer = model(input_ids=tokens[1:, :2], attention_mask=mask[1:, :2]).pooler_output
    torch.testing.assert_close(fewer, pooled[1:])


def test_dropout_hides_parts_of_embeddings_but_no_quantity(small_model, texts):
    text = {"reads": "sentences", "numbers_dim": NUMBERS, "hidden_size": 16, "dropout": 0.0}
    model = small_model(text={**text, "embedding_dropout": 0.9}, dropout=0.0).train()
    assert not torch.allclose(embed(model, **texts), embed(model, **texts))
    texts["sentence_embeds"] = torch.zeros_like(texts["sentence_embeds"])
    torch.testing.assert_close(embed(model, **texts), embed(model, **texts))


def test_stated_values_have_sines_and_cosines(small_model):
    text = {"reads": "sentences", "numbers_dim": SENTENCE_NUMBERS, "num_frequencies": 2}
    pooling = small_model(text=text).text_model.sentence_pooling
    told = quantity_numbers(["A photon index of 2.3 and z = 0.5.", "It is bright."])
    numbers = torch.from_numpy(np.hstack([told, np.ones((2, 2), np.float32)]))
    _, expanded = pooling.scale(torch.ones(2, 6), numbers, SpecCLIPStatistics((6,)))
    n_values = len(KINDS) * 2
    waves = expanded[:, SENTENCE_NUMBERS:].reshape(2, 4, n_values)
    places = [2 * KINDS.index(kind) for kind in ("photon_index", "redshift")]
    values = torch.tensor([scaled("photon_index", 2.3), scaled("redshift", 0.5)])
    for row, expected in enumerate(
        f(k * values) for k in (0.5, 1.0) for f in (torch.sin, torch.cos)
    ):
        torch.testing.assert_close(waves[0, row, places], expected)
    waves[0][:, places] = 0.0
    assert not waves.any()  # nothing for values that are not there
    assert torch.equal(expanded[:, :SENTENCE_NUMBERS], numbers)
    assert pooling.numbers_in.in_features == expanded.shape[1]
