"""Client of NASA's Astrophysics Data System (ADS): papers and their abstracts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..work.queue import Item, WorkQueue
from ..work.response_cache import ResponseCache
from .polite_session import AbsentError, Patience, Service, ServiceError

ADS = "https://api.adsabs.harvard.edu/v1"
PER_SECOND = 3.0
OBJECTS_STAGE = "ads-objects"
PAPERS_STAGE = "papers"
# Bibcodes in a question: the address stays below what proxies take.
PAPERS_AT_ONCE = 50
# Sources taken on together; each is finished by itself.
OBJECTS_AT_ONCE = 20
# ADS sends at most 2,000 rows; a source's own papers are far fewer.
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


def ads_service(
    token: str | None = None,
    *,
    patience: Patience | None = None,
    pace_file: str | Path | None = None,
    per_second: float = PER_SECOND,
) -> Service:
    """Make the session with ADS.

    Args:
        token: by default the one of `ads_token`.
        patience: how long to wait.
        pace_file: where processes of one machine share the pace.
        per_second: requests.

    Raises:
        ServiceError: when there is no token.
    """
    token = token or ads_token()
    if token is None:
        raise ServiceError(f"ADS needs a token, and there is none. {ADVICE}")
    return Service(
        "ADS",
        per_second=per_second,
        token=token,
        advice=ADVICE,
        patience=patience,
        pace_file=pace_file,
    )


class Ads:
    """Client of ADS: papers about objects, and papers by their bibcode.

    Args:
        service: see `ads_service`.
        queue: of the build.
        url: of the interface.
        rows: in an answer.
    """

    def __init__(
        self, service: Service, queue: WorkQueue, *, url: str = ADS, rows: int = ROWS
    ) -> None:
        self.cache = ResponseCache(queue)
        self.service = service
        self.queue = queue
        self.url = url.rstrip("/")
        self.rows = rows

    def want_objects(self, names: Mapping[str, Sequence[str]]) -> int:
        """Queue the papers about sources.

        Args:
            names: source -> names to look for.

        Returns:
            How many sources are new.
        """
        return self.queue.add(OBJECTS_STAGE, {s: {"names": list(of)} for s, of in names.items()})

    def want_papers(self, bibcodes: Iterable[str]) -> int:
        """Queue title and abstract of papers; return how many are new."""
        wanted: dict[str, Any] = {code: {} for code in bibcodes}
        return self.queue.add(PAPERS_STAGE, wanted)

    def fetch_objects(self, progress: Callable[[int], None] = lambda n: None) -> None:
        """Look for papers about every wanted source; their bibcodes are the source's result.

        What ADS says of each paper is kept with the papers.

        Raises:
            ServiceError: when ADS fails for good, refuses the token, or the day's allowance is
                used up; what was found is kept.
        """
        while items := self.queue.claim(OBJECTS_STAGE, OBJECTS_AT_ONCE):
            with self.queue.held(items):
                for item in items:
                    papers = self._about(item)
                    self.queue.put(PAPERS_STAGE, papers)
                    none = {} if papers else {item.id: "ADS has no paper about it"}
                    got = {item.id: sorted(papers)} if papers else {}
                    self.queue.finish(OBJECTS_STAGE, got, absent=none)
                    self.cache.forget()
                    progress(1)

    def fetch_papers(
        self, progress: Callable[[int], None] = lambda n: None, *, most: int | None = None
    ) -> None:
        """Get what ADS says of every wanted paper; raises as `fetch_objects`.

        Args:
            progress: called with the number of papers done.
            most: papers to get now, or None for all.
        """
        done = 0
        while most is None or done < most:
            items = self.queue.claim(PAPERS_STAGE, PAPERS_AT_ONCE)
            if not items:
                return
            done += len(items)
            codes = [item.id for item in items]
            with self.queue.held(items):
                got = self._papers(codes)
                absent = {code: "ADS has no such bibcode" for code in codes if code not in got}
                self.queue.finish(PAPERS_STAGE, got, absent=absent)
            self.cache.forget()
            progress(len(codes))

    def _about(self, item: Item) -> dict[str, Any]:
        """Search papers about a source by its resolved name: `object:` is no search field."""
        names = [name.replace('"', "") for name in item.payload["names"]]
        if not names:
            return {}
        asked = " OR ".join(f'object:"{name}"' for name in names)
        try:
            answer = self._json(
                "POST", f"{self.url}/objects/query", item.id, json={"query": [asked]}
            )
        except AbsentError:
            return {}
        query = answer.get("query") if isinstance(answer, dict) else None
        query = query[0] if isinstance(query, list) and query else query
        # What it does not know it hands back as it was, or says so.
        if not isinstance(query, str) or "object:" in query or not query.strip():
            return {}
        papers = {}
        for paper, _ in self._search(query, item.id):
            papers[paper["bibcode"]] = paper
        return papers

    def _papers(self, codes: Sequence[str]) -> dict[str, Any]:
        query = "identifier:(" + " OR ".join(f'"{code}"' for code in codes) + ")"
        wanted, found = set(codes), {}
        for paper, identifiers in self._search(query, f"{len(codes)} papers from {codes[0]}"):
            # A preprint's code finds the journal's paper: it is kept under the code asked for.
            for code in wanted & {paper["bibcode"], *identifiers}:
                found[code] = paper
        return found

    def _json(self, method: str, url: str, item: str, **options: Any) -> Any:
        """Get an answer's JSON, asked for once while the item is worked on."""
        question = [method, url, options]
        answer = self.cache.get(question)
        if answer is None:
            answer = self.service.json(method, url, item, **options)
            self.cache.put(question, answer)
        return answer

    def _search(self, query: str, item: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield the papers that match, at most `MAX_PAPERS`, with their identifiers."""
        start, total = 0, 1
        while start < min(total, MAX_PAPERS):
            answer = self._json(
                "GET",
                f"{self.url}/search/query",
                item,
                params={
                    "q": query,
                    "fl": ",".join(FIELDS),
                    "rows": self.rows,  # left out, it would be 10
                    "start": start,
                    "sort": "bibcode asc",
                },
            )
            try:
                total = int(answer["response"]["numFound"])
                papers = [_paper(entry) for entry in answer["response"]["docs"]]
            except (KeyError, TypeError, ValueError, IndexError):
                raise self.service.error(
                    "answered in a form that is not that of its search",
                    item,
                    "Run again; if it stays, report it.",
                ) from None
            yield from papers
            if not papers:
                return
            start += len(papers)


def _paper(entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    identifiers = [str(name) for name in entry.get("identifier") or []]
    title = entry.get("title") or []
    year = str(entry.get("year") or "")
    paper = {
        "bibcode": str(entry["bibcode"]),
        "title": " ".join(str(title[0] if isinstance(title, list) else title).split()) or None
        if title
        else None,
        "abstract": " ".join(str(entry.get("abstract") or "").split()) or None,
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


__all__ = ["ADS", "OBJECTS_STAGE", "PAPERS_STAGE", "Ads", "ads_service", "ads_token"]
