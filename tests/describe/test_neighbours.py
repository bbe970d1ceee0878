"""Sources of an index near a spectrum."""

import io

import numpy as np

from hf_specclip.describe import titles
from hf_specclip.describe.hits import similar_source
from hf_specclip.describe.neighbours import (
    hits_at_position,
    nearest_per_source,
    position_links,
    position_name,
)
from hf_specclip.describe.text import source_card
from hf_specclip.search.index import Hit, SpecCLIPIndex

PAPER = {"id": "1801.05839", "id_type": "arxiv", "about": "host"}


def hit(rank, name, **more):
    return Hit(rank, 0.9, {"id": f"{name}/{rank}", "source_name": name, **more}, rank)


def test_each_source_has_one_card_and_one_has_papers():
    hits = [hit(1, "A"), hit(2, "A"), hit(3, "B"), hit(4, "C"), hit(5, "D", papers=[PAPER])]
    chosen = nearest_per_source(hits, 2)
    assert [(each.rank, each.entry["source_name"]) for each in chosen] == [
        (1, "A"), (2, "B"), (4, "D")
    ]  # fmt: skip
    assert [each.entry["source_name"] for each in nearest_per_source(hits, 2, ["A"])] == [
        "B", "C", "D"
    ]  # fmt: skip


def test_a_source_at_the_position_is_named_with_its_distance():
    entry = {"source_name": "2CXO J1", "ra": 187.2779, "dec": 2.0524, "class": "QSO?"}
    index = SpecCLIPIndex([], np.zeros((0, 4)), other_sources=[entry])
    facts = {"ra": None, "dec": None, "target_ra": 187.2779, "target_dec": 2.0523}
    [(found, gap)] = hits_at_position(index, facts)
    assert 0.3 < gap < 0.4
    card = source_card(similar_source(found, None, gap))
    assert "2CXO J1" in card[0]
    assert "0.4″" in card[0]
    assert not hits_at_position(index, {"ra": 10.0, "dec": 2.0})
    assert "target" in position_name(facts)
    assert position_name({"ra": 10.0, "dec": 2.0}) == "the source position"
    assert set(position_links(facts)) == {"SIMBAD", "NED", "ADS", "Chandra Source Catalog"}


def test_papers_without_titles_are_named_by_their_links():
    card = source_card(similar_source(hit(1, "A", host="NGC 224", papers=[PAPER])))
    assert any("https://arxiv.org/abs/1801.05839 (about its host)" in line for line in card)
    assert any("in NGC 224" in line for line in card)


def test_titles_are_fetched_by_identifier(monkeypatch):
    feed = b"""<feed xmlns="http://www.w3.org/2005/Atom"><entry>
    <id>http://arxiv.org/abs/1801.05839v2</id><title>High  energy tails</title></entry></feed>"""
    asked = []

    def answer(address, timeout):
        asked.append(address)
        return io.BytesIO(feed)

    monkeypatch.setattr(titles, "urlopen", answer)
    assert titles.fetch_titles({"1801.05839", "astro-ph/9701102"}) == {
        "1801.05839": "High energy tails"
    }
    assert "id_list=1801.05839%2Castro-ph%2F9701102" in asked[0]
