"""Streamed spectra: the same batches on any number of processes, each reading its own files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_dataset import make_dataset, rows

from hf_specclip.errors import FileFormatError
from specclip_training import pretrain_spectrum
from specclip_training.data.pairs import thin
from specclip_training.data.parquet_rows import Lanes, ParquetRows
from specclip_training.data.streamed import SPECTRUM_COLUMNS, StreamedSpectra, stream_spectra
from specclip_training.engine.commands import call
from specclip_training.engine.draws import Draws, process_slice


@pytest.fixture(scope="module")
def table():
    return rows(240, "train", embedded=False)


@pytest.fixture(scope="module")
def files(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / "train-0.parquet", folder / "train-1.parquet"]
    pq.write_table(table.slice(0, 100), paths[0], row_group_size=8)
    pq.write_table(table.slice(100), paths[1], row_group_size=9)
    return [str(path) for path in paths]


def test_rows_come_as_they_are_asked_for(table, files):
    spectra = StreamedSpectra(files)
    assert len(spectra) == 240
    wanted = np.array([239, 0, 7, 8, 99, 100, 101, 0])
    found = spectra.spectra(wanted)
    for name in SPECTRUM_COLUMNS:
        expected = np.array(table[name].to_pylist())[wanted]
        np.testing.assert_array_equal(found[name], expected.astype(found[name].dtype))


def test_areas_are_read_where_they_are_looked_at(table, files):
    wanted = np.array([3, 0, 239, 10, 120])  # of 3 and 10 none is known
    assert "effective_area" not in StreamedSpectra(files).spectra(wanted)
    found = StreamedSpectra(files, with_area=True).spectra(wanted)
    known = [1, 2, 4]
    expected = np.array([table["effective_area"][int(wanted[i])].as_py() for i in known])
    np.testing.assert_array_equal(found["effective_area"][known], expected.astype(np.float32))
    assert np.isnan(found["effective_area"][[0, 3]]).all()
    thinned = thin(found, 0.5, Draws(0, "test", 0))
    assert thinned["effective_area"] is found["effective_area"]
    assert thinned["counts"].sum() < found["counts"].sum()


def test_only_the_row_groups_used_last_are_kept(files):
    source = ParquetRows(files, ["exposure"], keep=3)
    source.take(np.arange(0, 240, 5))
    before = source.groups_read
    source.take(np.array([239]))
    assert source.groups_read == before
    source.take(np.array([0]))
    assert source.groups_read == before + 1


def test_an_epoch_shows_each_row_at_most_once_and_epochs_differ(files):
    sizes = StreamedSpectra(files).source.sizes
    order = Lanes(0, "spectrum", sizes, lanes=4)
    epochs = [np.concatenate([order.rows(e * 15 + step, 16) for step in range(15)]) for e in (0, 1)]
    for epoch in epochs:
        assert len(np.unique(epoch)) == len(epoch) == 240
    assert not np.array_equal(*epochs)
    # Asked again, from the middle, as a resumed run does.
    again = Lanes(0, "spectrum", sizes, lanes=4)
    np.testing.assert_array_equal(again.rows(7, 16), epochs[0][7 * 16 : 8 * 16])
    assert not np.array_equal(Lanes(1, "spectrum", sizes, lanes=4).rows(0, 16), epochs[0][:16])


def test_a_batch_mixes_the_dataset(files):
    sizes = StreamedSpectra(files).source.sizes
    starts = np.cumsum(sizes)
    batch = Lanes(0, "spectrum", sizes, lanes=16).rows(0, 16)
    assert len(np.unique(np.searchsorted(starts, batch, side="right"))) >= 12


@pytest.mark.parametrize("processes", [2, 4])
def test_each_process_reads_its_part_alone(files, processes):
    groups = len(StreamedSpectra(files).source.sizes)
    read = []
    for process in range(processes):
        source = ParquetRows(files, ["exposure"], keep=6)
        order = Lanes(3, "spectrum", source.sizes, lanes=8)
        part = process_slice(16, process, processes)
        for step in range(15):
            source.take(order.rows(step, 16)[part])
        read.append(source.groups_read)
    # Together each group once, and again where a lane ends within one.
    assert sum(read) <= groups + 2 * 8
    assert max(read) <= groups / processes + 2 * 8 / processes + 2


def test_pretraining_reads_a_stream(tmp_path, tiny_preset):
    dataset = make_dataset(tmp_path / "dataset", embedded=False)
    pairs = stream_spectra(dataset)
    assert {name: len(split) for name, split in pairs.splits.items()} == {
        "train": 60,
        "validation": 20,
    }
    words = ["--config", tiny_preset, "--dataset", dataset, "--output", tmp_path / "run"]
    options = pretrain_spectrum.options().parse_args([*map(str, words), "--stream"])
    for _ in range(2):  # a finished run is left as it is
        assert call(pretrain_spectrum.main, options) == 0
    assert (tmp_path / "run" / "spectrum" / "model.safetensors").is_file()


def test_what_cannot_be_read_is_named(tmp_path, files):
    with pytest.raises(FileFormatError, match=r"train-0.parquet lacks the columns nothing"):
        ParquetRows(files, ["nothing"])
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(FileFormatError, match=r"broken.parquet cannot be read as Parquet"):
        ParquetRows([str(broken)], ["exposure"])
    with pytest.raises(FileFormatError, match="nowhere cannot be loaded"):
        stream_spectra(tmp_path / "nowhere")
    nulls = tmp_path / "nulls.parquet"
    pq.write_table(pa.table({"exposure": pa.array([1.0, None])}), nulls)
    with pytest.raises(FileFormatError, match="'exposure' is null in 1 rows"):
        ParquetRows([str(nulls)], ["exposure"]).take(np.array([0]))
