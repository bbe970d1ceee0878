"""A dataset of one's own table or files: what is taken, what is left out, and how it is told."""

import csv
import shutil
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table
from chandra_pha import write_arf, write_pha, write_spectra
from datasets import load_dataset

from hf_specclip.search.build import detection_entries
from hf_specclip.spectra import XRaySpectrum, read_spectrum
from specclip_datasets import DatasetFolderError, from_files, from_table
from specclip_datasets.__main__ import main
from specclip_datasets.contract import contract_features
from specclip_datasets.from_table.read_table import OwnTableError
from specclip_datasets.tables.columns import CHANNEL_EDGES


def rows_of(report):
    files = sorted((report.folder / "data").glob("*.parquet"))
    return {row["source_name"]: row for file in files for row in pq.read_table(file).to_pylist()}


def counts_table(n=8, channels=1024, **columns):
    """Rows of counts, each a source far from the others with a text of its own."""
    table = Table()
    table["name"] = [f"S{i}" for i in range(n)]
    table["RAJ2000"] = np.arange(n) * 10.0
    table["DEJ2000"] = np.arange(n) * 2.0
    table["counts"] = np.random.default_rng(0).poisson(0.5, (n, channels))
    table["exposure"] = np.full(n, 1e4)
    table["abstract"] = [f"Text {i}." for i in range(n)]
    for name, values in columns.items():
        table[name] = values
    return table


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "spectra"
    folder.mkdir()
    write_spectra(folder)
    write_arf(folder / "0.arf")
    return folder


def write_csv(path, rows, encoding="utf-8-sig"):
    with path.open("w", encoding=encoding, newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)
    return path


def test_a_csv_of_files_and_what_is_left_out_of_it(spectra, tmp_path, capsys):
    good = {"Source": "α Cen", "pha": "0.pha", "abstract": 'A "star", near.', "RA": "14:39:36.5",
            "DEC": "-60:50:02", "kind": "Star", "powlaw_nh": "<5", "more": "x"}  # fmt: skip
    table = write_csv(tmp_path / "t.csv", [
        good,
        good | {"Source": "B", "pha": "1.pha", "RA": "-10.5", "DEC": "+60d", "powlaw_nh": "12"},
        good | {"Source": "C", "pha": "missing.pha"},
        good | {"Source": "D", "abstract": ""},
        good | {"Source": "E", "DEC": "91"},
        good | {"Source": "F", "pha": "../t.csv"},
        good | {"Source": "=cmd()", "pha": "0.arf"},
    ])  # fmt: skip
    words = ["from-table", str(table), "--spectra", str(spectra), "-o", str(tmp_path / "mine")]
    words += ["--text", "abstract", "--name", "source", "--columns", "label=kind"]

    assert main(words) == 0

    printed = capsys.readouterr()
    assert "Source → source_name, pha → file" in printed.out
    assert "columns not used: more" in printed.out
    assert "5 cells of powlaw_nh are not numbers ('<5' is not a number): left empty" in printed.out
    assert "powlaw_nh in 1e20 cm-2" in printed.out
    assert "2 rows: energies taken as ACIS PI channels of 14.6 eV (no RMF)" in printed.out
    assert "left out: row 3, missing.pha: is not in" in printed.err
    with (tmp_path / "mine.left_out.csv").open(newline="") as file:
        left_out = list(csv.DictReader(file))
    assert [line["row"] for line in left_out] == ["3", "4", "5", "6", "7"]
    reasons = [
        "is not in",
        "has no text in abstract",
        "is out of range",
        "lies outside",
        "no SPECTRUM",
    ]
    for line, reason in zip(left_out, reasons, strict=True):
        assert reason in line["reason"]
    assert left_out[4]["source"] == "'=cmd()"

    splits = load_dataset(str(tmp_path / "mine"), cache_dir=str(tmp_path / "cache"))
    rows = {row["source_name"]: row for part in splits.values() for row in part}
    assert next(iter(splits.values())).features == contract_features()
    assert set(rows) == {"α Cen", "B"}
    assert rows["α Cen"]["ra"] == pytest.approx(219.902083, abs=1e-5)
    assert rows["α Cen"]["dec"] == pytest.approx(-60.833889, abs=1e-5)
    assert (rows["B"]["ra"], rows["B"]["dec"]) == (349.5, 60.0)
    assert (rows["α Cen"]["powlaw_nh"], rows["B"]["powlaw_nh"]) == (None, 12.0)
    assert rows["B"]["effective_area"] is None
    assert rows["B"]["source_class"] == "Star"
    spectrum = read_spectrum(spectra / "0.pha").replace(source_name="α Cen")
    assert rows["α Cen"]["counts"] == spectrum.rebinned()["counts"].tolist()
    np.testing.assert_allclose(rows["α Cen"]["effective_area"], 400.0)


