"""Small models that every test can afford."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel

N_BINS = 40
TEXT_DIM = 6
TEXT = "a soft hard bright faint galaxy star binary black hole in the cluster of x ray ultra"


@pytest.fixture
def small_spectrum():
    """Settings of a spectrum side that takes 40 bins and runs in a millisecond."""

    def settings(**changes):
        return {
            "n_bins": N_BINS,
            "patch_size": 10,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "latent_dim": 8,
            "decoder_hidden_size": 12,
            "decoder_layers": 1,
            **changes,
        }

    return settings


@pytest.fixture
def small_config(small_spectrum):
    def build(spectrum=None, text=None, **changes):
        return SpecCLIPConfig(
            spectrum_config=small_spectrum(**(spectrum or {})),
            text_config={"embedding_dim": TEXT_DIM, **(text or {})},
            **{"shared_dim": 5, "projection_hidden_size": 12, **changes},
        )

    return build


@pytest.fixture
def small_model(small_config):
    def build(seed=0, **changes):
        torch.manual_seed(seed)
        return SpecCLIPModel(small_config(**changes)).eval()

    return build


@pytest.fixture
def small_batch():
    """Tensors of random spectra and texts for a small model."""

    def build(n=6, input_kind="minmax", seed=0):
        generator = np.random.default_rng(seed)
        counts = generator.poisson(1.0, (n, N_BINS))
        extractor = SpecCLIPFeatureExtractor(input_kind, n_bins=N_BINS)
        inputs = extractor(counts, exposure=generator.uniform(1e3, 1e4, n), return_tensors="pt")
        texts = torch.from_numpy(generator.normal(size=(n, 3 * TEXT_DIM)).astype(np.float32))
        return {**inputs, "text_embeds": texts}

    return build


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A folder with a random text encoder of one layer and its tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split()]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder
