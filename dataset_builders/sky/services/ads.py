"""Client of NASA's Astrophysics Data System (ADS): papers and their abstracts.

Objects are searched by their SIMBAD number (`simbid:`), as the name resolver (`/objects/query`) has
a quota of 1,000 requests per day and reports errors with status 200.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..work.store import Absent, Item, ItemError, Store, item_outcome
from .http_session import Service
from .plain_text import plain_text

ADS = "https://api.adsabs.harvard.edu/v1"
OBJECTS_STAGE, PAPERS_STAGE = "ads-objects", "papers"
# Bibcodes per query, limited by the maximum URL length of proxies.
PAPERS_PER_QUERY = 50
# Rows per page, and maximum number of papers per object (the latest ones).
ROWS, MAX_PAPERS = 200, 2000
FIELDS = ("bibcode", "identifier", "title", "abstract", "year")
_ARXIV = re.compile(r"arxiv:((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?)", re.I)
ADVICE = (
    "Check ADS_DEV_KEY or ~/.ads/dev_key (a new token: ui.adsabs.harvard.edu, Account, API Token)."
)
_UNEXPECTED = "sent an unexpected response to a search"


def ads_token() -> str | None:
    """Return the token from ADS_DEV_KEY or `~/.ads/dev_key`, or None."""
    token = os.environ.get("ADS_DEV_KEY", "").strip()
    path = Path.home() / ".ads" / "dev_key"
    if not token and path.is_file():
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("the ADS token has invalid characters: check ADS_DEV_KEY")
    return token or None


@dataclass
class Ads:
    """Client of ADS: searches by object and by bibcode."""

    service: Service  # session with the token
    store: Store
    url: str = ADS
    rows: int = ROWS  # papers per page

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")

    def fetch_objects(self, numbers: Mapping[str, int]) -> None:
        """Search papers about sources (name -> SIMBAD number) and save them.

        The result of a source is a list of bibcodes.
        """

        def find(item: Item) -> Any:
            query = f"simbid:{int(item.payload['simbid'])} database:astronomy"
            papers = {paper["bibcode"]: paper for paper, _ in self._search(query, item.id)}
            self.store.put(PAPERS_STAGE, papers)
            return sorted(papers) or Absent("no paper in ADS")

        self.store.add(OBJECTS_STAGE, {s: {"simbid": n} for s, n in numbers.items()})
        self.store.process_each(OBJECTS_STAGE, find, clear_cache=self.url)

    def fetch_papers(self, bibcodes: Iterable[str], limit: int | None = None) -> None:
        """Fetch title, abstract, year and arXiv number of papers, at most `limit`."""
        self.store.add(PAPERS_STAGE, {code: {} for code in bibcodes})
        self.store.process(
            PAPERS_STAGE,
            lambda items: self._papers([item.id for item in items]),
            batch_size=PAPERS_PER_QUERY,
            limit=limit,
            clear_cache=self.url,
        )

    def _papers(self, codes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Look up bibcodes; a failing query is split, as a single bibcode can make it fail."""
        quoted = " OR ".join('"' + re.sub(r'["\\]', "", code) + '"' for code in codes)
        about = f"{len(codes)} papers from {codes[0]}"
        results = item_outcome(lambda: list(self._search(f"identifier:({quoted})", about)))
        half = len(codes) // 2
        if isinstance(results, ItemError) and half:
            yield from self._papers(codes[:half])
            yield from self._papers(codes[half:])
        elif isinstance(results, ItemError):
            yield {codes[0]: results}
        else:
            papers: dict[str, Any] = {code: Absent("bibcode not in ADS") for code in codes}
            for paper, identifiers in results:
                # Stored under the requested bibcode, which may be that of the preprint.
                for code in papers.keys() & {paper["bibcode"], *identifiers}:
                    papers[code] = paper
            yield papers

    def _search(self, query: str, item: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield matching papers, at most `MAX_PAPERS`, with their identifiers."""
        start, total = 0, 1
        while start < min(total, MAX_PAPERS):
            params = {
                "q": query,
                "fl": ",".join(FIELDS),
                "rows": self.rows,
                "start": start,
                "sort": "date desc,bibcode asc",
            }
            check = partial(_check_page, start=start, rows=self.rows)
            get = partial(self.service.get_json, f"{self.url}/search/query", item, check)
            page = self.store.cached(self.url, params, partial(get, params=params))
            total, docs = page["response"]["numFound"], page["response"]["docs"]
            yield from (_paper(entry) for entry in docs if entry.get("bibcode"))
            if not docs:
                return
            start += len(docs)


def _check_page(page: Any, start: int, rows: int) -> str | None:
    """Return the problem of a response with status 200 that is an error or incomplete."""
    try:
        if error := next((page[key] for key in ("error", "Error", "msg") if page.get(key)), None):
            return f"sent an error ({error})"
        if (page.get("responseHeader") or {}).get("partialResults"):
            return "sent partial results"
        docs, total = page["response"]["docs"], page["response"]["numFound"]
        expected = min(rows, max(0, total - start))
        if not isinstance(docs, list) or not all(isinstance(entry, dict) for entry in docs):
            return _UNEXPECTED
        return None if len(docs) >= expected else f"sent {len(docs)} of {expected} papers"
    except (AttributeError, KeyError, TypeError):
        return _UNEXPECTED


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
    """Return the arXiv number among the identifiers of a paper in ADS, or None."""
    return next((match[1] for match in map(_ARXIV.fullmatch, identifiers) if match), None)
