"""Local tables into the contract: what is kept, what is refused, and how it is told."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ogip_writer import arf_hdu, write

from specclip_datasets import LocalTables, LocalTablesError, load, read_dataset
from specclip_datasets.__main__ import main
from specclip_datasets.contract import SPLITS
from specclip_datasets.tables.plan import identify

ABSTRACT = (
    "We present an X-ray study of {name}. The spectrum is an absorbed power law with a photon "
    "index of 1.7 and a column density of 2e21 cm^-2. The source is a low-mass X-ray binary."
)


def paper(number, name="X", **more):
    return {
        "id": f"0704.{number:04d}",
        "title": f"On {name}",
        "abstract": ABSTRACT.format(name=name),
        "about": "source",
        "xray": True,
        **more,
    }


def make_tables(folder, n_sources=24, group=None, papers=None, **columns):
    """A folder of tables: source i is seen in observations i and 100 + i."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"2CXO J00{i:04d}.0+000000" for i in range(n_sources)]
    survey = paper(9999, "a survey", about="host")
    if papers is None:
        papers = [[paper(i, names[i]), *([survey] if i % 2 else [])] for i in range(n_sources)]
    sources = {
        "name": names,
        "aliases": [[f"X-{i}"] for i in range(n_sources)],
        "host": [None] * n_sources,
        "source_class": ["LMXB"] * n_sources,
        "papers": papers,
    }
    if group is not None:
        sources["group"] = group
    pq.write_table(pa.table(sources), folder / "sources.parquet")
    random = np.random.default_rng(1)
    n = 2 * n_sources
    rows = {
        "name": names * 2,
        "obsid": [*range(1, n_sources + 1), *range(101, n_sources + 101)],
        "obi": [0] * n,
        "region_id": [1] * n,
        "ra": random.uniform(0, 360, n),
        "dec": random.uniform(-80, 80, n),
        "livetime": np.full(n, 1e4, dtype=np.float32),
        "background_scale": np.full(n, 0.05),
        "pi_counts": list(random.poisson(0.3, (n, 1024))),
        "pi_background": list(random.poisson(0.2, (n, 1024))),
        "response": ["here"] * n,
        "detector": ["ACIS-7"] * n,
        "theta": np.full(n, 2.0),
        "hard_hs": np.where(np.arange(n) % 3 == 0, np.nan, 0.25),
        "powlaw_nh": np.where(np.arange(n) % 3 == 0, -999.0, 12.5),
    }
    rows.update(columns)
    rows = {name: values for name, values in rows.items() if values is not None}
    pq.write_table(pa.table(rows), folder / "detections.parquet")
    (folder / "responses").mkdir(exist_ok=True)
    edges = np.linspace(0.3, 10.0, 98)
    write(folder / "responses" / "here.arf", arf_hdu(100 * (edges[:-1] + 0.05), edges))
    (folder / "responses.json").write_text(json.dumps({"here": {"arf": "here.arf"}}))
    return folder


@pytest.fixture
def tables(tmp_path):
    return make_tables(tmp_path / "tables")


def rows_of(folder, tmp_path, **settings):
    builder = LocalTables(folder, **settings)
    splits, _ = read_dataset(builder.write(tmp_path / "built"))
    return builder, [row for part in splits.values() for row in part]


def test_tables_become_rows(tables, tmp_path):
    builder, rows = rows_of(tables, tmp_path)
    assert len(rows) == 48
    source = pq.read_table(tables / "detections.parquet").to_pylist()
    by_key = {(row["source_name"], row["obsid"]): row for row in rows}
    for detection in source:
        row = by_key[detection["name"], detection["obsid"]]
        channels = np.array(detection["pi_counts"])
        # Channel c covers (c − 1)·14.6 to c·14.6 eV: 36 to 547 lie wholly inside 0.5–8 keV,
        # and 35 and 548 stick out of it.
        inside, touching = channels[35:547].sum(), channels[34:548].sum()
        assert inside <= sum(row["counts"]) <= touching
        assert row["exposure"] == 1e4
        assert row["theta"] == 2.0
        assert row["year"] is None
        assert row["apec_kt"] is None
        assert np.isnan(detection["hard_hs"]) == (row["hard_hs"] is None)
        assert (row["powlaw_nh"] is None) == (detection["powlaw_nh"] == -999.0)
        assert row["papers"][0]["id_type"] == "arxiv"
        assert row["papers"][0]["year"] == 2007
        assert "power law" in " ".join(filter(None, row["summary"].values()))
    centres = 0.5 + (np.arange(400) + 0.5) * 0.01875
    np.testing.assert_allclose(rows[0]["effective_area"], 100.0 * centres, rtol=1e-4)
    assert builder.plan.counts.rows == 48


