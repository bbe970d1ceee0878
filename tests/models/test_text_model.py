"""The text side: absent sections, tokens through an encoder, and texts that do not fit."""

import pytest
import torch
from torch import nn
from transformers import BertModel

from hf_specclip import SpecCLIPModel, SpecCLIPTextConfig, SpecCLIPTextModel


def test_absent_sections_are_replaced(small_model, small_batch):
    model = small_model().text_model
    texts = small_batch(3)["text_embeds"]
    absent = texts.clone()
    absent[:, 6:12] = 0
    mask = torch.tensor([[True, False, True]] * 3)
    by_mask = model(texts, section_mask=mask).pooler_output
    by_zeros = model(absent).pooler_output
    assert torch.equal(by_mask, by_zeros)
    assert torch.equal(by_mask[:, 6:12], model.absent_sections[1].expand(3, 6))
    assert torch.equal(by_mask[:, :6], model(texts).pooler_output[:, :6])


def test_tokens_through_a_text_encoder(small_config, tiny_bert, tmp_path):
    torch.manual_seed(0)
    config = small_config(text={"embedding_dim": None, "text_encoder": str(tiny_bert)})
    model = SpecCLIPModel(config).eval()
    name, pretrained = "embeddings.word_embeddings.weight", BertModel.from_pretrained(tiny_bert)
    assert not torch.equal(model.text_model.text_encoder.state_dict()[name],
                           pretrained.state_dict()[name])  # fmt: skip
    model.text_model.load_text_encoder()
    for name, value in model.text_model.text_encoder.state_dict().items():
        assert torch.equal(value, pretrained.state_dict()[name]), name
    input_ids = torch.randint(5, 20, (2, 3, 7))
    attention_mask = torch.ones_like(input_ids)
    attention_mask[:, :, 5:] = 0
    attention_mask[1, 2] = 0  # an absent section
    joined = model.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
    assert joined.shape == (2, 24)
    # By hand: each section alone, its tokens averaged, the result normalised.
    hidden = model.text_model.text_encoder(input_ids=input_ids[1, 1:2, :5]).last_hidden_state
    expected = nn.functional.normalize(hidden[0].mean(dim=0), dim=0)
    torch.testing.assert_close(joined[1, 8:16], expected)
    assert torch.equal(joined[1, 16:], model.text_model.absent_sections[2])
    # Padding is not seen.
    input_ids[:, :, 5:] = 1
    again = model.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
    torch.testing.assert_close(again, joined)
    before = model(input_ids=input_ids, attention_mask=attention_mask).text_embeds
    model.save_pretrained(tmp_path)
    loaded = SpecCLIPModel.from_pretrained(tmp_path)
    assert torch.equal(
        loaded(input_ids=input_ids, attention_mask=attention_mask).text_embeds, before
    )


def test_a_text_encoder_may_be_frozen(small_config, tiny_bert, small_batch):
    text = {"embedding_dim": None, "text_encoder": str(tiny_bert), "freeze_text_encoder": True}
    model = SpecCLIPModel(small_config(text=text)).train()
    assert not model.text_model.text_encoder.training
    ids, batch = torch.randint(5, 20, (6, 3, 4)), small_batch()
    del batch["text_embeds"]
    model(**batch, input_ids=ids, return_loss=True).loss.backward()
    assert all(p.grad is None for p in model.text_model.text_encoder.parameters())
    assert model.text_projection.out.weight.grad is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text_embeds": torch.ones(2, 17)}, r"needs \(batch, 18\), 3 sections of 6.*ada-002"),
        ({"text_embeds": torch.ones(2, 18), "section_mask": torch.ones(2, 2)}, r"must be \(2, 3\)"),
        ({"input_ids": torch.ones(2, 3, 4, dtype=torch.long)}, "embed the texts with .*ada-002"),
        ({}, "give text_embeds or input_ids"),
    ],
)
def test_texts_that_do_not_fit(small_model, arguments, message):
    model = small_model(text={"embedder_name": "openai/text-embedding-ada-002"})
    with pytest.raises(ValueError, match=message):
        model.text_model(**arguments)


def test_without_a_text_encoder_there_is_none_to_load():
    with pytest.raises(ValueError, match="no text encoder"):
        SpecCLIPTextModel(SpecCLIPTextConfig(embedding_dim=4)).load_text_encoder()
