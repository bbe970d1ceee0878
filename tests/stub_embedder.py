"""Embedder by hashed words, and a tiny untrained model that reads it."""

import zlib

import numpy as np
import torch

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.literature import SENTENCE_NUMBERS
from hf_specclip.search.vocabulary import words_of


class StubEmbedder:
    """Sum of a random vector for each word, of unit length."""

    name = "stub"

    def __init__(self, dimension=32):
        self.dimension = dimension

    def embed(self, texts, *, progress=False):
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in words_of(text) or [text]:
                random = np.random.default_rng(zlib.crc32(word.encode()))
                vectors[row] += random.normal(size=self.dimension)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tiny_model(reads="sentences", numbers=SENTENCE_NUMBERS):
    """Build an untrained model of a shared space of 8 dimensions."""
    torch.manual_seed(0)
    config = SpecCLIPConfig(
        spectrum_config={"input_kind": "flux", "encoder": "mlp", "hidden_size": 16},
        text_config={"reads": reads, "embedding_dim": 32, "numbers_dim": numbers,
                     "hidden_size": 16, "num_attention_heads": 2, "embedder_name": "stub"},
        shared_dim=8,
        projection_hidden_size=16,
    )  # fmt: skip
    model = SpecCLIPModel(config).eval()
    width = (32,) if reads == "sentences" else (96,)
    model.text_model.fit_statistics(torch.randn(64, *width) / 4)
    return model
