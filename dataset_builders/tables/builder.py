"""Dataset builder for local Parquet tables of detections and sources.

Files in the folder:

    detections.parquet   one row per detection
    sources.parquet      one row per source
    responses.json       optional, names of responses: {"s2001": {"arf": "file.fits.gz"}, …}
    responses/           their ARF files

Columns of detections.parquet:

    name                       source name, as in sources.parquet
    obsid, obi, region_id      integers
    ra, dec                    degrees, ICRS
    livetime                   s
    pi_counts, pi_background   lists of counts in 1,024 PI channels of 14.6 eV, from channel 1
    background_scale           ratio of aperture to background counts (areas and exposures)
    response                   optional, name in responses.json
    detector, theta, year      optional, as in the contract
    hard_hm, …                 optional, variables of the contract with `_lolim` and `_hilim`;
                               null, nan, −99, −999 or −9999 if missing

Columns of sources.parquet:

    name                         unique
    papers                       lists of {id, title, abstract, about, xray, year, id_type}; `id`
                                 (bibcode, arXiv number or DOI) is required, and `abstract` is
                                 used for the summary
    aliases, host, source_class  optional
    group                        optional, groups to be kept within a split
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..contract import (
    BIN_CENTRES,
    LIMITED_VARIABLES,
    N_BINS,
    SPLITS,
    contract_features,
    deal_detections,
    list_array,
    spectra_features,
    to_table,
    variable_units,
)
from ..folder import TableStream, write_dataset
from ..info import SpecCLIPDatasetInfo, code_fingerprint
from ..splits import SURVEY_LIMIT
from .columns import (
    CHANNEL_EDGES,
    LocalTablesError,
    channel_counts,
    finite_numbers,
    integers,
    measured_numbers,
    refuse,
)
from .plan import Plan, classes_and_groups, make_plan

VERSION = "0.1.0"
DETECTIONS_FILE, SOURCES_FILE = "detections.parquet", "sources.parquet"
RESPONSES_FILE, RESPONSES_FOLDER = "responses.json", "responses"
# Detections per batch, about 16 MB.
BATCH = 1000

_INTEGERS = ("obsid", "obi", "region_id")
_NUMBERS = ("ra", "dec", "livetime", "background_scale")
_LISTS = ("pi_counts", "pi_background")
_OPTIONAL = ("response", "detector", "theta", "year")
_VARIABLES = (
    *variable_units(),
    *(f"{name}_{end}" for name in LIMITED_VARIABLES for end in ("lolim", "hilim")),
)
DESCRIPTION = """\
Counts in PI channels (14.6 eV, first channel 1), rebinned to the energy bins by a multinomial draw
with the overlap fractions, seeded by the detection; effective area from the response named in the
row. {texts} Sentinels for missing values are null.
"""
SUMMARIES = (
    "Summaries are sentences taken from the abstracts of the source's papers, without a language "
    "model."
)
ABSTRACTS = (
    "The section identity contains unmodified titles and abstracts of X-ray papers about the "
    "source itself; the other sections are empty."
)


def is_tables_folder(folder: str | Path) -> bool:
    """Return True for a folder of local tables."""
    folder = Path(folder)
    return (folder / DETECTIONS_FILE).is_file() and (folder / SOURCES_FILE).is_file()


class LocalTables:
    """Dataset from local tables.

    Args:
        folder: folder of the tables; see the module for their columns.
        survey_limit: papers about more sources are surveys: they do not link sources, and no
            summary is based on surveys alone.
        keep_survey_only: keep sources with surveys only.
        abstracts: use unmodified titles and abstracts of papers with `about` = `source` and
            `xray` = true instead of summaries; other sources are excluded.
        seed: seed of the splits; None for `hash_splits`.

    Raises:
        LocalTablesError: a file is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        survey_limit: int = SURVEY_LIMIT,
        keep_survey_only: bool = False,
        abstracts: bool = False,
        seed: int | None = 0,
    ) -> None:
        self.folder = Path(folder)
        if not is_tables_folder(self.folder):
            raise LocalTablesError(
                f"{self.folder} needs {DETECTIONS_FILE} and {SOURCES_FILE}: is it the right folder?"
            )
        self.knobs: dict[str, Any] = {
            "survey_limit": int(survey_limit),
            "keep_survey_only": bool(keep_survey_only),
            "abstracts": bool(abstracts),
            "split_seed": None if seed is None else int(seed),
        }

    @property
    def key(self) -> str:
        """Hash of files, settings and code."""
        names = [self.folder / name for name in (DETECTIONS_FILE, SOURCES_FILE, RESPONSES_FILE)]
        responses = sorted((self.folder / RESPONSES_FOLDER).glob("*"))
        files = [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for path in (*names, *responses)
            if path.is_file()
        ]
        folder = str(self.folder.resolve())
        settings = json.dumps([VERSION, code_fingerprint(), folder, files, self.knobs])
        return hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()

    @cached_property
    def plan(self) -> Plan:
        """Selected detections, with texts, groups and splits."""
        paths = (self.folder / SOURCES_FILE, self.folder / DETECTIONS_FILE)
        return make_plan(*paths, **self.knobs)

    def description(self) -> SpecCLIPDatasetInfo:
        """Describe the dataset."""
        texts = ABSTRACTS if self.knobs["abstracts"] else SUMMARIES
        return SpecCLIPDatasetInfo(
            name=self.folder.resolve().name,
            builder="local_tables",
            builder_version=VERSION,
            seed=self.knobs["split_seed"] or 0,
            knobs=self.knobs,
            description=f"{DESCRIPTION.format(texts=texts)}\n{self.plan.counts}",
        )

    def streams(self) -> dict[str, TableStream]:
        """Return a lazy stream of tables for each split."""
        schema = contract_features().arrow_schema
        return {
            split: TableStream(int((self.plan.split == split).sum()), schema, self.tables(split))
            for split in SPLITS
        }

    def write(self, output: str | Path, *, overwrite: bool = False, progress: bool = False) -> Path:
        """Write the dataset into a folder; see `write_dataset`.

        Raises:
            LocalTablesError: invalid cell; the message names file, column and row.
            DatasetFolderError: the folder cannot be written, or there are no rows.
        """
        return write_dataset(
            output, self.streams(), self.description(), overwrite=overwrite, progress=progress
        )

    def tables(self, split: str) -> Iterator[pa.Table]:
        """Yield the rows of a split in batches.

        Raises:
            LocalTablesError: invalid cell; the message names file, column and row.
        """
        schema = contract_features(N_BINS).arrow_schema
        for part, rows, areas in self._batches(self.plan.split == split):
            source = self.plan.source[rows]
            of_source = {
                "source_class": [self.plan.classes[index] for index in source],
                "group": self.plan.group[rows],
                "aliases": [self.plan.aliases[index] for index in source],
                "papers": [self.plan.papers[index] for index in source],
                "summary": [self.plan.summaries[index] for index in source],
                "writer": [self.plan.writer] * len(source),
            }
            path = self.folder / DETECTIONS_FILE
            yield _contract_table(part, rows, of_source, areas, path, schema)

    def detections(self) -> pa.Table:
        """Return all detections, with and without texts, in the columns of `spectra_features`.

        Raises:
            LocalTablesError: invalid cell; the message names file, column and row.
        """
        path, schema = self.folder / DETECTIONS_FILE, spectra_features(N_BINS).arrow_schema
        classes, groups = classes_and_groups(self.folder / SOURCES_FILE, path)
        return pa.concat_tables(
            _contract_table(
                part, rows, {"source_class": classes[rows], "group": groups[rows]}, areas, path,
                schema,
            )
            for part, rows, areas in self._batches(np.ones(len(groups), bool))
        )  # fmt: skip

    def _batches(
        self, mask: np.ndarray
    ) -> Iterator[tuple[pa.Table, np.ndarray, dict[str, np.ndarray]]]:
        """Yield selected detections, their row numbers, and the effective areas by response."""
        path = self.folder / DETECTIONS_FILE
        areas = _read_areas(self.folder)
        file = pq.ParquetFile(path)
        required = ("name", *_INTEGERS, *_NUMBERS, *_LISTS)
        missing = [name for name in required if name not in file.schema_arrow.names]
        if missing:
            raise LocalTablesError(f"{path}: columns {missing} are missing: add them")
        wanted = [*required, *_OPTIONAL, *_VARIABLES]
        columns = [name for name in wanted if name in file.schema_arrow.names]
        start = 0
        for batch in file.iter_batches(BATCH, columns=columns):
            rows = np.flatnonzero(mask[start : start + len(batch)])
            if rows.size:
                yield pa.Table.from_batches([batch]).take(rows), start + rows, areas
            start += len(batch)


