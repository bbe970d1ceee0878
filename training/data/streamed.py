"""Spectra for pretraining, read from disk or from the Hub batch by batch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from hf_specclip.describe.read_dataset import split_files
from specclip_training.data.pairs import PairData, Texts, TrainingDataError
from specclip_training.data.parquet_rows import Lanes, ParquetRows
from specclip_training.engine.draws import Order

SPECTRUM_COLUMNS = ("counts", "background_counts", "background_scale", "exposure")
# Read for the input kind "flux", where the dataset has it.
AREA_COLUMNS = ("effective_area",)
LANES = 64


class StreamedSpectra:
    """Spectra of one split, read row group by row group, as `SplitArrays` gives them.

    Args:
        files: Parquet files of the split.
        with_area: read the effective areas, too, where the files have them.
    """

    def __init__(self, files: list[str], with_area: bool = False):
        # One row group for each lane, as a single process has them all, and some for lanes that
        # end within one.
        optional = AREA_COLUMNS if with_area else ()
        self.source = ParquetRows(files, SPECTRUM_COLUMNS, LANES + LANES // 4, optional)

    def __len__(self) -> int:
        return len(self.source)

    def spectra(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """See `SplitArrays.spectra`."""
        columns = self.source.take(rows)
        for name in ("background_scale", "exposure"):
            columns[name] = columns[name].astype(np.float32)
        return columns

    def sample(self, n: int) -> dict[str, np.ndarray]:
        """See `SplitArrays.sample`."""
        sizes = self.source.sizes
        n_groups = max(1, min(len(sizes), round(n / max(1.0, float(sizes.mean())))))
        groups = np.linspace(0, len(sizes) - 1, n_groups).round().astype(int)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        rows = [np.arange(starts[group], starts[group + 1]) for group in np.unique(groups)]
        return self.spectra(np.concatenate(rows))

    def order(self, seed: int, stage: str) -> Order:
        """See `SplitArrays.order`."""
        return Lanes(seed, stage, self.source.sizes, LANES)


def stream_spectra(
    dataset: str | Path, cache_dir: str | Path | None = None, *, with_area: bool = False
) -> PairData:
    """Open a dataset for pretraining; only the footers of its files are read.

    Args:
        dataset: a folder in the contract's form, or the id of such a dataset on the Hub. Rows are
            not checked against the contract.
        cache_dir: of the Hub's files.
        with_area: read the effective areas, too, for the input kind "flux".

    Raises:
        TrainingDataError: when `train` or `validation` has no rows.
        FileFormatError: when the files cannot be read.
    """
    from specclip_datasets.info import INFO_FILE, SpecCLIPDatasetInfo, read_info

    files = split_files(dataset)
    for name in ("train", "validation"):
        if not files.get(name):
            raise TrainingDataError(f"{dataset} has no rows in {name}: pretraining needs both")
    splits = {name: StreamedSpectra(files[name], with_area) for name in ("train", "validation")}
    folder = Path(dataset)
    with suppress(EntryNotFoundError):
        if not folder.is_dir():
            where = {"repo_type": "dataset", "cache_dir": cache_dir}
            folder = Path(hf_hub_download(str(dataset), INFO_FILE, **where)).parent
    info = read_info(folder) if folder.is_dir() else None
    return PairData(
        name=str(dataset),
        splits=splits,
        texts=Texts(section_mask=np.zeros((0, 3), dtype=bool), entries=[]),
        info=info or SpecCLIPDatasetInfo(name=Path(dataset).name),
        fingerprint="-".join(split.source.fingerprint for split in splits.values()),
    )
