"""The questions that builds ask, put to a real TAP service with a real ADQL parser."""

import re

import pytest
from dachs_service import DachsService, why_not
from specclip_datasets.sky.services import simbad
from specclip_datasets.sky.services.catalogue import Catalogue, read_catalogue
from specclip_datasets.sky.services.polite_session import Patience, Service
from specclip_datasets.sky.services.sources import resolve_names, want_names
from specclip_datasets.sky.services.tap import TapClient
from specclip_datasets.sky.work.queue import WorkQueue
from world import World

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


class InSchema(TapClient):
    """SIMBAD's tables have no schema; those of DaCHS all have one."""

    def query(self, adql, item, **options):
        adql = re.sub(r"\b(FROM|JOIN) (basic|ident|ref|has_ref|h_link)\b", r"\1 simbad.\2", adql)
        return super().query(adql, item, **options)


@pytest.fixture(scope="module")
def world():
    with World(40, 3, observations=12) as running:
        yield running


@pytest.fixture(scope="module")
def dachs(world):
    with DachsService({"csc21": world.csc, "simbad": world.simbad}) as running:
        yield running


@pytest.fixture
def queue(tmp_path):
    return WorkQueue(tmp_path / "queue.sqlite")


def client_of(dachs, kind=TapClient, **settings):
    service = Service("DaCHS", per_second=50, patience=Patience(attempts=2, first_wait=0.1))
    return kind(f"{dachs.url}/tap", service, **settings)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_catalogue_comes_whole(dachs, world, queue, tmp_path, asynchronous):
    client = client_of(dachs, asynchronous=asynchronous)
    catalogue = Catalogue(client, queue, tmp_path, page_rows=50, slice_degrees=180)
    catalogue.want_everything()
    catalogue.fetch()
    rows = read_catalogue(tmp_path).to_pylist()
    truth = {(row["name"], row["obsid"]): row for row in world.sky.detections}
    assert {(row["name"], row["obsid"]) for row in rows} == set(truth)
    for row in rows:
        for name in ("hard_hs", "powlaw_gamma", "flux_significance_b", "theta"):
            assert row[name] == truth[row["name"], row["obsid"]][name]
        assert row["masked"] is None


def test_names_positions_and_cones_are_found(dachs, world, queue, tmp_path):
    client, master = client_of(dachs), world.sky.master
    asked = {master[0]["name"]: 0, master[1]["name"].removeprefix("2CXO "): 1}
    asked[f"{master[2]['ra']:.6f} {master[2]['dec']:+.6f}"] = 2
    want_names(queue, asked)
    resolve_names(client, queue)
    found = {item.id: item.result["name"] for item in queue.items("names", ["got"])}
    assert found == {name: master[place]["name"] for name, place in asked.items()}
    catalogue = Catalogue(client, queue, tmp_path)
    catalogue.want_cone(master[5]["ra"], master[5]["dec"], 0.1)
    catalogue.want_sources([master[6]["name"]])
    catalogue.fetch()
    names = {row["name"] for row in read_catalogue(tmp_path).to_pylist()}
    assert names == {master[5]["name"], master[6]["name"]}


def test_objects_come_by_table_uploads_and_geometry(dachs, world, queue):
    client = client_of(dachs, InSchema)
    rows = [dict(row) for row in world.sky.master[:12]]
    for row in rows[6:]:
        row["name"] += "X"  # unknown by name: found in the error ellipse
    simbad.want_sources(queue, rows)
    simbad.fetch_objects(client, queue)
    found = {item.id: item.result for item in queue.items("simbad", ["got"])}
    assert len(found) == 12
    for number, row in enumerate(rows):
        known = found[row["name"]]
        assert known["main_id"] == f"XYZ {1000 + number}"
        assert known["how"] == ("position" if number >= 6 else "name")
        assert len(known["references"]) == 3
        assert {r["objects"] for r in known["references"]} == {1, 2, 90_000}
    names = simbad.names_of_type(client, "QSO", page=4)
    assert names == sorted(row["name"] for row in world.sky.master[1::4])
