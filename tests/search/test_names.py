"""Hosts of sources in questions, and sources by position."""

import numpy as np
import pytest

from hf_specclip.errors import FileFormatError
from hf_specclip.search.index import SpecCLIPIndex
from hf_specclip.search.names import find_hosts, host_names
from hf_specclip.search.questions import parse_question
from hf_specclip.search.ranking import rank_sources

PLACES = host_names(["NGC 224", "NGC 104", "Terzan 9"])


@pytest.fixture
def index():
    spectra = [
        {"id": f"S{i}", "source_name": f"S{i}", "ra": 10.0 + i, "dec": 41.0, "class": "LMXB",
         "host": "NGC 224" if i % 2 else "NGC 104", "aliases": [f"4U {i}"], "counts": 10 * i}
        for i in range(6)
    ]  # fmt: skip
    vectors = np.random.default_rng(0).normal(size=(6, 8))
    others = [{"source_name": "O", "ra": 11.0, "dec": 41.001, "class": "AGN?"}]
    return SpecCLIPIndex(
        [], np.zeros((0, 8)), spectra=spectra, spectrum_embeddings=vectors,
        spectrum_columns={"powlaw_gamma": np.arange(6.0)}, other_sources=others,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["M31", "m 31", "NGC0224", "ngc-224", "Andromeda galaxy"])
def test_a_host_is_found_by_any_of_its_names(name):
    assert [host for _, host in find_hosts(f"LMXB in {name}", PLACES)] == ["NGC 224"]


def test_a_host_in_a_question_is_a_condition(index):
    question = parse_question("an LMXB in M31", host_names=index.host_names)
    assert question.hosts == ("NGC 224",)
    assert "in: NGC 224" in question.lines()
    ranked = rank_sources(index, question, index.spectra.embeddings[0], top_k=10)
    assert {row for each in ranked for row in each.rows} == {1, 3, 5}
    alone = parse_question("47 Tuc", host_names=index.host_names)
    assert alone.refusal is None
    brightest_first = rank_sources(index, alone, None, top_k=10)
    assert [each.rows for each in brightest_first] == [(4,), (2,), (0,)]
    assert {each.score for each in brightest_first} == {None}
    for phrase in (
        "beyond M31",
        "behind M31",
        "in front of the Andromeda galaxy",
        "outside of M31",
    ):
        question = parse_question(f"sources {phrase}", host_names=index.host_names)
        assert f"“{phrase}”" in (question.refusal or "")
    # A name of a source may contain the name of a host.
    question = parse_question("the LMXB 4U 3", host_names=index.host_names, names=index.names)
    assert question.sources == ("S3",)
    assert "NGC 253" in parse_question("an LMXB in NGC 253", host_names=index.host_names).unused


def test_sources_are_asked_for_by_any_of_their_names(index):
    index.spectra.entries[3]["aliases"] = ["NGC 224-X7", "V* T Pyx"]
    names = {"host_names": index.host_names, "names": index.names}
    for name in ("NGC 224-X7", "ngc224 x7", "T Pyx", "V* T Pyx?"):
        question = parse_question(f"What is {name}", **names)
        assert (question.sources, question.hosts, question.refusal) == (("S3",), (), None)
    assert "source: S3" in question.lines()
    [ranked] = rank_sources(index, question, None, top_k=10)
    assert ranked.rows == (3,)
    like = parse_question("LMXB similar to T Pyx in M31", **names)
    assert (like.like, like.sources, like.hosts, like.words) == (("S3",), (), ("NGC 224",), ())
    both = parse_question("like T Pyx and 4U 5", **names)
    assert (both.like, both.sources) == (("S3", "S5"), ())
    ranked = rank_sources(index, both, None, 10)
    assert {row for each in ranked for row in each.rows} == {0, 1, 2, 4}
    absent = parse_question("M82 X-1", **names)
    assert absent.unused == ("M82 X-1",)
    assert "or give its position" in absent.refusal


def test_sources_within_a_radius_come_nearest_first(index):
    near = index.within(11.0, 41.0, 0.01)
    assert [match.entry["source_name"] for match in near] == ["S1", "O"]
    assert near[1].separation == pytest.approx(0.001, abs=1e-6)
    assert index.find("4u3") == [3]


def test_a_compact_index_keeps_entries_and_rounds_numbers(index, tmp_path):
    loaded = SpecCLIPIndex.load(index.save(tmp_path / "index", compact=True))
    assert loaded.spectra.entries == index.spectra.entries
    assert loaded.other_sources == index.other_sources
    np.testing.assert_allclose(loaded.spectra.embeddings, index.spectra.embeddings, atol=1e-3)
    path = tmp_path / "index" / "spectra.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match="damaged"):
        SpecCLIPIndex.load(tmp_path / "index")


@pytest.mark.parametrize("text", ["M15 X-2", "flaring M5 dwarf", "an M4.5 V star", "SMC X-1"])
def test_sources_and_spectral_types_are_no_places(text):
    names = host_names(["NGC 7078", "NGC 5904", "NGC 6121", "NGC 292"])
    assert find_hosts(text, names) == []
    assert find_hosts("LMXB in M15", names) == [((8, 11), "NGC 7078")]
