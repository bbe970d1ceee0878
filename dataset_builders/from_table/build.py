"""Datasets from a user's table, or from files of spectra and texts."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from tqdm.auto import tqdm

from hf_specclip.formatting import format_cell, plain
from hf_specclip.storage import write_text

from ..contract import SPLITS, broken_rows, contract_features, to_table
from ..domain import XRAY, Domain
from ..folder import check_may_write, write_dataset
from ..info import SpecCLIPDatasetInfo
from ..splits import describe_splits, split_groups
from .cells import as_text
from .groups import find_groups
from .read_table import OwnTable, OwnTableError, read_table
from .roles import assign_roles
from .rows import LeftOut, RowReader
from .spectra import SpectrumFiles, stem

VERSION = "0.1.0"
TEXT_SUFFIXES = (".txt", ".md")
MAX_TEXT_BYTES = 1 << 20
_NO_SKY = Domain(on_sky=False)


@dataclass
class BuildReport:
    """Report of a build."""

    folder: Path  # the dataset
    rows: int = 0  # number of pairs
    columns: list[str] = field(default_factory=list)  # lines on what each column was taken for
    notes: list[str] = field(default_factory=list)  # sentences on what was assumed or ignored
    left_out: list[LeftOut] = field(default_factory=list)  # rows that became no pair
    groups: str = ""  # lines on the groups and why they were joined
    splits: str = ""  # lines on the splits

    @property
    def left_out_file(self) -> Path:
        """Table of the rows left out, beside the dataset."""
        return self.folder.with_name(f"{self.folder.name}.left_out.csv")


def from_table(
    path: str | Path,
    output: str | Path,
    *,
    spectra: str | Path | None = None,
    text: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    arf: str | Path | None = None,
    rmf: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> BuildReport:
    """Make a dataset from a table with one row per source or detection.

    Args:
        path: CSV, TSV, Parquet, FITS, VOTable or ECSV file.
        output: folder to make.
        spectra: folder of the spectrum files; default that of the table.
        text: column of the text, or of the three sections.
        columns: role or column of the contract → column of the table, see `roles.NAMES`.
        arf, rmf: responses of all rows, instead of those named in the files.
        seed: seed of the splits.
        overwrite: replace an existing dataset.
        progress: show progress bars.

    Raises:
        OwnTableError: no row can be used.
        DatasetFolderError: the output cannot be written.
    """
    path = Path(path)
    check_may_write(output, overwrite=overwrite)
    roles = assign_roles(read_table(path), columns or {}, text)
    folder = path.parent if spectra is None else Path(spectra)
    if not folder.is_dir():
        raise OwnTableError(f"{folder} is not a folder: give the folder of the spectra")
    files, of_source = SpectrumFiles(folder), {}
    sides = {kind: Path(file) for kind, file in (("arf", arf), ("rmf", rmf)) if file}
    if "file" not in roles and "counts" not in roles:
        if spectra is None:
            raise OwnTableError(
                f"{path.name} has no column of spectrum files or lists of counts: name it "
                "(--columns file=COLUMN or counts=COLUMN), or give --spectra FOLDER to match "
                "files by source"
            )
        names = [as_text(roles.cell("source_name", row)) for row in range(roles.table.n_rows)]
        of_source, unmatched = files.match(names)
        roles.notes += [f"{unmatched} spectrum files match no row"] if unmatched else []
    rows = RowReader(roles, files, of_source, sides)
    return _write(rows, Path(output), seed=seed, overwrite=overwrite, progress=progress)


def from_files(
    files: Sequence[str | Path],
    output: str | Path,
    *,
    text_folder: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> BuildReport:
    """Make a dataset from spectrum files and text files (.txt, .md) of the same stem.

    Args:
        files: PHA files; each is a source named after the file.
        output: folder to make.
        text_folder: folder of the texts; default that of each spectrum.
        seed, overwrite, progress: see `from_table`.

    Raises:
        OwnTableError: no file can be used.
        DatasetFolderError: the output cannot be written.
    """
    check_may_write(output, overwrite=overwrite)
    paths = [Path(file).absolute() for file in files]
    table = OwnTable("files", len(paths), {"file": [str(path) for path in paths]})
    table.columns["name"] = [plain(stem(path)) for path in paths]
    texts: list[str | None] = []
    for row, path in enumerate(paths):
        try:
            texts.append(_read_text(path, Path(text_folder) if text_folder else path.parent))
        except ValueError as error:
            texts.append(None)
            table.broken[row] = str(error)
    table.columns["text"] = texts
    rows = RowReader(assign_roles(table, {}), SpectrumFiles(Path("/")))
    return _write(rows, Path(output), seed=seed, overwrite=overwrite, progress=progress)


def _read_text(path: Path, folder: Path) -> str:
    """Return the text of a spectrum file; raise `ValueError` if one of the two is missing."""
    if not path.is_file():
        raise ValueError("is not there")
    for suffix in TEXT_SUFFIXES:
        text = folder / f"{stem(path)}{suffix}"
        if text.is_file():
            if text.stat().st_size > MAX_TEXT_BYTES:
                raise ValueError(f"{text} is larger than {MAX_TEXT_BYTES:,} bytes: no summary")
            return text.read_bytes().decode("utf-8-sig", "replace")
    raise ValueError(f"no text: {stem(path)}.txt and .md are not in {folder}")


def _write(
    reader: RowReader, output: Path, *, seed: int, overwrite: bool, progress: bool
) -> BuildReport:
    """Write the valid rows, and the table of those left out."""
    roles, table = reader.roles, reader.roles.table
    report = BuildReport(output, notes=roles.notes)
    columns = roles.column_of | {f"summary.{s}": c for s, c in roles.sections.items()}
    report.columns = [f"{column} → {role}" for role, column in columns.items()]
    rows = []
    for number in tqdm(range(table.n_rows), "reading", unit="row", delay=2, disable=not progress):
        try:
            rows += reader.rows_of(number)
        except (ValueError, OSError, MemoryError) as error:
            report.left_out.append(reader.left_out(number, str(error)))
    schema = contract_features().arrow_schema  # `group` is filled in later
    cells = {name: [row.get(name) for row in rows] for name in schema.names}
    content = to_table(cells, len(rows), schema)
    broken = dict(reversed([*broken_rows(content, domain=_NO_SKY)]))  # the first rule of each row
    for place, problem in broken.items():
        report.left_out.append(reader.left_out(rows[place]["_row"], problem, rows[place]["_file"]))
    report.left_out.sort(key=lambda each: each.row)
    _write_left_out(report)
    kept = [place for place in range(len(rows)) if place not in broken]
    if not kept:
        raise OwnTableError(f"no row of {table.name} can be used; {report.left_out[0]}")
    content, rows = content.take(pa.array(kept, pa.int64())), [rows[place] for place in kept]
    private = ([row[name] for row in rows] for name in ("_field", "_host", "_group"))
    groups, report.groups = find_groups(content, *private)
    place = content.schema.get_field_index("group")
    content = content.set_column(place, content.schema.field(place), pa.array(groups, pa.string()))
    splits = split_groups(list(groups), seed=seed)
    report.splits = describe_splits(groups, splits).rpartition("\n")[0]
    report.rows = len(rows)
    energies = Counter(row["_energies"] for row in rows if row["_energies"])
    report.notes += [f"{n:,} rows: energies taken as {source}" for source, n in energies.items()]
    report.notes += [*reader.notes(), *_notes_on(content)]
    info = SpecCLIPDatasetInfo(
        name=output.name,
        builder="from_table",
        builder_version=VERSION,
        seed=seed,
        domain=_NO_SKY if content["ra"].null_count else XRAY,
        knobs={"table": table.name, "columns": columns},
        description="\n".join(
            [f"Made of {table.name}: {report.groups}", "", *(f"* {note}" for note in report.notes)]
        ),
    )
    parts = {split: content.filter(pa.array(splits == split)) for split in SPLITS}
    write_dataset(output, parts, info, overwrite=overwrite, progress=progress)
    return report


def _notes_on(rows: pa.Table) -> list[str]:
    """Describe missing data of the rows in sentences."""
    n = len(rows)
    missing = (
        ("a position", rows["ra"].null_count),
        (
            "an observation number (sources of one field are not kept together)",
            pc.sum(pc.less(rows["obsid"], 0)).as_py(),
        ),
        (
            "an effective area (models take that of a usual ACIS observation)",
            rows["effective_area"].null_count,
        ),
        ("a background region", pc.sum(pc.equal(rows["background_scale"], 0)).as_py()),
    )
    return [f"{number:,} of {n:,} rows lack {what}" for what, number in missing if number]


def _write_left_out(report: BuildReport) -> None:
    path = report.left_out_file
    if not report.left_out and not path.exists():
        return
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(("row", "file", "source", "reason"))
    for each in report.left_out:
        lines.writerow((each.row, *map(format_cell, (each.file, each.source, each.reason))))
    write_text(path, text.getvalue())
