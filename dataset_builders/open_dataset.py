"""Open a dataset, whatever form it has: a folder, local tables, or a repository on the Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from datasets import DatasetDict, config, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from .folder import (
    INFO_FILE,
    DatasetFolderError,
    SpecCLIPDatasetInfo,
    built_splits,
    conform_splits,
    is_dataset_folder,
    pairs_configuration,
    read_dataset,
    read_info,
    write_dataset,
)
from .tables import LocalTables, is_tables_folder


def load(
    dataset: str | Path,
    cache_dir: str | Path | None = None,
    *,
    survey_limit: int | None = None,
    keep_survey_only: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    """Open a dataset.

    Args:
        dataset: folder in the contract's form, folder of local tables (built into the contract's
            form once, under `cache_dir`), or id of a dataset on the Hub.
        cache_dir: where datasets built from tables and downloads are kept; `datasets`' own where
            None.
        survey_limit: for local tables, see `LocalTables`.
        keep_survey_only: for local tables, see `LocalTables`.
        seed: of the splits, for local tables that bring none.
        progress: show bars while building.

    Returns:
        The four splits, and what made them.

    Raises:
        DatasetFolderError: when the folder is neither, or damaged, or nothing has that name.
        LocalTablesError: when the tables are.
        ContractError: when rows break the contract.
    """
    folder = Path(dataset)
    if folder.is_dir():
        if is_tables_folder(folder):
            knobs: dict[str, Any] = {"keep_survey_only": keep_survey_only, "seed": seed}
            knobs |= {} if survey_limit is None else {"survey_limit": survey_limit}
            built = _build_once(folder, cache_dir, knobs, progress)
            return read_dataset(built)
        if is_dataset_folder(folder):
            return read_dataset(folder)
        raise DatasetFolderError(
            f"{folder} is no dataset: it has neither {INFO_FILE} or a card with 'data/*.parquet', "
            "nor detections.parquet and sources.parquet"
        )
    name = str(dataset)
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise DatasetFolderError(f"{dataset} is neither a folder nor a dataset id 'user/name'")
    try:
        path = hf_hub_download(name, INFO_FILE, repo_type="dataset", cache_dir=cache_dir)
        info = read_info(Path(path).parent)
    except (RepositoryNotFoundError, LocalEntryNotFoundError) as error:
        # The second is raised where the Hub is not reached, which is not the same as not there.
        raise DatasetFolderError(
            f"{name} is no folder here, and as a dataset on the Hub it gave: {error}"
        ) from error
    except EntryNotFoundError:
        info = None
    try:
        splits = load_dataset(
            name,
            pairs_configuration(info),
            cache_dir=None if cache_dir is None else str(cache_dir),
        )
    except (DatasetNotFoundError, OSError) as error:
        raise DatasetFolderError(
            f"{name} is no folder here, and as a dataset on the Hub it gave: {error}"
        ) from error
    return conform_splits(splits, info, name=name)


def _build_once(
    folder: Path, cache_dir: str | Path | None, knobs: dict[str, Any], progress: bool
) -> Path:
    """Build tables into a folder named after what they are made of, unless it is there."""
    root = Path(config.HF_DATASETS_CACHE if cache_dir is None else cache_dir) / "specclip"
    key = LocalTables(folder, **knobs).key
    built = root / f"{folder.resolve().name}-{key[:16]}"
    if is_dataset_folder(built):
        return built
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        builder = LocalTables(folder, cache_dir=scratch, **knobs)
        builder.download_and_prepare()
        try:
            rows = built_splits(builder)
            write_dataset(built, rows, builder.description(), progress=progress)
        except DatasetFolderError:
            # Another process was faster; what it wrote is the same.
            if not is_dataset_folder(built):
                raise
    if progress:
        print(builder.plan.counts)
    return built
