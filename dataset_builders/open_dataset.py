"""Loading of datasets from a folder, local tables, or the Hub."""

from __future__ import annotations

from pathlib import Path

from datasets import DatasetDict, config, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from .folder import conform_splits, is_dataset_folder, read_dataset
from .info import INFO_FILE, DatasetFolderError, SpecCLIPDatasetInfo, read_info
from .tables.builder import LocalTables, is_tables_folder


def load(
    dataset: str | Path, cache_dir: str | Path | None = None
) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    """Load a dataset.

    Args:
        dataset: dataset folder, folder of local tables (converted once, in the cache), or id of a
            dataset on the Hub.
        cache_dir: cache for converted tables and downloads; default that of `datasets`.

    Returns:
        The four splits, and the description of the dataset.

    Raises:
        DatasetFolderError: the dataset does not exist or is damaged.
        LocalTablesError: invalid tables.
        ContractError: rows violate the contract.
    """
    folder = Path(dataset)
    if folder.is_dir():
        if is_tables_folder(folder):
            return read_dataset(_build_once(LocalTables(folder), cache_dir))
        if is_dataset_folder(folder):
            return read_dataset(folder)
        raise DatasetFolderError(
            f"{folder} is not a dataset: it has neither {INFO_FILE} or a card with "
            "'data/*.parquet', nor detections.parquet and sources.parquet"
        )
    name = str(dataset)
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise DatasetFolderError(
            f"{dataset} is neither a folder nor a dataset id 'user/name'; "
            "`specclip dataset from-table` makes a folder of a table"
        )
    return _load_from_hub(name, None if cache_dir is None else str(cache_dir))


def _load_from_hub(name: str, cache_dir: str | None) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    info = None
    try:
        path = hf_hub_download(name, INFO_FILE, repo_type="dataset", cache_dir=cache_dir)
        info = read_info(Path(path).parent)
    except (RepositoryNotFoundError, LocalEntryNotFoundError) as error:
        # LocalEntryNotFoundError: the Hub cannot be reached.
        raise _not_on_hub(name, error) from error
    except EntryNotFoundError:
        pass
    try:
        configuration = info.pairs_configuration if info else None
        splits = load_dataset(name, configuration, cache_dir=cache_dir)
    except (DatasetNotFoundError, OSError) as error:
        raise _not_on_hub(name, error) from error
    return conform_splits(splits, info, name=name)


def _not_on_hub(name: str, error: Exception) -> DatasetFolderError:
    return DatasetFolderError(
        f"{name} is not a local folder, and loading it from the Hub failed: {error}"
    )


def _build_once(tables: LocalTables, cache_dir: str | Path | None) -> Path:
    """Convert tables to a cached dataset folder, named by the hash of their content."""
    root = Path(config.HF_DATASETS_CACHE if cache_dir is None else cache_dir) / "specclip"
    built = root / f"{tables.folder.resolve().name}-{tables.key[:16]}"
    if not is_dataset_folder(built):
        try:
            tables.write(built, progress=True)
        except DatasetFolderError:
            # Another process may have written the same rows first.
            if not is_dataset_folder(built):
                raise
        print(tables.plan.counts)
    return built
