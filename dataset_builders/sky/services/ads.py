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

from ..work.store import Absent, Failed, Item, Store
from .plain_text import plain_text
from .polite_session import Patience, Service, ServiceError, outcome

ADS = "https://api.adsabs.harvard.edu/v1"
PER_SECOND = 3.0
OBJECTS_STAGE = "ads-objects"
PAPERS_STAGE = "papers"
# Bibcodes in a question: the address stays below what proxies take.
PAPERS_AT_ONCE = 50
# ADS sends at most 2,000 rows; a source's own papers are far fewer. Of more, the latest are read.
ROWS = 200
MAX_PAPERS = 2000
FIELDS = ("bibcode", "identifier", "title", "abstract", "year", "doctype", "citation_count")
_ARXIV = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?")
ADVICE = (
    "Check ADS_DEV_KEY or ~/.ads/dev_key (a new token: ui.adsabs.harvard.edu, Account, API Token)."
)


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
        token: by default that of `ads_token`.

    Raises:
        ServiceError: when there is no token.
    """

    def __init__(
        self,
        store: Store,
        url: str = ADS,
        *,
        token: str | None = None,
        patience: Patience | None = None,
        per_second: float = PER_SECOND,
        rows: int = ROWS,
    ) -> None:
        token = token or ads_token()
        if token is None:
            raise ServiceError(f"ADS needs a token, and there is none. {ADVICE}")
        self.service = Service(
            "ADS", per_second=per_second, token=token, advice=ADVICE, patience=patience
        )
        self.store = store
        self.url = url.rstrip("/")
        self.rows = rows

    def want_objects(self, numbers: Mapping[str, int]) -> int:
        """Want the papers about sources: name -> SIMBAD's number; return how many are new."""
        return self.store.add(OBJECTS_STAGE, {s: {"simbid": n} for s, n in numbers.items()})

    def want_papers(self, bibcodes: Iterable[str]) -> int:
        """Want title and abstract of papers; return how many are new."""
        return self.store.add(PAPERS_STAGE, {code: {} for code in bibcodes})

    def fetch_objects(self) -> None:
        """Look for papers about every wanted source; their bibcodes are the source's result.

        What ADS says of each paper is kept with the papers.

        Raises:
            ServiceError: when ADS fails again and again, refuses the token, or the day's allowance
                is used up; what was found is kept.
        """

        def find(item: Item) -> Any:
            query = f"simbid:{int(item.payload['simbid'])} database:astronomy"
            papers = {paper["bibcode"]: paper for paper, _ in self._search(query, item.id)}
            self.store.put(PAPERS_STAGE, papers)
            return sorted(papers) or Absent("ADS has no paper about it")

        def fetch(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
            yield {item.id: outcome(partial(find, item)) for item in items}
            self.store.forget(self.url)

        self.store.work(OBJECTS_STAGE, fetch)

    def fetch_papers(self, most: int | None = None) -> None:
        """Get what ADS says of every wanted paper, or of `most`; raises as `fetch_objects`."""

        def fetch(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
            yield from self._papers([item.id for item in items])
            self.store.forget(self.url)

        self.store.work(PAPERS_STAGE, fetch, at_once=PAPERS_AT_ONCE, most=most)

    def _papers(self, codes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Look up papers, in halves where the question fails: one code may spoil it."""
        quoted = " OR ".join('"' + code.replace('"', "").replace("\\", "") + '"' for code in codes)
        about = f"{len(codes)} papers from {codes[0]}"
        answer = outcome(lambda: list(self._search(f"identifier:({quoted})", about)))
        half = len(codes) // 2
        if isinstance(answer, Failed) and half:
            yield from self._papers(codes[:half])
            yield from self._papers(codes[half:])
        elif isinstance(answer, Failed):
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
            answer = self.store.recall(self.url, params, partial(self._ask, item, params))
            total, docs = answer["response"]["numFound"], answer["response"]["docs"]
            yield from (_paper(entry) for entry in docs if entry.get("bibcode"))
            if not docs:
                return
            start += len(docs)

    def _ask(self, item: str, params: Mapping[str, Any]) -> Any:
        check = partial(_fault, start=params["start"], rows=params["rows"])
        return self.service.get_json(f"{self.url}/search/query", item, check, params=params)


def _fault(answer: Any, start: int, rows: int) -> str | None:
    """Name the fault of an answer with status 200 that is an error or not the whole answer."""
    if not isinstance(answer, dict):
        return "answered in a form that is not that of its search"
    header, response = answer.get("responseHeader"), answer.get("response")
    said = next((answer[key] for key in ("error", "Error", "msg") if answer.get(key)), None)
    if said:
        return f"answered with an error ({said})"
    if isinstance(header, dict) and header.get("partialResults"):
        return "answered with partial results"
    try:
        docs = response["docs"]
        expected = min(rows, max(0, response["numFound"] - start))
        if isinstance(docs, list) and all(isinstance(entry, dict) for entry in docs):
            n = len(docs)
            return None if n >= expected else f"sent {n} of {expected} papers"
    except (KeyError, TypeError):
        pass
    return "answered in a form that is not that of its search"


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
        "doctype": entry.get("doctype"),
        "citations": entry.get("citation_count"),
        "arxiv": arxiv_identifier(identifiers),
    }
    return paper, identifiers


def arxiv_identifier(identifiers: Iterable[str]) -> str | None:
    """Find the arXiv number among a paper's identifiers, as ADS lists them."""
    for name in identifiers:
        if name.lower().startswith("arxiv:") and _ARXIV.fullmatch(name[6:]):
            return name[6:]
    return None
