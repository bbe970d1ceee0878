"""`LocalTables`: detections and sources in Parquet tables, turned into the contract's rows.

A folder holds

    detections.parquet   one row per detection: identifiers, PI counts, catalogue columns
    sources.parquet      one row per source: aliases, host, class, papers, optionally `group`
    responses.json       names of responses: {"s2001": {"arf": "file.fits.gz", …}, …}
    responses/           their ARF files

Counts come in PI channels of 14.6 eV, the first of which is channel 1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_specclip.errors import SpecCLIPError
from hf_specclip.spectra.rebin import (
    background_seed,
    deal_counts_batch,
    detection_seed,
    energy_grid,
)

from .contract import (
    ENERGY_RANGE,
    LIMITED_VARIABLES,
    N_BINS,
    SENTINELS,
    SPLITS,
    contract_features,
    list_array,
    variable_units,
)
from .folder import SpecCLIPDatasetInfo
from .shards import code_fingerprint
from .splits import SURVEY_LIMIT, assign_groups, count_sources_of_papers, split_groups

VERSION = "0.1.0"
DETECTIONS_FILE, SOURCES_FILE = "detections.parquet", "sources.parquet"
RESPONSES_FILE, RESPONSES_FOLDER = "responses.json", "responses"
N_CHANNELS = 1024
CHANNEL_WIDTH = 0.0146
CHANNEL_EDGES = np.arange(N_CHANNELS + 1) * CHANNEL_WIDTH
# Detections held at once: 1,024 channels twice, about 16 MB.
BATCH = 1000
MAX_COUNTS = 2**31 - 1

_INTEGERS = ("obsid", "obi", "region_id")
_NUMBERS = ("ra", "dec", "livetime", "background_scale")
_LISTS = ("pi_counts", "pi_background")
DESCRIPTION = """\
Detections of PI channels (14.6 eV, first channel 1) dealt over the energy bins by a multinomial
draw with the overlap fractions, seeded by the detection; effective area from the response named in
the row. Summaries are sentences taken from the abstracts of the source's papers, without a language
model. Values that mean "not measured" became null.
"""


class LocalTablesError(SpecCLIPError, ValueError):
    """Tables that cannot be used; the message names the file, column, row and mend."""


@dataclass(frozen=True)
class BuildCounts:
    """What became of the sources and detections of the tables.

    Attributes:
        detections, sources: how many there are.
        without_papers: sources without any paper.
        survey_only: sources whose papers are all behind more sources than the limit.
        without_text: sources whose papers gave no sentence.
        rows: detections that became rows.
    """

    detections: int
    sources: int
    without_papers: int
    survey_only: int
    without_text: int
    rows: int

    def __str__(self) -> str:
        return (
            f"{self.rows} of {self.detections} detections became rows. Of {self.sources} sources, "
            f"{self.without_papers} have no paper, {self.survey_only} only papers behind more "
            f"sources than the survey limit, {self.without_text} none with a usable text."
        )


def tables_files(folder: str | Path) -> list[Path]:
    """The files that a folder's rows are made of."""
    folder = Path(folder)
    names = [folder / name for name in (DETECTIONS_FILE, SOURCES_FILE, RESPONSES_FILE)]
    responses = sorted((folder / RESPONSES_FOLDER).glob("*"))
    return [path for path in (*names, *responses) if path.is_file()]


def is_tables_folder(folder: str | Path) -> bool:
    """Whether a folder holds local tables."""
    folder = Path(folder)
    return (folder / DETECTIONS_FILE).is_file() and (folder / SOURCES_FILE).is_file()


