"""Reader of dataset folders: the Parquet files of each split, without the cache of `datasets`.

`datasets.load_dataset(FOLDER)` caches by the name of the folder, and may return the data of another
folder with the same name and layout.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FileFormatError

if TYPE_CHECKING:
    from datasets import Dataset

CARD_FILE = "README.md"
DATA_FOLDER = "data"


def names_data_files(folder: str | os.PathLike[str]) -> bool:
    """Return True if the card of a folder lists the files of its splits."""
    card = Path(folder) / CARD_FILE
    return card.is_file() and "data_files:" in card.read_text(encoding="utf-8", errors="replace")


def split_files(
    folder: str | os.PathLike[str], configuration: str | None = None
) -> dict[str, list[str]]:
    """List the Parquet files of each split.

    Args:
        folder: folder with a card that lists the files, with `data/SPLIT-*.parquet`, or with
            another layout supported by `datasets`.
        configuration: configuration of the card; None for its default.

    Raises:
        FileFormatError: there are no Parquet files, or the card is invalid.
    """
    folder = Path(folder)
    files: dict[str, list[str]] = {}
    if not names_data_files(folder):
        for path in sorted((folder / DATA_FOLDER).glob("*-*.parquet")):
            files.setdefault(path.name.partition("-")[0], []).append(str(path))
    if files:
        return files
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        # The builder only lists the files; a temporary cache avoids stale entries.
        with tempfile.TemporaryDirectory() as scratch:
            builder = load_dataset_builder(str(folder), configuration, cache_dir=scratch)
    except (DatasetsError, OSError, ValueError) as error:
        raise FileFormatError(f"{folder} cannot be loaded: {error}") from error
    files = {
        str(split): [str(path) for path in paths]
        for split, paths in (builder.config.data_files or {}).items()
    }
    others = [path for paths in files.values() for path in paths if not path.endswith(".parquet")]
    if others or not files:
        raise FileFormatError(
            f"{folder} cannot be loaded: its data are not Parquet files"
            + (f" ({Path(others[0]).name})" if others else "")
        )
    return files


def read_splits(
    folder: str | os.PathLike[str], configuration: str | None = None
) -> dict[str, Dataset]:
    """Read the splits of a dataset folder into memory.

    Args:
        folder: see `split_files`.
        configuration: see `split_files`.

    Raises:
        ImportError: `datasets` is not installed.
        FileFormatError: a file is damaged or missing.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError(
            'reading a dataset needs datasets: pip install "hf-specclip[data]"'
        ) from error
    import pyarrow as pa
    import pyarrow.parquet as pq

    splits = {}
    for split, paths in split_files(folder, configuration).items():
        try:
            splits[split] = Dataset(pa.concat_tables([pq.ParquetFile(p).read() for p in paths]))
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{folder} cannot be loaded: {split}: {error}") from error
    return splits
