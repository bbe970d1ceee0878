"""Client of arXiv and ar5iv: open full texts of papers in HTML.

Only preprints are read: what publishers keep open lies in a hundred forms, and the words of the
preprint are nearly always those of the paper.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests import Response

from hf_specclip.storage import write_bytes

from ..work.store import Absent, Item, Store
from .ads import PAPERS_STAGE
from .polite_session import (
    AbsentError,
    ExhaustedError,
    RefusedError,
    Service,
    ServiceError,
    StopError,
    outcome,
)

# The second has what the first lacks, older papers above all.
ARXIV = ("https://arxiv.org/html", "https://ar5iv.labs.arxiv.org/html")
# arXiv asks for three seconds between requests.
PER_SECOND = 1 / 3
STAGE = "full_texts"
FOLDER = "full_texts"
# About fifty pages; what lies behind are tables and appendices.
MAX_TEXT_BYTES = 200_000
# A document with fewer words than an abstract is the notice of a withdrawn paper.
_FEWEST_WORDS = 400
_DOCUMENT = "ltx_document"
_FATAL = re.compile(r"conversion to html had a fatal error", re.IGNORECASE)
_LIST = re.compile(r"the following files are available", re.IGNORECASE)
_BLOCKS = {
    "p", "div", "section", "article", "li", "figcaption", "td", "th", "tr", "br", "blockquote",
    "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip
_SKIPPED = {"script", "style", "nav", "footer", "header", "svg", "form", "head", "math"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr"}
_SKIPPED_CLASSES = {
    "ltx_bibliography", "ltx_page_navbar", "ltx_page_footer", "ltx_authors", "ltx_ERROR",
    "ltx_note_mark", "ltx_tag_note",
}  # fmt: skip


class FullTexts:
    """Fetcher of the full texts of a build's papers.

    Args:
        folder: of the build; texts go to its `full_texts`.
        urls: addresses that take an arXiv identifier at their end, in the order of trying.
    """

    def __init__(
        self, service: Service, store: Store, folder: str | Path, urls: Iterable[str] = ARXIV
    ) -> None:
        self.service = service
        self.store = store
        self.folder = Path(folder) / FOLDER
        self.urls = tuple(url.rstrip("/") for url in urls)

    def want(self, bibcodes: Iterable[str]) -> int:
        """Want the full texts of papers; return how many are new."""
        # Papers are stored under the code that was asked for, perhaps a superseded one.
        known = (paper for _, paper in self.store.got(PAPERS_STAGE))
        number = {paper["bibcode"]: paper.get("arxiv") for paper in known}
        return self.store.add(STAGE, {code: {"arxiv": number.get(code)} for code in bibcodes})

    def fetch(self) -> None:
        """Fetch every wanted text.

        Raises:
            ServiceError: when several papers in a row cannot be had: the service is down, or holds
                us for a robot.
        """

        def fetch(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
            for item in items:
                yield {item.id: outcome(partial(self._fetch, item), stop=ExhaustedError)}

        self.store.work(STAGE, fetch)

    def of(self, bibcode: str) -> str | None:
        """Read the text of a paper; None where there is none."""
        if not self.store.results(STAGE, [bibcode]):
            return None
        try:
            return gzip.decompress((self.folder / _path_of(bibcode)).read_bytes()).decode()
        except (OSError, EOFError, ValueError):
            return None

    def _fetch(self, item: Item) -> Any:
        identifier = item.payload["arxiv"]
        if not identifier:
            return Absent("ADS knows no preprint of it")
        text = self._text(identifier)
        if text is None:
            return Absent("arXiv has no HTML of it")
        content = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
        write_bytes(self.folder / _path_of(item.id), content)
        return {"arxiv": identifier, "bytes": len(text)}

    def _text(self, identifier: str) -> str | None:
        """Get the words of a paper; None where no address has it.

        Raises:
            RefusedError: an address has a conversion that broke off, and none a whole one.
            ServiceError: an address sends a page that is neither a paper nor says that there is
                none, such as a test for robots.
        """
        about, failure = f"arXiv:{identifier}", None
        for url in self.urls:
            try:
                answer = self.service.request(
                    "GET", f"{url}/{identifier}", item=about, check=_page_fault
                )
            except AbsentError:
                continue
            except StopError:
                raise
            except ServiceError as error:
                failure = error
                continue
            page = _text(answer)
            reader = read_page(page)
            if reader.is_cut or _FATAL.search(page):
                way = "A later run with --retry may find it whole."
                problem = "the conversion of it broke off"
                failure = failure or self.service.error(problem, about, way, RefusedError)
            elif len(reader.text.split()) >= _FEWEST_WORDS:
                return reader.text
        if failure is not None:
            raise failure
        return None


def _text(answer: Response) -> str:
    return answer.content.decode("utf-8", "replace")


def _page_fault(answer: Response) -> str | None:
    """Name the fault of a page that is neither a paper nor says that there is none."""
    page = _text(answer)
    # ar5iv sends to the page of the abstract where it has no more.
    elsewhere = "/abs/" in urlsplit(answer.url).path
    if elsewhere or _LIST.search(page) or read_page(page).is_document:
        return None
    title = re.search(r"<title[^>]*>(.*?)</title", page, re.DOTALL | re.IGNORECASE)
    said = f" ({' '.join(title[1].split())})" if title else ""
    return f"sent a page that is no paper{said}: it may take us for a robot"


class _Reader(HTMLParser):
    """HTML parser that gathers the words of a LaTeXML document.

    Attributes:
        is_document: True when there is an element of the class `ltx_document`.
        is_cut: True when the document does not end.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.is_document = self.is_cut = False
        self._pieces: list[str] = []
        self._within: tuple[str, int] | None = None
        self._skipping: tuple[str, int] | None = None

    @property
    def text(self) -> str:
        """The words, a paragraph a line, at most `MAX_TEXT_BYTES`."""
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        text = "\n".join(line for line in lines if line)
        short = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
        return short if len(short) == len(text) else short.rsplit(maxsplit=1)[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        classes = set(of.get("class", "").split())
        if self._within is None:
            if _DOCUMENT in classes and not self.is_document:
                self.is_document = self.is_cut = True
                self._within = (tag, 1)
            return
        name, depth = self._within
        self._within = (name, depth + (tag == name))
        if self._skipping is not None:
            name, depth = self._skipping
            self._skipping = (name, depth + (tag == name))
            return
        if tag == "math":
            self._pieces.append(f" {of.get('alttext', '')} ")
        if tag in _BLOCKS:
            self._pieces.append("\n")
        if (classes & _SKIPPED_CLASSES or tag in _SKIPPED) and tag not in _VOID:
            self._skipping = (tag, 1)

    def handle_endtag(self, tag: str) -> None:
        if self._within is None:
            return
        name, depth = self._within
        self._within = (name, depth - (tag == name))
        if self._within[1] == 0:
            self._within, self._skipping, self.is_cut = None, None, False
        elif self._skipping is not None:
            name, depth = self._skipping
            depth -= tag == name
            self._skipping = (name, depth) if depth else None
        elif tag in _BLOCKS:
            self._pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._within is not None and self._skipping is None:
            self._pieces.append(data.replace("\n", " "))


@lru_cache(maxsize=1)
def read_page(html: str) -> _Reader:
    """Read a page: formulae become what their source says; references and marks are left out."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


def _path_of(bibcode: str) -> Path:
    digest = hashlib.sha256(bibcode.encode("utf-8", "surrogatepass")).hexdigest()
    return Path(digest[:2]) / f"{digest[:24]}.txt.gz"
