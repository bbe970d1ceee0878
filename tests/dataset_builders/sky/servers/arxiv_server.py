"""Test server of arXiv (`/html/ID`) and ar5iv (`/ar5iv/html/ID`).

Pages have the elements and classes of LaTeXML (brucemiller/LaTeXML, t/daemon); ar5iv redirects to
the abstract page of missing papers (dginev/ar5iv, src/main.rs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from faulty import FaultyServer, Request, Response

PAGE = """<!DOCTYPE html><html><head><title>x</title><style>p {{}}</style></head><body>
<nav class="ltx_page_navbar">Sign in</nav><div class="package-alerts">Licence: CC</div>
<div class="ltx_page_main"><article class="ltx_document\tltx_authors_1line">
<h1 class="ltx_title">{title}</h1><div class="ltx_authors"><img src="orcid.png" alt="o">A. Nobody
</div><section class="ltx_section">{paragraphs}
<p>The index is <math alttext="\\Gamma=1.7"><mi>G</mi><mn>17</mn></math>.</p></section>
<section class="ltx_bibliography"><ul><li>Someone 1999, never to be read</li></ul></section>
</article></div><script>alert("hi")</script></body></html>"""
ABSTRACT = (
    "<html><title>[{0}] A paper</title><body><p>" + "abstract words " * 300 + "</p></body></html>"
)
FATAL = "<p>Conversion to HTML had a Fatal error and exited abruptly.</p>"
WALL = b"<html><head><title>arXiv reCAPTCHA</title></head><body>Are you a robot?</body></html>"


class ArxivServer(FaultyServer):
    """arXiv with full texts.

    Attributes:
        texts: identifier -> list of paragraphs, or a complete page.
        asked: number of requests per identifier to arXiv.
    """

    def __init__(self, texts: Mapping[str, list[str] | str]) -> None:
        self.texts = dict(texts)
        self.asked: Counter = Counter()
        super().__init__()
        self.urls = (f"{self.url}/html", f"{self.url}/ar5iv/html")

    def respond(self, request: Request) -> Response:
        place, _, identifier = request.path.partition("/html/")
        if place == "/ar5iv":
            return Response(b"moved", status=307, headers={"Location": f"/abs/{identifier}"})
        if request.path.startswith("/abs/"):
            return Response(ABSTRACT.format(request.path[5:]).encode(), "text/html; charset=utf-8")
        with self.lock:
            self.asked[identifier] += 1
        text = self.texts.get(identifier)
        if text is None:
            return Response(f"No HTML for '{identifier}'".encode(), "text/html", 404)
        if isinstance(text, list):
            paragraphs = "".join(f'<p class="ltx_p">{part}</p>' for part in text)
            text = PAGE.format(title="A paper", paragraphs=paragraphs)
        return Response(text.encode(), "text/html; charset=utf-8")
