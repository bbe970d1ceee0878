"""Client of the Chandra Source Catalog 2.1 over TAP: columns, joins, pages.

A detection is one source in one observation. The catalogue keeps it in `observation_source`; its
source is found through the stacks that were searched: master_source – master_stack_assoc –
stack_source – stack_observation_assoc – observation_source (Evans et al. 2024, ApJS 274, 22).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_specclip.storage import write_bytes

from ...contract import LIMITED_VARIABLES, SENTINELS, variable_units
from ..work.store import Item, Store
from .polite_session import ServiceError
from .sources import Position, box_condition, separation
from .tap import Row, TapClient, quoted, quoted_list

CSC_TAP = "http://cda.cfa.harvard.edu/csc21tap"
RELEASE = "CSC 2.1"
STAGE = "catalogue"
FOLDER = "catalogue"
PAGE_ROWS = 5000
# Sources in one question: their names stay well inside what a URL or form may hold.
NAMES_AT_ONCE = 100
# The whole catalogue comes in slices of so many degrees of right ascension: of about 18,000
# detections in the mean, and each source in one of them.
SLICE_DEGREES = 5

# Texts come padded with blanks, which not every service leaves out of comparisons: hence LIKE.
_JOINS = """\
FROM csc21.master_source m, csc21.master_stack_assoc a, csc21.stack_source s,
csc21.stack_observation_assoc b, csc21.observation_source o
WHERE m.name = a.name AND a.match_type LIKE 'u%'
AND s.detect_stack_id = a.detect_stack_id AND s.region_id = a.region_id
AND s.detect_stack_id = b.detect_stack_id AND s.region_id = b.region_id
AND o.obsid = b.obsid AND o.obi = b.obi AND o.region_id = b.region_id
AND o.instrument LIKE 'ACIS%'"""


# Reasons against a spectrum: table and column that state them.
FLAGS: Mapping[str, tuple[str, str]] = {
    "pileup": ("m", "pileup_flag"),
    "saturated": ("o", "sat_src_flag"),
    "on a readout streak": ("o", "streak_src_flag"),
}
KEY = ("obsid", "obi", "region_id", "name")
# Limits on the detections: significance of the broad-band flux, aperture counts of the source in
# the broad band, off-axis angle in arcmin.
LIMITS = {
    "min_significance": "o.flux_significance_b >=",
    "min_counts": "o.src_cnts_aper_b >=",
    "max_theta": "o.theta <=",
}


def _columns() -> dict[str, tuple[str, pa.DataType]]:
    """List the columns to fetch, with their table (`m`, `o`) and the type of their values."""
    whole, real, text = pa.int32(), pa.float64(), pa.string()
    columns: dict[str, tuple[str, pa.DataType]] = {"name": ("m", text)}
    columns |= dict.fromkeys(("obsid", "obi", "region_id"), ("o", whole))
    columns |= dict.fromkeys(("instrument", "detector"), ("o", text))
    ellipse = ("ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
    columns |= dict.fromkeys(ellipse, ("m", real))
    columns |= dict.fromkeys(("theta", "livetime", "gti_mjd_obs", "src_cnts_aper_b"), ("o", real))
    columns |= {name: (table, pa.bool_()) for table, name in FLAGS.values()}
    for name in variable_units():
        # Variability between observations is a property of the source.
        table = "m" if name.startswith("var_inter_") else "o"
        ends = ("", "_lolim", "_hilim") if name in LIMITED_VARIABLES else ("",)
        columns |= {f"{name}{end}": (table, real) for end in ends}
    return columns


COLUMNS = _columns()
_REQUIRED = frozenset(("name", "obsid", "obi", "region_id", "ra", "dec", "instrument"))
_SELECT = ", ".join(f"{table}.{name} AS {name}" for name, (table, _) in COLUMNS.items())
_SELECT += ", a.match_type AS match_type"
# `masked` says why a detection is left out, null where it is not.
SCHEMA = pa.schema([(n, kind) for n, (_, kind) in COLUMNS.items()] + [("masked", pa.string())])
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) and number not in SENTINELS else None


_CONVERTERS: Mapping[pa.DataType, Callable[[Any], Any]] = {
    pa.string(): str,
    pa.int32(): lambda value: pa.scalar(value).cast(pa.int32()).as_py(),
    pa.float64(): _number,
    pa.bool_(): lambda value: _TRUTHS[str(value).lower()],
}


def parts_by_name(names: Sequence[str]) -> dict[str, Any]:
    """List the parts that hold these sources."""
    parts = (names[n : n + NAMES_AT_ONCE] for n in range(0, len(names), NAMES_AT_ONCE))
    return {
        f"names-{sha256(' '.join(some).encode()).hexdigest()[:12]}": {"names": some}
        for some in parts
    }


def part_of_cone(ra: float, dec: float, radius: float) -> dict[str, Any]:
    """Name the part of all sources within `radius` degrees of a position, degrees."""
    if not (0 <= ra < 360 and abs(dec) <= 90 and 0 < radius <= 180):
        raise ValueError(
            f"cone {ra} {dec} {radius}: give right ascension (0 to 360), declination (−90 to 90) "
            "and a radius, in degrees"
        )
    return {f"cone-{ra:.6f}{dec:+.6f}-{radius:.6f}": {"cone": [ra, dec, radius]}}


def parts_of_sky() -> dict[str, Any]:
    """List the parts of the whole catalogue, slices of right ascension."""
    starts = range(0, 360, SLICE_DEGREES)
    return {f"ra-{west:03d}": {"ra": [west, west + SLICE_DEGREES]} for west in starts}


def fetch_detections(
    client: TapClient,
    store: Store,
    folder: str | Path,
    parts: Mapping[str, Any],
    limits: Mapping[str, float] | None = None,
) -> None:
    """Fetch the detections of parts into a folder, in pages; those that are there stay.

    An item of the stage is a page; a page that is not the last one wants the next.

    Args:
        folder: of the build; pages go to its `catalogue`.
        limits: some of `LIMITS`, with their values.
    """

    def fetch(page: Item) -> dict[str, int]:
        part, number = page.id.rsplit(".", 1)
        adql = _adql(page.payload, limits or {})
        about = f"{part}, page {number}"
        answer = client.query(adql, about, max_rows=PAGE_ROWS, remember=False)
        found = [_checked(row, client.service.name) for row in answer.rows]
        kept = found
        if "cone" in page.payload:  # the question was for a box around it
            ra, dec, radius = page.payload["cone"]
            centre = Position(ra, dec)
            kept = [r for r in found if separation(centre, Position(r["ra"], r["dec"])) <= radius]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(kept, schema=SCHEMA), sink, compression="zstd")
        write_bytes(Path(folder) / FOLDER / f"{page.id}.parquet", sink.getvalue())
        # A service that sends fewer rows than it may has no more, unless it says so.
        if found and (len(found) == PAGE_ROWS or answer.overflow):
            after = {**page.payload, "after": [found[-1][name] for name in KEY]}
            store.add(STAGE, {f"{part}.{int(number) + 1:04d}": after})
        return {"rows": len(kept)}

    store.add(STAGE, {f"{name}.0000": payload for name, payload in parts.items()})
    store.work(STAGE, lambda items: ({page.id: fetch(page)} for page in items))


def _adql(payload: Mapping[str, Any], limits: Mapping[str, float]) -> str:
    """Write the query of a page, after a key: nothing shifts when rows come and go."""
    if "names" in payload:
        where = f"m.name IN {quoted_list(payload['names'])}"
    elif "cone" in payload:
        ra, dec, radius = payload["cone"]
        where = box_condition(Position(ra, dec), radius)
    else:
        west, east = payload["ra"]
        where = f"m.ra >= {int(west)} AND m.ra < {int(east)}"
    for name, value in limits.items():
        where += f" AND {LIMITS[name]} {value:g}"
    if "after" in payload:
        *numbers, name = payload["after"]
        last = f"m.name > {quoted(name)}"
        for column, value in zip(("region_id", "obi", "obsid"), numbers[::-1], strict=True):
            last = f"o.{column} > {int(value)} OR (o.{column} = {int(value)} AND ({last}))"
        where += f" AND ({last})"
    return (
        f"SELECT TOP {PAGE_ROWS} {_SELECT} {_JOINS} AND {where} "
        "ORDER BY o.obsid, o.obi, o.region_id, m.name"
    )


def read_catalogue(folder: str | Path) -> pa.Table:
    """Read all detections fetched into a build's folder.

    Returns:
        Rows of `SCHEMA`, each detection of a source once, sorted by source and detection.
    """
    paths = sorted((Path(folder) / FOLDER).glob("*.parquet"))
    tables = [pq.read_table(path) for path in paths]
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    # Parts may overlap: a cone and a list of names, or two builds in one folder.
    table = table.sort_by([(name, "ascending") for name in ("name", "obsid", "obi", "region_id")])
    keys = list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    first = [place for place, key in enumerate(keys) if not place or key != keys[place - 1]]
    return table.take(pa.array(first, pa.int64()))


def usable_detections(folder: str | Path) -> pa.Table:
    """Read the detections that are not masked, with their ids (`detection`) as a further column."""
    table = read_catalogue(folder)
    table = table.filter(table["masked"].is_null())
    parts = [table[name].cast(pa.string()) for name in ("obsid", "obi", "region_id")]
    return table.append_column("detection", pc.binary_join_element_wise(*parts, "."))


def _checked(row: Row, service: str) -> Row:
    """Convert a row to the types of `SCHEMA`; None where nothing was measured."""
    found: Row = {}
    for name, (_, kind) in COLUMNS.items():
        value = row.get(name)
        try:
            found[name] = None if value in (None, "") else _CONVERTERS[kind](value)
            if name in _REQUIRED and found[name] is None:
                raise ValueError
        except (TypeError, ValueError, LookupError):
            raise ServiceError(
                f"{service}: {name} of {row.get('name') or 'a detection'} is {value!r}, not "
                f"{kind}; report it with this message"
            ) from None
    # Services pad texts with blanks, and may compare them so; what came back must still be right.
    if str(row.get("match_type", "u")).strip() != "u" or found["instrument"] != "ACIS":
        raise ServiceError(
            f"{service}: answered with a detection of {found['name']} that was not asked for "
            f"(match_type {row.get('match_type')!r}, {found['instrument']})"
        )
    reasons = [reason for reason, (_, name) in FLAGS.items() if found[name]]
    found["masked"] = ", ".join(reasons) or None
    return found