def _contract_table(
    part: pa.Table,
    rows: np.ndarray,
    of_source: dict[str, Any],
    areas: dict[str, np.ndarray],
    path: Path,
    schema: pa.Schema,
) -> pa.Table:
    """Return rows in the columns of a schema; `of_source` has the columns of the source table."""
    identity = {name: integers(part, name, rows, path) for name in _INTEGERS}
    numbers = {name: finite_numbers(part, name, rows, path) for name in _NUMBERS}
    _check_ranges(numbers, rows, path)
    names = part["name"].to_pylist()
    counts, background = deal_detections(
        *(channel_counts(part, name, rows, path) for name in _LISTS),
        CHANNEL_EDGES,
        zip(*identity.values(), names, strict=True),
    )
    columns: dict[str, Any] = {
        "source_name": names,
        **identity,
        "ra": numbers["ra"],
        "dec": numbers["dec"],
        "exposure": numbers["livetime"],
        "counts": list_array(counts.astype(np.int32)),
        "background_counts": list_array(background.astype(np.int32)),
        "background_scale": numbers["background_scale"],
        **of_source,
    }
    if areas and "response" in part.column_names:
        columns["effective_area"] = _area_column(part, rows, areas, path)
    if "detector" in part.column_names:
        columns["detector"] = part["detector"].to_pylist()
    for name in ("theta", "year", *_VARIABLES):
        if name in part.column_names:
            columns[name] = measured_numbers(part, name, rows, path)
    return to_table(columns, len(part), schema)