def test_abstracts_as_they_are_of_x_ray_papers_about_the_source_alone(tmp_path):
    about = {"about": "source", "xray": True, "title": "A star.", "abstract": "It is soft. We fit."}
    papers = [
        [{"id": f"0701.{i:05d}", **about, "about": "host" if i % 3 == 0 else "source",
          "xray": i % 3 != 1}]
        for i in range(24)
    ]  # fmt: skip
    folder = make_tables(tmp_path / "tables", papers=papers)
    _, rows = rows_of(folder, tmp_path, abstracts=True)
    assert {row["source_name"] for row in rows} == {
        f"2CXO J00{i:04d}.0+000000" for i in range(2, 24, 3)
    }
    assert {row["summary"]["identity"] for row in rows} == {"A star. It is soft. We fit."}
    assert {row["summary"]["spectrum"] for row in rows} == {None}
    assert {row["writer"] for row in rows} == {"title and abstract"}


def test_detections_need_no_texts(tmp_path):
    papers = [[] for _ in range(24)]
    builder = LocalTables(make_tables(tmp_path / "tables", papers=papers, group=["g"] * 24))
    rows = builder.detections()
    assert len(rows) == 48
    assert rows["group"].unique().to_pylist() == ["g"]
    assert rows["source_class"].unique().to_pylist() == ["LMXB"]
    assert "summary" not in rows.column_names


def test_dealing_depends_on_the_detection_alone(tables, tmp_path):
    _, rows = rows_of(tables, tmp_path)
    whole = pq.read_table(tables / "detections.parquet")
    order = np.random.default_rng(0).permutation(len(whole))
    pq.write_table(whole.take(order), tables / "detections.parquet")
    _, again = rows_of(tables, tmp_path / "again")
    key = {(row["source_name"], row["obsid"]): row["counts"] for row in rows}
    assert all(key[row["source_name"], row["obsid"]] == row["counts"] for row in again)


def test_sources_that_only_surveys_know_are_left_out(tmp_path):
    survey = paper(1, "a survey")
    papers = [[survey] for _ in range(22)] + [[], [survey, paper(2, "S23")]]
    folder = make_tables(tmp_path / "tables", papers=papers)
    builder, rows = rows_of(folder, tmp_path)
    assert len(rows) == 2
    counts = builder.plan.counts
    assert (counts.without_papers, counts.survey_only) == (1, 22)
    assert "22 only papers behind more" in str(counts)
    _, kept = rows_of(folder, tmp_path / "kept", keep_survey_only=True)
    assert len(kept) == 46
    _, lenient = rows_of(folder, tmp_path / "lenient", survey_limit=30)
    assert len(lenient) == 46
    assert len({row["group"] for row in lenient}) == 1


def test_groups_are_connected_components_unless_the_table_has_its_own(tmp_path):
    obsids = [*range(1, 25), *range(101, 125)]
    obsids[1] = obsids[0]  # sources 0 and 1 share an observation
    folder = make_tables(tmp_path / "tables", obsid=obsids)
    _, rows = rows_of(folder, tmp_path)
    groups = {row["source_name"]: row["group"] for row in rows}
    names = sorted(groups)
    assert groups[names[0]] == groups[names[1]] == names[0]
    assert groups[names[2]] == names[2]
    own = make_tables(tmp_path / "own", group=[f"G{i // 6}" for i in range(24)])
    _, rows = rows_of(own, tmp_path / "b")
    assert {row["group"] for row in rows} == {"G0", "G1", "G2", "G3"}


