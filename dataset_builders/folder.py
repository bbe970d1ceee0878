"""Dataset folder: Parquet files of each split, a card, and a description.

A Hub repository of the dataset holds the same files: `datasets.load_dataset(folder)` and
`datasets.load_dataset("user/name")` give the same four splits.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, Features
from tqdm.auto import tqdm

from hf_specclip.describe.read_dataset import (
    CARD_FILE,
    DATA_FOLDER,
    names_data_files,
    read_splits,
)
from hf_specclip.errors import FileFormatError
from hf_specclip.storage import atomic_folder

from .card import dataset_card
from .contract import (
    ENERGY_RANGE,
    N_BINS,
    SPLITS,
    ContractError,
    conform_table,
    contract_features,
    n_bins_of,
    text_dim_of,
    validate_table,
)
from .domain import XRAY, Domain
from .info import (
    CONFIGURATIONS,
    INFO_FILE,
    DatasetFolderError,
    SpecCLIPDatasetInfo,
    read_info,
)

# About 5 MB of spectra: small enough to stream, large enough to compress.
ROWS_PER_GROUP = 1000
# Whole row groups; a file of pairs with embeddings of 4,608 numbers then stays below 2 GB.
ROWS_PER_FILE = 100_000


@dataclass(frozen=True)
class TableStream:
    """Lazy stream of rows."""

    n_rows: int  # number of rows
    schema: pa.Schema  # their columns
    tables: Iterable[pa.Table]  # rows in order, in tables of any length; read once

    def __len__(self) -> int:
        return self.n_rows


Rows = Dataset | pa.Table | TableStream
# The groups of each split.
_Groups = dict[str, set[str]]


def is_dataset_folder(folder: str | Path) -> bool:
    """Return True for a folder with a description, a card that names files, or Parquet splits."""
    folder = Path(folder)
    return (folder / INFO_FILE).is_file() or names_data_files(folder) or _holds_splits(folder)


def _holds_splits(folder: Path) -> bool:
    return any(any((folder / DATA_FOLDER).glob(f"{split}-*.parquet")) for split in SPLITS)


def write_dataset(
    folder: str | Path,
    splits: Mapping[str, Rows],
    info: SpecCLIPDatasetInfo,
    *,
    more: Mapping[str, Mapping[str, TableStream]] | None = None,
    remarks: Callable[[], str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Write a dataset folder atomically: nothing is left behind on an error.

    Rows are validated against the contract in batches of 1,000.

    Args:
        folder: target; its parent is made.
        splits: rows of each of the four splits; a missing split is empty.
        info: description; `rows` and `configurations` are filled in.
        more: additional configurations (see `CONFIGURATIONS`) with the rows of their splits.
        remarks: called after the rows are written; returns text to append to the description.
        overwrite: replace an existing dataset. Anything else is never replaced.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        DatasetFolderError: the folder cannot be replaced, a split is unknown, or there are no rows.
        ContractError: a row violates the contract.
    """
    folder = Path(folder)
    more = {name: more[name] for name in CONFIGURATIONS if name in more} if more else {}
    for parts in (splits, *more.values()):
        unknown = sorted(set(parts) - set(SPLITS))
        if unknown:
            raise DatasetFolderError(
                f"splits {unknown} are not among {', '.join(SPLITS)}: rename them"
            )
    check_may_write(folder, overwrite=overwrite)
    text_dim = _text_dim(splits, info.domain)
    if not sum(len(part) for part in splits.values()):
        raise DatasetFolderError(f"there are no rows to write to {folder}")
    total = sum(len(part) for parts in (splits, *more.values()) for part in parts.values())
    with atomic_folder(folder) as partial:
        with tqdm(total=total, unit="row", desc="writing", delay=2, disable=not progress) as bar:

            def write(name: str, parts: Mapping[str, Rows]) -> tuple[dict[str, int], _Groups]:
                return _write_splits(partial / name, parts, info, bar.update)

            rows, groups_of = write(DATA_FOLDER, splits)
            written = {name: write(name, parts) for name, parts in more.items()}
        all_groups = [groups_of, *(groups for _, groups in written.values())]
        _check_groups(
            {split: set().union(*(each[split] for each in all_groups)) for split in SPLITS}
        )
        if remarks is not None:
            info = replace(info, description=f"{info.description.rstrip()}\n\n{remarks()}")
        info = replace(
            info, rows=rows, configurations={name: n for name, (n, _) in written.items()}
        )
        text = json.dumps(info.to_json(), indent=2, ensure_ascii=False) + "\n"
        (partial / INFO_FILE).write_text(text, encoding="utf-8")
        card = dataset_card(info, {split: len(groups_of[split]) for split in SPLITS}, text_dim)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
    return folder


