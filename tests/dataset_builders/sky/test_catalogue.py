"""Catalogue over TAP with pyvo: joins, paging, flags, names."""

import pyarrow.parquet as pq
import pytest
from building import tap_client
from csc_tables import Sky
from tap_server import TapServer

from specclip_datasets.contract import LIMITED_VARIABLES, variable_units
from specclip_datasets.sky.services import catalogue
from specclip_datasets.sky.services.catalogue import (
    cone_partition,
    fetch_detections,
    name_partitions,
    read_catalogue,
    sky_partitions,
)
from specclip_datasets.sky.services.http_session import RetryPolicy, ServiceError
from specclip_datasets.sky.services.sources import (
    Position,
    matched_names,
    read_names,
    resolve_names,
    separation,
)
from specclip_datasets.sky.work.store import Store


@pytest.fixture
def sky():
    return Sky()


@pytest.fixture
def server(sky):
    with sky.load(TapServer(kind="csc")) as running:
        yield running


@pytest.fixture
def client(server, retry_policy):
    return tap_client(server, retry_policy)


@pytest.fixture(autouse=True)
def one_slice(monkeypatch):
    monkeypatch.setattr(catalogue, "SLICE_DEGREES", 360)


def fetched(client, store, folder, parts=None, limits=None):
    fetch_detections(client, store, folder, sky_partitions() if parts is None else parts, limits)
    return read_catalogue(folder).to_pylist()


def keys(rows):
    return [(row["name"], row["obsid"], row["obi"], row["region_id"]) for row in rows]


@pytest.mark.parametrize("slow", [False, True])
def test_detections_are_joined_to_sources(server, store, sky, tmp_path, slow, monkeypatch):
    monkeypatch.setattr("specclip_datasets.sky.services.tap.JOB_POLL", 0.01)
    timeout = 0.3 if slow else 5.0
    client = tap_client(server, RetryPolicy(3, initial_backoff=0.01, read_timeout=timeout))
    server.plan = ["slow"] if slow else []  # after a timeout, the query is a job
    rows = fetched(client, store, tmp_path)
    assert keys(rows) == sorted(keys(sky.detections))
    truth = dict(zip(keys(sky.detections), sky.detections, strict=True))
    master = {row["name"]: row for row in sky.master}
    columns = [
        *variable_units(),
        *(f"{name}_{end}" for name in LIMITED_VARIABLES for end in ("lolim", "hilim")),
    ]
    assert len(columns) == 42
    nulls = 0
    for row, key in zip(rows, keys(rows), strict=True):
        assert row["instrument"] == "ACIS"
        assert row["ra"] == master[row["name"]]["ra"]
        assert row["var_inter_prob_b"] == master[row["name"]]["var_inter_prob_b"]
        for name in columns:
            expected = {**master[row["name"]], **truth[key]}[name]
            assert row[name] == expected
            nulls += expected is None
    assert nulls > 300
    assert any("m.ra >= 0 AND m.ra < 360" in query for query in server.queries)
    assert not any("TAP_SCHEMA" in query for query in server.queries)
    assert any("/async" in request.path for request in server.requests) == slow
    assert not [name for name in server.jobs if name.startswith("job")]  # jobs are deleted
    # Polling without blocking requests.
    assert not any("WAIT" in request.query for request in server.requests)


def test_other_instruments_and_match_types_are_excluded(server, client, store, sky, tmp_path):
    server.database.execute(
        "UPDATE csc21_observation_source SET instrument = 'HRC' WHERE obsid = 1003"
    )
    ambiguous = sky.master[0]["name"]
    server.database.execute(
        "UPDATE csc21_master_stack_assoc SET match_type = 'a ' WHERE name = ?", (ambiguous,)
    )
    rows = fetched(client, store, tmp_path)
    expected = [row for row in sky.detections if row["obsid"] != 1003 and row["name"] != ambiguous]
    assert keys(rows) == sorted(keys(expected))
    assert 0 < len(rows) < len(sky.detections)


def test_flagged_detections_are_masked(server, client, store, sky, tmp_path):
    piled, streaked = sky.master[3]["name"], sky.detections[0]
    run = server.database.execute
    run("UPDATE csc21_master_source SET pileup_flag = 'T ' WHERE name = ?", (piled,))
    run(
        "UPDATE csc21_observation_source SET streak_src_flag = 'T', sat_src_flag = 'T' "
        "WHERE obsid = ? AND region_id = ?",
        (streaked["obsid"], streaked["region_id"]),
    )
    rows = fetched(client, store, tmp_path)
    assert len(rows) == len(sky.detections)
    masked = {
        key: row["masked"] for key, row in zip(keys(rows), rows, strict=True) if row["masked"]
    }
    assert masked.pop(*[keys([streaked])[0]]) == "saturated, on a readout streak"
    assert set(masked.values()) == {"pileup"}
    assert {key[0] for key in masked} == {piled}
    assert len(masked) == 3


