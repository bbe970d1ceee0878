"""Client of arXiv and ar5iv: open full texts of papers in HTML.

Only preprints are read: what publishers keep open lies in a hundred forms, and the words of the
preprint are nearly always those of the paper.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from requests import Response

from hf_specclip.storage import write_bytes

from ..work.store import Absent, Item, Store
from .ads import PAPERS_STAGE
from .polite_session import AbsentError, RefusedError, Service, ServiceError

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
_BLOCKS = [
    "p", "div", "section", "article", "li", "figcaption", "td", "th", "tr", "br", "blockquote",
    "h1", "h2", "h3", "h4", "h5", "h6",
]  # fmt: skip
_SKIPPED = {"script", "style", "nav", "footer", "header", "svg", "form", "head"}
_SKIPPED_CLASSES = {
    "ltx_bibliography", "ltx_page_navbar", "ltx_page_footer", "ltx_authors", "ltx_ERROR",
    "ltx_note_mark", "ltx_tag_note",
}  # fmt: skip
_BREAK = "\x1e"


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

    def fetch(self, bibcodes: Iterable[str]) -> None:
        """Fetch the texts of papers."""
        # Papers are stored under the code that was asked for, perhaps a superseded one.
        known = (paper for _, paper in self.store.got(PAPERS_STAGE))
        number = {paper["bibcode"]: paper.get("arxiv") for paper in known}
        self.store.add(STAGE, {code: {"arxiv": number.get(code)} for code in bibcodes})
        self.store.each(STAGE, self._fetch)

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
            except ServiceError as error:
                if error.stops:
                    raise
                failure = error
                continue
            page = read_page(answer.content)
            if page.is_cut:
                way = "A later run with --retry may find it whole."
                problem = "the conversion of it broke off"
                failure = failure or self.service.error(problem, about, way, RefusedError)
            elif len(page.text.split()) >= _FEWEST_WORDS:
                return page.text
        if failure is not None:
            raise failure
        return None


def _page_fault(answer: Response) -> str | None:
    """Name the fault of a page that is neither a paper nor says that there is none."""
    page = answer.content.decode("utf-8", "replace")
    # ar5iv sends to the page of the abstract where it has no more.
    elsewhere = "/abs/" in urlsplit(answer.url).path
    if elsewhere or _LIST.search(page) or read_page(answer.content).is_document:
        return None
    title = re.search(r"<title[^>]*>(.*?)</title", page, re.DOTALL | re.IGNORECASE)
    said = f" ({' '.join(title[1].split())})" if title else ""
    return f"sent a page that is no paper{said}: it may take us for a robot"


class Page(NamedTuple):
    """Page of arXiv."""

    is_document: bool = False  # there is an element of the class `ltx_document`
    is_cut: bool = False  # the document does not end, or its conversion has failed
    text: str = ""  # a paragraph a line, at most `MAX_TEXT_BYTES`


@lru_cache(maxsize=1)
def read_page(content: bytes) -> Page:
    """Read a page: formulae become what their source says; references and marks are left out."""
    html = content.decode("utf-8", "replace")
    document = BeautifulSoup(html, "html.parser").find(class_=_DOCUMENT)
    if document is None:
        return Page()
    opened, closed = (
        len(re.findall(rf"<{mark}{document.name}\b", html, re.IGNORECASE)) for mark in ("", "/")
    )
    for formula in document.find_all("math"):
        formula.replace_with(f" {formula.get('alttext', '')} ")
    for tag in document.find_all(
        lambda tag: tag.name in _SKIPPED or _SKIPPED_CLASSES.intersection(tag.get("class", ()))
    ):
        tag.decompose()
    for block in document.find_all(_BLOCKS):
        block.insert_before(_BREAK)
        block.insert_after(_BREAK)
    lines = (" ".join(line.split()) for line in document.get_text().split(_BREAK))
    text = "\n".join(line for line in lines if line)
    short = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
    text = text if len(short) == len(text) else short.rsplit(maxsplit=1)[0]
    return Page(True, opened > closed or bool(_FATAL.search(html)), text)


def _path_of(bibcode: str) -> Path:
    digest = hashlib.sha256(bibcode.encode("utf-8", "surrogatepass")).hexdigest()
    return Path(digest[:2]) / f"{digest[:24]}.txt.gz"
