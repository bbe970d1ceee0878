"""Client of the Chandra archive: spectra with their responses, by the catalogue's interface.

A batch of detections is asked for as one tar file (`csccli/retrieve`). What a batch does not hold
is asked for one by one (`csccli/browse` says what there is, `csccli/retrieveFile` sends it), so
that every detection ends as got, as absent because the archive says so, or as failed and why.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_specclip.storage import DiskError

from ..work.queue import Item, WorkQueue
from .polite_session import AbsentError, ExhaustedError, Service, ServiceError
from .products import (
    KINDS,
    MAX_BYTES,
    USUAL_BYTES,
    Product,
    digest_of,
    is_detection_id,
    newest,
    product_of,
    store,
    stored_products,
    unsound,
)

CSCCLI = "https://cda.cfa.harvard.edu/csccli"
VERSION = "rel2.1"
STAGE = "spectra"
FOLDER = "spectra"
BATCH = 20
WORKERS = 4
# Room that is always left on the disk, for the queue and whoever else writes there.
SPARE_BYTES = 200 << 20
# So many failures one after another are taken for a service that is down.
LOST = 3
_RECOUNT_SECONDS = 10.0


@dataclass(frozen=True)
class DiskForecast:
    """Forecast of the disk that fetching will take.

    Attributes:
        detections: still to fetch.
        bytes_each: of one detection: the mean so far, or the usual one where nothing is there yet.
        bytes_stored: already on the disk.
    """

    detections: int
    bytes_each: float
    bytes_stored: int


class SpectrumArchive:
    """Fetcher of the archive's files of detections into a folder.

    Args:
        service: how to ask the archive.
        queue: where each detection's state is kept.
        folder: of the build; files go to its `spectra`, those of a detection beside each other,
            as `hf_specclip.spectra.read_spectrum` looks for them.
        url: of the interface.
        kinds: which of `spectrum`, `arf` and `rmf`; a response matrix takes fifty times the disk
            of all others.
        max_disk: bytes that all files may take, or None for what the disk has.
        batch: detections in a request.
        workers: requests at once.
    """

    def __init__(
        self,
        service: Service,
        queue: WorkQueue,
        folder: str | Path,
        *,
        url: str = CSCCLI,
        kinds: Sequence[str] = tuple(KINDS),
        max_disk: int | None = None,
        batch: int = BATCH,
        workers: int = WORKERS,
    ) -> None:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or "spectrum" not in kinds:
            raise ValueError(f"kinds {list(kinds)}: give spectrum, and arf and rmf as needed")
        self.service = service
        self.queue = queue
        self.folder = Path(folder) / FOLDER
        self.url = url.rstrip("/")
        self.kinds = tuple(kind for kind in KINDS if kind in kinds)
        self.max_disk = max_disk
        self.batch = batch
        self.workers = workers
        self._stored: tuple[float, int, int] | None = None

    def want(self, detections: Iterable[str]) -> int:
        """Queue the files of detections `obsid.obi.region_id`; return how many are new."""
        wanted: dict[str, Any] = {}
        for name in detections:
            if not is_detection_id(name):
                raise ValueError(f"{name!r} is no detection: write obsid.obi.region_id")
            wanted[name] = {}
        return self.queue.add(STAGE, wanted)

    def forecast(self) -> DiskForecast:
        """Forecast the disk that the remaining files will take."""
        counts = self.queue.counts(STAGE)
        left = counts["wanted"] + counts["claimed"]
        got, stored = self._count_stored()
        return DiskForecast(left, stored / got if got else self._usual_bytes, stored)

    def fetch(
        self, progress: Callable[[int], None] = lambda n: None, *, most: int | None = None
    ) -> dict[str, int]:
        """Fetch every wanted detection; what is already there is not asked for again.

        Args:
            progress: called with the number of detections finished.
            most: detections to fetch now (in whole batches), or None for all.

        Returns:
            How many detections are in each state.

        Raises:
            DiskError: when the files would take more room than there is or than is allowed.
            ServiceError: when the archive does not answer at all.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        running: set[Future[int]] = set()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                begun = 0
                while True:
                    while len(running) < self.workers and (most is None or begun < most):
                        self._check_room(len(running))
                        items = self.queue.claim(STAGE, self.batch)
                        if not items:
                            break
                        begun += len(items)
                        running.add(pool.submit(self._fetch_batch, items))
                    if not running:
                        return self.queue.counts(STAGE)
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        progress(future.result())
            finally:
                # What is under way is finished and written down, whatever went wrong elsewhere.
                wait(running)

    # -- a batch

    def _fetch_batch(self, items: Sequence[Item]) -> int:
        got: dict[str, Any] = {}
        absent: dict[str, str] = {}
        failed: dict[str, str] = {}
        try:
            wanted = []
            for item in items:
                here = [p for p in stored_products(self.folder, item.id) if self._is_sound(p)]
                if {p.kind for p in here} >= set(self.kinds):
                    got[item.id] = self._result(here)  # a process was killed before it said so
                else:
                    wanted.append(item.id)
            if wanted:
                self._retrieve(wanted)
            in_a_row = []
            for name in wanted:
                try:
                    outcome = self._complete(name)
                except ExhaustedError:
                    raise
                except ServiceError as error:
                    failed[name] = str(error)
                    in_a_row.append(name)
                    # That is the archive's trouble, not these detections'.
                    if len(in_a_row) == LOST:
                        for lost in in_a_row:
                            del failed[lost]
                        raise
                    continue
                in_a_row = []
                if isinstance(outcome, str):
                    absent[name] = outcome
                else:
                    got[name] = outcome
        finally:
            self.queue.finish(STAGE, got, absent=absent, failed=failed)
            finished = {*got, *absent, *failed}
            self.queue.release(STAGE, [item.id for item in items if item.id not in finished])
            if self._stored is not None:
                at, n, size = self._stored
                new = sum(result["bytes"] for result in got.values())
                self._stored = (at, n + len(got), size + new)
        return len(items)

    def _retrieve(self, detections: Sequence[str]) -> None:
        """Ask for all files of some detections at once, and store what is sound."""
        packages = ",".join(f"{name}/{kind}/b" for name in detections for kind in self.kinds)
        try:
            answer = self.service.get(
                f"{self.url}/retrieve",
                f"{len(detections)} detections from {detections[0]}",
                params={"version": VERSION, "packageset": packages},
                kinds=("application/x-tar", "application/octet-stream", "application/tar"),
                check=_tar_problem,
            )
        except ExhaustedError:
            raise
        except ServiceError:
            return  # one by one, then: a single detection may spoil the batch
        wanted = set(detections)
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
            members: dict[Product, tarfile.TarInfo] = {}
            for member in archive:
                # Names in an archive are data: only what they say is used, never as a path.
                product = product_of(member.name)
                if product is None or not member.isfile() or member.size > MAX_BYTES:
                    continue
                if product.detection in wanted and product.kind in self.kinds:
                    members[product] = member
            for product in newest(members):
                file = archive.extractfile(members[product])
                if file is not None:
                    store(self.folder, product, file.read())  # if unsound, one by one

    def _complete(self, detection: str) -> dict[str, Any] | str:
        """Get the missing files of a detection; return its record, or why it is absent."""
        here = stored_products(self.folder, detection)
        missing = [kind for kind in self.kinds if kind not in {p.kind for p in here}]
        for kind in missing:
            for product in self._browse(detection, kind):
                self._retrieve_file(product)
                here.append(product)
        if "spectrum" not in {p.kind for p in here}:
            return "the archive has no spectrum of it"
        return self._result(newest(here))

    def _browse(self, detection: str, kind: str) -> list[Product]:
        """List the files of one kind that the archive has of a detection."""
        try:
            answer = self.service.json(
                "GET",
                f"{self.url}/browse",
                f"{kind} of {detection}",
                params={"packageset": f"{detection}/{kind}/", "version": VERSION},
            )
        except AbsentError:
            return []
        entries = answer if isinstance(answer, list) else []
        names = [str(e.get("filename", "")) for e in entries if isinstance(e, dict)]
        found = (product_of(name) for name in names)
        return newest(p for p in found if p and p.detection == detection and p.kind == kind)

    def _retrieve_file(self, product: Product) -> None:
        name = Path(product.path).name.removesuffix(".gz")
        # A file that is not sound is asked for again, as one that does not arrive.
        self.service.get(
            f"{self.url}/retrieveFile",
            name,
            params={"filename": name, "filetype": product.kind, "version": VERSION},
            check=lambda content: _in_a_file(store(self.folder, product, content)),
        )

    def _is_sound(self, product: Product) -> bool:
        return unsound(self.folder / product.path, product) is None

    def _result(self, products: Sequence[Product]) -> dict[str, Any]:
        files = []
        for product in products:
            digest, size = digest_of(self.folder / product.path)
            files.append(
                {"path": product.path, "kind": product.kind, "sha256": digest, "bytes": size}
            )
        kinds = {product.kind for product in products}
        spectra = sorted((p.part, p.path) for p in products if p.kind == "spectrum")
        return {
            # Of interleaved exposures the first part stands for the detection.
            "spectrum": spectra[0][1],
            "files": files,
            "bytes": sum(file["bytes"] for file in files),
            "missing": [kind for kind in self.kinds if kind not in kinds],
        }

    # -- room

    @property
    def _usual_bytes(self) -> float:
        return float(sum(USUAL_BYTES[kind] for kind in self.kinds))

    def _count_stored(self) -> tuple[int, int]:
        """Count the detections on the disk, and the bytes of their files."""
        if self._stored is None or time.monotonic() - self._stored[0] > _RECOUNT_SECONDS:
            n, size = self.queue.total(STAGE, "bytes")
            self._stored = (time.monotonic(), n, int(size))
        return self._stored[1], self._stored[2]

    def _check_room(self, running: int) -> None:
        """Refuse to begin a batch that would not fit beside those under way."""
        left = self.queue.counts(STAGE)["wanted"]
        if not left:
            return
        got, stored = self._count_stored()
        each = stored / got if got else self._usual_bytes
        coming = each * (running * self.batch + min(self.batch, left))
        kept = f"{left:,} detections are left, what was fetched is kept"
        if self.max_disk is not None and stored + coming > self.max_disk:
            raise DiskError(
                f"spectra take {stored / 1e6:.1f} MB of the {self.max_disk / 1e6:.1f} MB allowed "
                f"(--max-disk): {kept}; allow more, or leave out rmf"
            )
        free = shutil.disk_usage(self.folder).free
        if free < coming + SPARE_BYTES:
            raise DiskError(
                f"{self.folder} has {free / 1e6:.0f} MB free: {kept}; make room and run again"
            )


def read_spectra_index(queue: WorkQueue, folder: str | Path) -> Mapping[str, Path]:
    """Map each fetched detection to the file of its spectrum.

    Args:
        queue: of the build.
        folder: of the build.

    Returns:
        `obsid.obi.region_id` -> file for `hf_specclip.spectra.read_spectrum`.
    """
    root = Path(folder) / FOLDER
    return {item.id: root / item.result["spectrum"] for item in queue.items(STAGE, ["got"])}


def _tar_problem(content: bytes) -> str | None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            last = max((m.offset_data + m.size for m in archive), default=0)
    except (tarfile.TarError, EOFError, OSError) as error:
        return f"sent a damaged tar file ({error})"
    return None if last <= len(content) else "sent a tar file that breaks off"


def _in_a_file(problem: str | None) -> str | None:
    return None if problem is None else f"sent a file that {problem}"


__all__ = ["CSCCLI", "DiskForecast", "SpectrumArchive", "read_spectra_index"]
