"""Index with spectra: names, conditions, added entries, maps and hostile files."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from stub_embedder import unit

from hf_specclip import IndexFilter, SpecCLIPIndex
from hf_specclip.describe.inputs import stored_spectrum
from hf_specclip.errors import FileFormatError
from hf_specclip.search.build import build_index
from hf_specclip.search.map import compute_map, interpolate_map
from hf_specclip.search.names import normalise_name

N, D = 40, 6


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    source = np.arange(N) // 2  # two detections a source, four a text
    return {
        "columns": {
            "counts": random.poisson(1, (N, 20)).astype(np.int32),
            "background_counts": random.poisson(1, (N, 20)).astype(np.int32),
            "background_scale": np.full(N, 0.1, np.float32),
            "exposure": np.linspace(1e3, 1e4, N).astype(np.float32),
            "source_name": [f"2CXO J{s:06d}.0+000000" for s in source],
            "obsid": list(range(N)),
            "ra": [float(9 * s) for s in source],
            "dec": [0.5] * N,
            "source_class": [["LMXB", "QSO", None][s % 3] for s in source],
            "group": [f"g{s // 2}" for s in source],
        },
        "vectors": unit(random.normal(size=(N, D))),
        "text_of": np.arange(N) // 4,
        "texts": unit(random.normal(size=(N // 4, D))),
    }


def build(rows, columns, cuts):
    """Index of rows, each split a slice of them."""
    entries = [
        {"id": f"t{i}", "source_names": [], "papers": [], "summary": {}, "split": "train"}
        for i in range(N // 4)
    ]
    cut = {
        split: {name: values[some] for name, values in columns.items()}
        for split, some in cuts.items()
    }
    parts = (
        {split: rows[name][some] for split, some in cuts.items()} for name in ("vectors", "text_of")
    )
    return build_index(
        entries, rows["texts"], cut, *parts, energy_range=(0.5, 8.0), about={"simulated": True}
    )


@pytest.fixture
def index(rows):
    cuts = {"train": slice(N // 2), "test": slice(N // 2, N), "calibration": slice(0)}
    return build(rows, rows["columns"], cuts)


def test_effective_areas_are_stored_for_models_that_use_them(rows, tmp_path):
    area = np.linspace(10.0, 700.0, 20, dtype=np.float32).repeat(N).reshape(20, N).T.copy()
    area[3] = np.nan  # not known
    built = build(rows, {**rows["columns"], "effective_area": area}, {"train": slice(N)})
    built.save(tmp_path / "index")
    loaded = SpecCLIPIndex.load(tmp_path / "index")
    _, known = stored_spectrum(loaded, 2)
    _, unknown = stored_spectrum(loaded, 3)
    np.testing.assert_allclose(known["effective_area"], area[2], rtol=1e-3)
    assert unknown["effective_area"] is None


def test_both_directions_and_both_kinds(index):
    texts, spectra = index.embeddings, index.spectra.embeddings
    for query, bank, kind in (
        (spectra[3], texts, "papers"),
        (texts[2], spectra, "spectra"),
        (spectra[3], spectra, "spectra"),
        (texts[2], texts, "papers"),
    ):
        expected = np.argsort(-(bank @ query), kind="stable")[:4]
        _, hits = index.search(np.stack([-query, 3 * query]), 4, kind=kind)
        assert [hit.row for hit in hits] == expected.tolist()
        assert [hit.rank for hit in hits] == [1, 2, 3, 4]
        np.testing.assert_allclose([hit.score for hit in hits], bank[expected] @ query, rtol=1e-5)
        assert [hit.entry for hit in hits] == [index.part(kind).entries[i] for i in expected]
    with pytest.raises(ValueError, match="papers, spectra"):
        index.search(spectra[0], kind="books")


def test_entries_hold_the_known_properties(index, rows):
    entry = index.spectra.entries[21]
    assert entry["split"] == "test"
    assert entry["text"] == "t5"
    assert entry["counts"] == int(rows["columns"]["counts"][21].sum())
    assert entry["obsid"] == 21
    assert "class" not in index.spectra.entries[4]  # not known, not null
    assert index.entries[5]["groups"] == ["g5"]
    assert len({entry["id"] for entry in index.spectra.entries}) == N


def test_source_names_match_in_any_spelling(index):
    name = index.spectra.entries[10]["source_name"]
    places = index.find(name)
    assert sorted(places) == [10, 11]
    counts = [index.spectra.entries[place]["counts"] for place in places]
    assert counts == sorted(counts, reverse=True)
    short = name.removeprefix("2CXO ")
    for other in (name.lower(), name.replace(" ", ""), short, short[1:], f" {name} "):
        assert index.find(other) == places
    assert normalise_name("2CXO J004722.6-252050X") != normalise_name("2CXO J004722.6-252050")
    hits = index.search_name(name, 6)
    assert name not in {hit.entry["source_name"] for hit in hits}
    assert [hit.rank for hit in hits] == list(range(1, 7))
    assert index.search_name(name, 2, kind="papers")[0].entry["id"].startswith("t")
    with pytest.raises(KeyError, match="is not among the 20 sources"):
        index.find("2CXO J123456.7+012345")


@pytest.mark.parametrize(
    ("where", "keeps"),
    [
        ({"classes": ["lmxb"]}, lambda e: e.get("class") == "LMXB"),
        ({"counts": (20, None)}, lambda e: e["counts"] >= 20),
        ({"counts": (None, 20)}, lambda e: e["counts"] <= 20),
        ({"cone": (18.0, 0.5, 9.5)}, lambda e: e["ra"] in (9.0, 18.0, 27.0)),
        ({"cone": (359.0, 0.5, 1.5)}, lambda e: e["ra"] == 0.0),
        ({"splits": ["train"]}, lambda e: e["split"] == "train"),
        ({"without_groups": ["g0", "g3"]}, lambda e: e["group"] not in ("g0", "g3")),
        ({"classes": ["QSO"], "splits": ["test"]},
         lambda e: e.get("class") == "QSO" and e["split"] == "test"),
    ],
)  # fmt: skip
def test_conditions_equal_brute_force(index, where, keeps):
    query = index.spectra.embeddings[0]
    scores = index.spectra.embeddings @ query
    order = np.argsort(-scores, kind="stable")
    expected = [i for i in order if keeps(index.spectra.entries[i])]
    assert 0 < len(expected) < N
    hits = index.search(query, N, kind="spectra", where=IndexFilter(**where))[0]
    assert [hit.row for hit in hits] == expected


def test_conditions_on_texts_look_at_their_sources(index):
    hits = index.search(index.embeddings[0], 99, where=IndexFilter(cone=(0.0, 0.5, 0.1)))[0]
    assert [hit.entry["id"] for hit in hits] == ["t0"]
    hits = index.search(index.embeddings[0], 99, where=IndexFilter(classes=["nothing"]))
    assert hits == [[]]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"counts": (5, 1)}, "swap"),
        ({"cone": (400, 0, 1)}, "degrees"),
        ({"cone": (0, 0, 0)}, "above 0"),
        ({"classes": "LMXB"}, "a list"),
    ],
)
def test_impossible_conditions_are_refused(where, message):
    with pytest.raises(ValueError, match=message):
        IndexFilter(**where)


def test_a_folder_round_trip_is_exact(index, tmp_path):
    index.save(tmp_path / "index")
    again = SpecCLIPIndex.load(tmp_path / "index")
    assert again.entries == index.entries
    assert again.spectra.entries == index.spectra.entries
    assert again.about == index.about
    assert again.about["energy_range"] == [0.5, 8.0]
    assert again.spectra.columns["counts"].dtype == np.uint8
    for name, values in index.spectra.columns.items():
        np.testing.assert_array_equal(again.spectra.columns[name], values)
    np.testing.assert_array_equal(again.spectra.embeddings, index.spectra.embeddings)


def test_an_index_of_texts_alone_has_no_spectra(tmp_path):
    SpecCLIPIndex([{"id": "a"}, {"id": "b"}], np.eye(2)).save(tmp_path / "old")
    assert {path.name for path in (tmp_path / "old").iterdir()} == {
        "entries.jsonl", "embeddings.safetensors"
    }  # fmt: skip
    old = SpecCLIPIndex.load(tmp_path / "old")
    assert len(old.spectra) == 0
    assert old.search(np.ones(2), kind="spectra") == [[]]
    with pytest.raises(KeyError, match="no spectra"):
        old.find("2CXO J000000.0+000000")


def test_entries_are_added_and_inconsistent_ones_refused(index, tmp_path):
    before = len(index.spectra)
    columns = {name: values[:2] for name, values in index.spectra.columns.items()}
    new = [{"id": "new-1", "source_name": "mine"}, {"id": "new-2"}]
    vectors = 3.0 * np.eye(D)[:2]
    for entries, given, cols, message in (
        ([{"id": "new-1"}, {"id": "new-1"}], vectors, columns, "repeats"),
        ([{"id": index.spectra.entries[0]["id"]}, {"id": "x"}], vectors, columns, "repeats"),
        (new, np.ones((2, D + 1)), columns, "dimensions"),
        (new, vectors, {}, "differ from the index"),
        (new, np.zeros((2, D)), columns, "zero or non-finite"),
        (new, vectors, columns | {"map": np.zeros((1, 2))}, "column map"),
    ):
        with pytest.raises(ValueError, match=message):
            index.add("spectra", entries, given, cols)
        assert len(index.spectra) == before
    index.add("spectra", new, vectors, columns)
    assert index.search(np.eye(D)[0], 1, kind="spectra")[0][0].entry["id"] == "new-1"
    assert index.find("mine") == [before]
    index.add("papers", [{"id": "paper"}], np.ones((1, D)))
    index.save(tmp_path / "grown")
    again = SpecCLIPIndex.load(tmp_path / "grown")
    assert len(again.spectra) == before + 2
    assert again.entries[-1] == {"id": "paper"}
    again.add("papers", [{"id": "more"}], np.ones((1, D)))  # a mapped one grows, too
    again.save(tmp_path / "grown")
    assert len(SpecCLIPIndex.load(tmp_path / "grown")) == len(again)


def crafted(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95.",  # a pickle
        struct.pack("<Q", 1 << 60) + b"{}",
        crafted(b'{"embeddings": ' + b"[" * 100_000),
        crafted({"embeddings": {"dtype": "F32", "shape": [40, 6], "data_offsets": [0, 960]}}),
        crafted({"embeddings": {"dtype": "F32", "shape": [-1, 6], "data_offsets": [0, 0]}}),
        crafted({"embeddings": {"dtype": "F32", "shape": [1 << 40, 1 << 40],
                                "data_offsets": [0, 8]}}, b"12345678"),
        crafted({"embeddings": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        crafted({"embeddings": {"dtype": "F32", "shape": [2, 1], "data_offsets": [-8, 0]}}, b"123"),
        crafted({"other": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["embeddings.safetensors", "spectra.safetensors"])
def test_hostile_tensors_are_refused(index, tmp_path, content, name):
    index.save(tmp_path / "index")
    (tmp_path / "index" / name).write_bytes(content)
    with pytest.raises(FileFormatError, match="again"):
        SpecCLIPIndex.load(tmp_path / "index")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spectra.jsonl", b"{}\n"),
        ("spectra.jsonl", b"[" * 200_000),
        ("spectra.jsonl", b'{"id": "' + b"x" * (1 << 20) + b'"}\n'),
        ("index.json", b"[]"),
        ("index.json", b"{" * 100),
        ("index.json", b" " * (1 << 21)),
    ],
)
def test_hostile_lines_are_refused(index, tmp_path, name, content):
    index.save(tmp_path / "index")
    (tmp_path / "index" / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=name.split(".")[0]):
        SpecCLIPIndex.load(tmp_path / "index")


def test_values_of_another_form_are_refused(index, tmp_path):
    index.save(tmp_path / "index")
    lines = tmp_path / "index" / "spectra.jsonl"
    lines.write_text(lines.read_text().replace('"text": "', '"text": 1, "t": "', 1))
    with pytest.raises(FileFormatError, match="text is not a string"):
        SpecCLIPIndex.load(tmp_path / "index")
    columns = {"powlaw_gamma": np.ones((len(index.spectra), 2), np.float32)}
    entries, vectors = index.spectra.entries, index.spectra.embeddings
    spectra = {"spectra": entries, "spectrum_embeddings": vectors, "spectrum_columns": columns}
    SpecCLIPIndex(index.entries, index.papers.embeddings, **spectra).save(tmp_path / "index")
    with pytest.raises(FileFormatError, match="powlaw_gamma is"):
        SpecCLIPIndex.load(tmp_path / "index")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("exposure"), "lacks the tensor exposure"),
        (lambda tensors: tensors["map"].fill(np.nan), "map is .* not finite"),
        (lambda tensors: tensors["powlaw_gamma"].fill(np.inf), "powlaw_gamma is .* not finite"),
    ],
)
def test_damaged_columns_are_refused_by_name(index, tmp_path, change, message):
    columns = dict(index.spectra.columns)
    columns |= {"map": np.zeros((N, 2), np.float32), "powlaw_gamma": np.full(N, np.nan, np.float32)}
    parts = {"spectra": index.spectra.entries, "spectrum_embeddings": index.spectra.embeddings}
    SpecCLIPIndex(index.entries, index.papers.embeddings, **parts, spectrum_columns=columns).save(
        tmp_path / "index"
    )
    assert np.isnan(SpecCLIPIndex.load(tmp_path / "index").spectra.columns["powlaw_gamma"]).all()
    tensors = load_file(tmp_path / "index" / "spectra.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "index" / "spectra.safetensors")
    with pytest.raises(FileFormatError, match=message):
        SpecCLIPIndex.load(tmp_path / "index")


def test_a_map_keeps_neighbours_together():
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(4, 8)))
    kind = np.arange(240) % 4
    points = unit(centres[kind] + 0.15 * random.normal(size=(240, 8)))
    for some, least in ((240, 0.95), (120, 0.6)):  # by t-SNE, and few by their axes
        places = compute_map(points[:some])
        assert places.shape == (some, 2)
        apart = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        assert (kind[:some][apart.argmin(axis=1)] == kind[:some]).mean() > least
    assert np.array_equal(places, compute_map(points[:120]))
    # A point that is there already is placed beside itself.
    near = interpolate_map(points[:3], points[:120], places)
    assert np.linalg.norm(near - places[:3], axis=1).max() < 0.3 * np.ptp(places)
