"""Client of the Chandra archive: spectra with their responses, by the catalogue's interface.

`acisf01575_001N002_r0085_pha3.fits.gz` is region 85 of interval 1 of observation 1575, processed
for the second time. The number of the processing (N) may differ between a spectrum and its
responses, and the spectra of interleaved exposures carry a part: `…N002_e2_r0085_…`.

A batch of detections is asked for as one tar file (`csccli/retrieve`). What a batch does not hold
is asked for one by one (`csccli/browse` lists the files, `csccli/retrieveFile` sends one), so that
every detection ends as got, as absent because the archive says so, or as failed and why.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requests import Response

from hf_specclip.spectra.ogip.checksums import wrong_checksums
from hf_specclip.spectra.ogip.errors import SpectrumFileError
from hf_specclip.spectra.ogip.fits_table import FitsFile
from hf_specclip.storage import DiskError, write_bytes

from ..work.store import Absent, Item, Store, WorkError, outcome
from .polite_session import AbsentError, Check, Service

CSCCLI = "https://cda.cfa.harvard.edu/csccli"
VERSION = "rel2.1"
STAGE = FOLDER = "spectra"
MAX_TAR_BYTES = 256 << 20
# Room that is always left on the disk, for the store and whoever else writes there.
SPARE_BYTES = 200 << 20
# What the archive calls them, and how their files end. The spectrum holds its background.
KINDS = {"spectrum": "pha3", "arf": "arf3", "rmf": "rmf3"}
# The mean of real files, which a forecast begins with.
USUAL_BYTES = {"spectrum": 21_000, "arf": 19_000, "rmf": 1_063_000}
MAX_BYTES = 64 << 20
# Tables of each kind: the names that they go by, and the columns that are needed.
_TABLES = {
    "spectrum": [(["SPECTRUM"], ["CHANNEL", "COUNTS"])],
    "arf": [(["SPECRESP"], ["ENERG_LO", "ENERG_HI", "SPECRESP"])],
    "rmf": [
        (["MATRIX", "RSP_MATRIX", "SPECRESP MATRIX"], ["ENERG_LO", "MATRIX"]),
        (["EBOUNDS"], ["E_MIN", "E_MAX"]),
    ],
}
_NAME = re.compile(
    r"acisf(?P<obsid>\d{5,6})_(?P<obi>\d{3})N(?P<version>\d{3})(?:_e(?P<part>\d{1,2}))?"
    r"_r(?P<region>\d{4,5})_(?P<kind>pha3|arf3|rmf3)\.fits(?:\.gz)?"
)


class SpectrumArchive:
    """Fetcher of the archive's files of detections into a folder.

    Args:
        folder: of the build; files go to its `spectra`, those of a detection beside each other,
            as `hf_specclip.spectra.read_spectrum` looks for them.
        max_disk: bytes that all files may take, or None for what the disk has.
        batch, workers: detections in a request, and requests at once.
    """

    def __init__(
        self,
        service: Service,
        store: Store,
        folder: str | Path,
        *,
        url: str = CSCCLI,
        kinds: Sequence[str] = tuple(KINDS),
        max_disk: int | None = None,
        batch: int = 20,
        workers: int = 4,
    ) -> None:
        self.service = service
        self.store = store
        self.folder = Path(folder) / FOLDER
        self.url = url.rstrip("/")
        self.kinds = tuple(kind for kind in KINDS if kind in kinds)
        self.max_disk = max_disk
        self.batch = batch
        self.workers = workers
        self._lock = threading.Lock()
        self._stored = (0.0, 0.0)

    def want(self, detections: Iterable[str]) -> None:
        """Want the files of detections `obsid.obi.region_id`."""
        self.store.add(STAGE, {name: {} for name in detections})

    def forecast(self) -> tuple[int, float, int]:
        """Count detections to fetch, the bytes of one (mean, or usual), and bytes on the disk."""
        self._stored = (*self.store.sums(STAGE, "bytes"),)
        left = self.store.counts(STAGE)["wanted"]
        return left, self._bytes_each, int(self._stored[1])

    @property
    def _bytes_each(self) -> float:
        usual = float(sum(USUAL_BYTES[kind] for kind in self.kinds))
        return self._stored[1] / self._stored[0] if self._stored[0] else usual

    def fetch(self, most: int | None = None) -> None:
        """Fetch every wanted detection, or `most` in whole batches.

        Raises:
            DiskError: when the files would take more room than there is or than is allowed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.forecast()
        self.store.work(STAGE, self._fetch, at_once=self.batch, workers=self.workers, most=most)

    # -- a batch

    def _fetch(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        self._check_room()
        wanted = []
        for item in items:
            here = stored_products(self.folder, item.id)
            here = [p for p in here if unsound(self.folder / p.path, p) is None]
            if {p.kind for p in here} >= set(self.kinds):
                yield {item.id: self._result(here)}  # killed before it was written down
            else:
                wanted.append(item.id)
        if wanted:
            self._retrieve(wanted)
        for name in wanted:
            yield {name: outcome(self._complete, name)}

    def _retrieve(self, detections: Sequence[str]) -> None:
        """Ask for all files of some detections at once, and store what is sound.

        What does not come so is asked for one by one: a single detection may spoil the batch.
        """
        packages = ",".join(f"{name}/{kind}/b" for name in detections for kind in self.kinds)
        about = f"{len(detections)} detections from {detections[0]}"
        answer = outcome(lambda: self._get("retrieve", about, _tar_fault, packageset=packages))
        if isinstance(answer, WorkError):
            return
        with _open_tar(answer.content) as archive:
            members: dict[Product, tarfile.TarInfo] = {}
            for member in archive:
                # Names in an archive are data: a member's own name alone counts, never as a path.
                product = product_of(member.name)
                if product and member.isfile() and member.size <= MAX_BYTES:
                    members[product] = member
            for product in newest(members):
                file = archive.extractfile(members[product])
                if product.detection in detections and product.kind in self.kinds and file:
                    store_product(self.folder, product, file.read())

    def _complete(self, detection: str) -> dict[str, Any] | Absent:
        """Get the missing files of a detection; return its record, or why it is absent."""
        here = stored_products(self.folder, detection)
        for kind in self.kinds:
            if kind not in {product.kind for product in here}:
                for product in self._browse(detection, kind):
                    self._retrieve_file(product)
                    here.append(product)
        if "spectrum" not in {product.kind for product in here}:
            return Absent("the archive has no spectrum of it")
        return self._result(newest(here))

    def _browse(self, detection: str, kind: str) -> list[Product]:
        """List the files of one kind that the archive has of a detection."""
        try:
            answer = self.service.get_json(
                f"{self.url}/browse",
                f"{kind} of {detection}",
                lambda answer: None if isinstance(answer, list) else "sent no list of files",
                params={"packageset": f"{detection}/{kind}/", "version": VERSION},
            )
        except AbsentError as error:
            # A broken archive says 404, too, and not in these words.
            if "no file found" not in str(error).lower():
                raise
            return []
        names = [str(entry.get("filename", "")) for entry in answer if isinstance(entry, dict)]
        found = (product_of(name) for name in names)
        return newest(p for p in found if p and p.detection == detection and p.kind == kind)

    def _retrieve_file(self, product: Product) -> None:
        name = Path(product.path).name.removesuffix(".gz")

        def check(answer: Response) -> str | None:
            fault = store_product(self.folder, product, answer.content)
            return None if fault is None else f"sent a file that {fault}"

        # A file that is not sound is asked for again, as one that does not arrive.
        self._get("retrieveFile", name, check, filename=name, filetype=product.kind)

    def _get(self, command: str, item: str, check: Check, **params: str) -> Response:
        params["version"] = VERSION
        url = f"{self.url}/{command}"
        return self.service.request("GET", url, item=item, params=params, check=check)

    def _result(self, products: Sequence[Product]) -> dict[str, Any]:
        size = sum((self.folder / product.path).stat().st_size for product in products)
        with self._lock:
            self._stored = (self._stored[0] + 1, self._stored[1] + size)
        # Of interleaved exposures the first part stands for the detection.
        spectrum = min((p.part, p.path) for p in products if p.kind == "spectrum")[1]
        return {"spectrum": spectrum, "bytes": size}

    def _check_room(self) -> None:
        """Refuse to begin a batch where all that are under way might not fit."""
        left, stored = self.store.counts(STAGE)["wanted"], self._stored[1]
        coming = self._bytes_each * min(left, self.batch * self.workers)
        free, problem = shutil.disk_usage(self.folder).free, ""
        if self.max_disk is not None and stored + coming > self.max_disk:
            problem = (
                f"spectra take {stored / 1e6:.1f} MB of the {self.max_disk / 1e6:.1f} MB allowed "
                "(--max-disk): allow more, or leave out rmf"
            )
        elif free < coming + SPARE_BYTES:
            problem = f"{self.folder} has {free / 1e6:.0f} MB free: make room and run again"
        if problem:
            raise DiskError(f"{problem}; {left:,} detections are left, what was fetched is kept")


def _open_tar(content: bytes) -> tarfile.TarFile:
    """Open a tar file, plain or gzipped, whose unpacked size is bounded."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_TAR_BYTES + 1)
    if len(content) > MAX_TAR_BYTES:
        raise ValueError(f"it holds more than {MAX_TAR_BYTES} bytes")
    return tarfile.open(fileobj=io.BytesIO(content), mode="r:")


def _tar_fault(answer: Response) -> str | None:
    try:
        with _open_tar(answer.content) as archive:
            last = max((m.offset_data + m.size for m in archive if m.isfile()), default=0)
            size = archive.fileobj.seek(0, io.SEEK_END) if archive.fileobj else 0
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        return f"sent a damaged tar file ({error})"
    return None if last <= size else "sent a tar file that breaks off"


@dataclass(frozen=True, order=True)
class Product:
    """A file of a detection, as its name says."""

    detection: str  # `obsid.obi.region_id`
    part: int  # of interleaved exposures, 0 for none
    kind: str  # `spectrum`, `arf` or `rmf`
    version: int  # of the processing

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


def newest(products: Iterable[Product]) -> list[Product]:
    """Keep the last processing of each kind and part, sorted."""
    return [*{(p.detection, p.part, p.kind): p for p in sorted(products)}.values()]


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


def unsound(path: Path, product: Product) -> str | None:
    """Name the fault of a file's compression, FITS structure or OGIP tables; None without one."""
    expected = product.detection.split(".")[0]
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
            obsid = table.header.text("OBS_ID")
            if obsid is not None and obsid.isdigit() and int(obsid) != int(expected):
                return f"is of observation {obsid}, not {expected}"
    except SpectrumFileError as error:
        return error.problem
    return next((f"is damaged: {fault}" for fault in wrong_checksums(file)), None)
