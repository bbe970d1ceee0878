"""Fits of many files as a job: each spectrum a row, each failure a reason."""

import ogip_writer
import pyarrow.parquet as pq
import pytest
from accelerate import Accelerator

from hf_specclip.spectra import read_spectrum
from hf_specclip.spectra.fitting.fit import fit_spectra
from specclip_training import fit_catalogue as job


@pytest.fixture
def folder(tmp_path):
    counts = ogip_writer.COUNTS * 40
    for number in range(3):
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        ogip_writer.write_set(folder)
        names = {"BACKFILE": "src_bg.pha", "RESPFILE": "src.rmf", "ANCRFILE": "src.arf"}
        spectrum = ogip_writer.spectrum_hdu(counts + number, header=names)
        ogip_writer.write(folder / "src.pha", spectrum)
    (tmp_path / "set1" / "broken.pha").write_bytes(b"SIMPLE  = nothing")
    lonely = tmp_path / "set3"
    lonely.mkdir()
    header = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS"}
    ogip_writer.write(lonely / "lonely.pha", ogip_writer.spectrum_hdu(header=header))
    return tmp_path


def test_every_spectrum_is_a_row_and_every_failure_a_reason(folder, tmp_path):
    files = job.pha_files(folder)
    assert [path.name for path in files] == ["src.pha", "broken.pha", "src.pha", "src.pha",
                                             "lonely.pha"]  # fmt: skip
    models = ("powlaw",)
    paths = job.fit_catalogue(
        Accelerator(cpu=True), files, tmp_path / "out", models=models, progress=False
    )
    rows = pq.read_table(paths[0]).to_pylist()
    assert [row["file"] for row in rows] == [str(file) for file in files]
    [expected] = fit_spectra(read_spectrum(files[0]), models)
    for name, value in expected.columns().items():
        assert rows[0][name] == pytest.approx(value, nan_ok=True), name
    assert rows[0]["net_counts"] == pytest.approx(expected.net_counts)
    assert rows[0]["error"] is None
    assert "broken.pha" in rows[1]["error"]
    assert "no RMF" in rows[4]["error"]
    before = paths[0].read_bytes()
    again = job.fit_catalogue(
        Accelerator(cpu=True), files, tmp_path / "out", models=models, progress=False
    )
    assert again == paths
    assert paths[0].read_bytes() == before


def test_a_list_of_files_counts_from_where_it_lies(folder, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("set0/src.pha\n\nset2/src.pha\n")
    assert job.pha_files(listed) == [tmp_path / "set0/src.pha", tmp_path / "set2/src.pha"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="holds no PHA file"):
        job.pha_files(empty)