@pytest.mark.parametrize("page_rows", [1, 17, 40, 1000])
def test_paging_is_complete_without_duplicates(
    server, client, store, tmp_path, page_rows, monkeypatch
):
    monkeypatch.setattr(catalogue, "PAGE_ROWS", page_rows)
    if page_rows == 1:
        server.database.execute("DELETE FROM csc21_observation_source WHERE obsid > 1000")
    rows = fetched(client, store, tmp_path)
    left = server.database.execute("SELECT count(*) FROM csc21_observation_source").fetchone()[0]
    assert len(rows) == left
    pages = sorted((tmp_path / "catalogue").glob("*.parquet"))
    assert sum(pq.read_metadata(page).num_rows for page in pages) == left
    assert max(pq.read_metadata(page).num_rows for page in pages) <= page_rows


def test_service_row_limit_continues_paging(sky, retry_policy, store, tmp_path):
    with sky.load(TapServer(10, "csc")) as server:
        rows = fetched(tap_client(server, retry_policy), store, tmp_path)
        assert keys(rows) == sorted(keys(sky.detections))


def test_fetched_pages_are_not_requested_again(server, client, store, sky, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "PAGE_ROWS", 25)
    # Two pages with redirects, then an outage.
    server.plan = [None] * 4 + [500] * 5
    with pytest.raises(ServiceError, match="HTTP 500"):
        fetched(client, store, tmp_path)
    assert store.counts("catalogue")["wanted"] == 1
    server.queries.clear()
    assert keys(fetched(client, Store(tmp_path), tmp_path)) == sorted(keys(sky.detections))
    pages = [query for query in server.queries if "TOP 25" in query]
    assert len(pages) == 3  # the remaining 70 of 120 rows
    assert all("o.obsid >" in page for page in pages)
    whole = tmp_path / "whole"
    fetched(client, Store(whole), whole)
    for page in sorted((tmp_path / "catalogue").iterdir()):
        assert page.read_bytes() == (whole / "catalogue" / page.name).read_bytes()


def test_cone_search(client, store, sky, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "PAGE_ROWS", 9)
    centre = Position(sky.master[0]["ra"], sky.master[0]["dec"])
    radius = 40.0
    rows = fetched(client, store, tmp_path, cone_partition(centre.ra, centre.dec, radius))
    inside = {
        row["name"]
        for row in sky.master
        if separation(centre, Position(row["ra"], row["dec"])) <= radius
    }
    assert 2 < len(inside) < 30
    assert keys(rows) == sorted(keys(row for row in sky.detections if row["name"] in inside))
    with pytest.raises(ValueError, match="cone 400"):
        cone_partition(400, 0, 1)


def test_cuts_are_in_the_query(client, store, sky, tmp_path):
    limits = {"min_counts": 300, "max_theta": 5, "min_significance": 1}
    rows = fetched(client, store, tmp_path, limits=limits)
    expected = [
        row
        for row in sky.detections
        if row["src_cnts_aper_b"] >= 300
        and row["theta"] <= 5
        and (row["flux_significance_b"] or 0) >= 1
    ]
    assert 0 < len(expected) < len(sky.detections)
    assert keys(rows) == sorted(keys(expected))


def test_resolve_names(server, client, store, sky, tmp_path):
    known = [row["name"] for row in sky.master]
    # Name of the sixth source in an older release, 1.5″ north.
    sixth = sky.master[5]
    moved = dict(sixth, err_ellipse_r0=4.0, err_ellipse_r1=4.0)
    server.database.execute(
        "UPDATE csc21_master_source SET err_ellipse_r0 = 4, err_ellipse_r1 = 4 WHERE name = ?",
        (sixth["name"],),
    )
    from csc_tables import csc_name

    older = csc_name(moved["ra"], moved["dec"] + 1.5 / 3600)
    assert older != sixth["name"]
    asked = [
        known[0],
        known[1].replace("2CXO ", ""),
        older,
        f"{sky.master[7]['ra']:.5f} {sky.master[7]['dec']:+.5f}",
        "2CXO J120000.0-890000",
        "Cyg X-1",
    ]
    resolve_names(client, store, [*asked, *asked])
    found = {item.id: item for item in store.items("names")}
    assert found[known[0]].result == {"name": known[0], "how": "name"}
    assert found[asked[1]].result["name"] == known[1]
    assert found[older].result["name"] == sixth["name"]
    assert found[older].result["how"] == "position"
    assert 0 < found[older].result["arcsec"] < 3
    assert found[asked[3]].result["name"] == known[7]
    assert "outside all error ellipses" in found[asked[4]].reason
    assert "neither a catalogue name" in found["Cyg X-1"].reason
    assert matched_names(store) == sorted([known[0], known[1], sixth["name"], known[7]])
    rows = fetched(client, store, tmp_path, name_partitions(matched_names(store)))
    assert {row["name"] for row in rows} == set(matched_names(store))


def test_quotes_in_names_are_escaped(client, store):
    resolve_names(client, store, ["x' OR '1'='1", "2CXO J000000.0+000000' --"])
    assert store.counts("names")["absent"] == 2


def test_read_names():
    text = "# my list\n2CXO J1\n\n  J2  # the second\n"
    assert read_names(text) == ["2CXO J1", "J2"]


def test_sentinels_are_null(server, client, store, tmp_path):
    run = server.database.execute
    run("UPDATE csc21_observation_source SET hard_hs = 'nan', powlaw_nh = -999.0")
    rows = fetched(client, store, tmp_path)
    assert {row["hard_hs"] for row in rows} == {row["powlaw_nh"] for row in rows} == {None}
