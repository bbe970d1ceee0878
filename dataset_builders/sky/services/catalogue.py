"""Client of the Chandra Source Catalog 2.1 over TAP: columns, joins, pages.

A detection is one source in one observation. The catalogue keeps it in `observation_source`; its
source is found through the stacks that were searched: master_source – master_stack_assoc –
stack_source – stack_observation_assoc – observation_source (Evans et al. 2024, ApJS 274, 22).
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import write_bytes

from ...contract import LIMITED_VARIABLES, SENTINELS, variable_units
from ..work.store import Item, Store
from .polite_session import ServiceError
from .positions import Position, box_condition, separation
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


class CatalogueError(SpecCLIPError, RuntimeError):
    """A catalogue that is not as expected; the message names table, column and way out."""


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


# Reasons against a spectrum: table and column that state them.
FLAGS: Mapping[str, tuple[str, str]] = {
    "pileup": ("m", "pileup_flag"),
    "saturated": ("o", "sat_src_flag"),
    "on a readout streak": ("o", "streak_src_flag"),
}
COLUMNS = _columns()
_REQUIRED = frozenset(("name", "obsid", "obi", "region_id", "ra", "dec", "instrument"))
_SELECT = ", ".join(
    [*(f"{table}.{n} AS {n}" for n, (table, _) in COLUMNS.items()), "a.match_type AS match_type"]
)
KEY = ("obsid", "obi", "region_id", "name")
# `masked` says why a detection is left out, null where it is not.
SCHEMA = pa.schema([(n, kind) for n, (_, kind) in COLUMNS.items()] + [("masked", pa.string())])


@dataclass(frozen=True)
class Limits:
    """Limits on the detections; None for no limit.

    Attributes:
        min_significance: of the broad-band flux.
        min_counts: aperture counts of the source, broad band.
        max_theta: off-axis angle, arcmin.
    """

    min_significance: float | None = None
    min_counts: float | None = None
    max_theta: float | None = None

    @property
    def adql(self) -> str:
        """ADQL conditions that begin with AND, or nothing."""
        parts = (
            ("o.flux_significance_b >=", self.min_significance),
            ("o.src_cnts_aper_b >=", self.min_counts),
            ("o.theta <=", self.max_theta),
        )
        return "".join(f" AND {left} {value:g}" for left, value in parts if value is not None)


class Catalogue:
    """Fetcher of the catalogue's detections into a folder, in pages.

    An item of its stage is a page; a page that is not the last one wants the next.

    Args:
        folder: of the build; pages go to its `catalogue`.
        slice_degrees: of right ascension, in a part of the whole catalogue.
    """

    def __init__(
        self,
        client: TapClient,
        store: Store,
        folder: str | Path,
        *,
        limits: Limits | None = None,
        page_rows: int = PAGE_ROWS,
        slice_degrees: int = SLICE_DEGREES,
    ) -> None:
        self.client = client
        self.store = store
        self.folder = Path(folder) / FOLDER
        self.limits = limits or Limits()
        self.page_rows = page_rows
        self.slice_degrees = slice_degrees

    def want_sources(self, names: Iterable[str]) -> int:
        """Want every detection of these sources; return how many parts are new.

        Sources that an earlier run has wanted are in its parts.
        """
        known = {n for i in self.store.items(STAGE) for n in i.payload.get("names", ())}
        names = sorted(set(names) - known)
        parts = {}
        for start in range(0, len(names), NAMES_AT_ONCE):
            some = names[start : start + NAMES_AT_ONCE]
            digest = hashlib.sha256("\n".join(some).encode()).hexdigest()[:12]
            parts[f"names-{digest}.0000"] = {"names": some}
        return self.store.add(STAGE, parts)

    def want_cone(self, ra: float, dec: float, radius: float) -> int:
        """Want the detections of every source within `radius` degrees of a position, degrees."""
        if not (0 <= ra < 360 and abs(dec) <= 90 and 0 < radius <= 180):
            raise ValueError(
                f"cone {ra} {dec} {radius}: give right ascension (0 to 360), declination (−90 to "
                "90) and a radius, in degrees"
            )
        name = f"cone-{ra:.6f}{dec:+.6f}-{radius:.6f}.0000"
        return self.store.add(STAGE, {name: {"cone": [ra, dec, radius]}})

    def want_everything(self) -> int:
        """Want the whole catalogue, in slices of right ascension."""
        width = self.slice_degrees
        slices = {f"ra-{w:03d}.0000": {"ra": [w, w + width]} for w in range(0, 360, width)}
        return self.store.add(STAGE, slices)

    def fetch(self) -> None:
        """Fetch every wanted page; those of earlier runs are not asked for again.

        Raises:
            ServiceError: when the service fails for good; the page stays wanted.
        """
        self.store.work(STAGE, self._fetch)

    def _fetch(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        [page] = items
        part, number = page.id.rsplit(".", 1)
        where, keep = _condition(page.payload)
        adql = self._adql(where, page.payload.get("after"))
        about = f"{part}, page {number}"
        answer = self.client.query(adql, about, max_rows=self.page_rows, remember=False)
        found = [_checked(row, self.client.service.name) for row in answer.rows]
        kept = [row for row in found if keep(row)]
        write_bytes(self.folder / f"{page.id}.parquet", _parquet(kept))
        # A service that sends fewer rows than it may has no more, unless it says so.
        if found and (len(found) == self.page_rows or answer.overflow):
            after = {**page.payload, "after": [found[-1][name] for name in KEY]}
            self.store.add(STAGE, {f"{part}.{int(number) + 1:04d}": after})
        yield {page.id: {"rows": len(kept)}}

    def _adql(self, where: str, after: Sequence[Any] | None) -> str:
        """Write the query of the page that follows a key: nothing shifts when rows come and go."""
        paged = ""
        if after is not None:
            obsid, obi, region, name = int(after[0]), int(after[1]), int(after[2]), quoted(after[3])
            paged = (
                f" AND (o.obsid > {obsid} OR (o.obsid = {obsid} AND (o.obi > {obi} OR "
                f"(o.obi = {obi} AND (o.region_id > {region} OR "
                f"(o.region_id = {region} AND m.name > {name}))))))"
            )
        return (
            f"SELECT TOP {self.page_rows} {_SELECT} {_JOINS} AND {where}{self.limits.adql}"
            f"{paged} ORDER BY o.obsid, o.obi, o.region_id, m.name"
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


def _condition(payload: Mapping[str, Any]) -> tuple[str, Callable[[Row], bool]]:
    """Return the ADQL of a part, and the test that its rows must pass."""
    if "names" in payload:
        return f"m.name IN {quoted_list(payload['names'])}", lambda row: True
    if "cone" in payload:
        ra, dec, radius = payload["cone"]
        centre = Position(ra, dec)

        def inside(row: Row) -> bool:
            return separation(centre, Position(row["ra"], row["dec"])) <= radius

        return box_condition(ra, dec, radius, "m.ra", "m.dec"), inside
    west, east = payload["ra"]
    return f"m.ra >= {int(west)} AND m.ra < {int(east)}", lambda row: True


def _checked(row: Row, service: str) -> Row:
    """Convert a row to the types of `SCHEMA`; None where nothing was measured."""
    found: Row = {}
    for name, (_, kind) in COLUMNS.items():
        value = row.get(name)
        try:
            found[name] = _typed(value, kind)
            if name in _REQUIRED and found[name] is None:
                raise ValueError
        except (TypeError, ValueError, LookupError):
            raise CatalogueError(
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


def _typed(value: Any, kind: pa.DataType) -> Any:
    if value is None or value == "":
        return None
    if pa.types.is_boolean(kind):
        return _TRUTHS[str(value).lower()]
    if pa.types.is_integer(kind):
        if int(value) != value:
            raise ValueError(value)
        return int(value)
    if pa.types.is_floating(kind):
        number = float(value)
        return number if math.isfinite(number) and number not in SENTINELS else None
    return str(value)


_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _parquet(rows: list[Row]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd")
    return sink.getvalue()
