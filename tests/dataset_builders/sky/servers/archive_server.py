"""Test server of the Chandra archive (CSCCLI)."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from faulty import FaultyServer, Request, Response
from ogip_writer import AREA, arf_hdu, ebounds_hdu, matrix_hdu, spectrum_hdu

N_ACIS_CHANNELS = 1024


class ArchiveServer(FaultyServer):
    """Archive with files of detections.

    Attributes:
        files: detection -> file name (without .gz) -> content of the gz file.
        hidden: files that are missing in batches.
        spoiled: detections that make a batch fail with status 500.
        extra: additional members of every tar: (TarInfo, content).
        asked: number of batch requests per detection.
        sent: number of single requests per file.
        kind: content type of every response; that of the archive is not documented.
    """

    def __init__(self, files: Mapping[str, Mapping[str, bytes]]) -> None:
        self.files = {name: dict(of) for name, of in files.items()}
        self.hidden: set[str] = set()
        self.spoiled: set[str] = set()
        self.extra: list[tuple[tarfile.TarInfo, bytes]] = []
        self.asked: Counter = Counter()
        self.sent: Counter = Counter()
        self.kind = "text/html;charset=utf-8"
        super().__init__()

    def respond(self, request: Request) -> Response:
        query = request.query
        if request.path.endswith("/csccli/retrieve"):
            wanted = dict.fromkeys(part.split("/")[0] for part in query["packageset"].split(","))
            kinds = {part.split("/")[1] for part in query["packageset"].split(",")}
            with self.lock:
                self.asked.update(list(wanted))
            if self.spoiled & set(wanted):
                return Response(b"internal error", "text/plain", 500)
            return Response(self._tar(wanted, kinds), self.kind)
        if request.path.endswith("/csccli/browse"):
            detection, kind = re.fullmatch(r"([\d.]+)/(\w+)/", query["packageset"]).groups()
            names = [n for n in self.files.get(detection, {}) if _kind(n) == kind]
            if names:
                listed = [{"filename": name, "version": query["version"]} for name in names]
                return Response(json.dumps(listed).encode(), self.kind)
        if request.path.endswith("/csccli/retrieveFile"):
            for of in self.files.values():
                if query["filename"] in of and _kind(query["filename"]) == query["filetype"]:
                    with self.lock:
                        self.sent[query["filename"]] += 1
                    return Response(of[query["filename"]], self.kind)
        return Response(b"No file found matching these parameters", "text/plain", 404)

    def _tar(self, wanted: Iterable[str], kinds: set[str]) -> bytes:
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as archive:
            for detection in wanted:
                for name, content in self.files.get(detection, {}).items():
                    if name in self.hidden or _kind(name) not in kinds:
                        continue
                    member = tarfile.TarInfo(f"pkg/{name}.gz")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            for member, content in self.extra:
                archive.addfile(member, io.BytesIO(content))
        return sink.getvalue()


def _kind(name: str) -> str:
    return {"pha3": "spectrum", "arf3": "arf", "rmf3": "rmf"}[name[-9:-5]]


def detection_files(
    detection: str,
    *,
    version: int = 1,
    arf_version: int | None = None,
    exposure: int = 0,
    seed: int = 0,
) -> dict[str, bytes]:
    """Return simulated files with 8 channels."""
    obsid, obi, region = map(int, detection.split("."))
    counts = np.random.default_rng([seed, obsid, region, exposure]).poisson(5, 8)
    header = {"OBS_ID": str(obsid), "TELESCOP": "CHANDRA", "INSTRUME": "ACIS"}
    source = spectrum_hdu(counts, header=header)
    background = spectrum_hdu(counts * 3, background=True, header={**header, "BACKSCAL": 8.0})
    suffix = f"_e{exposure}" if exposure else ""
    own = f"acisf{obsid:05d}_{obi:03d}N{version:03d}{suffix}_r{region:04d}_"
    other = own.replace(
        f"N{version:03d}", f"N{version if arf_version is None else arf_version:03d}"
    )
    return {
        f"{own}pha3.fits": _gz(source, background),
        f"{other}arf3.fits": _gz(arf_hdu(AREA * (1 + region % 7))),
        f"{own}rmf3.fits": _gz(matrix_hdu(), ebounds_hdu()),
    }


def acis_files(
    detection: str, counts: np.ndarray, background: np.ndarray, *, exposure: float, scale: float
) -> dict[str, bytes]:
    """Return a simulated ACIS spectrum (1,024 channels) with ARF and without RMF.

    Args:
        detection: `obsid.obi.region_id`.
        counts, background: (1024,).
        exposure: s.
        scale: ratio of the areas of aperture and background.
    """
    obsid, obi, region = map(int, detection.split("."))
    header = {
        "OBS_ID": str(obsid), "TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "EXPOSURE": exposure,
    }  # fmt: skip
    source = spectrum_hdu(counts, header={**header, "BACKSCAL": scale})
    region_of = spectrum_hdu(background, background=True, header={**header, "BACKSCAL": 1.0})
    edges = np.linspace(0.3, 10.0, 98)
    area = 400.0 * np.exp(-0.5 * ((edges[:-1] - 1.5) / 1.5) ** 2) + 5.0
    stem = f"acisf{obsid:05d}_{obi:03d}N001_r{region:04d}_"
    return {
        f"{stem}pha3.fits": _gz(source, region_of),
        f"{stem}arf3.fits": _gz(arf_hdu(area, edges)),
    }


def _gz(*hdus: Any) -> bytes:
    sink = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(sink, output_verify="silentfix")
    return gzip.compress(sink.getvalue(), mtime=0)
