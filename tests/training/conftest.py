"""A tiny dataset, its pairs and a tiny preset as fixtures."""

from pathlib import Path

import pytest
from tiny_dataset import TINY, make_dataset


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("tiny") / "dataset")


@pytest.fixture(scope="session")
def pairs(tiny_dataset, tmp_path_factory):
    """The pairs of the tiny dataset with its own embeddings; tests only read them."""
    from specclip_training.data.pairs import embed_texts, load_pairs
    from specclip_training.engine.presets import TextSettings

    pairs = load_pairs(tiny_dataset, tmp_path_factory.mktemp("cache"))
    embed_texts(pairs, TextSettings("no such embedder: never asked"))
    return pairs


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    path.write_text(TINY)
    return path
