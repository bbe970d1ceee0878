"""The contract on disk: what is written, what is refused, and what others read."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import DatasetDict, load_dataset

from specclip_datasets import (
    ContractError,
    DatasetFolderError,
    SpecCLIPDatasetInfo,
    load,
    read_dataset,
    write_dataset,
)
from specclip_datasets.contract import (
    SPLITS,
    conform_table,
    contract_features,
    list_array,
)
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs

INFO = SpecCLIPDatasetInfo(name="test", builder="test", builder_version="1", seed=3)


@pytest.fixture(scope="module")
def universe():
    return Universe(Knobs(pairs=90, seed=5, fits=False))


@pytest.fixture(scope="module")
def splits(universe):
    rows = {name: np.flatnonzero(universe.splits == name) for name in SPLITS}
    return {name: universe.rows(places) for name, places in rows.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, splits):
    info = replace(INFO, knobs={"pairs": 90}, simulated=True)
    return write_dataset(tmp_path_factory.mktemp("data") / "set", splits, info)


def replaced(table, column, values):
    place = table.schema.get_field_index(column)
    kind = table.schema.field(column).type
    return table.set_column(place, table.schema.field(column), pa.array(values, kind))


def test_what_is_written_comes_back(folder, splits):
    loaded, info = read_dataset(folder)
    assert isinstance(loaded, DatasetDict)
    assert list(loaded) == list(SPLITS)
    for name in SPLITS:
        assert (
            loaded[name]
            .data.table.combine_chunks()
            .cast(splits[name].schema)
            .equals(splits[name].combine_chunks())
        )
    assert info.seed == 3
    assert info.knobs == {"pairs": 90}
    assert sum(info.rows.values()) == 90
    np.testing.assert_allclose(info.energy_edges, np.linspace(0.5, 8.0, 401))
    assert loaded["train"].with_format("numpy")["counts"][:].shape == (len(loaded["train"]), 400)


def test_anyone_can_load_it_in_four_splits_and_stream_it(folder, splits, tmp_path):
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in loaded.items()} == {
        name: len(splits[name]) for name in SPLITS
    }
    assert loaded["train"].features == contract_features()
    streamed = load_dataset(str(folder), split="test", streaming=True)
    first = next(iter(streamed))
    assert first["source_name"] == splits["test"]["source_name"][0].as_py()
    assert len(first["counts"]) == 400
    assert set(first["summary"]) == {"identity", "spectrum", "context"}


def test_the_card_names_the_splits_and_says_what_is_simulated(folder):
    card = (folder / "README.md").read_text()
    for name in SPLITS:
        assert f"- split: {name}\n    path: data/{name}-*.parquet" in card
    assert "**Simulated.**" in card
    assert "license:" in card
    assert "| `powlaw_nh` | float or null | 1e20 cm-2 |" in card
    content = json.loads((folder / "specclip_dataset.json").read_text())
    assert len(content["energy_edges"]) == 401
    assert content["text_model"] is None


def test_null_areas_and_variables_survive(splits, tmp_path):
    table = splits["train"]
    nulls = pa.nulls(len(table), table.schema.field("effective_area").type)
    place = table.schema.get_field_index("effective_area")
    mixed = list_array(np.ones((len(table), 400), dtype=np.float32)).take(
        pa.array([0, None, *range(2, len(table))])
    )
    for number, column in enumerate((nulls, mixed.cast(nulls.type))):
        changed = table.set_column(place, table.schema.field(place), column)
        out = write_dataset(tmp_path / f"a{number}", {**splits, "train": changed}, INFO)
        loaded, _ = read_dataset(out)
        back = loaded["train"]["effective_area"][:3]
        assert back[1] is None
        assert (back[0] is None) == (number == 0)
        assert len(loaded["train"]["effective_area"][2] or [0] * 400) == 400


def test_a_text_embedding_travels_along(splits, tmp_path):
    with_text = {
        name: table.append_column(
            "text_embedding", list_array(np.full((len(table), 12), 0.5, dtype=np.float32))
        )
        for name, table in splits.items()
    }
    out = write_dataset(tmp_path / "set", with_text, replace(INFO, text_model="tiny"))
    loaded, info = read_dataset(out)
    assert info.text_model == "tiny"
    assert loaded["test"].with_format("numpy")["text_embedding"][:].shape[1] == 12
    some = {**with_text, "test": splits["test"]}
    with pytest.raises(DatasetFolderError, match="embed all or none"):
        write_dataset(tmp_path / "other", some, INFO)


def test_columns_that_may_be_null_may_be_absent(splits, tmp_path):
    bare = {
        name: table.drop_columns(["effective_area", "theta", "powlaw_nh", "apec_kt_lolim"])
        for name, table in splits.items()
    }
    out = tmp_path / "set"
    (out / "data").mkdir(parents=True)
    for name, table in bare.items():
        pq.write_table(table, out / "data" / f"{name}-0.parquet")
    with pytest.warns(UserWarning, match=r"specclip_dataset\.json"):
        loaded, info = load(out, tmp_path / "cache")
    assert loaded["train"].features == contract_features()
    assert loaded["train"]["theta"][0] is None
    assert info.n_bins == 400


BROKEN = [
    ("counts", lambda v: [[-1] + row[1:] for row in v], "row 0, column 'counts'.*negative"),
    ("exposure", lambda v: [v[0], 0.0, *v[2:]], "row 1, column 'exposure'.*seconds"),
    ("background_scale", lambda v: [-1.0, *v[1:]], "row 0, column 'background_scale'"),
    ("hard_hs", lambda v: [*v[:2], -999.0, *v[3:]], "row 2, column 'hard_hs'.*null"),
    ("powlaw_nh_hilim", lambda v: [float("nan"), *v[1:]], "column 'powlaw_nh_hilim'.*null"),
    ("source_name", lambda v: [None, *v[1:]], "row 0, column 'source_name': is null"),
    ("group", lambda v: ["", *v[1:]], "row 0, column 'group'"),
    ("dec", lambda v: [91.0, *v[1:]], "column 'dec'.*degrees"),
    (
        "summary",
        lambda v: [{"identity": "", "spectrum": None, "context": None}, *v[1:]],
        "row 0, column 'summary'.*remove it",
    ),
    ("effective_area", lambda v: [[-1.0] * 400, *v[1:]], "column 'effective_area'"),
]


@pytest.mark.parametrize(("column", "change", "message"), BROKEN, ids=[b[0] for b in BROKEN])
def test_broken_rows_are_named_and_nothing_is_left(column, change, message, splits, tmp_path):
    values = change(splits["train"][column].to_pylist())
    broken = {**splits, "train": replaced(splits["train"], column, values)}
    with pytest.raises(ContractError, match=message):
        write_dataset(tmp_path / "set", broken, INFO)
    assert list(tmp_path.iterdir()) == []


def test_unknown_and_missing_columns_are_refused(splits):
    table = splits["train"]
    with pytest.raises(ContractError, match="'mood'"):
        conform_table(table.append_column("mood", pa.nulls(len(table), pa.string())))
    with pytest.raises(ContractError, match=r"'exposure'.*live time.*missing"):
        conform_table(table.drop_columns(["exposure"]))
    wrong = table.drop_columns(["exposure"]).append_column("exposure", table["source_name"])
    with pytest.raises(ContractError, match="'exposure' has type"):
        conform_table(wrong)


def test_a_group_in_two_splits_is_refused(splits, tmp_path):
    leaking = {**splits, "test": splits["train"].slice(0, 3)}
    with pytest.raises(ContractError, match="is in 'train' and in 'test'"):
        write_dataset(tmp_path / "set", leaking, INFO)


def test_only_datasets_are_replaced(splits, tmp_path):
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years of work")
    with pytest.raises(DatasetFolderError, match="something else"):
        write_dataset(mine, splits, INFO, overwrite=True)
    assert (mine / "chapter.tex").read_text() == "years of work"
    out = write_dataset(tmp_path / "set", splits, INFO)
    with pytest.raises(DatasetFolderError, match="already holds a dataset"):
        write_dataset(out, splits, INFO)
    write_dataset(out, splits, replace(INFO, seed=9), overwrite=True)
    assert json.loads((out / "specclip_dataset.json").read_text())["seed"] == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "thesis"]
    (out / "my_notes.txt").write_text("keep")
    with pytest.raises(DatasetFolderError, match=r"my_notes\.txt"):
        write_dataset(out, splits, INFO, overwrite=True)
    assert (out / "my_notes.txt").read_text() == "keep"


def test_damaged_folders_are_named(folder, splits, tmp_path):
    with pytest.raises(DatasetFolderError, match="not a folder"):
        read_dataset(tmp_path / "absent")
    with pytest.raises(DatasetFolderError, match="neither"):
        load(tmp_path)
    with pytest.raises(DatasetFolderError, match="neither a folder nor a dataset id"):
        load("runs/demo/dataset-with-a-typo")
    with pytest.raises(
        DatasetFolderError, match="not a local folder, and loading it from the Hub failed"
    ):
        load("nobody/nothing", tmp_path / "cache")
    about, test = "specclip_dataset.json", "data/test-00000-of-00001.parquet"
    copy = tmp_path / "copy"
    for name, content, message in (
        (about, b"{", "not JSON"),
        (about, b"[]", "not a JSON object"),
        (about, b'{"format_version": 99}', "reads 1"),
        (about, b'{"energy_edges": [2, 1]}', "equal bins"),
        (about, b'{"simulated": "no"}', "simulated"),
        (test, b"PAR1", "loaded"),
        (test, None, "test"),
    ):
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        (copy / name).unlink() if content is None else (copy / name).write_bytes(content)
        with pytest.raises(DatasetFolderError, match=message):
            read_dataset(copy)
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    pq.write_table(splits["train"].slice(1), copy / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(DatasetFolderError, match="incomplete"):
        read_dataset(copy)


def test_spectra_of_another_length_need_their_description(splits, tmp_path):
    def short(table):
        for name in ("counts", "background_counts", "effective_area"):
            values = np.array(table[name].to_pylist())[:, :100]
            kind = np.float32 if name == "effective_area" else np.int32
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, list_array(values.astype(kind)))
        return table

    parts = {name: short(table) for name, table in splits.items() if len(table)}
    info = replace(INFO, n_bins=100, energy_range=(0.5, 2.375))
    out = write_dataset(tmp_path / "set", parts, info)
    _, read = read_dataset(out)
    assert read.n_bins == 100
    assert read.energy_range == (0.5, 2.375)
    with pytest.raises(ContractError, match="counts"):
        write_dataset(tmp_path / "wrong", parts, INFO)


def test_too_few_groups_for_four_splits_still_load(splits, tmp_path):
    out = write_dataset(tmp_path / "set", {"train": splits["train"]}, INFO)
    loaded, _ = read_dataset(out)
    assert {name: len(part) for name, part in loaded.items()} == {
        "train": len(splits["train"]), "calibration": 0, "validation": 0, "test": 0
    }  # fmt: skip
    assert loaded["test"].features == contract_features()
    assert list(load_dataset(str(out), cache_dir=str(tmp_path / "cache"))) == ["train"]
    with pytest.raises(DatasetFolderError, match="no rows"):
        write_dataset(tmp_path / "none", {}, INFO)


def test_rows_that_others_wrote_are_checked(folder, tmp_path):
    """Right types are not yet right values."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    (path,) = (copy / "data").glob("validation-*.parquet")
    table = pq.read_table(path)
    pq.write_table(replaced(table, "exposure", [float("nan")] * len(table)), path)
    with pytest.raises(ContractError, match="exposure"):
        read_dataset(copy)
