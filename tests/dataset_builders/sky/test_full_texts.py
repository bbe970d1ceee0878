"""Full texts from arXiv."""

import pytest
from arxiv_server import FATAL, PAGE, WALL, ArxivServer
from faulty import Response

from specclip_datasets.sky.services.ads import arxiv_identifier
from specclip_datasets.sky.services.full_texts import MAX_TEXT_BYTES, FullTexts, read_page
from specclip_datasets.sky.services.http_session import Service, ServiceError
from specclip_datasets.sky.work.store import Store

WORDS = ["The source is bright in X-rays. " * 100, "It varies within hours &amp; days."]


@pytest.fixture
def server():
    with ArxivServer(
        {"2001.00001": WORDS, "astro-ph/0101001": WORDS, "2001.00009": ["Short."]}
    ) as s:
        yield s


def full_texts(server, folder, retry_policy):
    store = Store(folder)
    papers = {
        "a": "2001.00001",
        "b": "2001.00002",
        "c": None,
        "d": "astro-ph/0101001",
        "e": "2001.00009",
    }
    # Keys are superseded bibcodes.
    store.put("papers", {f"old {k}": {"bibcode": k, "arxiv": v} for k, v in papers.items()})
    service = Service("arXiv", per_second=1000, retry_policy=retry_policy)
    return FullTexts(service, store, folder, server.urls)


def test_read_page():
    page = PAGE.format(title="A &lt;paper", paragraphs="<p>One<br>two</p>")
    assert read_page(page.encode()).text.splitlines() == [
        "A <paper",
        "One",
        "two",
        "The index is \\Gamma=1.7 .",
    ]
    page = "<div class=ltx_document><p>" + "word " * 100_000 + "</p></div>"
    assert MAX_TEXT_BYTES - 10 < len(read_page(page.encode()).text) <= MAX_TEXT_BYTES


@pytest.mark.parametrize(
    ("classes", "read"),
    [
        ("ltx_document ltx_authors_1line", True),
        ("ltx_authors_multiline\n ltx_document", True),
        ("ltx_document ltx_bibliography_x", True),
        ("ltx_documents", False),
        ("my_ltx_document", False),
    ],
)
def test_html_classes_are_matched_as_words(classes, read):
    html = f'<article class="{classes}"><p class>one two</p><i class="ltx_authors">x</i>'
    page = read_page(html.encode())
    assert (page.is_document, page.text) == ((True, "one two") if read else (False, ""))


def test_full_texts_by_state(server, retry_policy, tmp_path):
    texts = full_texts(server, tmp_path, retry_policy)
    texts.fetch("abcde")
    assert texts.read("a").count("bright in X-rays") == 100
    assert "within hours & days" in texts.read("d")
    assert "never to be read" not in texts.read("a")
    assert texts.read("b") is texts.read("c") is texts.read("e") is texts.read("unheard of") is None
    why = {item.id: item.reason for item in texts.store.items("full_texts", ["absent"])}
    assert set(why) == {"b", "c", "e"}
    assert why["c"] == "no preprint in ADS"
    texts.fetch("abcde")
    assert max(server.asked.values()) == 1


def test_single_failure_continues_and_outage_stops(server, retry_policy, tmp_path):
    texts = full_texts(server, tmp_path, retry_policy)
    server.plan = [500] * retry_policy.attempts
    texts.fetch("abd")
    assert texts.store.counts("full_texts") == {
        "wanted": 0, "got": 1, "absent": 1, "failed": 1,
    }  # fmt: skip
    texts.store.requeue("full_texts")
    texts.fetch(())
    assert texts.read("a")
    texts.store.requeue("full_texts", "abd")
    server.rate = 1.0
    server.plan = [500] * 100
    with pytest.raises(ServiceError, match="arXiv"):
        texts.fetch(())
    assert texts.store.counts("full_texts")["wanted"] == 3


CUT = PAGE.format(title="A", paragraphs="<p>" + "word " * 500 + "</p>")


@pytest.mark.parametrize(
    ("page", "state"),
    [
        (CUT, "got"),
        (CUT.replace("</article>", FATAL + "</article>"), "failed"),
        (CUT[: CUT.index("</article>")], "failed"),
        (WALL.decode(), "failed"),
        ("<html><body>" + "Some other page. " * 300 + "</body></html>", "failed"),
        ("<html>The following files are available for 2001.00001</html>", "absent"),
        ("<html><article class='ltx_document'>This paper was withdrawn.</article>", "absent"),
    ],
)
def test_incomplete_papers_are_not_kept(server, retry_policy, tmp_path, page, state):
    server.texts["2001.00001"] = page
    texts = full_texts(server, tmp_path, retry_policy)
    texts.fetch("a")
    assert texts.store.counts("full_texts")[state] == 1
    assert (texts.read("a") is not None) == (state == "got")


@pytest.mark.parametrize("path", ["/html/", "/captcha"])
def test_bot_check_stops_the_stage(server, retry_policy, tmp_path, path):
    sent_there = Response(b"", status=302, headers={"Location": path})
    wall = Response(WALL, "text/html")
    server.respond = lambda request: wall if path in request.path else sent_there
    texts = full_texts(server, tmp_path, retry_policy)
    with pytest.raises(ServiceError, match=r"not a paper \(arXiv reCAPTCHA\)"):
        texts.fetch("abde")
    assert texts.store.counts("full_texts")["wanted"] == 4


def test_arxiv_identifiers():
    assert arxiv_identifier(["2001ApJ...1", "arXiv:astro-ph/0101001"]) == "astro-ph/0101001"
    assert arxiv_identifier(["arXiv:2001.00001", "10.1/x"]) == "2001.00001"
    assert arxiv_identifier(["arXiv:../../etc/passwd", "arXiv:"]) is None
