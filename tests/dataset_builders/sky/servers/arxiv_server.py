"""Papers in HTML as arXiv gives them, under `/html/IDENTIFIER`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from faulty import Answer, FaultyServer, Request

PAGE = """<!DOCTYPE html><html><head><title>x</title><style>p {{}}</style></head><body>
<nav class="ltx_page_navbar">Sign in</nav><div class="ltx_page_main"><article class="ltx_document">
<h1 class="ltx_title">{title}</h1><div class="ltx_authors"><img src="orcid.png" alt="o">A. Nobody
</div><section class="ltx_section">{paragraphs}
<p>The index is <math alttext="\\Gamma=1.7"><mi>G</mi><mn>17</mn></math>.</p></section>
<section class="ltx_bibliography"><ul><li>Someone 1999, never to be read</li></ul></section>
</article></div><script>alert("hi")</script></body></html>"""


class ArxivServer(FaultyServer):
    """Full texts.

    Attributes:
        texts: identifier -> paragraphs.
        asked: how often each identifier was asked for.
    """

    def __init__(self, texts: Mapping[str, list[str]]) -> None:
        self.texts = dict(texts)
        self.asked: Counter = Counter()
        super().__init__()

    def respond(self, request: Request) -> Answer:
        identifier = request.path.removeprefix("/html/")
        with self.lock:
            self.asked[identifier] += 1
        if identifier not in self.texts:
            return Answer(b"no HTML for it", "text/html", 404)
        paragraphs = "".join(f'<p class="ltx_p">{text}</p>' for text in self.texts[identifier])
        return Answer(PAGE.format(title="A paper", paragraphs=paragraphs).encode(), "text/html")
