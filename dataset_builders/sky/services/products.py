"""Files of a detection in the Chandra Source Catalog: names, paths and checks.

`acisf01575_001N002_r0085_pha3.fits.gz` is region 85 of interval 1 of observation 1575, processed
for the second time. The number of the processing (N) may differ between a spectrum and its
responses, and the spectra of interleaved exposures carry a part: `…N002_e2_r0085_…`.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hf_specclip.spectra.ogip.checksums import wrong_checksums
from hf_specclip.spectra.ogip.errors import SpectrumFileError
from hf_specclip.spectra.ogip.fits_table import FitsFile
from hf_specclip.storage import write_bytes

# What the archive calls them, and how their files end. The spectrum holds its background.
KINDS = {"spectrum": "pha3", "arf": "arf3", "rmf": "rmf3"}
# The mean of real files, which a forecast begins with.
USUAL_BYTES = {"spectrum": 21_000, "arf": 19_000, "rmf": 1_063_000}
MAX_BYTES = 64 << 20
# Tables of each kind: the names that they go by, and the columns that are needed.
_TABLES: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "spectrum": ((("SPECTRUM",), ("CHANNEL", "COUNTS")),),
    "arf": ((("SPECRESP",), ("ENERG_LO", "ENERG_HI", "SPECRESP")),),
    "rmf": (
        (("MATRIX", "RSP_MATRIX", "SPECRESP MATRIX"), ("ENERG_LO", "MATRIX")),
        (("EBOUNDS",), ("E_MIN", "E_MAX")),
    ),
}
_NAME = re.compile(
    r"acisf(?P<obsid>\d{5,6})_(?P<obi>\d{3})N(?P<version>\d{3})(?:_e(?P<part>\d{1,2}))?"
    r"_r(?P<region>\d{4,5})_(?P<kind>pha3|arf3|rmf3)\.fits(?:\.gz)?"
)
_DETECTION = re.compile(r"\d{1,6}\.\d{1,3}\.\d{1,5}")


@dataclass(frozen=True, order=True)
class Product:
    """A file of a detection, as its name says.

    Attributes:
        detection: `obsid.obi.region_id`.
        part: of interleaved exposures, 0 for none.
        kind: `spectrum`, `arf` or `rmf`.
        version: of the processing.
    """

    detection: str
    part: int
    kind: str
    version: int

    @property
    def path(self) -> str:
        """Path below the folder of spectra: files of a detection lie beside each other."""
        obsid, obi, region = map(int, self.detection.split("."))
        part = f"_e{self.part}" if self.part else ""
        return (
            f"{obsid // 1000:03d}/{obsid:05d}/acisf{obsid:05d}_{obi:03d}N{self.version:03d}{part}"
            f"_r{region:04d}_{KINDS[self.kind]}.fits.gz"
        )


def product_of(name: str) -> Product | None:
    """Parse the name of a file, without its folders; None for other files."""
    match = _NAME.fullmatch(re.split(r"[/\\]", name)[-1])
    if match is None:
        return None
    detection = f"{int(match['obsid'])}.{int(match['obi'])}.{int(match['region'])}"
    kind = next(kind for kind, ending in KINDS.items() if ending == match["kind"])
    return Product(detection, int(match["part"] or 0), kind, int(match["version"]))


def detection_id(obsid: int, obi: int, region_id: int) -> str:
    """Format the archive's name of a detection.

    Examples:
        >>> detection_id(1575, 1, 85)
        '1575.1.85'
    """
    return f"{obsid}.{obi}.{region_id}"


def is_detection_id(text: str) -> bool:
    """Return True for the name of a detection."""
    return _DETECTION.fullmatch(text) is not None


def newest(products: Iterable[Product]) -> list[Product]:
    """Keep the last processing of each kind and part, sorted."""
    best: dict[tuple[str, int, str], Product] = {}
    for product in products:
        key = (product.detection, product.part, product.kind)
        if key not in best or best[key].version < product.version:
            best[key] = product
    return sorted(best.values())


def stored_products(folder: Path, detection: str) -> list[Product]:
    """List the newest files of a detection below a folder."""
    obsid, obi, _ = map(int, detection.split("."))
    place = folder / f"{obsid // 1000:03d}" / f"{obsid:05d}"
    found = (product_of(path.name) for path in place.glob(f"acisf*_{obi:03d}N*_r*.fits.gz"))
    return newest(product for product in found if product and product.detection == detection)


def store_product(folder: Path, product: Product, content: bytes) -> str | None:
    """Write a file, gzipped, if its content passes the checks; otherwise return its fault.

    Raises:
        DiskError: when there is no room.
    """
    if not content.startswith(b"\x1f\x8b"):
        if not content.startswith(b"SIMPLE"):
            return "is neither gzipped nor FITS"
        content = gzip.compress(content, mtime=0)  # the same bytes whenever it is done
    path = folder / product.path
    trial = path.with_name(f".partial-check-{path.name}")
    try:
        write_bytes(trial, content)
        wrong = unsound(trial, product)
        if wrong is None:
            trial.replace(path)
        return wrong
    finally:
        trial.unlink(missing_ok=True)


def gunzip(content: bytes, limit: int) -> bytes:
    """Decompress gzip to at most `limit` bytes.

    Raises:
        ValueError: for damaged or longer content.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(content, limit)
    except zlib.error as error:
        raise ValueError(f"the gzip stream is damaged: {error}") from None
    if not unpacker.eof:
        raise ValueError(f"the gzip stream breaks off, or holds more than {limit} bytes")
    return data


def unsound(path: Path, product: Product) -> str | None:
    """Name the fault of a file's compression, FITS structure or OGIP tables; None without one."""
    obsids = []
    try:
        file = FitsFile(path)
        for names, columns in _TABLES[product.kind]:
            table = next((table for table in file.tables if table.name in names), None)
            if table is None:
                return f"holds no {names[0]} table"
            if missing := [column for column in columns if column not in table]:
                return f"its {table.name} table has no {', '.join(missing)}"
            if not table.n_rows:
                return f"its {table.name} table is empty"
            obsids.append(table.header.text("OBS_ID"))
    except SpectrumFileError as error:
        return error.problem
    obsid = obsids[0]
    expected = product.detection.split(".")[0]
    if obsid is not None and obsid.isdigit() and int(obsid) != int(expected):
        return f"is of observation {obsid}, not {expected}"
    return next((f"is damaged: {fault}" for fault in wrong_checksums(file)), None)
