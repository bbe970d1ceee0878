"""An endpoint that answers as ADS does: object resolution, search with paging, rate limits."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from faulty import Answer, FaultyServer, Request


class AdsServer(FaultyServer):
    """Papers that can be searched.

    Attributes:
        papers: `bibcode`, `title`, `abstract`, `year`, and `identifier` (other codes).
        objects: name -> SIMBAD's number.
        about: SIMBAD's number -> bibcodes.
        token: the one that is taken; it is "expired" when changed.
        allowance: requests left today.
        asked: how often each bibcode was asked for; searched: each object.
    """

    def __init__(
        self,
        papers: Iterable[Mapping[str, Any]],
        objects: Mapping[str, int],
        about: Mapping[int, Iterable[str]],
        token: str,
    ) -> None:
        self.papers = {paper["bibcode"]: dict(paper) for paper in papers}
        self.objects = dict(objects)
        self.about = {number: list(codes) for number, codes in about.items()}
        self.token = token
        self.allowance = 5000
        self.reset = 3600.0
        self.asked: Counter = Counter()
        self.searched: Counter = Counter()
        self.largest_rows = 0
        super().__init__()

    def respond(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            # As a careless service might, it says which one it was given.
            given = request.headers.get("Authorization", "")
            return Answer.json({"error": f"Unauthorized: {given}"}, 401)
        with self.lock:
            self.allowance -= 1
            left = self.allowance
        headers = {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(max(left, 0)),
            "X-RateLimit-Reset": str(int(time.time() + self.reset)),
        }
        if left < 0:
            return Answer.json({"error": "Too many requests"}, 429, **headers)
        if request.path.endswith("/objects/query"):
            [query] = json.loads(request.body)["query"]
            names = re.findall(r'object:"([^"]*)"', query)
            known = [f"simbid:{self.objects[name]}" for name in names if name in self.objects]
            with self.lock:
                self.searched.update(names[:1])
            if not known:
                return Answer.json({"query": query}, **headers)
            return Answer.json(
                {"query": "((" + " OR ".join(known) + ") database:astronomy)"}, **headers
            )
        if request.path.endswith("/search/query"):
            return Answer.json({"response": self.search(request.query)}, **headers)
        return Answer(b"no such path", "text/plain", 404)

    def search(self, query: Mapping[str, str]) -> dict[str, Any]:
        text = query["q"]
        if "object:" in text:  # the search itself does not know it
            return {"numFound": 0, "docs": []}
        if text.startswith("identifier:"):
            codes = re.findall(r'"([^"]+)"', text)
            if query.get("start", "0") == "0":
                with self.lock:
                    self.asked.update(codes)
            found = [
                paper
                for paper in self.papers.values()
                if {paper["bibcode"], *paper.get("identifier", [])} & set(codes)
            ]
        else:
            numbers = [int(number) for number in re.findall(r"simbid:(\d+)", text)]
            wanted = {code for number in numbers for code in self.about.get(number, [])}
            found = [paper for code, paper in self.papers.items() if code in wanted]
        found.sort(key=lambda paper: paper["bibcode"])
        rows = int(query.get("rows", 10))
        self.largest_rows = max(self.largest_rows, rows)
        start = int(query.get("start", 0))
        fields = query["fl"].split(",")
        docs = [
            {
                key: [value] if key == "title" else value
                for key, value in {"identifier": [], **paper}.items()
                if key in fields
            }
            for paper in found[start : start + rows]
        ]
        return {"numFound": len(found), "start": start, "docs": docs}
