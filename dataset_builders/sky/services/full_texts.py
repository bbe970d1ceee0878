"""Client of arXiv and ar5iv: open full texts of papers in HTML.

Only preprints are read: what publishers keep open lies in a hundred forms, and the words of the
preprint are nearly always those of the paper.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path

from hf_specclip.storage import write_bytes

from ..work.queue import Item, WorkQueue
from .ads import PAPERS_STAGE
from .polite_session import AbsentError, ExhaustedError, Service, ServiceError

# The second has what the first lacks, older papers above all.
ARXIV = ("https://arxiv.org/html", "https://ar5iv.labs.arxiv.org/html")
# arXiv asks for three seconds between requests.
PER_SECOND = 1 / 3
STAGE = "full_texts"
FOLDER = "full_texts"
# About fifty pages; what lies behind are tables and appendices.
MAX_TEXT_BYTES = 200_000
# Fewer words than an abstract has are no paper, but a page that says why there is none.
_FEWEST_WORDS = 400
LOST = 3
_BLOCKS = frozenset(
    ("p", "div", "section", "article", "li", "figcaption", "td", "th", "tr", "br", "blockquote")
    + tuple(f"h{n}" for n in range(1, 7))
)
_SKIPPED = frozenset(("script", "style", "nav", "footer", "header", "svg", "form", "head"))
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr")
)
_SKIPPED_CLASSES = ("ltx_bibliography", "ltx_page_navbar", "ltx_page_footer", "ltx_authors")


class ArxivService:
    """Addresses that serve full texts.

    Args:
        service: how to ask.
        urls: addresses that take an arXiv identifier at their end, in the order of trying.
    """

    def __init__(self, service: Service, urls: Iterable[str] = ARXIV) -> None:
        self.service = service
        self.urls = tuple(url.rstrip("/") for url in urls)

    def text(self, identifier: str) -> str | None:
        """Get the words of a paper; None where no address has it in this form.

        Raises:
            ServiceError: when an address fails for good.
        """
        for url in self.urls:
            try:
                answer = self.service.get(
                    f"{url}/{identifier}", f"arXiv:{identifier}", kinds=("text/html",)
                )
            except AbsentError:
                continue
            text = text_of_html(answer.content.decode("utf-8", "replace"))
            # ar5iv answers with the page of the abstract where it has no more.
            if len(text.split()) >= _FEWEST_WORDS:
                return text
        return None


class FullTexts:
    """Fetcher of the full texts of a build's papers.

    Args:
        arxiv: where they come from.
        queue: of the build, with what ADS says of the papers.
        folder: of the build; texts go to its `full_texts`.
    """

    def __init__(self, arxiv: ArxivService, queue: WorkQueue, folder: str | Path) -> None:
        self.arxiv = arxiv
        self.queue = queue
        self.folder = Path(folder) / FOLDER

    def want(self, bibcodes: Iterable[str]) -> int:
        """Queue the full texts of papers; return how many are new."""
        codes = list(dict.fromkeys(bibcodes))
        known = self.queue.results(PAPERS_STAGE, codes)
        by_code = {paper["bibcode"]: paper for paper in known.values()}
        return self.queue.add(
            STAGE, {code: {"arxiv": by_code.get(code, {}).get("arxiv")} for code in codes}
        )

    def fetch(self, progress: Callable[[int], object] = lambda n: None) -> None:
        """Fetch every wanted text.

        Args:
            progress: called with the number of papers done.

        Raises:
            ServiceError: when several papers in a row cannot be had: the service is down.
        """
        in_a_row = 0
        while items := self.queue.claim(STAGE, 1):
            [item] = items
            with self.queue.held(items):
                try:
                    self._fetch(item)
                    in_a_row = 0
                except ExhaustedError:
                    raise
                except ServiceError as error:
                    in_a_row += 1
                    if in_a_row == LOST:
                        raise
                    self.queue.finish(STAGE, failed={item.id: str(error)})
            progress(1)

    def _fetch(self, item: Item) -> None:
        identifier = item.payload["arxiv"]
        text = self.arxiv.text(identifier) if identifier else None
        if text is None:
            why = "arXiv has no HTML of it" if identifier else "ADS knows no preprint of it"
            self.queue.finish(STAGE, absent={item.id: why})
            return
        content = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
        write_bytes(self.folder / _path_of(item.id), content)
        self.queue.finish(STAGE, {item.id: {"arxiv": identifier, "bytes": len(text)}})

    def of(self, bibcode: str) -> str | None:
        """Read the text of a paper; None where there is none."""
        if not self.queue.results(STAGE, [bibcode]):
            return None
        try:
            return gzip.decompress((self.folder / _path_of(bibcode)).read_bytes()).decode()
        except (OSError, EOFError, ValueError):
            return None


def text_of_html(html: str) -> str:
    """Extract the words of a paper's page, a paragraph a line, at most `MAX_TEXT_BYTES`.

    Formulae become what their source says; references and what frames the page are left out.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    text = "\n".join(line for line in lines if line)
    short = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
    return short if len(short) == len(text) else short.rsplit(maxsplit=1)[0]


class _Reader(HTMLParser):
    """HTML parser that gathers the words of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._skipping: str | None = None
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping is not None:
            self._depth += tag == self._skipping
            return
        of = {name: value or "" for name, value in attrs}
        if tag == "math":
            self.pieces.append(f" {of.get('alttext', '')} ")
        if tag in _BLOCKS:
            self.pieces.append("\n")
        frame = any(name in of.get("class", "") for name in _SKIPPED_CLASSES)
        if (frame or tag in ("math", *_SKIPPED)) and tag not in _VOID:
            self._skipping, self._depth = tag, 1

    def handle_endtag(self, tag: str) -> None:
        if self._skipping is not None:
            self._depth -= tag == self._skipping
            if not self._depth:
                self._skipping = None
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._skipping is None:
            self.pieces.append(data.replace("\n", " "))


def _path_of(bibcode: str) -> Path:
    digest = hashlib.sha256(bibcode.encode("utf-8", "surrogatepass")).hexdigest()
    return Path(digest[:2]) / f"{digest[:24]}.txt.gz"


__all__ = ["ARXIV", "ArxivService", "FullTexts", "text_of_html"]
