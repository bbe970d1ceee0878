"""Embedders that need no package, and a tiny untrained model that reads one of them."""

import zlib

import numpy as np

from hf_specclip.literature import SENTENCE_NUMBERS
from hf_specclip.search.vocabulary import words_of


def unit(vectors):
    """Return the rows scaled to unit length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class LengthEmbedder:
    """Vectors that hold the length of the text; `asked` lists the texts embedded."""

    name = "lengths"

    def __init__(self, dimension=2):
        self.dimension, self.asked = dimension, []

    def embed(self, texts, *, progress=False):
        self.asked += texts
        return np.array([[len(text)] * self.dimension for text in texts], np.float32)


class StubEmbedder:
    """Sum of a random vector for each word, of unit length; `asked` lists the texts embedded."""

    name = "stub"

    def __init__(self, dimension=32):
        self.dimension, self.asked = dimension, []

    def embed(self, texts, *, progress=False):
        self.asked += texts
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in words_of(text) or [text]:
                random = np.random.default_rng(zlib.crc32(word.encode()))
                vectors[row] += random.normal(size=self.dimension)
        return unit(vectors)


def tiny_model(reads="sentences", numbers=SENTENCE_NUMBERS):
    """Build an untrained model of a shared space of 8 dimensions."""
    import torch

    from hf_specclip import SpecCLIPConfig, SpecCLIPModel

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
