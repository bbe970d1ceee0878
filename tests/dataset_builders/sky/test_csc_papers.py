"""`CSCPapers`: configurations, card, streaming."""

import shutil

import numpy as np
import pytest
from building import build, built_world
from datasets import Features, load_dataset
from vectors_server import DIMENSION, true_vector

from specclip_datasets import CSCPapers, load
from specclip_datasets.contract import SPLITS, contract_features, spectra_features
from specclip_datasets.info import read_info
from specclip_datasets.sky.build import STAGES
from specclip_datasets.sky.settings import BuildError


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A complete build; two of twelve sources have only a survey."""
    root = tmp_path_factory.mktemp("papers")

    def change(world):
        for oid in (103, 107):
            query = "DELETE FROM has_ref WHERE oidref = ? AND obj_freq = 3"
            world.simbad.database.execute(query, (oid,))
            world.ads.about[oid] = []

    with built_world(root, whole=True, change=change) as world:
        yield world, root


def test_configurations_have_the_same_splits(built, tmp_path):
    world, root = built
    pairs = load_dataset(str(root / "dataset"), cache_dir=str(tmp_path))
    embedded = load_dataset(str(root / "dataset"), "embedded", cache_dir=str(tmp_path))
    spectra = load_dataset(str(root / "dataset"), "spectra", cache_dir=str(tmp_path))
    assert pairs["train"].features == contract_features()
    assert embedded["train"].features == contract_features(400, DIMENSION)
    assert spectra["train"].features == spectra_features()
    assert sum(map(len, pairs.values())) == sum(map(len, embedded.values())) == 20
    assert sum(map(len, spectra.values())) == 24
    # Groups are in one split, the same in all configurations.
    group_of = {}
    for parts in (pairs, embedded, spectra):
        for split, part in parts.items():
            for row in part:
                assert group_of.setdefault(row["group"], split) == split
    for split in pairs:
        keys = [(r["source_name"], r["obsid"]) for r in pairs[split]]
        assert keys == [(r["source_name"], r["obsid"]) for r in embedded[split]]
        assert keys == [(r["source_name"], r["obsid"]) for r in spectra[split] if r["paired"]]
        for one, other in zip(pairs[split], embedded[split], strict=True):
            assert one == {k: v for k, v in other.items() if k != "text_embedding"}
            expected = [true_vector(one["summary"][s]) for s in ("identity", "spectrum", "context")]
            # float16 in the cache.
            expected = np.concatenate(expected).astype(np.float16)
            np.testing.assert_array_equal(
                np.array(other["text_embedding"], np.float32), expected.astype(np.float32)
            )
    alone = [row for part in spectra.values() for row in part if not row["paired"]]
    assert {row["source_name"] for row in alone} == {world.names[3], world.names[7]}
    assert all(sum(row["counts"]) > 0 for row in alone)
    streamed = load_dataset(str(root / "dataset"), "embedded", streaming=True, split="train")
    assert next(iter(streamed)) == embedded["train"][0]
    splits, info = load(root / "dataset", tmp_path)
    assert "text_embedding" in splits["train"].column_names
    assert set(info.configurations) == {"embedded", "spectra"}


def test_card_has_provenance(built):
    world, root = built
    card = (root / "dataset" / "README.md").read_text()
    for piece in (
        "- config_name: default",
        "- config_name: embedded",
        "- config_name: spectra",
        "| `spectra` | 24 |",
        f"| detections | {world.csc.url}/tap | TAP: names 12 | CSC 2.1 |",
        "openai:gpt-4o-mini, http://",
        "openai:text-embedding-ada-002@",
        "Evans et al. 2024, ApJS 274, 22",
        "Wenger et al. 2000",
        "arXiv:2603.04516",
        "### Licence",
        "12 of 12 sources are in SIMBAD; 10 have a summary",
    ):
        assert piece in card, piece
    assert "MARKED" not in card


def test_builder_equals_folder(built, tmp_path):
    _, root = built
    for name in ("default", "embedded", "spectra"):
        builder = CSCPapers(root / "work", name, cache_dir=tmp_path)
        builder.download_and_prepare()
        from_builder = builder.as_dataset()
        from_folder = load_dataset(str(root / "dataset"), name, cache_dir=str(tmp_path / "other"))
        for split in SPLITS:
            if split in from_folder:
                assert from_builder[split].to_list() == from_folder[split].to_list()
        assert isinstance(builder.info.features, Features)
        assert "Evans et al. 2024" in builder.info.description
    with pytest.raises(ValueError, match=r"'embeded' is not in .* \(default, embedded, spectra\)"):
        CSCPapers(root / "work", "embeded")


def test_cache_depends_on_the_work_folder(built, tmp_path):
    _, root = built
    shutil.copytree(root / "work", tmp_path / "work")
    first = CSCPapers(root / "work", cache_dir=tmp_path)
    second = CSCPapers(tmp_path / "work", cache_dir=tmp_path)
    assert first.cache_dir != second.cache_dir
    with pytest.raises(BuildError, match="finish it with `specclip dataset build`"):
        CSCPapers(tmp_path)


def test_build_without_embedder(built, keys, tmp_path):
    world, root = built
    shutil.copytree(root / "work", tmp_path / "work")
    build(world, tmp_path / "work").run(STAGES, tmp_path / "dataset")
    assert set(read_info(tmp_path / "dataset").configurations) == {"spectra"}
    splits, _ = load(tmp_path / "dataset", tmp_path / "cache")
    assert "text_embedding" not in splits["train"].column_names
    with pytest.raises(ValueError, match="build with --embedder"):
        CSCPapers(tmp_path / "work", "embedded")
