"""The ideal observer of a run's dataset, and its cache."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from specclip_datasets.folder import write_dataset
from specclip_datasets.simulation.builder import describe
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs
from specclip_training.data.pairs import load_pairs
from specclip_training.studies import ceiling
from specclip_training.studies.ceiling import ceiling_of

KNOBS = Knobs(pairs=80, seed=2, fits=False)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    universe, folder = Universe(KNOBS), tmp_path_factory.mktemp("ceiling") / "dataset"
    groups = sorted(set(universe.groups))
    half = np.isin(universe.groups, groups[: len(groups) // 2])
    rows = {
        name: universe.rows(np.flatnonzero(some))
        for name, some in (("train", half), ("validation", ~half))
    }
    write_dataset(folder, rows, describe("custom", KNOBS))
    return load_pairs(folder)


@pytest.fixture
def run(tmp_path):
    evaluation = SimpleNamespace(ks=(5, 25), n_bootstrap=20)
    return SimpleNamespace(
        preset=SimpleNamespace(evaluation=evaluation), cache_dir=tmp_path, is_main=True
    )


def test_the_result_is_read_from_the_cache(run, pairs, monkeypatch):
    measured = ceiling_of(run, pairs, "validation", members=900)
    assert len(measured.ranks["spectrum_to_text"]) == len(pairs.splits["validation"])
    assert set(measured.metrics["retrieval"]["spectrum_to_text"]) >= {"recall@5%", "recall@25%"}

    def never(*arguments, **settings):
        raise AssertionError("measured again")

    monkeypatch.setattr(ceiling, "measure_ceiling", never)
    cached = ceiling_of(run, pairs, "validation", members=900)
    assert cached.metrics == json.loads(json.dumps(measured.metrics))
    assert measured.ranks.keys() == cached.ranks.keys()
    for name in measured.ranks:
        np.testing.assert_array_equal(measured.ranks[name], cached.ranks[name])
    with pytest.raises(AssertionError, match="measured again"):
        ceiling_of(run, pairs, "train", members=900)


def test_real_data_has_no_ideal_observer(run):
    info = SimpleNamespace(simulated=False, builder="local_tables")
    assert ceiling_of(run, SimpleNamespace(info=info), "validation") is None
