"""Rows, texts, groups and splits of a dataset from local tables."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..splits import SURVEY_LIMIT, assign_groups, count_sources_of_papers, hash_splits, split_groups
from .columns import cells, optional_texts, read_columns, refuse, required_texts

_ARXIV_NEW = re.compile(r"(\d\d)(0[1-9]|1[0-2])\.\d{4,5}(v\d+)?")
_ARXIV_OLD = re.compile(r"[a-z-]+(?:\.[A-Z]{2})?/(\d\d)(0[1-9]|1[0-2])\d{3}(v\d+)?")
_BIBCODE = re.compile(r"(\d{4})[A-Za-z0-9.&]{14}[A-Za-z.]")


@dataclass(frozen=True)
class BuildCounts:
    """Numbers of sources and detections, and of excluded sources by reason."""

    detections: int  # numbers in the tables
    sources: int  # numbers in the tables
    without_papers: int  # sources without papers
    survey_only: int  # sources with surveys only
    without_text: int  # sources without a sentence in their abstracts
    rows: int  # detections in the dataset

    def __str__(self) -> str:
        return (
            f"{self.rows} of {self.detections} detections became rows. Of {self.sources} sources, "
            f"{self.without_papers} have no paper, {self.survey_only} only papers behind more "
            f"sources than the survey limit, {self.without_text} none with a usable text."
        )


@dataclass(frozen=True)
class Plan:
    """Selected detections, with the texts of their sources."""

    split: np.ndarray  # split of each detection of the table, empty if excluded
    group: np.ndarray  # group of each detection
    source: np.ndarray  # index into the lists below, −1 if the source has no summary
    # summaries, papers, aliases, classes: of each source with a summary
    summaries: list[dict[str, str | None]]
    papers: list[list[dict[str, Any]]]
    aliases: list[list[str]]
    classes: list[str | None]
    writer: str  # column `writer` of the contract
    counts: BuildCounts  # numbers of rows and exclusions


@dataclass(frozen=True)
class SourceTable:
    """Validated columns of the table of sources."""

    path: Path
    names: list[str]
    aliases: list[list[str]]
    hosts: list[str | None]
    classes: list[str | None]
    papers: list[list[dict[str, Any]]]
    groups: list[str | None] | None

    @property
    def paper_ids(self) -> list[list[str]]:
        return [[paper["id"] for paper in papers] for papers in self.papers]


def make_plan(
    sources_path: Path,
    detections_path: Path,
    *,
    survey_limit: int,
    keep_survey_only: bool,
    abstracts: bool,
    split_seed: int | None,
) -> Plan:
    """Select detections, summarise their sources, and assign groups and splits.

    The settings are those of `LocalTables`.

    Raises:
        LocalTablesError: invalid cell; the message names file, column, row and correction.
    """
    sources = read_sources(sources_path)
    detections = read_columns(detections_path, ("name", "obsid"), ())
    of_source = _match_sources(detections, detections_path, sources)
    ids = sources.paper_ids
    sources_of = count_sources_of_papers(sources.names, ids)
    survey_only = [bool(of) and min(sources_of[i] for i in of) > survey_limit for of in ids]
    index = np.full(len(sources.names), -1)
    summaries: list[dict[str, str | None]] = []
    order: list[int] = []
    without_text = 0
    for source in np.unique(of_source):
        if not ids[source] or (survey_only[source] and not keep_survey_only):
            continue
        surveys = {i for i in ids[source] if sources_of[i] > survey_limit}
        if abstracts:
            summary = _own_abstracts(sources.papers[source])
        else:
            summary = _summarise(sources, source, set() if survey_only[source] else surveys)
        if not any(summary.values()):
            without_text += 1
            continue
        index[source] = len(order)
        order.append(int(source))
        summaries.append(summary)
    rows = np.flatnonzero(index[of_source] >= 0)
    group = np.full(len(detections), "", dtype=object)
    split = np.full(len(detections), "", dtype=object)
    if rows.size:
        obsids = detections["obsid"].to_numpy()[rows]
        group[rows], connected = _groups(sources, of_source[rows], obsids, survey_limit)
        split[rows] = (
            hash_splits(group[rows])
            if split_seed is None
            else split_groups(connected, seed=split_seed)
        )
    return Plan(
        split=split,
        group=group,
        source=index[of_source],
        summaries=summaries,
        papers=[[paper_row(paper) for paper in sources.papers[source]] for source in order],
        aliases=[sources.aliases[source] for source in order],
        classes=[sources.classes[source] for source in order],
        writer="title and abstract" if abstracts else "extractive summary",
        counts=BuildCounts(
            detections=len(detections),
            sources=len(sources.names),
            without_papers=sum(not of for of in ids),
            survey_only=0 if keep_survey_only else sum(survey_only),
            without_text=without_text,
            rows=len(rows),
        ),
    )


def classes_and_groups(sources_path: Path, detections_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the class and the group of each detection, (n,) of strings; a class may be None."""
    sources = read_sources(sources_path)
    detections = read_columns(detections_path, ("name", "obsid"), ())
    of_source = _match_sources(detections, detections_path, sources)
    group, _ = _groups(sources, of_source, detections["obsid"].to_numpy(), SURVEY_LIMIT)
    return np.array(sources.classes, dtype=object)[of_source], group


