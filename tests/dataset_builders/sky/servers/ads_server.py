"""Test server of ADS: search with paging, partial results and quotas.

Documents follow andycasey/ads' stubdata/solr.py: missing fields are omitted.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from faulty import FaultyServer, Request, Response


class AdsServer(FaultyServer):
    """ADS with papers.

    Attributes:
        papers: `bibcode`, `title`, `abstract`, `year`, and `identifier` (other codes).
        about: SIMBAD number -> bibcodes.
        token: valid token; change it to expire the client's.
        allowance: remaining requests of the day.
        asked, searched: number of requests per bibcode and per object.
        refused: part of a query that fails with status `refusal`.
    """

    def __init__(
        self, papers: Iterable[Mapping[str, Any]], about: Mapping[int, Iterable[str]], token: str
    ) -> None:
        self.papers = {paper["bibcode"]: dict(paper) for paper in papers}
        self.about = {number: list(codes) for number, codes in about.items()}
        self.token = token
        self.allowance = 5000
        self.asked: Counter = Counter()
        self.searched: Counter = Counter()
        self.largest_rows = 0
        self.refused, self.refusal = "", 400
        super().__init__()

    def respond(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            # Repeats the token, as a careless service might.
            given = request.headers.get("Authorization", "")
            return Response.json({"error": f"Unauthorized: {given}"}, 401)
        if not request.path.endswith("/search/query"):
            return Response(b"no such path", "text/plain", 404)
        with self.lock:
            self.allowance -= 1
            left = self.allowance
        headers = {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(max(left, 0)),
            "X-RateLimit-Reset": str(int(time.time() + 3600)),
        }
        if left < 0:
            return Response.json({"error": "Too many requests"}, 429, **headers)
        if self.refused and self.refused in request.query["q"]:
            error = {"msg": "org.apache.solr.search.SyntaxError", "code": self.refusal}
            return Response.json({"responseHeader": {}, "error": error}, self.refusal)
        answer = {"responseHeader": {"status": 0}, "response": self.search(request.query)}
        return Response.json(answer, **headers)

    def search(self, query: Mapping[str, str]) -> dict[str, Any]:
        text = query["q"]
        start, rows = int(query.get("start", 0)), int(query.get("rows", 10))
        if text.startswith("identifier:"):
            codes = re.findall(r'"([^"]+)"', text)
            if start == 0:
                with self.lock:
                    self.asked.update(codes)
            found = [
                paper
                for paper in self.papers.values()
                if {paper["bibcode"], *paper.get("identifier", [])} & set(codes)
            ]
        else:
            [number] = re.fullmatch(r"simbid:(\d+) database:astronomy", text).groups()
            with self.lock:
                self.searched[int(number)] += 1
            wanted = set(self.about.get(int(number), []))
            found = [paper for code, paper in self.papers.items() if code in wanted]
        assert query["sort"] == "date desc,bibcode asc"
        found.sort(key=lambda paper: (-int(paper.get("year") or 0), paper["bibcode"]))
        self.largest_rows = max(self.largest_rows, rows)
        fields = query["fl"].split(",")
        docs = [
            {
                key: [value] if key == "title" else value
                for key, value in paper.items()
                if key in fields and value is not None
            }
            for paper in found[start : start + rows]
        ]
        return {"numFound": len(found), "start": start, "docs": docs}