@pytest.mark.parametrize("name", ["t.fits", "t.vot", "t.ecsv", "t.parquet"])
def test_masked_values_and_units_of_each_format(name, tmp_path):
    table = counts_table(
        RAJ2000=MaskedColumn(np.radians(np.arange(8) * 10.0), mask=[0, 1, *[0] * 6], unit="rad"),
        exposure=MaskedColumn(np.full(8, 10.0), mask=[0, 0, 1, *[0] * 5], unit="ks"),
        powlaw_nh=MaskedColumn(np.full(8, 3e21), mask=[1, *[0] * 7], unit="cm-2"),
    )
    if name.endswith("parquet"):  # lists of any length, float64, null; units in the names
        columns = {
            "RAJ2000 [rad]": table["RAJ2000"].tolist(), "exposure [ks]": table["exposure"].tolist(),
            "powlaw_nh (cm-2)": table["powlaw_nh"].tolist(),
            "counts": table["counts"].astype(float).tolist(),
            **{n: table[n].tolist() for n in ("name", "DEJ2000", "abstract")},
        }  # fmt: skip
        pq.write_table(pa.table(columns), tmp_path / name)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table.write(tmp_path / name, format="votable" if name.endswith("vot") else None)

    report = from_table(tmp_path / name, tmp_path / "mine")

    rows = rows_of(report)
    assert [str(each) for each in report.left_out] == [
        "row 3: has counts and no exposure (live time in seconds)"
    ]
    assert report.rows == len(rows) == 7
    assert rows["S1"]["ra"] is None
    assert rows["S3"]["ra"] == pytest.approx(30.0)
    assert rows["S3"]["exposure"] == pytest.approx(1e4)
    assert rows["S0"]["powlaw_nh"] is None
    assert rows["S3"]["powlaw_nh"] == pytest.approx(30.0)
    channels = np.asarray(table["counts"][3])
    # Without an observation number, the seed is that of the counts.
    spectrum = XRaySpectrum(counts=channels, energy_edges=CHANNEL_EDGES, exposure=1.0)
    assert rows["S3"]["counts"] == spectrum.rebinned()["counts"].tolist()
    assert "7 rows: energies taken as 1,024 PI channels of ACIS, 14.6 eV each" in report.notes
    assert rows["S3"]["obsid"] < 0
    names = ("counts", "exposure", "obsid")
    columns = {name: [row[name] for row in rows.values()] for name in names}
    assert "obsid" not in {k for k, v in detection_entries(columns)[0].items() if v}


def test_files_are_matched_by_the_beginning_of_their_names(tmp_path):
    for name in ("NGC1-ep2.pha", "ngc_1_b.pha", "ngc_10.pha", "ngc_1_bkg.pha", "other.pha"):
        write_pha(tmp_path / name, np.arange(1024) % 5)
    table = write_csv(tmp_path / "t.csv", [
        {"name": name, "text": f"About {name}."} for name in ("NGC 1", "NGC 10", "NGC 2")
    ])  # fmt: skip
    report = from_table(table, tmp_path / "mine", spectra=tmp_path)
    assert (report.rows, sorted(rows_of(report))) == (3, ["NGC 1", "NGC 10"])
    assert "begins as the source's" in report.left_out[0].reason
    assert "1 spectrum files match no row" in report.notes


def test_rows_that_share_a_place_text_or_spectrum_are_one_group(tmp_path):
    table = counts_table(12, 400)
    table["RAJ2000"][1], table["DEJ2000"][1] = 4 / 3600, 0.0  # 4″ from the first
    table["abstract"][3] = "TEXT  2."
    table["counts"][5] = table["counts"][4]
    table["name"][7] = "s 6"
    table.write(tmp_path / "t.ecsv")
    report = from_table(tmp_path / "t.ecsv", tmp_path / "mine")
    rows = rows_of(report)
    pairs = [("S0", "S1"), ("S2", "S3"), ("S4", "S5"), ("S6", "s 6")]
    assert all(rows[one]["group"] == rows[other]["group"] for one, other in pairs)
    assert len({row["group"] for row in rows.values()}) == 8
    assert "12 rows of 12 sources in 8 groups" in report.groups
    for reason in ("position (1)", "text (1)", "spectrum (1)", "name (1)"):
        assert reason in report.groups


