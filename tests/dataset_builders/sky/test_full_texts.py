"""Open full texts: read where they are open, bounded, and never a stage's end."""

import pytest
from arxiv_server import PAGE, ArxivServer

from specclip_datasets.sky.services.ads import arxiv_identifier
from specclip_datasets.sky.services.full_texts import (
    MAX_TEXT_BYTES,
    ArxivService,
    FullTexts,
    text_of_html,
)
from specclip_datasets.sky.services.polite_session import Service, ServiceError
from specclip_datasets.sky.work.queue import WorkQueue

WORDS = ["The source is bright in X-rays. " * 100, "It varies within hours &amp; days."]


@pytest.fixture
def server():
    with ArxivServer(
        {"2001.00001": WORDS, "astro-ph/0101001": WORDS, "2001.00009": ["Short."]}
    ) as s:
        yield s


def full_texts(server, folder, patience):
    queue = WorkQueue(folder / "queue.sqlite")
    papers = {
        "a": "2001.00001",
        "b": "2001.00002",
        "c": None,
        "d": "astro-ph/0101001",
        "e": "2001.00009",
    }
    queue.put("papers", {k: {"bibcode": k, "arxiv": v} for k, v in papers.items()})
    service = Service("arXiv", per_second=1000, patience=patience)
    return FullTexts(ArxivService(service, [f"{server.url}/html"]), queue, folder)


def test_a_page_becomes_its_words():
    text = text_of_html(PAGE.format(title="A &lt;paper", paragraphs="<p>One<br>two</p>"))
    assert text.splitlines() == ["A <paper", "One", "two", "The index is \\Gamma=1.7 ."]
    long = text_of_html("<p>" + "word " * 100_000 + "</p>")
    assert MAX_TEXT_BYTES - 10 < len(long) <= MAX_TEXT_BYTES
    assert text_of_html("<p>unclosed <b>tags <script>never") == "unclosed tags"


def test_each_paper_is_accounted_for(server, patience, tmp_path):
    texts = full_texts(server, tmp_path, patience)
    assert texts.want("abcde") == 5
    texts.fetch()
    assert texts.of("a").count("bright in X-rays") == 100
    assert "within hours & days" in texts.of("d")
    assert "never to be read" not in texts.of("a")
    assert texts.of("b") is texts.of("c") is texts.of("e") is texts.of("unheard of") is None
    why = {item.id: item.why for item in texts.queue.items("full_texts", ["absent"])}
    assert set(why) == {"b", "c", "e"}
    assert why["c"] == "ADS knows no preprint of it"
    texts.want("abcde")
    texts.fetch()
    assert max(server.asked.values()) == 1


def test_one_that_fails_stops_nobody_and_a_dead_service_does(server, patience, tmp_path):
    texts = full_texts(server, tmp_path, patience)
    server.plan = [500] * patience.attempts
    texts.want("abd")
    texts.fetch()
    assert texts.queue.counts("full_texts") == {
        "wanted": 0, "claimed": 0, "got": 1, "absent": 1, "failed": 1,
    }  # fmt: skip
    texts.queue.retry("full_texts")
    texts.fetch()
    assert texts.of("a")
    texts.queue.again("full_texts", "abd")
    server.rate = 1.0
    server.plan = [500] * 100
    with pytest.raises(ServiceError, match="arXiv"):
        texts.fetch()
    assert texts.queue.counts("full_texts")["claimed"] == 0
    assert texts.queue.counts("full_texts")["wanted"] == 1


def test_identifiers_of_arxiv_are_found():
    assert arxiv_identifier(["2001ApJ...1", "arXiv:astro-ph/0101001"]) == "astro-ph/0101001"
    assert arxiv_identifier(["arXiv:2001.00001", "10.1/x"]) == "2001.00001"
    assert arxiv_identifier(["arXiv:../../etc/passwd", "arXiv:"]) is None
