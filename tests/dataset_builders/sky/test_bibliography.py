"""SIMBAD and ADS: cross-match, papers, ranking."""

import pytest
from ads_server import AdsServer
from building import QUICK, tap_client
from faulty import Response
from simbad_tables import load_simbad
from tap_server import TapServer

from specclip_datasets.sky.literature.bibliography import Literature, rank_papers
from specclip_datasets.sky.services.ads import Ads, ads_token
from specclip_datasets.sky.services.http_session import AccessError, Service, ServiceError
from specclip_datasets.sky.services.plain_text import plain_text
from specclip_datasets.sky.services.simbad import fetch_objects, names_of_type
from specclip_datasets.sky.work.store import Store

TOKEN = "MARKED-ads-token-0815-do-not-show"
N = 30
NAMES = [f"2CXO J00{i:02d}00.0+100000" for i in range(N)]


def bibcode(number):
    return f"{2000 + number % 20}ApJ...{number:03d}...{number % 1000:03d}A"


SURVEY, FAMOUS = bibcode(500), bibcode(501)


def world():
    """30 sources: object i has papers 3i…3i+2, all are in a survey, and 15 in a paper on M 31."""
    galaxy = {"oid": 7000, "main_id": "M  31", "otype": "AGN", "ra": 10.68, "dec": 41.27}
    objects = [{**galaxy, "names": []}]
    papers, references, links = [], [], []
    for i, name in enumerate(NAMES):
        # Every third source has no CSC name, and an offset of 0.5″.
        names = [f"X-{i}  of M 31", f"[ABC2001] {i}"] + ([] if i % 3 == 2 else [name])
        about = {"oid": 100 + i, "main_id": f"NAME Source  Number {i}", "names": names}
        place = {"ra": 0.25 * i, "dec": 10.0 + 0.5 / 3600}
        objects.append({**about, **place, "otype": "LXB" if i % 2 else "QSO"})
        links += [(7000, 100 + i, 90)] if i < 15 else []
        for k in range(3):
            code = bibcode(3 * i + k)
            title = f"The spectrum of X-{i} of M 31" if k == 0 else f"Sources of field {k}"
            papers.append(
                {"bibcode": code, "year": int(code[:4]), "title": title, "nbobject": 10**k}
            )
            references.append((100 + i, code, [9, 2, 1][k]))
        references.append((100 + i, SURVEY, 1))
        if i < 15:
            references.append((100 + i, FAMOUS, 2))
    papers.append({"bibcode": SURVEY, "year": 2019, "title": "A catalogue", "nbobject": 9000})
    papers.append({"bibcode": FAMOUS, "year": 2020, "title": "M 31 in X-rays", "nbobject": 60})
    return objects, papers, references, links


@pytest.fixture
def simbad_server():
    with load_simbad(TapServer(), *world()) as running:
        yield running


def ads_of_world():
    _, papers, _, _ = world()
    known = []
    for n, paper in enumerate(papers):
        entry = {k: v for k, v in paper.items() if k != "nbobject"}
        entry["abstract"] = f"We study {paper['title']} with Chandra. Photon index 1.{n}."
        entry["year"] = str(paper["year"])
        known.append(entry)
    another = {"title": "Another view", "abstract": "x", "year": "2024"}
    extra = [{"bibcode": f"2024MNRAS.{n:03d}...{n:02d}Z", **another} for n in range(25)]
    # SIMBAD has the preprint bibcode of one paper.
    known[0] = {**known[0], "bibcode": "2001Natur.111..222A", "identifier": [bibcode(0)]}
    about = {100: [paper["bibcode"] for paper in extra], 101: [bibcode(3), extra[0]["bibcode"]]}
    return AdsServer([*known, *extra], about, TOKEN)


def ads_of(server, store):
    service = Service("ADS", per_second=1000, token=TOKEN, retry_policy=QUICK)
    return Ads(service, store, server.url, rows=10)


@pytest.fixture
def ads_server():
    with ads_of_world() as running:
        yield running


