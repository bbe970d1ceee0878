"""Client of the Chandra Source Catalog 2.1 over TAP: columns, joins and paging.

A detection is one source in one observation, a row of `observation_source`. It is joined to its
master source through the stacks: master_source – master_stack_assoc – stack_source –
stack_observation_assoc – observation_source (Evans et al. 2024, ApJS 274, 22).
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
from .http_session import ServiceError
from .sources import Position, box_condition, separation
from .tap import Row, TapClient, quoted, quoted_list

CSC_TAP = "http://cda.cfa.harvard.edu/csc21tap"
RELEASE = "CSC 2.1"
STAGE = "catalogue"
FOLDER = "catalogue"
PAGE_ROWS = 5000
# Source names per query, well below the length limits of URLs and forms.
NAMES_PER_QUERY = 100
# Width of the right-ascension slices of the full catalogue (about 18,000 detections each).
SLICE_DEGREES = 5

# LIKE, because strings are padded with blanks and not every service ignores these in `=`.
_JOINS = """\
FROM csc21.master_source m, csc21.master_stack_assoc a, csc21.stack_source s,
csc21.stack_observation_assoc b, csc21.observation_source o
WHERE m.name = a.name AND a.match_type LIKE 'u%'
AND s.detect_stack_id = a.detect_stack_id AND s.region_id = a.region_id
AND s.detect_stack_id = b.detect_stack_id AND s.region_id = b.region_id
AND o.obsid = b.obsid AND o.obi = b.obi AND o.region_id = b.region_id
AND o.instrument LIKE 'ACIS%'"""


# Flags that mask a detection: reason -> table and column.
FLAGS: Mapping[str, tuple[str, str]] = {
    "pileup": ("m", "pileup_flag"),
    "saturated": ("o", "sat_src_flag"),
    "on a readout streak": ("o", "streak_src_flag"),
}
KEY = ("obsid", "obi", "region_id", "name")
# Optional cuts: broad-band flux significance, broad-band source aperture counts, off-axis angle
# (arcmin).
LIMITS = {
    "min_significance": "o.flux_significance_b >=",
    "min_counts": "o.src_cnts_aper_b >=",
    "max_theta": "o.theta <=",
}


def _columns() -> dict[str, tuple[str, pa.DataType]]:
    """Return the columns to fetch: name -> table alias (`m`, `o`) and type."""
    integer, real, text = pa.int32(), pa.float64(), pa.string()
    columns: dict[str, tuple[str, pa.DataType]] = {"name": ("m", text)}
    columns |= dict.fromkeys(("obsid", "obi", "region_id"), ("o", integer))
    columns |= dict.fromkeys(("instrument", "detector"), ("o", text))
    ellipse = ("ra", "dec", "err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang")
    columns |= dict.fromkeys(ellipse, ("m", real))
    columns |= dict.fromkeys(("theta", "livetime", "gti_mjd_obs", "src_cnts_aper_b"), ("o", real))
    columns |= {name: (table, pa.bool_()) for table, name in FLAGS.values()}
    for name in variable_units():
        # Variability between observations is a property of the source.
        table = "m" if name.startswith("var_inter_") else "o"
        suffixes = ("", "_lolim", "_hilim") if name in LIMITED_VARIABLES else ("",)
        columns |= {f"{name}{suffix}": (table, real) for suffix in suffixes}
    return columns


COLUMNS = _columns()
_REQUIRED = frozenset(("name", "obsid", "obi", "region_id", "ra", "dec", "instrument"))
_SELECT = ", ".join(f"{table}.{name} AS {name}" for name, (table, _) in COLUMNS.items())
_SELECT += ", a.match_type AS match_type"
# `masked`: reasons for excluding the detection, or null.
SCHEMA = pa.schema([(n, dtype) for n, (_, dtype) in COLUMNS.items()] + [("masked", pa.string())])
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) and number not in SENTINELS else None


_CONVERTERS: Mapping[pa.DataType, Callable[[Any], Any]] = {
    pa.string(): str,
    pa.int32(): lambda value: pa.scalar(value).cast(pa.int32()).as_py(),
    pa.float64(): _number,
    pa.bool_(): lambda value: _BOOLEANS[str(value).lower()],
}


def name_partitions(names: Sequence[str]) -> dict[str, Any]:
    """Return partitions of a list of source names: id -> payload."""
    chunks = (names[n : n + NAMES_PER_QUERY] for n in range(0, len(names), NAMES_PER_QUERY))
    return {
        f"names-{sha256(' '.join(chunk).encode()).hexdigest()[:12]}": {"names": chunk}
        for chunk in chunks
    }


def cone_partition(ra: float, dec: float, radius: float) -> dict[str, Any]:
    """Return the partition of a cone search; centre and radius in degrees."""
    if not (0 <= ra < 360 and abs(dec) <= 90 and 0 < radius <= 180):
        raise ValueError(
            f"cone {ra} {dec} {radius}: expected right ascension (0 to 360), declination (−90 to "
            "90) and radius in degrees"
        )
    return {f"cone-{ra:.6f}{dec:+.6f}-{radius:.6f}": {"cone": [ra, dec, radius]}}


def sky_partitions() -> dict[str, Any]:
    """Return partitions of the full catalogue: slices of right ascension."""
    starts = range(0, 360, SLICE_DEGREES)
    return {f"ra-{west:03d}": {"ra": [west, west + SLICE_DEGREES]} for west in starts}


def fetch_detections(
    client: TapClient,
    store: Store,
    folder: str | Path,
    partitions: Mapping[str, Any],
    limits: Mapping[str, float] | None = None,
) -> None:
    """Fetch the detections of partitions, page by page.

    Each item of the stage is a page; a full page queues the next one.

    Args:
        folder: work folder of the build; pages go to `catalogue`.
        limits: values of `LIMITS`.

    Raises:
        ServiceError: a row has an unexpected value or is outside the query.
    """

    def fetch(page: Item) -> dict[str, int]:
        partition, number = page.id.rsplit(".", 1)
        adql = _adql(page.payload, limits or {})
        about = f"{partition}, page {number}"
        result = client.query(adql, about, max_rows=PAGE_ROWS, cache=False)
        rows = selected = [_convert_row(row, client.service.name) for row in result.rows]
        if "cone" in page.payload:  # the query selects a box around the cone
            ra, dec, radius = page.payload["cone"]
            centre = Position(ra, dec)
            selected = [
                r for r in rows if separation(centre, Position(r["ra"], r["dec"])) <= radius
            ]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(selected, schema=SCHEMA), sink, compression="zstd")
        write_bytes(Path(folder) / FOLDER / f"{page.id}.parquet", sink.getvalue())
        if rows and (len(rows) == PAGE_ROWS or result.overflow):
            after = {**page.payload, "after": [rows[-1][name] for name in KEY]}
            store.add(STAGE, {f"{partition}.{int(number) + 1:04d}": after})
        return {"rows": len(selected)}

    store.add(STAGE, {f"{name}.0000": payload for name, payload in partitions.items()})
    store.process(STAGE, lambda items: ({page.id: fetch(page)} for page in items))


def _adql(payload: Mapping[str, Any], limits: Mapping[str, float]) -> str:
    """Build the query of a page; paging by key is stable when the table changes."""
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
    """Read all fetched detections (`SCHEMA`), sorted and without duplicates."""
    paths = sorted((Path(folder) / FOLDER).glob("*.parquet"))
    tables = [pq.read_table(path) for path in paths]
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    # Partitions may overlap, such as a cone and a list of names.
    table = table.sort_by([(name, "ascending") for name in ("name", "obsid", "obi", "region_id")])
    keys = list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    first = [i for i, key in enumerate(keys) if not i or key != keys[i - 1]]
    return table.take(pa.array(first, pa.int64()))


def usable_detections(folder: str | Path) -> pa.Table:
    """Read the detections that are not masked; `detection` is `obsid.obi.region_id`."""
    table = read_catalogue(folder)
    table = table.filter(table["masked"].is_null())
    parts = [table[name].cast(pa.string()) for name in ("obsid", "obi", "region_id")]
    return table.append_column("detection", pc.binary_join_element_wise(*parts, "."))


def _convert_row(row: Row, service: str) -> Row:
    """Convert a row to the types of `SCHEMA`; missing values are None."""
    converted: Row = {}
    for name, (_, dtype) in COLUMNS.items():
        value = row.get(name)
        try:
            converted[name] = None if value in (None, "") else _CONVERTERS[dtype](value)
            if name in _REQUIRED and converted[name] is None:
                raise ValueError
        except (TypeError, ValueError, LookupError):
            raise ServiceError(
                f"{service}: {name} of {row.get('name') or 'a detection'} is {value!r}, not "
                f"{dtype}; please report this"
            ) from None
    # The LIKE conditions of the query could match more than intended.
    if str(row.get("match_type", "u")).strip() != "u" or converted["instrument"] != "ACIS":
        raise ServiceError(
            f"{service}: returned a detection of {converted['name']} outside the query "
            f"(match_type {row.get('match_type')!r}, {converted['instrument']})"
        )
    reasons = [reason for reason, (_, name) in FLAGS.items() if converted[name]]
    converted["masked"] = ", ".join(reasons) or None
    return converted
