"""Summaries made of the authors' own sentences."""

import math

import pytest

from hf_specclip.literature import SECTIONS, extractive_summary
from hf_specclip.literature.extractive_summary import MAX_WORDS, _plain

OWN = {
    "title": "Chandra spectroscopy of M33 X-7",
    "abstract": (
        "We present an analysis of deep observations. M33 X-7 is an eclipsing black hole binary "
        "with a massive companion. The spectrum is an absorbed power law with a photon index of "
        r"$\Gamma=2.1\pm0.1$ and $N_{\rm H}=10^{21}$~cm$^{-2}$ (cf. Pietsch et al. 2004). "
        "The orbital period is 3.45 days. The 0.3-8 keV luminosity reaches $10^{38}$ erg s$^{-1}$."
    ),
    "about": "source",
    "xray": True,
}
HOST = {
    "title": "X-ray sources of M33",
    "abstract": (
        "The galaxy M33 is a late-type spiral in the Local Group. Most X-ray sources have a power "
        "law spectrum with a photon index near 1.9 and luminosities above 1e36 erg/s. "
        "The source shows a black body spectrum with kT = 0.1 keV."
    ),
    "about": "host",
    "xray": True,
}
SURVEY = {
    "title": "A catalogue of everything",
    "abstract": (
        "Half of all X-ray sources are variable, with a hard power law spectrum above 2 keV. "
        "The source M33 X-7 has an absorbed X-ray spectrum with a photon index of 2.3."
    ),
    "about": "source",
    "xray": True,
}
M33_X7 = {"name": "2CXO J013334.1+303211", "aliases": ["M33 X-7"], "host": "NGC0598"}


def test_each_section_says_what_it_should():
    summary = extractive_summary(**M33_X7, source_class="HMXB", papers=[HOST, OWN])
    assert list(summary) == list(SECTIONS)
    assert summary["identity"] == (
        "2CXO J013334.1+303211, also known as M33 X-7, is a high-mass X-ray binary in NGC 598. "
        "M33 X-7 is an eclipsing black hole binary with a massive companion."
    )
    assert summary["spectrum"] == (
        "The spectrum is an absorbed power law with a photon index of Γ=2.1±0.1 and "
        "N_H=10^21 cm^-2 (cf. Pietsch et al. 2004). The 0.3-8 keV luminosity reaches "
        "10^38 erg s^-1."
    )
    context = summary["context"]
    assert context.startswith(
        "It lies in NGC 598. Studied in: Chandra spectroscopy of M33 X-7; X-ray sources of M33."
    )
    assert "The orbital period is 3.45 days." in context
    assert "We present" not in str(summary)


def test_papers_about_the_host_speak_for_the_host():
    summary = extractive_summary(**M33_X7, papers=[HOST])
    assert summary["spectrum"] == (
        "X-ray studies of NGC 598: Most X-ray sources have a power law spectrum with a photon "
        "index near 1.9 and luminosities above 1e36 erg/s."
    )  # and not what "the source" of that paper does, which is another one
    optical = dict(HOST, xray=False)
    assert extractive_summary(**M33_X7, papers=[optical])["spectrum"] is None


def test_a_survey_never_speaks_alone_and_only_of_the_source():
    nothing = dict.fromkeys(SECTIONS)
    assert extractive_summary(**M33_X7, papers=[SURVEY], is_survey=[True]) == nothing
    both = extractive_summary(**M33_X7, papers=[SURVEY, HOST], is_survey=[True, False])
    assert "photon index of 2.3" in both["spectrum"]
    assert "Half of all" not in str(both)
    assert "catalogue of everything" not in str(both)
    with pytest.raises(ValueError, match="2 papers need as many flags in is_survey, not 1"):
        extractive_summary(**M33_X7, papers=[SURVEY, HOST], is_survey=[True])


@pytest.mark.parametrize("unknown", [None, "", "  ", math.nan])
def test_what_is_not_known_is_none(unknown):
    summary = extractive_summary("2CXO J1", [unknown], unknown, unknown, [])
    assert summary == dict.fromkeys(SECTIONS)
    paper = {"title": unknown, "abstract": unknown}
    assert extractive_summary("2CXO J1", None, None, None, [paper]) == dict.fromkeys(SECTIONS)
    titled = extractive_summary("2CXO J1", [], unknown, "QSO", [{"title": "Why?"}])
    assert titled == {
        "identity": "2CXO J1 is a quasar.",
        "spectrum": None,
        "context": "Studied in: Why?",
    }


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("QSO", "a quasar"),
        ("NS_BIN", "a neutron star in a binary"),
        ("  LMXRB GLOBULAR CLUSTER", "a low-mass X-ray binary in a globular cluster"),
        ("HMXRB BE STAR X-RAY PULSAR", "a high-mass X-ray binary with a Be star"),
        ("CV*", "a cataclysmic variable"),
        ("LMXB?", "possibly a low-mass X-ray binary"),
        ("UNIDENTIFIED", ""),
        ("Zz9", "classified as Zz9"),
    ],
)
def test_classes_are_said_in_words(code, words):
    expected = f"2CXO J1 is {words}." if words else None
    assert extractive_summary("2CXO J1", source_class=code)["identity"] == expected


def test_spellings_of_one_name_are_given_once():
    aliases = ["GRO J1655-40", "V* V1033 Sco", "V1033 SCO", "V1033 Sco", "2CXO J1"]
    assert extractive_summary("2CXO J1", aliases)["identity"] == (
        "2CXO J1, also known as GRO J1655-40, V* V1033 Sco, is an X-ray source."
    )


def test_real_sources_get_real_sentences(real_data):
    import pyarrow.parquet as pq

    table = pq.read_table(real_data / "csc_semireal" / "sources.parquet").slice(0, 1200)
    given = 0
    for row in table.to_pylist():
        arguments = [row[key] for key in ("name", "aliases", "host", "source_class", "papers")]
        summary = extractive_summary(*arguments)
        assert summary == extractive_summary(*arguments)
        for section, text in summary.items():
            assert text is None or (5 <= len(text.split()) <= MAX_WORDS), (section, text)
        if summary["spectrum"]:
            given += 1
            body = summary["spectrum"].split(": ", 1)[-1]
            authors = " ".join(_plain(paper["abstract"]) for paper in row["papers"])
            assert body[:60] in authors
    assert given > 100
