"""Spectra for pretraining read while training goes on: nothing but what a batch needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from specclip_training.data.pairs import PairData, SpectraSource, Texts, TrainingDataError
from specclip_training.data.parquet_rows import Lanes, ParquetRows, dataset_files
from specclip_training.engine.draws import Order

SPECTRUM_COLUMNS = ("counts", "background_counts", "background_scale", "exposure")
# What else the input kind "flux" looks at, where it is known.
AREA_COLUMNS = ("effective_area",)
LANES = 64


class StreamedSpectra(SpectraSource):
    """The spectra of one split, read row group by row group (`SpectraSource`).

    Args:
        files: Parquet files of the split.
        with_area: read the effective areas, too, where the files have them.
    """

    def __init__(self, files: list[str], with_area: bool = False):
        # One for each lane, where one process has them all, and some for lanes between two.
        self.source = ParquetRows(
            files,
            SPECTRUM_COLUMNS,
            keep=LANES + LANES // 4,
            optional=AREA_COLUMNS if with_area else (),
        )

    def __len__(self) -> int:
        return len(self.source)

    def spectra(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """See `SplitArrays.spectra`."""
        found = self.source.take(rows)
        return {
            **found,
            "background_scale": found["background_scale"].astype(np.float32),
            "exposure": found["exposure"].astype(np.float32),
        }

    def sample(self, n: int) -> dict[str, np.ndarray]:
        """About n rows from row groups all over the split."""
        sizes = self.source.sizes
        groups = max(1, min(len(sizes), round(n / max(1.0, float(sizes.mean())))))
        chosen = np.linspace(0, len(sizes) - 1, groups).round().astype(int)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.concatenate([np.arange(starts[g], starts[g + 1]) for g in np.unique(chosen)])
        return self.spectra(rows)

    def order(self, seed: int, stage: str) -> Order:
        return Lanes(seed, stage, self.source.sizes, LANES)


def stream_spectra(
    dataset: str | Path, cache_dir: str | Path | None = None, *, with_area: bool = False
) -> PairData:
    """A dataset for pretraining, of which nothing is read yet but the footers of its files.

    Args:
        dataset: a folder in the contract's form, or the id of such a dataset on the Hub. Rows are
            taken as they are: whoever wrote them has checked them against the contract.
        cache_dir: of the Hub's files.
        with_area: read the effective areas, too, which the input kind "flux" looks at.

    Raises:
        TrainingDataError: when `train` or `validation` has no rows.
        ParquetRowsError: when its files cannot be read.
    """
    from specclip_datasets.folder import INFO_FILE, SpecCLIPDatasetInfo, read_info

    files = dataset_files(dataset)
    for name in ("train", "validation"):
        if not files.get(name):
            raise TrainingDataError(f"{dataset} has no rows in {name}: pretraining needs both")
    splits = {name: StreamedSpectra(files[name], with_area) for name in ("train", "validation")}
    if Path(dataset).is_dir():
        info = read_info(Path(dataset))
    else:
        try:
            path = hf_hub_download(
                str(dataset), INFO_FILE, repo_type="dataset", cache_dir=cache_dir
            )
            info = read_info(Path(path).parent)
        except EntryNotFoundError:
            info = None
    return PairData(
        name=str(dataset),
        splits=splits,
        texts=Texts(embeddings=None, section_mask=np.zeros((0, 3), dtype=bool), entries=[]),
        info=info or SpecCLIPDatasetInfo(name=Path(dataset).name),
        fingerprint="-".join(split.source.fingerprint for split in splits.values()),
    )


__all__ = ["AREA_COLUMNS", "LANES", "SPECTRUM_COLUMNS", "StreamedSpectra", "stream_spectra"]
