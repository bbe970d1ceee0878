"""Embedders that need no package, and a tiny untrained model that reads one of them."""

import zlib

import numpy as np

from hf_specclip.literature import SENTENCE_NUMBERS
from hf_specclip.search.vocabulary import Vocabulary, words_of


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


def tiny_index(folder, summaries, columns, text_of):
    """Build an index of detections, whose points are those of their texts, and its questions.

    Args:
        folder: takes the vocabulary.
        summaries: texts by identifier.
        columns: of the detections; `counts` is the total of each, (n).
        text_of: place of each detection's text, (n).
    """
    from hf_specclip.search.build import build_index
    from hf_specclip.search.text_queries import TextQueries

    texts = [{"id": name, "summary": text} for name, text in summaries.items()]
    vectors = StubEmbedder().embed([" ".join(text.values()) for text in summaries.values()])
    Vocabulary.from_texts([*summaries.values()] * 2, vectors).save_pretrained(folder)
    queries = TextQueries(tiny_model(), StubEmbedder(), folder)
    points, n = queries.embed([*summaries.values()]), len(text_of)
    spectra = {"background_counts": np.zeros((n, 1), int), "background_scale": np.zeros(n)}
    columns = {**columns, **spectra, "counts": np.reshape(columns["counts"], (n, 1))}
    index = build_index(
        texts, points, {"test": columns | {"exposure": np.ones(n)}}, {"test": points[text_of]},
        {"test": text_of}, energy_range=(0.5, 7.0), with_map=False,
    )  # fmt: skip
    return index, queries


def tiny_model(reads="sentences", numbers=SENTENCE_NUMBERS):
    """Build an untrained model of a shared space of 8 dimensions."""
    import torch

    from hf_specclip import SpecCLIPConfig, SpecCLIPModel

    torch.manual_seed(0)
    config = SpecCLIPConfig(
        spectrum_config={"input_kind": "flux", "encoder": "mlp", "hidden_size": 16},
        text_config={"reads": reads, "embedding_dim": 32, "numbers_dim": numbers,
                     "num_frequencies": 2, "hidden_size": 16, "num_attention_heads": 2,
                     "embedder_name": "stub"},
        shared_dim=8,
        projection_hidden_size=16,
    )  # fmt: skip
    model = SpecCLIPModel(config).eval()
    width = (32,) if reads == "sentences" else (96,)
    model.text_model.fit_statistics(torch.randn(64, *width) / 4)
    return model