class LocalTables(datasets.ArrowBasedBuilder):
    """Local tables as a dataset.

    Args:
        folder: of the tables.
        survey_limit: papers behind more sources link none and feed no summary alone.
        keep_survey_only: keep sources that only such papers are about, too.
        seed: of the splits.
        cache_dir: where `datasets` keeps what it made.

    Attributes:
        key: hash of all that decides the rows.

    Raises:
        LocalTablesError: when a file or column is missing.
    """

    VERSION = datasets.Version(VERSION)

    def __init__(
        self,
        folder: str | Path,
        *,
        survey_limit: int = SURVEY_LIMIT,
        keep_survey_only: bool = False,
        seed: int = 0,
        cache_dir: str | Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        if not is_tables_folder(self.folder):
            raise LocalTablesError(
                f"{self.folder} needs {DETECTIONS_FILE} and {SOURCES_FILE}: is it the right folder?"
            )
        self.knobs: dict[str, Any] = {
            "survey_limit": int(survey_limit),
            "keep_survey_only": bool(keep_survey_only),
            "split_seed": int(seed),
        }
        self._plan: _Plan | None = None
        files = [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for path in tables_files(self.folder)
        ]
        # All that decides the rows: files, settings, code.
        code = code_fingerprint()
        settings = json.dumps([VERSION, code, str(self.folder.resolve()), files, self.knobs])
        self.key = hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            # Name and hash of its own: see `SimulatedCSC`.
            dataset_name="local_tables",
            config_name="default",
            hash=self.key,
        )

    @property
    def plan(self) -> _Plan:
        """Which detections become rows, their texts, groups and splits."""
        if self._plan is None:
            self._plan = _make_plan(self.folder, self.knobs)
        return self._plan

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Make the rows (see `datasets.DatasetBuilder.download_and_prepare`).

        Raises:
            LocalTablesError: naming file, column, row and mend.
        """
        try:
            super().download_and_prepare(*args, **kwargs)
        except datasets.exceptions.DatasetGenerationError as error:
            # What is wrong with the tables, not where in `datasets` it surfaced.
            if isinstance(error.__cause__, LocalTablesError):
                raise error.__cause__ from None
            raise

    def description(self) -> SpecCLIPDatasetInfo:
        """What to write beside the rows."""
        return SpecCLIPDatasetInfo(
            name=self.folder.resolve().name,
            builder="local_tables",
            builder_version=VERSION,
            seed=self.knobs["split_seed"],
            knobs=self.knobs,
            description=f"{DESCRIPTION}\n{self.plan.counts}",
        )

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=DESCRIPTION, features=contract_features())

    def _split_generators(
        self, dl_manager: datasets.DownloadManager
    ) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in SPLITS
        ]

    def _generate_tables(self, split: str) -> Iterator[tuple[int | datasets.builder.Key, pa.Table]]:
        for number, table in enumerate(_rows(self.folder, self.plan, split)):
            yield datasets.builder.Key(number, 0), table


@dataclass(frozen=True)
class _Plan:
    """Which detections become rows, and what they share with their source.

    Attributes:
        split: split of each detection of the table, empty where it becomes no row.
        group: group of each detection.
        source: index into the lists below, −1 where the source has no summary.
        summaries, papers, classes: of each source that has a summary.
        counts: what became of the rest.
    """

    split: np.ndarray
    group: np.ndarray
    source: np.ndarray
    summaries: list[dict[str, str | None]]
    papers: list[list[dict[str, Any]]]
    classes: list[str | None]
    counts: BuildCounts


def _make_plan(folder: Path, knobs: dict[str, Any]) -> _Plan:
    sources_path, detections_path = folder / SOURCES_FILE, folder / DETECTIONS_FILE
    sources = _read(sources_path, ("name", "papers"), ("aliases", "host", "source_class", "group"))
    names = _texts(sources, "name", sources_path)
    place_of = {name: place for place, name in enumerate(names)}
    if len(place_of) < len(names):
        again = next(name for name, number in Counter(names).items() if number > 1)
        row = len(names) - 1 - names[::-1].index(again)
        _refuse(sources_path, "name", row, f"{again!r} is there twice", "keep one row a source")
    papers = [
        _papers(cell, sources_path, row) for row, cell in enumerate(_cells(sources, "papers"))
    ]

    detections = _read(detections_path, ("name", "obsid"), ())
    of_source = np.empty(len(detections), dtype=np.int64)
    for row, name in enumerate(_texts(detections, "name", detections_path)):
        if name not in place_of:
            _refuse(
                detections_path,
                "name",
                row,
                f"{name!r} is not in {SOURCES_FILE}",
                "add the source there, or leave the detection out",
            )
        of_source[row] = place_of[name]

    limit = knobs["survey_limit"]
    ids = [[paper["id"] for paper in of] for of in papers]
    sources_of = count_sources_of_papers(names, ids)
    survey_only = [bool(of) and min(sources_of[i] for i in of) > limit for of in ids]
    hosts = _optional_texts(sources, "host")
    classes = _optional_texts(sources, "source_class")
    kept = np.full(len(names), -1)
    aliases = _cells(sources, "aliases")
    texts: list[dict[str, str | None]] = []
    order: list[int] = []
    silent = 0
    for source in np.unique(of_source):
        if not papers[source] or (survey_only[source] and not knobs["keep_survey_only"]):
            continue
        text = _summarise(
            names[source],
            aliases[source] or [],
            hosts[source],
            classes[source],
            papers[source],
            set() if survey_only[source] else {i for i in ids[source] if sources_of[i] > limit},
        )
        if not any(text.values()):
            silent += 1
            continue
        kept[source] = len(order)
        order.append(int(source))
        texts.append(text)
    rows = np.flatnonzero(kept[of_source] >= 0)
    group = np.full(len(detections), "", dtype=object)
    split = np.full(len(detections), "", dtype=object)
    if rows.size:
        group[rows], connected = _groups(
            sources, sources_path, detections, of_source, rows, ids, hosts, limit
        )
        split[rows] = split_groups(connected, seed=knobs["split_seed"])
    return _Plan(
        split=split,
        group=group,
        source=kept[of_source],
        summaries=texts,
        papers=[[_paper_row(paper) for paper in papers[source]] for source in order],
        classes=[classes[source] for source in order],
        counts=BuildCounts(
            detections=len(detections),
            sources=len(names),
            without_papers=sum(not of for of in papers),
            survey_only=0 if knobs["keep_survey_only"] else sum(survey_only),
            without_text=silent,
            rows=len(rows),
        ),
    )


def _groups(
    sources: pa.Table,
    path: Path,
    detections: pa.Table,
    of_source: np.ndarray,
    rows: np.ndarray,
    ids: list[list[str]],
    hosts: list[str | None],
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Group of each kept detection, and what no split may cut.

    The two are the same connected components, unless the table brings groups of its own. Those are
    kept as they are; but they may part sources that share a field, a host or a paper, so splits
    are drawn over the components that join them.
    """
    used = of_source[rows]
    own = None
    if "group" in sources.column_names:
        of = _optional_texts(sources, "group")
        for source in np.unique(used):
            if of[source] is None:
                _refuse(path, "group", int(source), "is empty", "name a group, or drop the column")
        own = np.array([of[source] for source in used], dtype=object)
    names = sources["name"].to_pylist()
    connected = assign_groups(
        [names[source] for source in used],
        detections["obsid"].to_numpy()[rows],
        [hosts[source] for source in used],
        [ids[source] for source in used],
        survey_limit=limit,
        own=own,
    )
    return (connected if own is None else own), connected


