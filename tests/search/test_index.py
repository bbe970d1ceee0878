"""Exact search of an index, and index folders that are damaged."""

import json

import numpy as np
import pytest
import torch

from hf_specclip.errors import FileFormatError
from hf_specclip.search.index import Hit, SpecCLIPIndex, paper_url


def entries(n):
    return [
        {
            "id": f"text-{i}",
            "source_names": [f"2CXO J{i:06d}.0+000000"],
            "papers": [{"id": f"2401.{i:05d}", "id_type": "arxiv", "title": "α Cen", "year": 2024}],
            "summary": {"identity": "A star.", "spectrum": None, "context": None},
            "split": "train",
        }
        for i in range(n)
    ]


@pytest.fixture
def index():
    vectors = np.random.default_rng(0).normal(size=(50, 8))
    return SpecCLIPIndex(entries(50), vectors)


@pytest.mark.parametrize("at_once", [3, 1000])
def test_equal_scores_keep_the_order_of_the_index(monkeypatch, at_once):
    monkeypatch.setattr("hf_specclip.search.nearest.SCORES_AT_ONCE", at_once)
    index = SpecCLIPIndex(entries(6), np.ones((6, 3)))
    [hits] = index.search(np.ones(3), top_k=4)
    assert [hit.entry["id"] for hit in hits] == ["text-0", "text-1", "text-2", "text-3"]


def test_search_takes_tensors_in_any_precision(index):
    query = torch.tensor(index.embeddings[13]).to(torch.bfloat16).requires_grad_()
    hit = index.search(query, top_k=1)[0][0]
    assert isinstance(hit, Hit)
    assert hit.entry["id"] == "text-13"


@pytest.mark.parametrize(
    ("queries", "top_k", "message"),
    [
        (np.ones((2, 5)), 3, "8 dimensions"),
        (np.full((1, 8), np.nan), 3, "query 0"),
        (np.zeros((1, 8)), 3, "query 0"),
        (np.ones((1, 8)), 0, "top_k"),
    ],
)
def test_bad_queries_are_refused(index, queries, top_k, message):
    with pytest.raises(ValueError, match=message):
        index.search(queries, top_k=top_k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop(), "entries need embeddings"),
        (lambda e: e[1].pop("id"), "entry 1 has no `id`"),
        (lambda e: e[2].update(id="text-0"), "repeats"),
    ],
)
def test_inconsistent_entries_are_refused(change, message):
    rows = entries(3)
    change(rows)
    with pytest.raises(ValueError, match=message):
        SpecCLIPIndex(rows, np.eye(3))


def test_round_trip_is_exact_and_replaces_atomically(index, tmp_path):
    folder = index.save(tmp_path / "model" / "gallery")
    SpecCLIPIndex(entries(2), np.eye(2)).save(folder)
    index.save(folder)
    again = SpecCLIPIndex.load(folder)
    assert again.entries == index.entries
    np.testing.assert_allclose(again.embeddings, index.embeddings, atol=1e-7)
    assert [p.name for p in folder.parent.iterdir()] == ["gallery"]
    assert SpecCLIPIndex.from_pretrained(tmp_path / "model").entries == index.entries


def test_a_failed_save_leaves_the_older_gallery(index, tmp_path):
    folder = index.save(tmp_path / "gallery")
    broken = SpecCLIPIndex(entries(2), np.eye(2))
    broken.entries[1]["score"] = float("nan")  # NaN is not JSON
    with pytest.raises(ValueError, match="JSON"):
        broken.save(folder)
    assert SpecCLIPIndex.load(folder).entries == index.entries
    assert [p.name for p in tmp_path.iterdir()] == ["gallery"]


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("embeddings.safetensors", _truncate, "embeddings"),
        ("entries.jsonl", _truncate, "line 50"),
        ("entries.jsonl", lambda p: p.write_bytes(p.read_bytes() + b"[1]\n"), "line 51"),
        (
            "entries.jsonl",
            lambda p: p.write_text(json.dumps({"id": "only"}) + "\n"),
            "do not match",
        ),
    ],
)
def test_damage_is_named(index, tmp_path, name, damage, message):
    folder = index.save(tmp_path / "gallery")
    damage(folder / name)
    with pytest.raises(FileFormatError, match=message):
        SpecCLIPIndex.load(folder)


def test_an_absent_gallery_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="written by training"):
        SpecCLIPIndex.load(tmp_path)


@pytest.mark.parametrize(
    ("paper", "url"),
    [
        (
            {"id": "2010ApJS..189...37E", "id_type": "bibcode"},
            "https://ui.adsabs.harvard.edu/abs/2010ApJS..189...37E",
        ),
        (
            {"id": "2010A&A...1..2B", "id_type": "bibcode"},
            "https://ui.adsabs.harvard.edu/abs/2010A%26A...1..2B",
        ),
        ({"id": "astro-ph/0101001", "id_type": "arXiv"}, "https://arxiv.org/abs/astro-ph/0101001"),
        ({"id": "10.1000/x<y>", "id_type": "doi"}, "https://doi.org/10.1000/x%3Cy%3E"),
        ({"id": "javascript:alert(1)", "id_type": "url"}, None),
        ({"id": "2002SimAp...1..251W", "id_type": "simulated"}, None),
        ({}, None),
    ],
)
def test_paper_links(paper, url):
    assert paper_url(paper) == url