@pytest.fixture
def client(simbad_server):
    return tap_client(simbad_server)


@pytest.fixture
def ads(ads_server, store):
    return ads_of(ads_server, store)


def all_sources():
    ellipse = {"err_ellipse_r0": 0.8, "err_ellipse_r1": 0.6, "err_ellipse_ang": 30.0}
    return [{"name": name, "ra": 0.25 * i, "dec": 10.0, **ellipse} for i, name in enumerate(NAMES)]


def everything(client, store, ads):
    fetch_objects(client, store, all_sources())
    known = dict(store.iter_results("simbad"))
    ads.fetch_objects({name: found["oid"] for name, found in known.items()})
    ads.fetch_papers(r["bibcode"] for found in known.values() for r in found["references"])
    return {source.name: source for source in Literature(store)}


def test_cross_match_by_name_and_position(client, store, simbad_server):
    unknown = {"name": "2CXO J110000.0-200000", "ra": 165.0, "dec": -20.0}
    fetch_objects(client, store, [*all_sources(), unknown])
    found = {item.id: item for item in store.items("simbad")}
    assert found["2CXO J110000.0-200000"].state == "absent"
    assert "no SIMBAD object of this name" in found["2CXO J110000.0-200000"].reason
    for i, name in enumerate(NAMES):
        result = found[name].result
        assert result["main_id"] == f"NAME Source Number {i}"
        assert result["how"] == ("position" if i % 3 == 2 else "name")
        assert result["otype"] == ("LXB" if i % 2 else "QSO")
        assert result["host"] == ("M 31" if i < 15 else None)
        assert f"X-{i} of M 31" in result["aliases"]
        codes = [reference["bibcode"] for reference in result["references"]]
        assert codes == sorted(codes)
        assert {bibcode(3 * i), bibcode(3 * i + 1), bibcode(3 * i + 2), SURVEY} <= set(codes)
        first = next(r for r in result["references"] if r["bibcode"] == bibcode(3 * i))
        assert (first["frequency"], first["objects"]) == (9, 1)
    by_place = found[NAMES[2]].result
    assert by_place["arcsec"] == pytest.approx(0.5, abs=0.01)
    # Names, positions, identifiers, hosts, references.
    assert len(simbad_server.queries) == 5
    assert simbad_server.uploads[0] == N + 1


def test_names_of_extended_sources_and_odd_identifiers(client, store, simbad_server):
    simbad_server.database.execute("INSERT INTO ident VALUES ('[BZZ2009] α  12  ', 100)")
    fetch_objects(client, store, [{"name": f"{NAMES[0]}X", "ra": 200.0, "dec": -60.0}])
    [item] = store.items("simbad")
    assert (item.result["oid"], item.result["how"]) == (100, "name")
    assert {"[BZZ2009] α 12", "[ABC2001] 0"} <= set(item.result["aliases"])


def test_position_outside_the_ellipse_is_no_match(client, store, simbad_server):
    simbad_server.database.execute("UPDATE basic SET dec = dec + 3.0 / 3600")
    fetch_objects(client, store, all_sources())
    states = {item.id: item.state for item in store.items("simbad")}
    assert {i for i, name in enumerate(NAMES) if states[name] == "absent"} == set(range(2, N, 3))


def test_overflow_splits_the_query(store):
    # Below the number of references of an object.
    with load_simbad(TapServer(max_rows=2), *world()) as server:
        rows = [{"name": name, "ra": 0.25 * i, "dec": 10.0} for i, name in enumerate(NAMES[:4])]
        fetch_objects(tap_client(server), store, rows)
    for i, item in enumerate(store.items("simbad")):
        codes = {reference["bibcode"] for reference in item.result["references"]}
        assert codes == {*(bibcode(3 * i + k) for k in range(3)), SURVEY, FAMOUS}