def _summarise(
    name: str,
    aliases: list[str],
    host: str | None,
    source_class: str | None,
    papers: list[dict[str, Any]],
    surveys: set[str],
) -> dict[str, str | None]:
    # Imported here: sentences are split with tools that a look at the columns need not wait for.
    from hf_specclip.literature import extractive_summary

    return extractive_summary(
        name=name,
        aliases=aliases,
        host=host,
        source_class=source_class,
        papers=papers,
        is_survey=[paper["id"] in surveys for paper in papers],
    )


def _rows(folder: Path, plan: _Plan, split: str) -> Iterator[pa.Table]:
    """Rows of a split, a batch of detections at a time."""
    path = folder / DETECTIONS_FILE
    areas = _areas(folder)
    file = pq.ParquetFile(path)
    variables = list(variable_units())
    variables += [f"{name}_{end}" for name in LIMITED_VARIABLES for end in ("lolim", "hilim")]
    wanted = ["name", *_INTEGERS, *_NUMBERS, *_LISTS, "response", "detector", "theta", "year"]
    wanted = [name for name in [*wanted, *variables] if name in file.schema_arrow.names]
    missing = [n for n in (*_INTEGERS, *_NUMBERS, *_LISTS) if n not in file.schema_arrow.names]
    if missing:
        raise LocalTablesError(f"{path}: columns {missing} are missing: add them")
    bins = energy_grid(N_BINS, ENERGY_RANGE)
    start = 0
    for batch in file.iter_batches(BATCH, columns=wanted):
        stop = start + len(batch)
        rows = np.flatnonzero(plan.split[start:stop] == split)
        if rows.size:
            part = pa.Table.from_batches([batch]).take(rows)
            yield _contract_table(part, start + rows, plan, areas, bins, variables, path)
        start = stop


