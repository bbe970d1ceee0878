"""Client of NASA's Astrophysics Data System (ADS): papers and their abstracts.

Papers about an object are asked for by SIMBAD's number of it (`simbid:`): the translation of names
(`/objects/query`) has an allowance of 1,000 a day of its own, and answers 200 to every trouble.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..work.store import Absent, Item, Store, WorkError, outcome
from .plain_text import plain_text
from .polite_session import Service

ADS = "https://api.adsabs.harvard.edu/v1"
OBJECTS_STAGE, PAPERS_STAGE = "ads-objects", "papers"
# Bibcodes in a question: the address stays below what proxies take.
PAPERS_AT_ONCE = 50
# ADS sends at most 2,000 rows; a source's own papers are far fewer. Of more, the latest are read.
ROWS, MAX_PAPERS = 200, 2000
FIELDS = ("bibcode", "identifier", "title", "abstract", "year")
_ARXIV = re.compile(r"arxiv:((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?)", re.I)
ADVICE = (
    "Check ADS_DEV_KEY or ~/.ads/dev_key (a new token: ui.adsabs.harvard.edu, Account, API Token)."
)
_OTHER_FORM = "answered in a form that is not that of its search"


def ads_token() -> str | None:
    """Read the token from ADS_DEV_KEY, else from `~/.ads/dev_key`; None where there is none."""
    token = os.environ.get("ADS_DEV_KEY", "").strip()
    path = Path.home() / ".ads" / "dev_key"
    if not token and path.is_file():
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("the ADS token holds characters that no token has: set ADS_DEV_KEY again")
    return token or None


class Ads:
    """Client of ADS: papers about objects, and papers by their bibcode.

    Args:
        service: with the token.
        rows: papers in an answer.
    """

    def __init__(self, service: Service, store: Store, url: str = ADS, *, rows: int = ROWS) -> None:
        self.service = service
        self.store = store
        self.url = url.rstrip("/")
        self.rows = rows

    def fetch_objects(self, numbers: Mapping[str, int]) -> None:
        """Look for papers about sources (name -> SIMBAD's number), and keep them with the papers.

        The result of a source is a list of bibcodes.
        """

        def find(item: Item) -> Any:
            query = f"simbid:{int(item.payload['simbid'])} database:astronomy"
            papers = {paper["bibcode"]: paper for paper, _ in self._search(query, item.id)}
            self.store.put(PAPERS_STAGE, papers)
            return sorted(papers) or Absent("ADS has no paper about it")

        self.store.add(OBJECTS_STAGE, {s: {"simbid": n} for s, n in numbers.items()})
        self.store.each(OBJECTS_STAGE, find, recalls=self.url)

    def fetch_papers(self, bibcodes: Iterable[str], most: int | None = None) -> None:
        """Get title, abstract and more of papers, or of `most` of them."""
        self.store.add(PAPERS_STAGE, {code: {} for code in bibcodes})
        self.store.work(
            PAPERS_STAGE,
            lambda items: self._papers([item.id for item in items]),
            at_once=PAPERS_AT_ONCE,
            most=most,
            recalls=self.url,
        )

    def _papers(self, codes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Look up papers, in halves where the question fails: one code may spoil it."""
        quoted = " OR ".join('"' + re.sub(r'["\\]', "", code) + '"' for code in codes)
        about = f"{len(codes)} papers from {codes[0]}"
        answer = outcome(lambda: list(self._search(f"identifier:({quoted})", about)))
        half = len(codes) // 2
        if isinstance(answer, WorkError) and half:
            yield from self._papers(codes[:half])
            yield from self._papers(codes[half:])
        elif isinstance(answer, WorkError):
            yield {codes[0]: answer}
        else:
            found: dict[str, Any] = {code: Absent("ADS has no such bibcode") for code in codes}
            for paper, identifiers in answer:
                # A preprint's code finds the journal's paper: it is kept under the code asked for.
                for code in found.keys() & {paper["bibcode"], *identifiers}:
                    found[code] = paper
            yield found

    def _search(self, query: str, item: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield the papers that match, at most `MAX_PAPERS`, with their identifiers."""
        start, total = 0, 1
        while start < min(total, MAX_PAPERS):
            params = {
                "q": query,
                "fl": ",".join(FIELDS),
                "rows": self.rows,  # left out, it would be 10
                "start": start,
                "sort": "date desc,bibcode asc",
            }
            check = partial(_fault, start=start, rows=self.rows)
            ask = partial(self.service.get_json, f"{self.url}/search/query", item, check)
            answer = self.store.recall(self.url, params, partial(ask, params=params))
            total, docs = answer["response"]["numFound"], answer["response"]["docs"]
            yield from (_paper(entry) for entry in docs if entry.get("bibcode"))
            if not docs:
                return
            start += len(docs)


def _fault(answer: Any, start: int, rows: int) -> str | None:
    """Name the fault of an answer with status 200 that is an error or not the whole answer."""
    try:
        if said := next(
            (answer[key] for key in ("error", "Error", "msg") if answer.get(key)), None
        ):
            return f"answered with an error ({said})"
        if (answer.get("responseHeader") or {}).get("partialResults"):
            return "answered with partial results"
        docs, total = answer["response"]["docs"], answer["response"]["numFound"]
        expected = min(rows, max(0, total - start))
        if not isinstance(docs, list) or not all(isinstance(entry, dict) for entry in docs):
            return _OTHER_FORM
        return None if len(docs) >= expected else f"sent {len(docs)} of {expected} papers"
    except (AttributeError, KeyError, TypeError):
        return _OTHER_FORM


def _paper(entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    identifiers = [str(name) for name in entry.get("identifier") or []]
    title = entry.get("title") or ""
    title = title[0] if isinstance(title, list) else title
    year = str(entry.get("year") or "")
    paper = {
        "bibcode": str(entry["bibcode"]),
        "title": plain_text(str(title or "")) or None,
        "abstract": plain_text(str(entry.get("abstract") or "")) or None,
        "year": int(year) if year.isdigit() else None,
        "arxiv": arxiv_identifier(identifiers),
    }
    return paper, identifiers


def arxiv_identifier(identifiers: Iterable[str]) -> str | None:
    """Find the arXiv number among a paper's identifiers, as ADS lists them."""
    return next((match[1] for match in map(_ARXIV.fullmatch, identifiers) if match), None)
