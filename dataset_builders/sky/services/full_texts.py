"""Client of arXiv and ar5iv: full texts of preprints in HTML."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from requests import Response

from hf_specclip.storage import write_bytes

from ..work.store import Absent, Item, Store
from .ads import PAPERS_STAGE
from .http_session import NotFoundError, RejectedError, Service, ServiceError

# ar5iv is the fallback, mainly for older papers.
ARXIV = ("https://arxiv.org/html", "https://ar5iv.labs.arxiv.org/html")
# arXiv's rate limit: one request every three seconds.
PER_SECOND = 1 / 3
STAGE = "full_texts"
FOLDER = "full_texts"
# About fifty pages; the rest is mostly tables and appendices.
MAX_TEXT_BYTES = 200_000
# Shorter documents are notices of withdrawn papers.
_MIN_WORDS = 400
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


@dataclass
class FullTexts:
    """Downloader of full texts."""

    service: Service
    store: Store
    folder: Path  # work folder of the build; texts go to `full_texts`
    urls: Sequence[str] = ARXIV  # in order of preference; the arXiv identifier is appended

    def __post_init__(self) -> None:
        self.folder = self.folder / FOLDER

    def fetch(self, bibcodes: Iterable[str]) -> None:
        """Fetch the full texts of papers."""
        # By the bibcode in the record: the key may be a superseded one.
        papers = (paper for _, paper in self.store.iter_results(PAPERS_STAGE))
        arxiv_ids = {paper["bibcode"]: paper.get("arxiv") for paper in papers}
        self.store.add(STAGE, {code: {"arxiv": arxiv_ids.get(code)} for code in bibcodes})
        self.store.process_each(STAGE, self._fetch)

    def read(self, bibcode: str) -> str | None:
        """Return the full text of a paper, or None."""
        if not self.store.results(STAGE, [bibcode]):
            return None
        try:
            return gzip.decompress((self.folder / _path_of(bibcode)).read_bytes()).decode()
        except (OSError, EOFError, ValueError):
            return None

    def _fetch(self, item: Item) -> Any:
        identifier = item.payload["arxiv"]
        if not identifier:
            return Absent("no preprint in ADS")
        text = self._text(identifier)
        if text is None:
            return Absent("no HTML on arXiv")
        content = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
        write_bytes(self.folder / _path_of(item.id), content)
        return {"arxiv": identifier, "bytes": len(text)}

    def _text(self, identifier: str) -> str | None:
        """Return the text of a preprint, or None if no URL has it.

        Raises:
            RejectedError: only an incomplete HTML conversion is available.
            ServiceError: a URL sends another kind of page, such as a bot check.
        """
        about, failure = f"arXiv:{identifier}", None
        for url in self.urls:
            try:
                response = self.service.request(
                    "GET", f"{url.rstrip('/')}/{identifier}", item=about, check=_check_page
                )
            except NotFoundError:
                continue
            except ServiceError as error:
                if error.is_fatal:
                    raise
                failure = error
                continue
            page = read_page(response.content)
            if page.is_truncated:
                advice = "Try again later with --retry."
                problem = "the HTML conversion is incomplete"
                failure = failure or self.service.error(problem, about, advice, RejectedError)
            elif len(page.text.split()) >= _MIN_WORDS:
                return page.text
        if failure is not None:
            raise failure
        return None


def _check_page(response: Response) -> str | None:
    """Return the problem of a page that is neither a paper nor a notice that there is none."""
    page = response.content.decode("utf-8", "replace")
    # ar5iv redirects to the abstract page of papers without HTML.
    is_abstract = "/abs/" in urlsplit(response.url).path
    if is_abstract or _LIST.search(page) or read_page(response.content).is_document:
        return None
    title = re.search(r"<title[^>]*>(.*?)</title", page, re.DOTALL | re.IGNORECASE)
    name = f" ({' '.join(title[1].split())})" if title else ""
    return f"sent a page that is not a paper{name}, perhaps a bot check"


class Page(NamedTuple):
    """Parsed arXiv page."""

    is_document: bool = False  # has an element of class `ltx_document`
    is_truncated: bool = False  # no end tag, or a failed conversion
    text: str = ""  # one paragraph per line, at most `MAX_TEXT_BYTES`


@lru_cache(maxsize=1)
def read_page(content: bytes) -> Page:
    """Parse a page: formulae as their TeX source, without references and navigation."""
    html = content.decode("utf-8", "replace")
    document = BeautifulSoup(html, "html.parser").find(class_=_DOCUMENT)
    if document is None:
        return Page()
    opened, closed = (
        len(re.findall(rf"<{slash}{document.name}\b", html, re.IGNORECASE)) for slash in ("", "/")
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
