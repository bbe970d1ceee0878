"""Client of the Chandra archive: spectra with their responses, by the catalogue's interface.

A batch of detections is asked for as one tar file (`csccli/retrieve`). What a batch does not hold
is asked for one by one (`csccli/browse` lists the files, `csccli/retrieveFile` sends one), so that
every detection ends as got, as absent because the archive says so, or as failed and why.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from requests import Response

from hf_specclip.storage import DiskError

from ..work.store import Absent, Failed, Item, Store
from .polite_session import AbsentError, Service, outcome
from .products import (
    KINDS,
    MAX_BYTES,
    USUAL_BYTES,
    Product,
    gunzip,
    is_detection_id,
    newest,
    product_of,
    store_product,
    stored_products,
    unsound,
)

CSCCLI = "https://cda.cfa.harvard.edu/csccli"
VERSION = "rel2.1"
STAGE = "spectra"
FOLDER = "spectra"
BATCH = 20
WORKERS = 4
MAX_TAR_BYTES = 256 << 20
# Room that is always left on the disk, for the store and whoever else writes there.
SPARE_BYTES = 200 << 20


class SpectrumArchive:
    """Fetcher of the archive's files of detections into a folder.

    Args:
        folder: of the build; files go to its `spectra`, those of a detection beside each other,
            as `hf_specclip.spectra.read_spectrum` looks for them.
        max_disk: bytes that all files may take, or None for what the disk has.
        batch: detections in a request.
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
        batch: int = BATCH,
        workers: int = WORKERS,
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
        self._coming = 0
        self._stored = (0.0, 0.0)

    def want(self, detections: Iterable[str]) -> int:
        """Want the files of detections `obsid.obi.region_id`; return how many are new."""
        wanted: dict[str, Any] = {name: {} for name in detections}
        for name in wanted:
            if not is_detection_id(name):
                raise ValueError(f"{name!r} is no detection: write obsid.obi.region_id")
        return self.store.add(STAGE, wanted)

    def forecast(self) -> tuple[int, float, int]:
        """Count detections to fetch, the bytes of one (mean, or usual), and bytes on the disk."""
        self._stored = (*self.store.sums(STAGE, "bytes"),)
        left = self.store.counts(STAGE)["wanted"]
        return left, self._bytes_each, int(self._stored[1])

    @property
    def _bytes_each(self) -> float:
        usual = float(sum(USUAL_BYTES[kind] for kind in self.kinds))
        return self._stored[1] / self._stored[0] if self._stored[0] else usual

    def fetch(self, most: int | None = None) -> dict[str, int]:
        """Fetch every wanted detection, or `most` in whole batches.

        Returns:
            Number of detections in each state.

        Raises:
            DiskError: when the files would take more room than there is or than is allowed.
            ServiceError: when the archive does not answer at all.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.forecast()
        self.store.work(STAGE, self._fetch, at_once=self.batch, workers=self.workers, most=most)
        return self.store.counts(STAGE)

    # -- a batch

    def _fetch(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        with self._room(len(items)):
            wanted = []
            for item in items:
                here = [p for p in stored_products(self.folder, item.id) if self._is_sound(p)]
                if {p.kind for p in here} >= set(self.kinds):
                    yield {item.id: self._result(here)}  # killed before it was written down
                else:
                    wanted.append(item.id)
            if wanted:
                self._retrieve(wanted)
            for name in wanted:
                yield {name: outcome(partial(self._complete, name))}

    def _retrieve(self, detections: Sequence[str]) -> None:
        """Ask for all files of some detections at once, and store what is sound."""
        packages = ",".join(f"{name}/{kind}/b" for name in detections for kind in self.kinds)
        answer = outcome(
            lambda: self.service.request(
                "GET",
                f"{self.url}/retrieve",
                item=f"{len(detections)} detections from {detections[0]}",
                params={"version": VERSION, "packageset": packages},
                check=_tar_fault,
            )
        )
        if isinstance(answer, Failed):
            return  # one by one, then: a single detection may spoil the batch
        with _open_tar(answer.content) as archive:
            members: dict[Product, tarfile.TarInfo] = {}
            for member in archive:
                # Names in an archive are data: a member's own name alone counts, never as a path.
                product = product_of(member.name)
                if product is None or not member.isfile() or member.size > MAX_BYTES:
                    continue
                if product.detection in detections and product.kind in self.kinds:
                    members[product] = member
            for product in newest(members):
                file = archive.extractfile(members[product])
                if file is not None:
                    store_product(self.folder, product, file.read())  # if unsound, one by one

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
        params = {"filename": name, "filetype": product.kind, "version": VERSION}
        self.service.request(
            "GET", f"{self.url}/retrieveFile", item=name, params=params, check=check
        )

    def _is_sound(self, product: Product) -> bool:
        return unsound(self.folder / product.path, product) is None

    def _result(self, products: Sequence[Product]) -> dict[str, Any]:
        size = sum((self.folder / product.path).stat().st_size for product in products)
        with self._lock:
            self._stored = (self._stored[0] + 1, self._stored[1] + size)
        there = {product.kind for product in products}
        # Of interleaved exposures the first part stands for the detection.
        spectrum = min((p.part, p.path) for p in products if p.kind == "spectrum")[1]
        missing = [kind for kind in self.kinds if kind not in there]
        return {"spectrum": spectrum, "bytes": size, "missing": missing}

    @contextlib.contextmanager
    def _room(self, n: int) -> Iterator[None]:
        """Refuse to begin a batch of `n` that would not fit beside those under way."""
        with self._lock:
            stored, coming = self._stored[1], self._bytes_each * (self._coming + n)
            free = shutil.disk_usage(self.folder).free
            problem = ""
            if self.max_disk is not None and stored + coming > self.max_disk:
                problem = (
                    f"spectra take {stored / 1e6:.1f} MB of the {self.max_disk / 1e6:.1f} MB "
                    "allowed (--max-disk): allow more, or leave out rmf"
                )
            elif free < coming + SPARE_BYTES:
                problem = f"{self.folder} has {free / 1e6:.0f} MB free: make room and run again"
            if problem:
                left = self.store.counts(STAGE)["wanted"]
                raise DiskError(
                    f"{problem}; {left:,} detections are left, what was fetched is kept"
                )
            self._coming += n
        try:
            yield
        finally:
            with self._lock:
                self._coming -= n


def _open_tar(content: bytes) -> tarfile.TarFile:
    """Open a tar file, plain or gzipped, whose unpacked size is bounded."""
    if content.startswith(b"\x1f\x8b"):
        content = gunzip(content, MAX_TAR_BYTES)
    return tarfile.open(fileobj=io.BytesIO(content), mode="r:")


def _tar_fault(answer: Response) -> str | None:
    try:
        with _open_tar(answer.content) as archive:
            last = max((m.offset_data + m.size for m in archive if m.isfile()), default=0)
            size = archive.fileobj.seek(0, io.SEEK_END) if archive.fileobj else 0
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        return f"sent a damaged tar file ({error})"
    return None if last <= size else "sent a tar file that breaks off"