def _check_ranges(numbers: dict[str, np.ndarray], rows: np.ndarray, path: Path) -> None:
    for name, bad, mend in (
        ("livetime", numbers["livetime"] <= 0, "give the live time in seconds"),
        ("background_scale", numbers["background_scale"] < 0, "give a factor from 0 on"),
        ("ra", ~((numbers["ra"] >= 0) & (numbers["ra"] <= 360)), "give degrees, ICRS"),
        ("dec", np.abs(numbers["dec"]) > 90, "give degrees, ICRS"),
    ):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            refuse(path, name, int(rows[first]), f"is {numbers[name][first]}", mend)


def _read_areas(folder: Path) -> dict[str, np.ndarray]:
    """Read the effective area at the bin centres, cm² (400,), of each response."""
    path = folder / RESPONSES_FILE
    if not path.is_file():
        return {}
    from hf_specclip.spectra import read_arf

    try:
        responses = json.loads(path.read_text(encoding="utf-8"))
        files = {name: entry["arf"] for name, entry in responses.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LocalTablesError(
            f'{path} must map names to {{"arf": "file", …}}: {error!r}'
        ) from None
    areas = {}
    for name, file in files.items():
        # Untrusted file names must not point outside the folder.
        if Path(file).name != file:
            raise LocalTablesError(
                f"{path}, response {name!r}: {file!r} must be a file name in {RESPONSES_FOLDER}/"
            )
        areas[name] = read_arf(folder / RESPONSES_FOLDER / file).at(BIN_CENTRES).astype(np.float32)
    return areas


def _area_column(
    part: pa.Table, rows: np.ndarray, areas: dict[str, np.ndarray], path: Path
) -> pa.Array:
    names = part["response"].to_pylist()
    for row, name in zip(rows, names, strict=True):
        if name is not None and name not in areas:
            problem = f"{name!r} is not in {RESPONSES_FILE}"
            refuse(path, "response", int(row), problem, "add it there")
    present = np.array([name is not None for name in names])
    stacked = np.stack([areas[name] for name in names if name is not None] or [np.zeros(N_BINS)])
    index = np.where(present, np.cumsum(present) - 1, 0)
    return list_array(stacked.astype(np.float32)).take(pa.array(index, mask=~present))
