"""Datasets of other axes, texts and variables, written from arrays and read again."""

import json

import numpy as np
import pytest

from specclip_datasets import (
    ContractError,
    DatasetFolderError,
    Domain,
    SpecCLIPDatasetInfo,
    read_dataset,
    write_arrays,
)
from specclip_datasets.contract import contract_features

CURVES = Domain("time", "ks", ("star", "behaviour"), (("period", "ks"), ("depth", "")), False)
INFO = SpecCLIPDatasetInfo("curves", n_bins=40, energy_range=(0.0, 20.0), domain=CURVES, seed=1)


def curves(n=40):
    random = np.random.default_rng(0)
    period = random.uniform(1, 10, n)
    period[3] = np.nan
    return {
        "source_name": [f"star {i // 2}" for i in range(n)],
        "counts": random.poisson(5.0, (n, 40)),
        "exposure": np.full(n, 500.0),
        "summary": [{"star": "A dwarf.", "behaviour": None}] * n,
        "period": period,
        "depth": random.random(n),
    }


def test_a_dataset_of_another_domain_comes_back(tmp_path):
    write_arrays(tmp_path / "curves", INFO, **curves())
    splits, info = read_dataset(tmp_path / "curves")
    assert info.domain == CURVES
    assert (info.n_bins, info.energy_range) == (40, (0.0, 20.0))
    assert sum(info.rows.values()) == 40
    assert splits["train"].features == contract_features(40, None, CURVES)
    rows = [row for split in splits.values() for row in split]
    assert set(rows[0]["summary"]) == {"star", "behaviour"}
    assert sum(row["period"] is None for row in rows) == 1
    assert all(row["ra"] is None and row["period_lolim"] is None for row in rows)
    homes: dict[str, set[str]] = {}
    for name, split in splits.items():
        for row in split:
            homes.setdefault(row["source_name"], set()).add(name)
    assert all(len(home) == 1 for home in homes.values())
    card = (tmp_path / "curves" / "README.md").read_text()
    assert "counts along time (40 bins, 0 to 20 ks)" in card
    assert "chandra" not in card


def test_plain_matrices_are_columns_of_lists(tmp_path):
    rows = curves()
    area = np.linspace(1.0, 2.0, 40 * 40).reshape(40, 40)
    area[5] = np.nan
    rows["source_name"] = [f"star {i}" for i in range(40)]
    write_arrays(
        tmp_path / "a", INFO, **rows, effective_area=area, text_embedding=np.zeros((40, 6))
    )
    splits, _ = read_dataset(tmp_path / "a")
    areas = {row["source_name"]: row["effective_area"] for s in splits.values() for row in s}
    assert areas.pop("star 5") is None
    np.testing.assert_allclose(areas["star 39"], area[39], rtol=1e-6)
    assert max(row["obsid"] for split in splits.values() for row in split) < 0


def test_what_the_domain_lacks_is_refused(tmp_path):
    rows = curves()
    with pytest.raises(ContractError, match=r"'hard_hs'.* not in the contract"):
        write_arrays(tmp_path / "a", INFO, **rows, hard_hs=np.zeros(40))
    with pytest.raises(ContractError, match="39 values of depth beside 40 of source_name"):
        write_arrays(tmp_path / "b", INFO, **rows | {"depth": np.zeros(39)})
    with pytest.raises(ContractError, match=r"counts are float64.*whole numbers"):
        write_arrays(tmp_path / "c", INFO, **rows | {"counts": np.ones((40, 40))})
    assert not list(tmp_path.iterdir())


def test_spectra_and_texts_alone_are_a_dataset(tmp_path):
    folder = write_arrays(
        tmp_path / "mine",
        SpecCLIPDatasetInfo("mine"),
        source_name=[f"S{i}" for i in range(40)],
        counts=np.ones((40, 400), dtype=int),
        exposure=2e4,
        summary=[f"Star {i}." for i in range(40)],
    )
    splits, info = read_dataset(folder)
    assert not info.domain.on_sky
    for row in splits["train"]:
        assert row["exposure"] == 2e4
        assert row["summary"]["identity"] == f"Star {row['source_name'][1:]}."


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("axis", 3, "domain.axis is 3, not a text"),
        ("sections", "star", "domain.sections is 'star'"),
        ("sections", ["star", "star"], r"sections are .* must be different"),
        ("variables", ["period"], "domain.variables must map"),
        ("on_sky", "no", "domain.on_sky is 'no'"),
    ],
)
def test_a_damaged_description_is_named(tmp_path, key, value, message):
    write_arrays(tmp_path / "curves", INFO, **curves())
    path = tmp_path / "curves" / "specclip_dataset.json"
    content = json.loads(path.read_text())
    content["domain"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetFolderError, match=message):
        read_dataset(tmp_path / "curves")