def test_a_dataset_is_a_table_and_comes_back_as_it_was(tmp_path):
    columns = {"hard_hs": np.linspace(-1, 1, 8), "bibcode": ["2020ApJ...900..123A"] * 8}
    counts_table(8, 400, **columns).write(tmp_path / "t.ecsv")
    first = from_table(tmp_path / "t.ecsv", tmp_path / "first")
    train = sorted((first.folder / "data").glob("train*"))[0]
    again = rows_of(from_table(train, tmp_path / "again"))
    before = rows_of(first)
    assert again
    for name, row in again.items():
        row["group"] = before[name]["group"]
        assert row | {"obsid": 0} == before[name] | {"obsid": 0}
    assert again["S3"]["papers"][0]["id_type"] == "bibcode"


def test_texts_lie_beside_their_spectra_or_in_a_folder(spectra, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "0.txt").write_text("A soft source.")
    (notes / "1.md").write_bytes("\ufeffA *hard* source.".encode())
    (notes / "caf\udce9.txt").write_text("No UTF-8 in its name.")
    shutil.copy(spectra / "0.pha", notes / "caf\udce9.pha")
    files = [*(spectra / f"{number}.pha" for number in range(4)), notes / "caf\udce9.pha"]
    report = from_files(files, tmp_path / "mine", text_folder=notes)
    rows = rows_of(report)
    assert {name: row["summary"]["identity"] for name, row in rows.items()} == {
        "0": "A soft source.", "1": "A *hard* source.", r"caf\udce9": "No UTF-8 in its name."
    }  # fmt: skip
    assert ["no text: 2.txt" in report.left_out[0].reason, report.left_out[1].reason] == [
        True, "is not there"
    ]  # fmt: skip


def test_a_csv_of_a_spreadsheet_or_with_comments(spectra, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("name;pha;Text (ADS);ra;DE_deg\nA;0.pha;Soft, near;187,5;-2,25\nB;1.pha\n")
    report = from_table(table, tmp_path / "a", spectra=spectra, text=["Text (ADS)"])
    row = rows_of(report)["A"]
    assert (row["ra"], row["dec"], row["summary"]["identity"]) == (187.5, -2.25, "Soft, near")
    assert report.left_out[0].reason.startswith("has 2 cells where the header has 5")
    table.write_text("# made by hand\n# name,pha,text\nA,0.pha,Soft\n")
    assert list(rows_of(from_table(table, tmp_path / "b", spectra=spectra))) == ["A"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": ["words"]}, "has no column 'words': it has name, RAJ2000"),
        ({"text": ["name", "abstract"]}, "one column, or three"),
        ({"columns": {"kind": "name"}}, "'kind' is not a column role: use source_name"),
        ({"columns": {"counts": "name"}}, "no column of spectrum files or lists of counts"),
        ({"columns": {"exposure": "RAJ2000"}}, "column 'RAJ2000' has the unit deg, which is no s"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(settings, message, tmp_path):
    table = counts_table(3, 400)
    table["RAJ2000"].unit = "deg"
    table.write(tmp_path / "t.ecsv")
    with pytest.raises(OwnTableError, match=message):
        from_table(tmp_path / "t.ecsv", tmp_path / "mine", **settings)


def test_nothing_usable_is_an_error_with_a_report(tmp_path):
    counts_table(3, 300).write(tmp_path / "t.ecsv")
    with pytest.raises(OwnTableError, match=r"no row of t.ecsv can be used; row 1: 300 counts are"):
        from_table(tmp_path / "t.ecsv", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    assert len((tmp_path / "mine.left_out.csv").read_text().splitlines()) == 4
    (tmp_path / "empty.csv").write_text("name,text\n")
    with pytest.raises(OwnTableError, match="holds no rows"):
        from_table(tmp_path / "empty.csv", tmp_path / "mine")
    with pytest.raises(DatasetFolderError):
        from_table(tmp_path / "t.ecsv", tmp_path)
