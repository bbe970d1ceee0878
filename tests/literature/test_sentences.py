"""Sentence splitting of astronomical prose."""

import pytest

from hf_specclip.literature import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["We fit a power law with Γ = 1.8.", "It varies."],
        ["The source (cf. Smith et al. 2004; Jones et al. 2005) is hard.", "We agree."],
        ["Following Fabbiano et al. (2006), we use e.g. Chandra data.", "It is bright."],
        ["Smith et al. Found it late."],
        ["See Fig. 3 and Sect. 4.2 for kT = 0.5 keV.", "The flux is 1.5 x 10^-13 erg/s."],
        ["A flux of $L_{\\rm X} = 10^{38.5}$ erg s$^{-1}$ vs. $10^{37}$ is seen.", "Why?", "Dust."],
        ["The value $a. B$ lies within a formula.", "$\\Gamma$ is 2."],
        ["It was found by J. Smith and A. B. Jones.", "Here we confirm it."],
        ["Sources (i.e. AGN. Others are ignored) dominate.", "The rest is faint."],
        ["RX J0420.0-5022 and 1E 1207.4-5209 pulse.", "Both are near (d < 1 kpc)."],
        ["Its column is approx. 3 times Galactic.", "2CXO J1 is absorbed."],
        ['They call it "hard."', "We do not."],
        ["It is bright!", "Is it?", "Yes."],
        ["We observed it with HST, XMM-Newton, etc.", "We find no period."],
        ["Reported by the U.S. Naval Observatory.", "It is a star."],
        ["one sentence without a stop"],
    ],
)
def test_sentences_come_back_as_they_were(sentences):
    assert split_sentences(" ".join(sentences)) == sentences
    assert split_sentences("\n  ".join(" ".join(sentences).split(" "))) == sentences


def test_nothing_gives_nothing():
    assert split_sentences("") == split_sentences(" \n ") == []


def test_hostile_texts_take_no_time():
    import time

    start = time.perf_counter()
    for text in ("(" * 20_000, ". A" * 5_000, "$" * 20_000, "a." * 20_000, "et al. A" * 3_000):
        split_sentences(text)
    assert time.perf_counter() - start < 2.0


def test_no_word_is_lost_on_real_abstracts(real_data):
    import pyarrow.parquet as pq

    column = pq.read_table(real_data / "csc_semireal" / "sources.parquet", columns=["papers"])
    abstracts = {
        paper["abstract"]
        for papers in column["papers"].to_pylist()
        for paper in papers
        if paper["abstract"]
    }
    assert len(abstracts) > 100
    headings = {"Context.", "Aims.", "Methods.", "Results.", "Conclusions."}
    lengths = []
    for abstract in abstracts:
        sentences = split_sentences(abstract)
        assert " ".join(sentences) == " ".join(abstract.split())
        for sentence in sentences:
            assert not sentence.endswith(("et al.", "e.g.", "i.e.", " Fig.", " cf.", " vs."))
            if sentence not in headings:
                lengths.append(len(sentence.split()))
    assert sum(length < 3 for length in lengths) / len(lengths) < 0.005
    assert sum(length > 80 for length in lengths) / len(lengths) < 0.01