def test_names_of_type_are_paged(client, simbad_server):
    names = names_of_type(client, "LXB", page=4)
    assert names == sorted(name for i, name in enumerate(NAMES) if i % 2 and i % 3 != 2)
    assert len(simbad_server.queries) >= 3


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Literature of all sources, the store, and ADS without one of the papers."""
    store = Store(tmp_path_factory.mktemp("found"))
    with load_simbad(TapServer(), *world()) as simbad, ads_of_world() as server:
        del server.papers[bibcode(7)]
        yield everything(tap_client(simbad), store, ads_of(server, store)), store, server


def test_papers_are_ranked_with_surveys_last(found):
    sources, _, _ = found
    assert list(sources) == NAMES
    fifth = sources[NAMES[5]]
    assert fifth.papers[0].id == bibcode(15)
    assert fifth.papers[0].about == "source"
    assert "Photon index" in fifth.papers[0].abstract
    assert fifth.papers[0].year == int(bibcode(15)[:4])
    assert fifth.papers[-1].id == SURVEY
    assert fifth.papers[-1].survey
    assert fifth.papers[-1].sources == N
    famous = next(paper for paper in fifth.papers if paper.id == FAMOUS)
    assert (famous.survey, famous.sources, famous.xray) == (False, 15, True)
    behind = [paper.id for paper in fifth.summary_papers()]
    assert SURVEY not in behind
    assert set(behind) == {bibcode(15), bibcode(16), bibcode(17), FAMOUS}
    assert [paper.id for paper in fifth.summary_papers(1)] == [bibcode(15)]
    assert fifth.aliases[0] == "NAME Source Number 5"
    assert (fifth.source_class, fifth.host) == ("LXB", "M 31")


def test_object_search_reads_all_pages(found):
    sources, store, ads_server = found
    zero = {paper.id for paper in sources[NAMES[0]].papers}
    assert sum(code.startswith("2024MNRAS") for code in zero) == 25
    assert ads_server.largest_rows == 10
    # One search per object, without the name resolver.
    assert {*ads_server.searched} == {100 + i for i in range(N)}
    assert {request.path for request in ads_server.requests} == {"/search/query"}
    assert store.counts("ads-objects")["absent"] == N - 2
    assert store.counts("papers")["wanted"] == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"Error": "Unable to get results!", "Error Info": "x"},
        {"error": {"msg": "timed out"}},
        {"responseHeader": {"partialResults": True}, "response": {"numFound": 1, "docs": []}},
        {"response": {"numFound": 7, "docs": []}},
        {"response": {"docs": "none"}},
        {"query": ["=abs:X"]},
        ["nothing"],
    ],
)
def test_incomplete_ads_responses_are_retried(store, ads, ads_server, fault):
    ads_server.plan = [Response.json(fault)]
    ads.fetch_papers([bibcode(1)])
    assert store.ids("papers") == {bibcode(1)}
    ads_server.plan = [Response.json(fault)] * 99
    codes = {bibcode(n) for n in range(2, 6)}
    with pytest.raises(
        ServiceError, match=r"sent an error|unexpected response|partial results|papers"
    ):
        ads.fetch_papers(codes)
    assert store.ids("papers", "wanted") == codes


@pytest.mark.parametrize("status", [400, 500])
def test_failing_ads_query_fails_only_its_item(store, ads, ads_server, status):
    ads_server.refused, ads_server.refusal = "simbid:101 ", status
    ads.fetch_objects({"a": 100, "b": 101, "c": 102})
    assert store.ids("ads-objects", "failed") == {"b"}
    assert store.ids("ads-objects") == {"a"}
    ads_server.refused = bibcode(4)
    ads.fetch_papers(bibcode(n) for n in range(8))
    assert store.ids("papers", "failed") == {bibcode(4)}
    assert store.counts("papers")["wanted"] == 0


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        (
            "N<SUB>H</SUB> = 5 × 10<SUP>21</SUP> cm<SUP>-2</SUP>, z &gt; 0.1, <inline-formula>"
            "<mml:math><mml:mi>L</mml:mi></mml:math></inline-formula>, <ASTROBJ>XYZ 12</ASTROBJ>"
            "<P />Next",
            "N_H = 5 × 10^21 cm^-2, z > 0.1, L, XYZ 12. Next",
        ),
        ("0.1 < z < 0.3, a<b and c>d, R&amp;amp;D", "0.1 < z < 0.3, a<b and c>d, R&D"),
        (
            "<mml:msup><mml:mn>10</mml:mn><mml:mrow><mml:mo>-</mml:mo><mml:mn>12</mml:mn>"
            "</mml:mrow></mml:msup>",
            "10^-12",
        ),
        ("<sub>0.5-2 keV</sub> 10<SUP>N<SUB>x</SUB></SUP>", "_{0.5-2 keV} 10^{N_x}"),
        ("10<sup>21 cm", "10^21 cm"),
        ("<A href='x'>link</A>.<BR/>x&lt;SUP&gt;2&lt;/SUP&gt;", "link. x^2"),
        (
            "<tex-math>$L_X$</tex-math><mml:msub><mml:mi>L</mml:mi> <mml:mi>X</mml:mi></mml:msub>",
            "L_X",
        ),
    ],
)
def test_markup_to_plain_text(sent, plain):
    assert plain_text(sent) == plain


def test_superseded_and_missing_bibcodes(found):
    sources, store, _ = found
    codes = [paper.id for paper in sources[NAMES[0]].papers]
    assert "2001Natur.111..222A" in codes
    assert bibcode(0) not in codes
    assert len(codes) == len(set(codes))
    absent = list(store.items("papers", ["absent"]))
    assert [item.id for item in absent] == [bibcode(7)]
    paper = next(paper for paper in sources[NAMES[2]].papers if paper.id == bibcode(7))
    assert paper.title == "Sources of field 1"  # SIMBAD's
    assert paper.abstract is None


def test_exhausted_ads_quota_stops_and_resumes(client, store, ads, ads_server):
    ads_server.allowance = 12
    with pytest.raises(AccessError, match=r"exhausted until .*Run again then"):
        everything(client, store, ads)
    counts = store.counts("ads-objects")
    done = counts["got"] + counts["absent"]
    assert 3 < done < N
    ads_server.allowance = 5000
    ads_server.searched.clear()
    ads.fetch_objects({})
    assert sum(ads_server.searched.values()) == N - done


def test_token_from_environment_or_file(monkeypatch, tmp_path):
    assert ads_token() is None
    path = tmp_path / "home" / ".ads" / "dev_key"
    path.parent.mkdir(parents=True)
    path.write_text("from-the-file\n")
    assert ads_token() == "from-the-file"
    monkeypatch.setenv("ADS_DEV_KEY", "from-the-environment")
    assert ads_token() == "from-the-environment"
    monkeypatch.setenv("ADS_DEV_KEY", "Märked token")
    with pytest.raises(ValueError, match="invalid characters") as caught:
        ads_token()
    assert "rked" not in str(caught.value)


def test_score_terms():
    codes = ["0", "title", "abstract", "often", "crowd"]
    references = [
        {"bibcode": c, "title": "On things", "year": 2000, "frequency": 0, "objects": 10}
        for c in codes
    ]
    references[1]["title"] = "On ABC 1234"
    references[3]["frequency"] = 7
    references[4]["objects"] = 10_000
    papers = {"abstract": {"abstract": "ABC 1234 is bright."}}
    ranked = rank_papers(["ABC 1234"], references, papers, {}, 20)
    assert [paper.id for paper in ranked] == ["often", "title", "abstract", "0", "crowd"]
    score = {paper.id: paper.score for paper in ranked}
    assert score["title"] - score["0"] == 3
    assert score["abstract"] - score["0"] == 2
    assert score["often"] - score["0"] == 3
    assert score["0"] - score["crowd"] == 2
    shuffled = rank_papers(["ABC 1234"], references[::-1], papers, {}, 20)
    assert shuffled == ranked
