"""Source names, positions and error ellipses."""

import math

import numpy as np
import pytest
from csc_tables import csc_name

from specclip_datasets.sky.services.sources import (
    Ellipse,
    Position,
    box_condition,
    normalise_name,
    parse_position,
    separation,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *dict.fromkeys(
            ("2CXO J004243.9+411610", "  2CXOJ004243.9+411610 ", "CXO J004243.9+411610",
             "J004243.9+411610", "J004243.9 +411610", "004243.9+411610"),
            "2CXO J004243.9+411610",
        ).items(),
        ("2CXO J004722.6−252050", "2CXO J004722.6-252050"),
        ("J004722.6-252050x", "2CXO J004722.6-252050X"),
        *dict.fromkeys(
            ("Cyg X-1", "2CXO J0042+4116", "", "2CXO J004243.9+41161", "10 20")
        ).items(),
    ],
)  # fmt: skip
def test_normalise_name(text, name):
    assert normalise_name(text) == name


def test_position_of_a_name_is_within_its_uncertainty():
    random = np.random.default_rng(0)
    for _ in range(300):
        truth = Position(random.uniform(0, 360), random.uniform(-89, 89))
        stated = parse_position(csc_name(truth.ra, truth.dec))
        assert separation(truth, stated) * 3600 <= stated.uncertainty + 1e-6
        assert stated.uncertainty < 1


def test_positions_in_degrees():
    assert parse_position("10.68, +41.27") == Position(10.68, 41.27)
    assert parse_position("10.68 −41.27") == Position(10.68, -41.27)
    assert parse_position("361 10") is None
    assert parse_position("10 95") is None
    assert parse_position("2CXO J254243.9+411610") is None


def test_ellipse_orientation():
    # Semi-axes 10″ (position angle 45°) and 1″.
    ellipse = Ellipse(100.0, 60.0, 10.0, 1.0, 45.0)
    step = 5 / 3600 / math.sqrt(2)
    along = Position(100.0 + step / math.cos(math.radians(60)), 60.0 + step)
    across = Position(100.0 - step / math.cos(math.radians(60)), 60.0 + step)
    assert ellipse.distance(along) == pytest.approx(0.5, rel=1e-3)
    assert ellipse.distance(across) == pytest.approx(5.0, rel=1e-3)
    widened = Position(across.ra, across.dec, 4.0)
    assert ellipse.distance(widened) == pytest.approx(1.0, rel=1e-3)


def test_separation_agrees_with_astropy():
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    origin = Position(359.9999, -71.0)
    centre = SkyCoord(origin.ra, origin.dec, unit="deg")
    for ra, dec in ((0.0009, -71.0004), (83.6, 22.0), (190.0, -89.0)):
        seen = SkyCoord(ra, dec, unit="deg")
        assert separation(origin, Position(ra, dec)) == pytest.approx(centre.separation(seen).deg)
        away = seen.transform_to(centre.skyoffset_frame())
        if away.lon.to_value(u.arcsec) < 60:
            ellipse = Ellipse(origin.ra, origin.dec, 4.0, 1.0, 90.0)
            lon, lat = away.lon.to_value(u.arcsec), away.lat.to_value(u.arcsec)
            expected = math.hypot(lon / 4.0, lat)
            assert ellipse.distance(Position(ra, dec)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("ra", "dec"), [(10.0, 0.0), (0.01, 30.0), (359.9, -60.0), (50.0, 89.5)])
def test_box_contains_the_cone(ra, dec):
    import sqlite3

    radius = 1.0
    random = np.random.default_rng(1)
    condition = box_condition(Position(ra, dec), radius)
    rows = [(float(random.uniform(0, 360)), float(random.uniform(-90, 90))) for _ in range(2000)]
    for _ in range(2000):
        east = float(random.uniform(-2, 2)) / math.cos(math.radians(dec))
        rows.append(((ra + east) % 360, min(90.0, dec + float(random.uniform(-1.2, 1.2)))))
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (ra REAL, dec REAL)")
    database.executemany("INSERT INTO t VALUES (?, ?)", rows)
    found = set(database.execute(f"SELECT ra, dec FROM t AS m WHERE {condition}").fetchall())
    near = {row for row in rows if separation(Position(ra, dec), Position(*row)) <= radius}
    assert len(near) > 300
    assert near <= found
    assert len(found) < 3000