def _contract_table(
    part: pa.Table,
    rows: np.ndarray,
    plan: _Plan,
    areas: dict[str, np.ndarray],
    bins: np.ndarray,
    variables: list[str],
    path: Path,
) -> pa.Table:
    identity = {name: _whole_numbers(part, name, rows, path) for name in _INTEGERS}
    numbers = {name: _finite_numbers(part, name, rows, path) for name in _NUMBERS}
    for name, bad, mend in (
        ("livetime", numbers["livetime"] <= 0, "give the live time in seconds"),
        (
            "background_scale",
            numbers["background_scale"] < 0,
            "give a factor from 0 on",
        ),
        ("ra", ~((numbers["ra"] >= 0) & (numbers["ra"] <= 360)), "give degrees, ICRS"),
        ("dec", np.abs(numbers["dec"]) > 90, "give degrees, ICRS"),
    ):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            _refuse(path, name, int(rows[first]), f"is {numbers[name][first]}", mend)
    names = part["name"].to_pylist()
    seeds = [
        detection_seed(int(obsid), int(obi), int(region), name)
        for obsid, obi, region, name in zip(*identity.values(), names, strict=True)
    ]
    counts = _channels(part, "pi_counts", rows, path)
    background = _channels(part, "pi_background", rows, path)
    source = plan.source[rows]
    columns: dict[str, Any] = {
        "source_name": names,
        **identity,
        "ra": numbers["ra"],
        "dec": numbers["dec"],
        "source_class": [plan.classes[index] for index in source],
        "group": plan.group[rows],
        "exposure": numbers["livetime"],
        "counts": deal_counts_batch(counts, CHANNEL_EDGES, bins, seeds),
        "background_counts": deal_counts_batch(
            background, CHANNEL_EDGES, bins, [background_seed(seed) for seed in seeds]
        ),
        "background_scale": numbers["background_scale"],
        "papers": [plan.papers[index] for index in source],
        "summary": [plan.summaries[index] for index in source],
    }
    if areas and "response" in part.column_names:
        columns["effective_area"] = _area_column(part, rows, areas, path)
    if "detector" in part.column_names:
        columns["detector"] = part["detector"].to_pylist()
    for name in ("theta", "year", *variables):
        if name in part.column_names:
            columns[name] = _measured(part, name, rows, path)
    schema = contract_features(N_BINS).arrow_schema
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(len(part), field.type))
        elif isinstance(values, np.ndarray) and values.ndim == 2:
            arrays.append(list_array(values.astype(np.int32)).cast(field.type))
        elif isinstance(values, np.ndarray) and values.dtype != object:
            arrays.append(pa.array(values, from_pandas=True).cast(field.type, safe=False))
        elif isinstance(values, pa.Array):
            arrays.append(values.cast(field.type))
        else:
            arrays.append(pa.array(list(values), field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _refuse(path: Path, column: str, row: int, problem: str, mend: str) -> None:
    raise LocalTablesError(f"{path}, row {row}, column {column!r}: {problem}; {mend}")


def _read(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> pa.Table:
    try:
        schema = pq.read_schema(path)
        missing = [name for name in required if name not in schema.names]
        if missing:
            raise LocalTablesError(f"{path}: columns {missing} are missing: add them")
        wanted = [*required, *(name for name in optional if name in schema.names)]
        return pq.read_table(path, columns=wanted)
    except (pa.ArrowInvalid, OSError) as error:
        raise LocalTablesError(f"{path} cannot be read as Parquet: {error}") from None


def _cells(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)


def _texts(table: pa.Table, name: str, path: Path) -> list[str]:
    cells = _cells(table, name)
    for row, cell in enumerate(cells):
        if not isinstance(cell, str) or not cell.strip():
            _refuse(path, name, row, "is no text", "write the name")
    return cells


def _optional_texts(table: pa.Table, name: str) -> list[str | None]:
    """Stripped texts; None for null, empty, and pandas' nan in a column of mixed types."""
    cells = _cells(table, name)
    return [cell.strip() or None if isinstance(cell, str) else None for cell in cells]


def _papers(cell: Any, path: Path, row: int) -> list[dict[str, Any]]:
    """Papers of a source, each once, in the order of the table."""
    papers: dict[str, dict[str, Any]] = {}
    for paper in cell or []:
        if not isinstance(paper, dict) or not isinstance(paper.get("id"), str) or not paper["id"]:
            _refuse(path, "papers", row, "holds a paper without 'id'", "give bibcode, arXiv or DOI")
        papers.setdefault(paper["id"], paper)
    return list(papers.values())


def _paper_row(paper: dict[str, Any]) -> dict[str, Any]:
    identifier = paper["id"]
    year = paper.get("year")
    return {
        "id": identifier,
        "id_type": paper.get("id_type") or _id_type(identifier),
        "title": paper.get("title") or None,
        "year": int(year) if year is not None and year == year else _year_of(identifier),
    }


_ARXIV_NEW = re.compile(r"(\d\d)(0[1-9]|1[0-2])\.\d{4,5}(v\d+)?")
_ARXIV_OLD = re.compile(r"[a-z-]+(?:\.[A-Z]{2})?/(\d\d)(0[1-9]|1[0-2])\d{3}(v\d+)?")
_BIBCODE = re.compile(r"(\d{4})[A-Za-z0-9.&]{14}[A-Za-z.]")


def _id_type(identifier: str) -> str:
    if identifier.startswith("10."):
        return "doi"
    return "bibcode" if _BIBCODE.fullmatch(identifier) else "arxiv"


def _year_of(identifier: str) -> int | None:
    """Year of a bibcode or arXiv number; None where the identifier does not tell."""
    bibcode = _BIBCODE.fullmatch(identifier)
    if bibcode:
        return int(bibcode[1])
    arxiv = _ARXIV_NEW.fullmatch(identifier) or _ARXIV_OLD.fullmatch(identifier)
    if not arxiv:
        return None
    short = int(arxiv[1])
    # arXiv began in 1991.
    return 1900 + short if short >= 91 else 2000 + short


def _whole_numbers(part: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    values = _finite_numbers(part, name, rows, path)
    bad = (values != np.floor(values)) | (np.abs(values) > 2**31 - 1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        _refuse(path, name, int(rows[first]), f"is {values[first]}", "give a whole number")
    return values.astype(np.int64)


def _finite_numbers(part: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    try:
        values = part[name].cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        raise LocalTablesError(
            f"{path}, column {name!r}: has type {part[name].type}; give numbers"
        ) from None
    bad = ~np.isfinite(values) | np.isin(values, SENTINELS)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        _refuse(path, name, int(rows[first]), "is missing", "every detection needs one")
    return values


def _measured(part: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    """Values (n,), nan where the table says that nothing was measured."""
    try:
        values = part[name].cast(pa.float64()).to_numpy().copy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise LocalTablesError(
            f"{path}, row {int(rows[0])}, column {name!r}: has type {part[name].type}; give numbers"
        ) from None
    values[~np.isfinite(values) | np.isin(values, SENTINELS)] = np.nan
    return values


def _channels(part: pa.Table, name: str, rows: np.ndarray, path: Path) -> np.ndarray:
    """Counts (n, 1024) of a column of lists."""
    column = part[name].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    bad = lengths != N_CHANNELS
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        found = "is missing" if lengths[first] < 0 else f"has {lengths[first]} channels"
        _refuse(path, name, int(rows[first]), found, f"give {N_CHANNELS} PI channels from 1 on")
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, N_CHANNELS)
    wrong = ~np.isfinite(values) | (values < 0) | (values > MAX_COUNTS)
    if values.dtype.kind == "f":
        wrong |= values != np.floor(values)
    if wrong.any():
        first, channel = (int(index[0]) for index in np.nonzero(wrong))
        _refuse(
            path,
            name,
            int(rows[first]),
            f"channel {channel + 1} holds {values[first, channel]}",
            "counts are whole numbers from 0 on; subtract no background",
        )
    return values.astype(np.int64)


def _areas(folder: Path) -> dict[str, np.ndarray]:
    """Effective area at the bin centres, cm² (400,), of each response."""
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
    edges = energy_grid(N_BINS, ENERGY_RANGE)
    centres = (edges[1:] + edges[:-1]) / 2
    areas = {}
    for name, file in files.items():
        # A name in a table is data: it may not point out of the folder.
        if Path(file).name != file:
            raise LocalTablesError(
                f"{path}, response {name!r}: {file!r} must be a file name in {RESPONSES_FOLDER}/"
            )
        areas[name] = read_arf(folder / RESPONSES_FOLDER / file).at(centres).astype(np.float32)
    return areas


def _area_column(
    part: pa.Table, rows: np.ndarray, areas: dict[str, np.ndarray], path: Path
) -> pa.Array:
    names = part["response"].to_pylist()
    for row, name in zip(rows, names, strict=True):
        if name is not None and name not in areas:
            _refuse(
                path, "response", int(row), f"{name!r} is not in {RESPONSES_FILE}", "add it there"
            )
    known = np.array([name is not None for name in names])
    stacked = np.stack([areas[name] for name in names if name is not None] or [np.zeros(N_BINS)])
    column = list_array(stacked.astype(np.float32))
    place = np.where(known, np.cumsum(known) - 1, 0)
    return column.take(pa.array(place, mask=~known))
