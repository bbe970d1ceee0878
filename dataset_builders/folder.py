"""A dataset on disk: Parquet for each split, a card that names the splits, and what made it.

The folder is what a Hub repository of the dataset holds, too: `datasets.load_dataset(folder)` and
`datasets.load_dataset("user/name")` give the same four splits.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetBuilder, DatasetDict, Features
from tqdm.auto import tqdm

from hf_specclip.describe.read_dataset import (
    CARD_FILE,
    DATA_FOLDER,
    names_data_files,
    read_splits,
)
from hf_specclip.errors import FileFormatError, SpecCLIPError
from hf_specclip.storage import replace_folder

from .contract import (
    ENERGY_RANGE,
    N_BINS,
    SPLITS,
    ContractError,
    conform_table,
    contract_features,
    describe_columns,
    n_bins_of,
    text_dim_of,
    validate_table,
)
from .domain import XRAY, Domain

INFO_FILE = "specclip_dataset.json"
FORMAT_VERSION = 1
# About 5 MB of spectra: small enough to stream, large enough to compress.
ROWS_PER_GROUP = 1000
# A file of pairs with embeddings of 4,608 numbers then stays below 2 GB.
ROWS_PER_FILE = 100_000
# What a dataset may hold beside its pairs (configuration `default`), each in a folder of its name.
EMBEDDED, SPECTRA = "embedded", "spectra"
CONFIGURATIONS = {
    EMBEDDED: "the pairs with `text_embedding`",
    SPECTRA: "spectra by themselves, for pretraining: those of the pairs (`paired`) and those of "
    "sources without a summary, in the same groups and splits",
}
# The description is a page; a larger one is a damaged or hostile file.
MAX_INFO_BYTES = 1 << 22


class DatasetFolderError(SpecCLIPError, ValueError):
    """A dataset folder that cannot be read or written; the message says what to do."""


@dataclass(frozen=True)
class SpecCLIPDatasetInfo:
    """What made a dataset: the content of `specclip_dataset.json`.

    Attributes:
        name: short name of the dataset.
        builder: builder that made it (`simulated`, `local_tables`, …).
        builder_version: version of that builder.
        seed: seed of the draws and of the splits.
        knobs: the builder's settings, as plain values.
        simulated: whether the spectra and texts come from a simulation.
        n_bins: number of equal energy bins.
        energy_range: lower and upper energy of the bins, keV (or along the domain's axis).
        domain: axis, sections and variables, where they are not those of an X-ray spectrum.
        text_model: model that made `text_embedding`, None where there is none.
        license: licence identifier for the card.
        description: how it was made, in Markdown, for the card.
        rows: number of rows of each split; filled when written.
        configurations: number of rows of each split of what there is beside the pairs (see
            `CONFIGURATIONS`); filled when written.
        format_version: version of the folder's layout.
    """

    name: str = "specclip"
    builder: str = "unknown"
    builder_version: str = "0"
    seed: int | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    n_bins: int = N_BINS
    energy_range: tuple[float, float] = ENERGY_RANGE
    domain: Domain = XRAY
    text_model: str | None = None
    license: str = "other"
    description: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    configurations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def energy_edges(self) -> np.ndarray:
        """Edges of the energy bins, array (n_bins + 1,) of float64, keV."""
        return np.linspace(*self.energy_range, self.n_bins + 1)


@dataclass(frozen=True)
class TableStream:
    """Rows that are made while they are written.

    Attributes:
        n_rows: how many there are.
        schema: their columns.
        tables: the rows in order, in tables of any length; read once.
    """

    n_rows: int
    schema: pa.Schema
    tables: Iterable[pa.Table]

    def __len__(self) -> int:
        return self.n_rows


def is_dataset_folder(folder: str | Path) -> bool:
    """Whether a folder looks like a dataset: a description, a card with files, or our Parquet.

    Args:
        folder: the folder.
    """
    folder = Path(folder)
    return (folder / INFO_FILE).is_file() or names_data_files(folder) or bool(_data_files(folder))


def write_dataset(
    folder: str | Path,
    splits: Mapping[str, Dataset | pa.Table | TableStream],
    info: SpecCLIPDatasetInfo,
    *,
    more: Mapping[str, Mapping[str, TableStream]] | None = None,
    remarks: Callable[[], str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
    rows_per_file: int = ROWS_PER_FILE,
) -> Path:
    """Write a dataset: all of it or, when anything fails, nothing.

    Rows are checked against the contract as they pass, a thousand at a time.

    Args:
        folder: where to; its parent is made.
        splits: rows of each of the four splits; a split that is absent is written empty.
        info: what made the dataset; `rows` and `configurations` are filled here.
        more: further configurations (see `CONFIGURATIONS`) and the rows of their splits.
        remarks: called when all rows are written; what it returns is added to the description.
        overwrite: replace a dataset that is already there. Anything else is never replaced.
        progress: show a bar.
        rows_per_file: rows in a Parquet file, at most.

    Returns:
        The folder.

    Raises:
        DatasetFolderError: when the folder exists and may not be replaced, or a split has an
            unknown name.
        ContractError: when a row breaks the contract.
    """
    folder = Path(folder)
    more = {name: more[name] for name in CONFIGURATIONS if name in (more or {})} if more else {}
    for parts in (splits, *more.values()):
        unknown = sorted(set(parts) - set(SPLITS))
        if unknown:
            raise DatasetFolderError(
                f"splits {unknown} are not among {', '.join(SPLITS)}: rename them"
            )
    check_may_write(folder, overwrite=overwrite)
    text_dim = _text_dim(splits, info.domain)

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    partial.chmod(0o755)
    try:
        total = sum(len(part) for parts in (splits, *more.values()) for part in parts.values())
        if not sum(len(part) for part in splits.values()):
            raise DatasetFolderError(f"there are no rows to write to {folder}")
        with tqdm(total=total, unit="row", desc="writing", disable=not progress) as bar:

            def write(place: Path, parts: Mapping[str, Any]) -> tuple[dict[str, int], _Groups]:
                return _write_splits(place, parts, info, rows_per_file, bar.update)

            rows, groups_of = write(partial / DATA_FOLDER, splits)
            written = {name: write(partial / name, parts) for name, parts in more.items()}
        _refuse_cut_groups(groups_of)
        together = {split: set(groups) for split, groups in groups_of.items()}
        for _, others in written.values():
            for split, groups in others.items():
                together[split] |= groups
        _refuse_cut_groups(together)
        if remarks is not None:
            info = replace(info, description=f"{info.description.rstrip()}\n\n{remarks()}")
        info = replace(
            info, rows=rows, configurations={name: n for name, (n, _) in written.items()}
        )
        text = json.dumps(_to_json(info), indent=2, ensure_ascii=False) + "\n"
        (partial / INFO_FILE).write_text(text, encoding="utf-8")
        card = dataset_card(info, {split: len(groups_of[split]) for split in SPLITS}, text_dim)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


# The groups of each split.
_Groups = dict[str, set[str]]


def _write_splits(
    folder: Path,
    splits: Mapping[str, Dataset | pa.Table | TableStream],
    info: SpecCLIPDatasetInfo,
    rows_per_file: int,
    progress: Callable[[int], object],
) -> tuple[dict[str, int], _Groups]:
    """Write the splits of one configuration into its folder.

    Returns:
        Rows, and groups, of each split.
    """
    folder.mkdir()
    if rows_per_file > ROWS_PER_GROUP:
        rows_per_file -= rows_per_file % ROWS_PER_GROUP  # files end where row groups end
    rows: dict[str, int] = {}
    groups_of: _Groups = {}
    for split in SPLITS:
        part = splits.get(split)
        groups: set[str] = set()
        rows[split], groups_of[split] = 0, groups
        # `datasets` loads nothing at all where one split has no row: an empty one (there were
        # fewer than four groups) has no file, and is known by its count of 0.
        if part is None or not len(part):
            continue
        n_files = -(-len(part) // rows_per_file)
        count, writer = 0, None
        try:
            for table in _tables(part, rows_per_file):
                try:
                    text = "paired" not in table.column_names
                    table = conform_table(
                        table,
                        n_bins=info.n_bins,
                        first_row=count,
                        domain=info.domain,
                        text=text,
                    )
                except ContractError as error:
                    raise ContractError(f"split {split!r}: {error}") from None
                if count % rows_per_file == 0:
                    if writer is not None:
                        writer.close()
                    name = f"{split}-{count // rows_per_file:05d}-of-{n_files:05d}.parquet"
                    writer = pq.ParquetWriter(
                        folder / name, table.schema, **compact_storage(table.schema)
                    )
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
                groups.update(pc.unique(table["group"]).to_pylist())
                count += len(table)
                progress(len(table))
        finally:
            if writer is not None:
                writer.close()
        rows[split] = count
    return rows, groups_of


def _text_dim(splits: Mapping[str, Dataset | pa.Table | TableStream], domain: Domain) -> int | None:
    text_dims = {text_dim_of(_schema(part), domain) for part in splits.values()}
    if len(text_dims) > 1:
        raise DatasetFolderError("only some splits have a 'text_embedding': embed all or none")
    return text_dims.pop() if text_dims else None


def built_splits(builder: DatasetBuilder) -> dict[str, Dataset]:
    """The splits that a builder prepared; those without rows are left out.

    Args:
        builder: one that has run `download_and_prepare`.
    """
    sizes = builder.info.splits or {}
    # `as_dataset()` without a split stumbles over an empty one.
    return {
        split: builder.as_dataset(split=split)
        for split in SPLITS
        if split in sizes and sizes[split].num_examples
    }


def check_may_write(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a target that holds something which must not be replaced.

    Args:
        folder: where a dataset is to be written.
        overwrite: whether a dataset that is already there may be replaced.

    Raises:
        DatasetFolderError: saying what is there and what to do.
    """
    folder = Path(folder)
    if folder.is_file() or folder.is_symlink():
        raise DatasetFolderError(f"{folder} is a file or a link: name another folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    # Replacing deletes what was there: only do that to what this module wrote itself.
    if not (folder / INFO_FILE).is_file():
        raise DatasetFolderError(f"{folder} holds something else than a dataset: name another one")
    own = {INFO_FILE, CARD_FILE, DATA_FOLDER, *CONFIGURATIONS}
    foreign = {entry.name for entry in folder.iterdir()} - own
    if overwrite and foreign:
        raise DatasetFolderError(
            f"{folder} also holds {', '.join(sorted(foreign)[:5])}, which overwriting would "
            "delete: move it, or name another folder"
        )
    if not overwrite:
        raise DatasetFolderError(f"{folder} already holds a dataset: name another, or --overwrite")


# What the description must be where it is given: "false" would be taken for true.
_INFO_KINDS = {
    "rows": dict,
    "configurations": dict,
    "knobs": dict,
    "simulated": bool,
    "name": str,
    "description": str,
}


def read_dataset(folder: str | Path) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    """Read the pairs of a dataset folder into memory, with their embeddings where it has any.

    Args:
        folder: folder written by `write_dataset`, or a Hub download of one.

    Returns:
        The four splits, and what made them. A folder without `specclip_dataset.json` is taken at
        the contract's defaults, with a warning.

    Raises:
        DatasetFolderError: when files are missing or disagree with the description.
        ContractError: when the columns are not the contract's.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetFolderError(f"{folder} is no folder")
    info = read_info(folder)
    if not names_data_files(folder) and not _data_files(folder):
        raise DatasetFolderError(
            f"{folder} holds neither a card that names its files nor "
            f"'{DATA_FOLDER}/<split>-*.parquet': it is no SpecCLIP dataset"
        )
    try:
        splits = read_splits(folder, pairs_configuration(info))
    except FileFormatError as error:
        raise DatasetFolderError(str(error)) from error
    return conform_splits(DatasetDict(splits), info, name=str(folder))


def pairs_configuration(info: SpecCLIPDatasetInfo | None) -> str | None:
    """The configuration that holds the most about the pairs; None for the only one."""
    return EMBEDDED if info is not None and EMBEDDED in info.configurations else None


def conform_splits(
    splits: DatasetDict, info: SpecCLIPDatasetInfo | None, *, name: str
) -> tuple[DatasetDict, SpecCLIPDatasetInfo]:
    """Check loaded splits against the contract and their description.

    Nullable columns that are absent are added as nulls; types are cast. Splits that already have
    the contract's columns are checked and passed through as they are.

    Args:
        splits: what `datasets.load_dataset` gave.
        info: what `read_info` gave.
        name: where they came from, for messages.

    Returns:
        Splits in the contract's columns, and the description (the defaults where there is none).

    Raises:
        DatasetFolderError: when a split is missing or rows were lost.
        ContractError: when the columns are not the contract's.
    """
    empty = {split for split in SPLITS if info is not None and info.rows.get(split) == 0}
    missing = [split for split in SPLITS if split not in splits and split not in empty]
    if missing:
        raise DatasetFolderError(f"{name} has no split {', '.join(missing)}")
    some = next(iter(splits.values()))
    for split in empty - set(splits):
        splits[split] = Dataset(some.features.arrow_schema.empty_table())
    sizes = {split: len(splits[split]) for split in SPLITS}
    schema = some.features.arrow_schema
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
    if all(splits[split].features == features for split in SPLITS):
        for split in SPLITS:
            _check_rows(splits[split], n_bins, domain, name=f"{name}, split {split!r}")
        return DatasetDict({split: splits[split] for split in SPLITS}), info
    conformed = {}
    for split in SPLITS:
        try:
            conformed[split] = _conform_split(splits[split], n_bins, features, domain)
        except ContractError as error:
            raise ContractError(f"{name}, split {split!r}: {error}") from None
    return DatasetDict(conformed), info


def _check_rows(rows: Dataset, n_bins: int, domain: Domain, *, name: str) -> None:
    checked = 0
    for table in _tables(rows):
        try:
            validate_table(table, n_bins=n_bins, first_row=checked, domain=domain)
        except ContractError as error:
            raise ContractError(f"{name}: {error}") from None
        checked += len(table)


def read_info(folder: str | Path) -> SpecCLIPDatasetInfo | None:
    """Read and check `specclip_dataset.json`.

    Args:
        folder: the dataset's folder.

    Returns:
        The description, or None where there is none.

    Raises:
        DatasetFolderError: when it is damaged or newer than this code.
    """
    path = Path(folder) / INFO_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_INFO_BYTES:
        raise DatasetFolderError(f"{path} is too large to be a description")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DatasetFolderError(f"{path} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise DatasetFolderError(f"{path} holds no JSON object")
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise DatasetFolderError(
            f"{path}: format_version is {version!r}, this code reads {FORMAT_VERSION}"
        )
    default = SpecCLIPDatasetInfo().energy_edges
    edges = content.pop("energy_edges", default)
    try:
        edges = np.asarray(edges, dtype=np.float64)
    except (TypeError, ValueError):
        edges = np.zeros(0)
    known = {item.name for item in fields(SpecCLIPDatasetInfo)}
    content = {key: value for key, value in content.items() if key in known}
    # Uniform bins are all the contract has; the edges are kept in full so that others may read
    # them without knowing that.
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all():
        raise DatasetFolderError(f"{path}: 'energy_edges' is no list of energies in keV")
    even = np.linspace(edges[0], edges[-1], len(edges))
    if not (edges[-1] > edges[0] >= 0) or not np.allclose(edges, even, rtol=1e-6):
        raise DatasetFolderError(f"{path}: 'energy_edges' are not equal bins of rising energy")
    for key, kind in _INFO_KINDS.items():
        if key in content and not isinstance(content[key], kind):
            raise DatasetFolderError(f"{path}: {key!r} is {content[key]!r}, not a {kind.__name__}")
    if "domain" in content:
        try:
            content["domain"] = Domain.from_dict(content["domain"])
        except ValueError as error:
            raise DatasetFolderError(f"{path}: {error}") from None
    content["n_bins"] = len(edges) - 1
    content["energy_range"] = (float(edges[0]), float(edges[-1]))
    return SpecCLIPDatasetInfo(**content)


def dataset_card(info: SpecCLIPDatasetInfo, groups: Mapping[str, int], text_dim: int | None) -> str:
    """The dataset's README.md, with the YAML that names the four splits.

    Args:
        info: what made the dataset, with `rows` filled.
        groups: number of groups of each split.
        text_dim: dimension of one section's embedding, or None.
    """
    total = sum(info.rows.values())
    sizes = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000))
    size = next((name for name, limit in sizes if total < limit), "100K<n<1M")
    tags = ["astronomy", "specclip"]
    tags[1:1] = ["x-ray", "chandra", "spectra"] if info.domain == XRAY else []
    tags += ["simulated"] if info.simulated else []
    header = ["---", f"license: {info.license}", f"pretty_name: {json.dumps(info.name)}"]
    header += ["task_categories:", "- feature-extraction", "tags:", *(f"- {tag}" for tag in tags)]
    header += ["size_categories:", f"- {size}", "configs:", "- config_name: default"]
    # Named one by one: file-name inference knows no split called `calibration`.
    header += ["  data_files:"]
    for name, rows in {DATA_FOLDER: info.rows, **info.configurations}.items():
        if name != DATA_FOLDER:
            header += [f"- config_name: {name}", "  data_files:"]
        for split in (split for split in SPLITS if rows.get(split, 0)):
            header += [f"  - split: {split}", f"    path: {name}/{split}-*.parquet"]
    header += ["---", ""]

    body = [f"# {info.name}", ""]
    if info.simulated:
        body += [
            "> **Simulated.** Every source, spectrum, paper and name here is invented by "
            "`dataset_builders`. Nothing in it is a measurement of the sky.",
            "",
        ]
    body += [
        f"{total:,} pairs of {_observation(info.domain)} ({info.n_bins} bins, "
        f"{info.energy_range[0]:g} to {info.energy_range[1]:g} {info.domain.axis_unit}) and what "
        "the literature says about its source.",
        "",
        "| split | rows | groups |",
        "|---|---|---|",
        *(f"| `{split}` | {info.rows.get(split, 0):,} | {groups[split]:,} |" for split in SPLITS),
        "",
        *_configurations(info),
        "A group is a connected component over source, shared observation, host and linking paper.",
        "No split cuts one. `validation` is for choices; `test` is read once.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'pairs = load_dataset("path/or/hub-id")  # train, calibration, validation, test',
        "```",
        "",
        "## How it was made",
        "",
        info.description.strip() or "No description was given.",
        "",
        f"Builder `{info.builder}` {info.builder_version}, seed {info.seed}. Text embeddings: "
        f"{info.text_model or 'none; they are computed where they are needed'}.",
        "",
    ]
    if info.knobs:
        body += ["| knob | value |", "|---|---|"]
        body += [f"| `{name}` | {json.dumps(value)} |" for name, value in info.knobs.items()]
        body += [""]
    columns = contract_features(info.n_bins, text_dim, info.domain)
    described = describe_columns(columns, info.n_bins, text_dim, info.domain)
    body += ["## Columns", "", described, ""]
    return "\n".join(header + body)


def _observation(domain: Domain) -> str:
    return "an X-ray spectrum" if domain == XRAY else f"counts along {domain.axis}"


def _configurations(info: SpecCLIPDatasetInfo) -> list[str]:
    """Lines of the card on what there is beside the pairs."""
    if not info.configurations:
        return []
    lines = ["| configuration | rows | what |", "|---|---|---|"]
    lines += [f"| `default` | {sum(info.rows.values()):,} | the pairs |"]
    for name, rows in info.configurations.items():
        lines += [f"| `{name}` | {sum(rows.values()):,} | {CONFIGURATIONS[name]} |"]
    return [*lines, ""]


def compact_storage(schema: pa.Schema) -> dict[str, Any]:
    """How Parquet keeps the columns smallest, every bit as it was.

    Counts repeat (most are 0), so a dictionary of them takes a tenth of dense float32. Curves and
    vectors never do: their bytes are laid out by significance instead, which halves an area.
    """
    # Names of leaves, as Parquet counts them, are those that an empty file gets.
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


def _data_files(folder: Path) -> dict[str, list[str]]:
    found = {
        split: sorted(str(path) for path in (folder / DATA_FOLDER).glob(f"{split}-*.parquet"))
        for split in SPLITS
    }
    return {split: paths for split, paths in found.items() if paths}


def _schema(part: Dataset | pa.Table | TableStream) -> pa.Schema:
    return part.features.arrow_schema if isinstance(part, Dataset) else part.schema


def _tables(
    part: Dataset | pa.Table | TableStream | None, most: int = ROWS_PER_GROUP
) -> Iterator[pa.Table]:
    """Rows in tables of one row group each, so that a row's place never depends on its source."""
    size = min(ROWS_PER_GROUP, most)
    if part is None:
        return
    if isinstance(part, Dataset):
        yield from part.with_format("arrow").iter(size)
        return
    if isinstance(part, TableStream):
        waiting = part.schema.empty_table()
        for table in part.tables:
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) >= size:
                yield waiting.slice(0, size).combine_chunks()
                waiting = waiting.slice(size)
        if len(waiting):
            yield waiting.combine_chunks()
        return
    for start in range(0, len(part), size):
        yield part.slice(start, size)


def _refuse_cut_groups(groups_of: Mapping[str, set[str]]) -> None:
    for place, one in enumerate(SPLITS):
        for other in SPLITS[place + 1 :]:
            shared = groups_of[one] & groups_of[other]
            if shared:
                raise ContractError(
                    f"group {min(shared)!r} is in {one!r} and in {other!r}: split over groups "
                    "(specclip_datasets.split_groups)"
                )


def _conform_split(part: Dataset, n_bins: int, features: Features, domain: Domain) -> Dataset:
    tables, row = [], 0
    for table in _tables(part):
        tables.append(conform_table(table, n_bins=n_bins, first_row=row, domain=domain))
        row += len(table)
    table = pa.concat_tables(tables) if tables else features.arrow_schema.empty_table()
    return Dataset(table)


def _to_json(info: SpecCLIPDatasetInfo) -> dict[str, Any]:
    content = asdict(info)
    # Left out where it says nothing: the usual datasets stay as they always were.
    del content["domain"]
    content |= {} if info.domain == XRAY else {"domain": info.domain.to_dict()}
    content["energy_edges"] = [round(float(edge), 9) for edge in info.energy_edges]
    return content