WRONG = {
    "missing column": ({"livetime": None}, r"detections\.parquet: columns \['livetime'\]"),
    "negative counts": (
        {"pi_counts": [[-1] + [0] * 1023] * 48},
        r"row \d+, column 'pi_counts': channel 1 holds -1; .*do not subtract the background",
    ),
    "fractional counts": (
        {"pi_counts": [[0.5] + [0.0] * 1023] * 48},
        "column 'pi_counts': channel 1 holds 0.5",
    ),
    "few channels": ({"pi_background": [[0] * 1000] * 48}, "has 1000 channels; give 1024"),
    "no exposure": ({"livetime": [0.0] * 48}, "column 'livetime': is 0.0; give the live time"),
    "sentinel": ({"background_scale": [-999.0] * 48}, "column 'background_scale': is missing"),
    "position": ({"dec": [95.0] * 48}, "column 'dec': is 95.0; give degrees"),
    "response": ({"response": ["there"] * 48}, r"'there' is not in responses\.json"),
    "unknown source": ({"name": ["who?"] * 48}, r"row 0, column 'name': 'who\?' is not in"),
    "text for a number": ({"hard_hs": ["soft"] * 48}, "column 'hard_hs': has type string"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_tables_are_named_by_file_column_row_and_mend(case, tmp_path):
    columns, message = WRONG[case]
    folder = make_tables(tmp_path / "tables", **columns)
    with pytest.raises(LocalTablesError, match=message):
        rows_of(folder, tmp_path)


def test_wrong_sources_are_named(tmp_path):
    folder = make_tables(tmp_path / "a", papers=[[{"title": "no id"}]] * 24)
    with pytest.raises(LocalTablesError, match=r"sources\.parquet, row 0, column 'papers'"):
        rows_of(folder, tmp_path)
    folder = make_tables(tmp_path / "b", group=[None] + ["G"] * 23)
    with pytest.raises(LocalTablesError, match="row 0, column 'group'"):
        rows_of(folder, tmp_path)
    table = pq.read_table(folder / "sources.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), folder / "sources.parquet")
    with pytest.raises(LocalTablesError, match=r"row 24, column 'name'.*twice"):
        rows_of(folder, tmp_path)
    (folder / "sources.parquet").write_bytes(b"nonsense")
    with pytest.raises(LocalTablesError, match="cannot be read as Parquet"):
        rows_of(folder, tmp_path)
    with pytest.raises(LocalTablesError, match="right folder"):
        LocalTables(tmp_path / "nowhere")


def test_a_response_may_not_point_out_of_the_folder(tables, tmp_path):
    (tables / "responses.json").write_text(json.dumps({"here": {"arf": "../../secret.arf"}}))
    with pytest.raises(LocalTablesError, match="must be a file name"):
        rows_of(tables, tmp_path)


def test_load_builds_tables_once(tables, tmp_path, capsys):
    splits, info = load(tables, tmp_path / "cache")
    assert "48 of 48 detections" in capsys.readouterr().out
    assert list(splits) == list(SPLITS)
    assert info.builder == "local_tables"
    assert len(list((tmp_path / "cache" / "specclip").iterdir())) == 1
    load(tables, tmp_path / "cache")
    assert "detections became rows" not in capsys.readouterr().out
    make_tables(tables, n_sources=12)
    load(tables, tmp_path / "cache")
    assert "24 of 24 detections" in capsys.readouterr().out


def test_command_line(tables, tmp_path, capsys):
    assert main(["tables", str(tables), "--output", str(tmp_path / "out")]) == 0
    assert "48 pairs" in capsys.readouterr().out
    assert main(["tables", str(tmp_path), "--output", str(tmp_path / "o2")]) == 2
    assert "right folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("identifier", "kind", "year"),
    [
        ("1801.05839", "arxiv", 2018),
        ("astro-ph/9901001", "arxiv", 1999),
        ("astro-ph/0101001", "arxiv", 2001),
        ("2010ApJS..189...37E", "bibcode", 2010),
        ("10.1086/590000", "doi", None),
        ("something", "arxiv", None),
    ],
)
def test_identifiers_tell_their_kind_and_year(identifier, kind, year):
    assert identify(identifier) == (kind, year)