def check_may_write(folder: str | Path, *, overwrite: bool) -> None:
    """Raise `DatasetFolderError` if a target holds something that must not be replaced.

    Args:
        folder: target of a dataset.
        overwrite: allow an existing dataset to be replaced.
    """
    folder = Path(folder)
    if folder.is_file() or folder.is_symlink():
        raise DatasetFolderError(f"{folder} is a file or a link: name another folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    # Overwriting deletes the content, so only folders written by this module qualify.
    if not (folder / INFO_FILE).is_file():
        raise DatasetFolderError(f"{folder} holds something else than a dataset: name another one")
    ours = {INFO_FILE, CARD_FILE, DATA_FOLDER, *CONFIGURATIONS}
    foreign = {entry.name for entry in folder.iterdir()} - ours
    if overwrite and foreign:
        raise DatasetFolderError(
            f"{folder} also holds {', '.join(sorted(foreign)[:5])}, which overwriting would "
            "delete: move it, or name another folder"
        )
    if not overwrite:
        raise DatasetFolderError(f"{folder} already holds a dataset: name another, or --overwrite")


def compact_storage(schema: pa.Schema) -> dict[str, Any]:
    """Choose lossless Parquet encodings.

    Counts repeat (most are 0): dictionary encoding takes a tenth of dense float32. Curves and
    vectors do not: byte-stream splitting halves the size of an area.
    """
    # Parquet's names of leaf columns are read from an empty file.
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    paths = [leaves.column(number).path for number in range(len(leaves))]
    curves = {
        name
        for name in schema.names
        if pa.types.is_fixed_size_list(schema.field(name).type)
        and pa.types.is_floating(schema.field(name).type.value_type)
    }
    bytewise = [path for path in paths if path.split(".")[0] in curves]
    return {
        "compression": "zstd",
        "use_dictionary": [path for path in paths if path not in bytewise],
        "column_encoding": dict.fromkeys(bytewise, "BYTE_STREAM_SPLIT"),
    }


def _write_splits(
    folder: Path,
    splits: Mapping[str, Rows],
    info: SpecCLIPDatasetInfo,
    progress: Callable[[int], object],
) -> tuple[dict[str, int], _Groups]:
    """Write the splits of a configuration; return the number of rows and the groups of each."""
    folder.mkdir()
    rows = dict.fromkeys(SPLITS, 0)
    groups_of: _Groups = {split: set() for split in SPLITS}
    for split in SPLITS:
        # `datasets` fails on a split without rows: an empty one (fewer than four groups) has no
        # file, and the description counts 0 rows.
        if part := splits.get(split):
            for table in _write_files(folder, split, part, info):
                rows[split] += len(table)
                groups_of[split].update(pc.unique(table["group"]).to_pylist())
                progress(len(table))
    return rows, groups_of


def _conformed(part: Rows, info: SpecCLIPDatasetInfo, split: str) -> Iterator[pa.Table]:
    count = 0
    for table in _tables(part):
        try:
            yield conform_table(
                table,
                n_bins=info.n_bins,
                first_row=count,
                domain=info.domain,
                text="paired" not in table.column_names,
            )
        except ContractError as error:
            raise ContractError(f"split {split!r}: {error}") from None
        count += len(table)


def _write_files(
    folder: Path, split: str, part: Rows, info: SpecCLIPDatasetInfo
) -> Iterator[pa.Table]:
    """Write the files of a split, and yield their tables as they are written."""
    n_files = -(-len(part) // ROWS_PER_FILE)
    tables = _conformed(part, info, split)
    for number in range(n_files):
        some = itertools.islice(tables, ROWS_PER_FILE // ROWS_PER_GROUP)
        first = next(some)
        path = folder / f"{split}-{number:05d}-of-{n_files:05d}.parquet"
        with pq.ParquetWriter(path, first.schema, **compact_storage(first.schema)) as writer:
            for table in itertools.chain([first], some):
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
                yield table


def _text_dim(splits: Mapping[str, Rows], domain: Domain) -> int | None:
    text_dims = set()
    for part in splits.values():
        schema = part.features.arrow_schema if isinstance(part, Dataset) else part.schema
        text_dims.add(text_dim_of(schema, domain))
    if len(text_dims) > 1:
        raise DatasetFolderError("only some splits have a 'text_embedding': embed all or none")
    return text_dims.pop() if text_dims else None


def _tables(part: Rows) -> Iterator[pa.Table]:
    """Yield tables of one row group, so that files do not depend on the batches of the input."""
    size = ROWS_PER_GROUP
    if isinstance(part, Dataset):
        yield from part.with_format("arrow").iter(size)
    else:
        waiting = part.schema.empty_table()
        for table in [part] if isinstance(part, pa.Table) else part.tables:
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) >= size:
                yield waiting.slice(0, size).combine_chunks()
                waiting = waiting.slice(size)
        if len(waiting):
            yield waiting.combine_chunks()


def _check_groups(groups_of: Mapping[str, set[str]]) -> None:
    for first, second in itertools.combinations(SPLITS, 2):
        shared = groups_of[first] & groups_of[second]
        if shared:
            raise ContractError(
                f"group {min(shared)!r} is in {first!r} and in {second!r}: split over groups "
                "(specclip_datasets.split_groups)"
            )


def read_dataset(folder: str | Path) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    """Read the pairs of a dataset folder, with embeddings if it has them.

    Args:
        folder: folder written by `write_dataset`, or a Hub download of one.

    Returns:
        The four splits, and the description. Without `specclip_dataset.json`, the defaults are
        used, with a warning.

    Raises:
        DatasetFolderError: files are missing or disagree with the description.
        ContractError: the columns are not the contract's.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetFolderError(f"{folder} is not a folder")
    info = read_info(folder)
    if not names_data_files(folder) and not _holds_splits(folder):
        raise DatasetFolderError(
            f"{folder} holds neither a card that names its files nor "
            f"'{DATA_FOLDER}/<split>-*.parquet': it is not a SpecCLIP dataset"
        )
    try:
        splits = read_splits(folder, info.pairs_configuration if info else None)
    except FileFormatError as error:
        raise DatasetFolderError(str(error)) from error
    return conform_splits(DatasetDict(splits), info, name=str(folder))


def conform_splits(
    splits: DatasetDict, info: SpecCLIPDatasetInfo | None, *, name: str
) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    """Validate loaded splits against the contract and their description.

    Missing nullable columns are added as nulls, and types are cast. Splits in the contract's
    columns are validated and returned unchanged.

    Args:
        splits: result of `datasets.load_dataset`.
        info: result of `read_info`.
        name: folder or repository, for messages.

    Returns:
        Splits in the contract's columns, and the description (defaults if `info` is None).

    Raises:
        DatasetFolderError: a split or rows are missing.
        ContractError: the columns are not the contract's.
    """
    empty = {split for split in SPLITS if info is not None and info.rows.get(split) == 0}
    missing = [split for split in SPLITS if split not in splits and split not in empty]
    if missing:
        raise DatasetFolderError(f"{name} has no split {', '.join(missing)}")
    schema = next(iter(splits.values())).features.arrow_schema
    for split in empty - set(splits):
        splits[split] = Dataset(schema.empty_table())
    sizes = {split: len(splits[split]) for split in SPLITS}
    domain = XRAY if info is None else info.domain
    n_bins, text_dim = n_bins_of(schema), text_dim_of(schema, domain)
    if info is None:
        warnings.warn(
            f"{name} has no {INFO_FILE}: taking {N_BINS} bins from {ENERGY_RANGE[0]} to "
            f"{ENERGY_RANGE[1]} keV for granted",
            stacklevel=3,
        )
        info = SpecCLIPDatasetInfo(name=Path(name).name, rows=sizes)
    elif info.rows and dict(info.rows) != sizes:
        raise DatasetFolderError(
            f"{name}: {INFO_FILE} counts {dict(info.rows)} rows, the files hold {sizes}; "
            "the copy is incomplete: fetch or build it again"
        )
    if n_bins != info.n_bins:
        raise ContractError(f"{name}: spectra have {n_bins} bins, expected {info.n_bins}")
    features = contract_features(n_bins, text_dim, domain)
    checked = {}
    for split in SPLITS:
        try:
            checked[split] = _conform_split(splits[split], n_bins, features, domain)
        except ContractError as error:
            raise ContractError(f"{name}, split {split!r}: {error}") from None
    return DatasetDict(checked), info


def _conform_split(part: Dataset, n_bins: int, features: Features, domain: Domain) -> Dataset:
    """Validate the rows of a split, and cast them if they are not in the contract's columns."""
    cast, tables, first = part.features != features, [], 0
    for table in _tables(part):
        if cast:
            tables.append(conform_table(table, n_bins=n_bins, first_row=first, domain=domain))
        else:
            validate_table(table, n_bins=n_bins, first_row=first, domain=domain)
        first += len(table)
    if not cast:
        return part
    return Dataset(pa.concat_tables(tables) if tables else features.arrow_schema.empty_table())