def identify(identifier: str) -> tuple[str, int | None]:
    """Return the type (`bibcode`, `arxiv`, `doi`) of a paper's identifier and its year, or None."""
    if identifier.startswith("10."):
        return "doi", None
    if bibcode := _BIBCODE.fullmatch(identifier):
        return "bibcode", int(bibcode[1])
    arxiv = _ARXIV_NEW.fullmatch(identifier) or _ARXIV_OLD.fullmatch(identifier)
    if not arxiv:
        return "arxiv", None
    short = int(arxiv[1])
    # arXiv began in 1991.
    return "arxiv", 1900 + short if short >= 91 else 2000 + short


def read_sources(path: Path) -> SourceTable:
    """Read and validate the table of sources.

    Raises:
        LocalTablesError: invalid cell; the message names file, column, row and correction.
    """
    table = read_columns(path, ("name", "papers"), ("aliases", "host", "source_class", "group"))
    names = required_texts(table, "name", path)
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        row = len(names) - 1 - names[::-1].index(repeated[0])
        refuse(path, "name", row, f"{repeated[0]!r} is there twice", "keep one row a source")
    return SourceTable(
        path=path,
        names=names,
        aliases=[aliases or [] for aliases in cells(table, "aliases")],
        hosts=optional_texts(table, "host"),
        classes=optional_texts(table, "source_class"),
        papers=[_papers(cell, path, row) for row, cell in enumerate(cells(table, "papers"))],
        groups=optional_texts(table, "group") if "group" in table.column_names else None,
    )


def _match_sources(detections: pa.Table, path: Path, sources: SourceTable) -> np.ndarray:
    """Return the row of each detection's source, (n,)."""
    row_of = {name: row for row, name in enumerate(sources.names)}
    of_source = np.empty(len(detections), dtype=np.int64)
    for row, name in enumerate(required_texts(detections, "name", path)):
        if name not in row_of:
            problem = f"{name!r} is not in {sources.path.name}"
            refuse(path, "name", row, problem, "add the source there, or leave the detection out")
        of_source[row] = row_of[name]
    return of_source


def _groups(
    sources: SourceTable, of_source: np.ndarray, obsids: np.ndarray, survey_limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each row, and the connected component used for the splits.

    They are identical unless the table has a column `group`. These groups are kept, but they may
    separate sources that share a field, host or paper, which must be in the same split.
    """
    table_groups = None
    if sources.groups is not None:
        for source in np.unique(of_source):
            if sources.groups[source] is None:
                mend = "name a group, or drop the column"
                refuse(sources.path, "group", int(source), "is empty", mend)
        table_groups = np.array([sources.groups[source] for source in of_source], dtype=object)
    ids = sources.paper_ids
    connected = assign_groups(
        [sources.names[source] for source in of_source],
        obsids,
        [sources.hosts[source] for source in of_source],
        [ids[source] for source in of_source],
        survey_limit=survey_limit,
        catalogue_groups=table_groups,
    )
    return (connected if table_groups is None else table_groups), connected


def _summarise(sources: SourceTable, source: int, surveys: set[str]) -> dict[str, str | None]:
    # Imported here, as it is slow.
    from hf_specclip.literature import extractive_summary

    papers = sources.papers[source]
    return extractive_summary(
        name=sources.names[source],
        aliases=sources.aliases[source],
        host=sources.hosts[source],
        source_class=sources.classes[source],
        papers=papers,
        is_survey=[paper["id"] in surveys for paper in papers],
    )


def _own_abstracts(papers: list[dict[str, Any]]) -> dict[str, str | None]:
    """Join titles and abstracts of the X-ray papers about a source, in one section."""
    texts = [
        f"{(paper.get('title') or '').strip().rstrip('.')}. {paper['abstract'].strip()}"
        for paper in papers
        if paper.get("about") == "source" and paper.get("xray") and paper.get("abstract")
    ]
    return {"identity": " ".join(texts) or None, "spectrum": None, "context": None}


def _papers(cell: Any, path: Path, row: int) -> list[dict[str, Any]]:
    """Return the papers of a source without duplicates, in the order of the table."""
    papers: dict[str, dict[str, Any]] = {}
    for paper in cell or []:
        if not isinstance(paper, dict) or not isinstance(paper.get("id"), str) or not paper["id"]:
            refuse(path, "papers", row, "holds a paper without 'id'", "give bibcode, arXiv or DOI")
        papers.setdefault(paper["id"], paper)
    return list(papers.values())


def paper_row(paper: dict[str, Any]) -> dict[str, Any]:
    """Return a paper in the contract's columns; missing type and year are from its identifier."""
    id_type, id_year = identify(paper["id"])
    year = paper.get("year")
    return {
        "id": paper["id"],
        "id_type": paper.get("id_type") or id_type,
        "title": paper.get("title") or None,
        "year": int(year) if year is not None and year == year else id_year,
    }
