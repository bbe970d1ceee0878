"""Titles of papers, fetched from arXiv on request."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import replace
from http.client import HTTPException
from urllib.parse import urlencode
from urllib.request import urlopen

from .description import Description, Paper, SimilarSource

ADDRESS = "https://export.arxiv.org/api/query"
_ATOM = "{http://www.w3.org/2005/Atom}"
_MAX_PAPERS, _TIMEOUT, _MAX_BYTES = 100, 20.0, 1 << 22


def with_titles(description: Description) -> Description:
    """Add the titles of arXiv papers to a description, or a note if they cannot be fetched.

    Only the identifiers of the papers are sent to arXiv.
    """
    sources = (*description.at_position, *description.similar)
    papers = [paper for source in sources for paper in source.papers]
    ids = {paper.id for paper in papers if paper.id_type == "arxiv" and not paper.title}
    if not ids:
        return description
    try:
        titles = fetch_titles(ids)
    except (OSError, HTTPException, ET.ParseError) as error:
        note = f"the titles of the papers could not be fetched from arXiv ({error})"
        return replace(description, notes=(*description.notes, note))
    return replace(
        description,
        at_position=tuple(_with_titles(source, titles) for source in description.at_position),
        similar=tuple(_with_titles(source, titles) for source in description.similar),
    )


def fetch_titles(ids: Collection[str]) -> dict[str, str]:
    """Fetch the titles of arXiv papers by identifier; unknown papers are skipped.

    Raises:
        OSError: arXiv does not respond.
        xml.etree.ElementTree.ParseError: the response is not an Atom feed.
    """
    requested = sorted(ids)[:_MAX_PAPERS]
    query = urlencode({"id_list": ",".join(requested), "max_results": len(requested)})
    with urlopen(f"{ADDRESS}?{query}", timeout=_TIMEOUT) as answer:
        feed = ET.fromstring(answer.read(_MAX_BYTES))
    titles = {}
    for entry in feed.iter(f"{_ATOM}entry"):
        address, title = entry.findtext(f"{_ATOM}id"), entry.findtext(f"{_ATOM}title")
        for identifier in requested:
            if address and title and f"/abs/{identifier}" in address:
                titles[identifier] = " ".join(title.split())
    return titles


def _with_titles(source: SimilarSource, titles: Mapping[str, str]) -> SimilarSource:
    def entitle(paper: Paper) -> Paper:
        return replace(paper, title=titles.get(paper.id)) if paper.id in titles else paper

    return replace(source, papers=tuple(entitle(paper) for paper in source.papers))
