"""Client of the Chandra archive: CSC spectra and responses through the CSCCLI interface.

`acisf01575_001N002_r0085_pha3.fits.gz` is region 85 of OBI 1 of ObsID 1575, processing version 2.
The version (N) may differ between a spectrum and its responses. Interleaved-mode exposures are
numbered: `…N002_e2_r0085_…`.

Data products are requested in batches as a tar file (`csccli/retrieve`). Missing ones are then
listed (`csccli/browse`) and downloaded one by one (`csccli/retrieveFile`).
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tarfile
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from requests import Response

from hf_specclip.spectra.ogip.checksums import wrong_checksums
from hf_specclip.spectra.ogip.errors import SpectrumFileError
from hf_specclip.spectra.ogip.fits_table import FitsFile
from hf_specclip.storage import DiskError, write_bytes

from ..work.store import Absent, Item, ItemError, Store, item_outcome
from .http_session import Check, NotFoundError, Service

CSCCLI = "https://cda.cfa.harvard.edu/csccli"
VERSION = "rel2.1"
STAGE = FOLDER = "spectra"
MAX_TAR_BYTES = 256 << 20
# Disk space kept free for the store and other programs.
MIN_FREE_BYTES = 200 << 20
# Product types of CSCCLI and their file name suffixes. The spectrum file includes the background.
KINDS = {"spectrum": "pha3", "arf": "arf3", "rmf": "rmf3"}
# Mean sizes of real files, used by forecasts before any download.
TYPICAL_BYTES = {"spectrum": 21_000, "arf": 19_000, "rmf": 1_063_000}
MAX_BYTES = 64 << 20
# Required tables by product type: accepted extension names and required columns.
_TABLES = {
    "spectrum": [(["SPECTRUM"], ["CHANNEL", "COUNTS"])],
    "arf": [(["SPECRESP"], ["ENERG_LO", "ENERG_HI", "SPECRESP"])],
    "rmf": [
        (["MATRIX", "RSP_MATRIX", "SPECRESP MATRIX"], ["ENERG_LO", "MATRIX"]),
        (["EBOUNDS"], ["E_MIN", "E_MAX"]),
    ],
}
_NAME = re.compile(
    r"acisf(?P<obsid>\d{5,6})_(?P<obi>\d{3})N(?P<version>\d{3})(?:_e(?P<exposure>\d{1,2}))?"
    r"_r(?P<region>\d{4,5})_(?P<kind>pha3|arf3|rmf3)\.fits(?:\.gz)?"
)


@dataclass
class SpectrumArchive:
    """Downloader of the data products of detections."""

    service: Service
    store: Store
    # Work folder of the build; files go to `spectra`, with all products of a detection in one
    # folder, as `hf_specclip.spectra.read_spectrum` expects them.
    folder: Path
    _: KW_ONLY
    url: str = CSCCLI
    kinds: Sequence[str] = tuple(KINDS)
    max_disk: int | None = None  # maximum size of the files, bytes; None for the free disk space
    batch: int = 20  # detections per request
    workers: int = 4  # concurrent requests

    def __post_init__(self) -> None:
        self.folder = self.folder / FOLDER
        self.url = self.url.rstrip("/")
        self.kinds = tuple(kind for kind in KINDS if kind in self.kinds)
        self._lock = threading.Lock()
        self._stored = (0.0, 0.0)  # finished detections, and bytes of their files

    def enqueue(self, detections: Iterable[str]) -> None:
        """Queue detections, by `obsid.obi.region_id`."""
        self.store.add(STAGE, {name: {} for name in detections})

    def forecast(self) -> tuple[int, float, int]:
        """Return the number of queued detections, mean bytes per detection, and bytes on disk."""
        self._stored = (*self.store.sums(STAGE, "bytes"),)
        left = self.store.counts(STAGE)["wanted"]
        return left, self._bytes_each, int(self._stored[1])

    @property
    def _bytes_each(self) -> float:
        typical = float(sum(TYPICAL_BYTES[kind] for kind in self.kinds))
        return self._stored[1] / self._stored[0] if self._stored[0] else typical

    def fetch(self, limit: int | None = None) -> None:
        """Download the products of queued detections, at most `limit`.

        Raises:
            DiskError: the files might exceed `max_disk` or the free disk space.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.forecast()
        self.store.process(
            STAGE, self._fetch, batch_size=self.batch, workers=self.workers, limit=limit
        )

    def _fetch(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        self._check_disk_space()
        missing = []
        for item in items:
            products = stored_products(self.folder, item.id)
            products = [p for p in products if find_fault(self.folder / p.path, p) is None]
            if {p.kind for p in products} >= set(self.kinds):
                yield {item.id: self._result(products)}  # downloaded just before a kill
            else:
                missing.append(item.id)
        if missing:
            self._retrieve(missing)
        for detection in missing:
            yield {detection: item_outcome(self._complete, detection)}

    def _retrieve(self, detections: Sequence[str]) -> None:
        """Download the products of several detections as a tar file, and save the valid ones.

        Errors are ignored here: `_complete` requests missing files one at a time.
        """
        packages = ",".join(f"{name}/{kind}/b" for name in detections for kind in self.kinds)
        about = f"{len(detections)} detections from {detections[0]}"
        response = item_outcome(
            lambda: self._get("retrieve", about, _check_tar, packageset=packages)
        )
        if isinstance(response, ItemError):
            return
        with _open_tar(response.content) as archive:
            members: dict[Product, tarfile.TarInfo] = {}
            for member in archive:
                # Member names are untrusted: only the parsed base name is used, never the path.
                product = parse_product(member.name)
                if product and member.isfile() and member.size <= MAX_BYTES:
                    members[product] = member
            for product in latest_versions(members):
                file = archive.extractfile(members[product])
                if product.detection in detections and product.kind in self.kinds and file:
                    save_product(self.folder, product, file.read())

    def _complete(self, detection: str) -> dict[str, Any] | Absent:
        """Download the missing products of a detection and return its result."""
        products = stored_products(self.folder, detection)
        for kind in self.kinds:
            if kind not in {product.kind for product in products}:
                for product in self._browse(detection, kind):
                    self._retrieve_file(product)
                    products.append(product)
        if "spectrum" not in {product.kind for product in products}:
            return Absent("no spectrum in the archive")
        return self._result(latest_versions(products))

    def _browse(self, detection: str, kind: str) -> list[Product]:
        """List the products of one type that the archive has for a detection."""
        try:
            entries = self.service.get_json(
                f"{self.url}/browse",
                f"{kind} of {detection}",
                lambda value: None if isinstance(value, list) else "sent no list of files",
                params={"packageset": f"{detection}/{kind}/", "version": VERSION},
            )
        except NotFoundError as error:
            # The archive also sends 404 when it is broken, but with another message.
            if "no file found" not in str(error).lower():
                raise
            return []
        names = [str(entry.get("filename", "")) for entry in entries if isinstance(entry, dict)]
        products = filter(None, map(parse_product, names))
        return latest_versions(p for p in products if (p.detection, p.kind) == (detection, kind))

    def _retrieve_file(self, product: Product) -> None:
        name = Path(product.path).name.removesuffix(".gz")

        def save(response: Response) -> str | None:
            fault = save_product(self.folder, product, response.content)
            return None if fault is None else f"sent an invalid file: {fault}"

        # Saved in the validator, so that the download of an invalid file is retried.
        self._get("retrieveFile", name, save, filename=name, filetype=product.kind)

    def _get(self, command: str, item: str, check: Check, **params: str) -> Response:
        params["version"] = VERSION
        url = f"{self.url}/{command}"
        return self.service.request("GET", url, item=item, params=params, check=check)

    def _result(self, products: Sequence[Product]) -> dict[str, Any]:
        size = sum((self.folder / product.path).stat().st_size for product in products)
        with self._lock:
            self._stored = (self._stored[0] + 1, self._stored[1] + size)
        # The first of interleaved exposures represents the detection.
        spectrum = min((p.exposure, p.path) for p in products if p.kind == "spectrum")[1]
        return {"spectrum": spectrum, "bytes": size}

    def _check_disk_space(self) -> None:
        """Raise `DiskError` if the batches in flight might not fit on the disk."""
        queued, stored = self.store.counts(STAGE)["wanted"], self._stored[1]
        in_flight = self._bytes_each * min(queued, self.batch * self.workers)
        free, problem = shutil.disk_usage(self.folder).free, ""
        if self.max_disk is not None and stored + in_flight > self.max_disk:
            problem = (
                f"spectra take {stored / 1e6:.1f} MB of the {self.max_disk / 1e6:.1f} MB allowed "
                "(--max-disk): raise the limit, or leave out rmf"
            )
        elif free < in_flight + MIN_FREE_BYTES:
            problem = f"{self.folder} has {free / 1e6:.0f} MB free: free disk space and run again"
        if problem:
            raise DiskError(f"{problem}; {queued:,} detections remain, downloaded files are kept")


def _open_tar(content: bytes) -> tarfile.TarFile:
    """Open a tar file, plain or gzipped, with a limit on the unpacked size."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_TAR_BYTES + 1)
    if len(content) > MAX_TAR_BYTES:
        raise ValueError(f"larger than {MAX_TAR_BYTES} bytes")
    return tarfile.open(fileobj=io.BytesIO(content), mode="r:")


def _check_tar(response: Response) -> str | None:
    try:
        with _open_tar(response.content) as archive:
            last = max((m.offset_data + m.size for m in archive if m.isfile()), default=0)
            size = archive.fileobj.seek(0, io.SEEK_END) if archive.fileobj else 0
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        return f"sent a damaged tar file ({error})"
    return None if last <= size else "sent a truncated tar file"


@dataclass(frozen=True, order=True)
class Product:
    """Data product of a detection, identified by its file name."""

    detection: str  # `obsid.obi.region_id`
    exposure: int  # number of an interleaved-mode exposure, else 0
    kind: str  # `spectrum`, `arf` or `rmf`
    version: int  # of the processing

    @property
    def path(self) -> str:
        """Path relative to the folder of spectra."""
        obsid, obi, region = map(int, self.detection.split("."))
        exposure = f"_e{self.exposure}" if self.exposure else ""
        return (
            f"{obsid // 1000:03d}/{obsid:05d}/acisf{obsid:05d}_{obi:03d}N{self.version:03d}"
            f"{exposure}_r{region:04d}_{KINDS[self.kind]}.fits.gz"
        )


def parse_product(name: str) -> Product | None:
    """Parse a file name, ignoring folders; None for other files."""
    match = _NAME.fullmatch(re.split(r"[/\\]", name)[-1])
    if match is None:
        return None
    detection = f"{int(match['obsid'])}.{int(match['obi'])}.{int(match['region'])}"
    kind = next(kind for kind, suffix in KINDS.items() if suffix == match["kind"])
    return Product(detection, int(match["exposure"] or 0), kind, int(match["version"]))


def latest_versions(products: Iterable[Product]) -> list[Product]:
    """Return the latest version of each product, sorted."""
    return [*{(p.detection, p.exposure, p.kind): p for p in sorted(products)}.values()]


def stored_products(folder: Path, detection: str) -> list[Product]:
    """List the latest downloaded products of a detection."""
    obsid, obi, _ = map(int, detection.split("."))
    subfolder = folder / f"{obsid // 1000:03d}" / f"{obsid:05d}"
    products = (parse_product(p.name) for p in subfolder.glob(f"acisf*_{obi:03d}N*_r*.fits.gz"))
    return latest_versions(p for p in products if p and p.detection == detection)


def save_product(folder: Path, product: Product, content: bytes) -> str | None:
    """Save a valid file, gzipped; return the fault of an invalid one."""
    if not content.startswith(b"\x1f\x8b"):
        if not content.startswith(b"SIMPLE"):
            return "neither gzip nor FITS"
        content = gzip.compress(content, mtime=0)  # no time stamp: reproducible bytes
    path = folder / product.path
    partial = path.with_name(f".partial-check-{path.name}")
    try:
        write_bytes(partial, content)
        fault = find_fault(partial, product)
        if fault is None:
            partial.replace(path)
        return fault
    finally:
        partial.unlink(missing_ok=True)


def find_fault(path: Path, product: Product) -> str | None:
    """Return the fault of a file's compression, FITS structure or OGIP tables, or None."""
    expected = product.detection.split(".")[0]
    try:
        file = FitsFile(path)
        for names, columns in _TABLES[product.kind]:
            table = next((table for table in file.tables if table.name in names), None)
            if table is None:
                return f"no {names[0]} table"
            if missing := [column for column in columns if column not in table]:
                return f"no {', '.join(missing)} in the {table.name} table"
            if not table.n_rows:
                return f"the {table.name} table is empty"
            obsid = table.header.text("OBS_ID")
            if obsid is not None and obsid.isdigit() and int(obsid) != int(expected):
                return f"OBS_ID is {obsid}, not {expected}"
    except SpectrumFileError as error:
        return error.problem
    return next((f"damaged: {fault}" for fault in wrong_checksums(file)), None)
