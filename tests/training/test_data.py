"""Training data: arrays, distinct texts, refusals and augmentations."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from stub_embedder import LengthEmbedder
from tiny_dataset import SIZES, TEXT_DIM, make_dataset, rows

import specclip_datasets
from hf_specclip.literature import SENTENCE_NUMBERS
from specclip_datasets.info import SpecCLIPDatasetInfo
from specclip_training.data.pairs import (
    TrainingDataError,
    describe_texts,
    embed_texts,
    load_pairs,
    thin,
)
from specclip_training.data.writers import SEEN, rows_by_writer, rows_of_choice, unseen_writers
from specclip_training.engine.draws import Draws
from specclip_training.engine.presets import TextSettings


def given(monkeypatch, **splits):
    """Let `load_pairs` meet these splits, past the checks of whoever wrote them."""
    found = DatasetDict({name: Dataset(table) for name, table in splits.items()})
    info = SpecCLIPDatasetInfo(name="given")
    monkeypatch.setattr(specclip_datasets, "load", lambda *_: (found, info))


def test_arrays_are_the_rows(pairs):
    assert pairs.sizes == SIZES
    table = rows(SIZES["train"], "train", embedded=True)
    train = pairs.splits["train"]
    assert np.array_equal(train.counts, np.array(table["counts"].to_pylist()))
    assert np.array_equal(train.background_counts, np.array(table["background_counts"].to_pylist()))
    assert np.allclose(train.exposure, table["exposure"].to_numpy())
    assert train.counts.dtype.kind == "i"
    assert train.groups.tolist() == table["group"].to_pylist()


def test_equal_texts_are_one_text(pairs):
    train = pairs.splits["train"]
    assert len(pairs.texts) == sum(SIZES.values()) // 2
    assert np.array_equal(train.text_ids[::2], train.text_ids[1::2])
    known, owner = pairs.texts_of("test")
    assert len(known) == SIZES["test"] // 2
    assert np.array_equal(known[owner], pairs.splits["test"].text_ids)
    first = pairs.texts.entries[0]
    assert first["source_names"] == ["2CXO Jtra0000"]
    assert [paper["id"] for paper in first["papers"]] == ["2020Test0"]
    assert first["summary"]["context"] is None
    assert pairs.texts.section_mask[0].tolist() == [True, True, False]
    assert len({entry["id"] for entry in pairs.texts.entries}) == len(pairs.texts)


def test_the_datasets_own_embeddings_are_kept(pairs):
    table = rows(SIZES["train"], "train", embedded=True)
    own = np.array(table["text_embedding"].to_pylist(), dtype=np.float32)
    assert np.array_equal(pairs.texts.embeddings[pairs.splits["train"].text_ids], own)
    assert pairs.texts.model == "test-embedder"
    assert not pairs.embedded_here


@pytest.fixture
def counting(monkeypatch):
    def embedder(spec, cache_dir):
        return LengthEmbedder(TEXT_DIM)

    monkeypatch.setattr("specclip_training.data.pairs.get_embedder", embedder)


def test_texts_are_embedded_section_by_section_where_the_column_is_absent(tmp_path, counting):
    pairs = load_pairs(make_dataset(tmp_path / "plain", embedded=False), tmp_path / "cache")
    embed_texts(pairs, TextSettings("offline"), cache_dir=tmp_path)
    assert pairs.embedded_here
    assert pairs.texts.model == "lengths"
    lengths = pairs.texts.embeddings[:, ::TEXT_DIM]
    for row, entry in zip(lengths, pairs.texts.entries, strict=True):
        assert row.tolist() == [len(text or "") for text in entry["summary"].values()]


def test_sentences_are_embedded_anew(tiny_dataset, tmp_path, counting):
    pairs = load_pairs(tiny_dataset, tmp_path)
    embed_texts(pairs, TextSettings(reads="sentences"), cache_dir=tmp_path)
    assert pairs.texts.embeddings is None
    assert pairs.texts.model == "lengths"
    assert "text_embedding of the dataset is ignored" in describe_texts(pairs)[1]
    known = pairs.texts.section_mask.sum(axis=1)
    lengths = pairs.texts.sentences.lengths[: len(known)]
    assert np.array_equal(lengths, known)  # a section is one sentence here
    assert pairs.texts.features(np.arange(3)).shape == (3, TEXT_DIM + SENTENCE_NUMBERS)


def test_further_texts_are_for_training_alone(tiny_dataset, tmp_path, counting):
    pairs = load_pairs(tiny_dataset, tmp_path)
    texts, train = pairs.texts, pairs.splits["train"]
    about = [pairs.texts.entries[own]["source_names"] for own in texts.further[:, 0]]
    assert about == [[f"2CXO Jtra{i:04d}"] for i in range(1, SIZES["train"] // 2, 3)]
    assert "further_texts" not in train.table.column_names
    embed_texts(pairs, TextSettings("offline"), cache_dir=tmp_path)
    assert len(texts.embeddings) == len(texts)
    embed_texts(pairs, TextSettings(reads="sentences"), cache_dir=tmp_path)
    assert len(texts.sentences) == len(texts) + len(about)
    assert texts.sentences.lengths[texts.further[:, 1]].tolist() == [2] * len(about)
    assert f"{len(about)} further texts" in describe_texts(pairs)[0]
    assert max(split.text_ids.max() for split in pairs.splits.values()) < len(texts)


def test_sentences_that_name_the_source_by_another_name_are_marked(
    tiny_dataset, tmp_path, counting
):
    pairs = load_pairs(tiny_dataset, tmp_path)
    entry = pairs.texts.entries[0]
    entry["summary"]["identity"] = "Cyg X-1 is bright. Cyg X-10 is not."
    entry["aliases"] = ["Cyg X-1"]
    embed_texts(pairs, TextSettings(reads="sentences"), cache_dir=tmp_path)
    assert pairs.texts.sentences.named[:2].tolist() == [True, False]


def test_rows_by_writer(pairs):
    entries = [dict(entry) for entry in pairs.texts.entries]
    for entry, writer in zip(entries, ["a", "b", "a + b"] * len(entries), strict=False):
        entry["writer"] = writer
    test, owner = pairs.texts_of("test")
    entries[test[0]]["writer"], entries[test[1]]["writer"] = "c", "a + c"
    entries[pairs.texts_of("validation")[0][0]]["writer"] = "c"
    named = replace(pairs, texts=replace(pairs.texts, entries=entries))
    assert unseen_writers(named) == ["c"]
    by_writer = rows_by_writer(named, "test")
    assert set(by_writer) == {"all", SEEN, "a", "b", "c"}
    assert by_writer["c"].tolist() == np.flatnonzero(owner == 0).tolist()
    assert set(by_writer["all"]) - set(by_writer[SEEN]) == set(np.flatnonzero(owner < 2).tolist())
    assert set(rows_by_writer(pairs, "test")) == {"all"}
    chosen_by, validation = rows_of_choice(named), named.splits["validation"]
    entries = [named.texts.entries[text] for text in validation.text_ids[chosen_by]]
    assert 0 < len(entries) < len(validation)
    assert all("c" not in entry["writer"] for entry in entries)
    assert len(rows_of_choice(pairs)) == len(validation)


def test_the_fingerprint_follows_the_content(pairs, tiny_dataset, tmp_path):
    assert load_pairs(tiny_dataset, tmp_path).fingerprint == pairs.fingerprint
    other = make_dataset(tmp_path / "other", sizes={**SIZES, "test": 22})
    assert load_pairs(other, tmp_path).fingerprint != pairs.fingerprint


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_a_split_that_training_needs(tmp_path, empty):
    folder = make_dataset(tmp_path / "d", sizes={k: v for k, v in SIZES.items() if k != empty})
    with pytest.raises(TrainingDataError, match=rf"no rows in {empty}.*split_groups"):
        load_pairs(folder, tmp_path)


def test_a_missing_column_is_named(monkeypatch):
    parts = {name: rows(8, name, embedded=True).drop_columns(["exposure"]) for name in SIZES}
    given(monkeypatch, **parts)
    with pytest.raises(TrainingDataError, match=r"lacks exposure \(live time in seconds\)"):
        load_pairs("given")


def test_a_group_in_two_splits_is_refused(monkeypatch):
    part = rows(8, "train", embedded=True)
    given(monkeypatch, train=part, validation=part)
    with pytest.raises(TrainingDataError, match=r"group 'train-0' is in train and in validation"):
        load_pairs("given")


def test_half_embedded_texts_are_refused(monkeypatch):
    part = rows(8, "train", embedded=True)
    vectors = part["text_embedding"].to_pylist()
    vectors[3] = None
    place = part.column_names.index("text_embedding")
    import pyarrow as pa

    kind = pa.list_(pa.float32(), 3 * TEXT_DIM)
    part = part.set_column(place, "text_embedding", pa.array(vectors, kind))
    given(monkeypatch, train=part, validation=rows(8, "validation", embedded=True))
    with pytest.raises(TrainingDataError, match=r"text_embedding is null in 1 rows of train"):
        embed_texts(load_pairs("given"), TextSettings())


def test_thinning_shortens_the_observation():
    n = 400
    spectra = {
        "counts": np.full((n, 50), 40, dtype=np.int32),
        "background_counts": np.full((n, 50), 80, dtype=np.int32),
        "background_scale": np.full(n, 0.1, dtype=np.float32),
        "exposure": np.full(n, 1000.0, dtype=np.float32),
    }
    thinned = thin(spectra, 0.1, Draws(0, "align", 3))
    kept = thinned["exposure"] / 1000
    assert kept.min() >= 0.1
    assert kept.max() <= 1
    assert np.log(kept).mean() == pytest.approx(np.log(0.1) / 2, abs=0.12)
    for column, before in (("counts", 2000), ("background_counts", 4000)):
        assert thinned[column].dtype == np.int32
        after = thinned[column].sum(axis=1)
        error = np.sqrt(before * kept * (1 - kept)) + 1e-9
        assert np.abs((after - before * kept) / error).mean() == pytest.approx(0.8, abs=0.12)
    assert np.array_equal(thinned["background_scale"], spectra["background_scale"])
    assert spectra["counts"].min() == 40  # the dataset itself stays
    half = {name: values[200:] for name, values in spectra.items()}
    again = thin(half, 0.1, Draws(0, "align", 3, first=200))
    assert np.array_equal(again["counts"], thinned["counts"][200:])
    same = thin(spectra, 1.0, Draws(0, "align", 3))
    assert np.array_equal(same["counts"], spectra["counts"])
