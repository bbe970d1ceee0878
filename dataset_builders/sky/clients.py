"""Clients of the services that a build asks, each made when it is first used."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from .literature import embeddings
from .services.ads import Ads, ads_service
from .services.archive import SpectrumArchive
from .services.full_texts import ArxivService, FullTexts
from .services.polite_session import Service
from .services.tap import TapClient
from .settings import Options, Services
from .work.queue import WorkQueue
from .work.response_cache import ResponseCache


class Clients:
    """Clients that share the queue and the request rates of one work folder.

    Args:
        work: the folder.
        queue: its queue.
        services: addresses and request rates.
        options: of the build.
    """

    def __init__(self, work: Path, queue: WorkQueue, services: Services, options: Options) -> None:
        self.work = work
        self.queue = queue
        self.services = services
        self.options = options

    @cached_property
    def csc(self) -> TapClient:
        """Chandra Source Catalog."""
        return self._tap(
            "Chandra Source Catalog", self.services.csc_tap, self.services.csc_per_second
        )

    @cached_property
    def simbad(self) -> TapClient:
        """SIMBAD."""
        return self._tap("SIMBAD", self.services.simbad_tap, self.services.simbad_per_second)

    @cached_property
    def archive(self) -> SpectrumArchive:
        """Chandra archive."""
        return SpectrumArchive(
            self._service("Chandra archive", self.services.archive_per_second),
            self.queue,
            self.work,
            url=self.services.archive,
            kinds=self.options.kinds,
            max_disk=self.options.max_disk,
            batch=self.options.batch,
            workers=self.options.workers,
        )

    @cached_property
    def ads(self) -> Ads:
        """NASA's Astrophysics Data System."""
        service = ads_service(
            patience=self.services.patience,
            pace_file=self.work / "pace" / "ads",
            per_second=self.services.ads_per_second,
        )
        return Ads(service, self.queue, url=self.services.ads)

    @cached_property
    def full_texts(self) -> FullTexts:
        """Open full texts from arXiv."""
        service = self._service("arXiv", self.services.arxiv_per_second)
        return FullTexts(ArxivService(service, self.services.arxiv), self.queue, self.work)

    @cached_property
    def embedder(self) -> Any:
        """Embedder that the options name, behind a cache in the work folder; None for none."""
        if self.options.embedder is None:
            return None
        from hf_specclip.literature import get_embedder

        return get_embedder(
            self.options.embedder,
            cache_dir=self.work / embeddings.CACHE_FOLDER,
            base_url=self.options.embedder_url,
        )

    def _tap(self, name: str, url: str, per_second: float) -> TapClient:
        return TapClient(url, self._service(name, per_second), cache=ResponseCache(self.queue))

    def _service(self, name: str, per_second: float) -> Service:
        pace = self.work / "pace" / name.lower().replace(" ", "-")
        return Service(name, per_second=per_second, patience=self.services.patience, pace_file=pace)


__all__ = ["Clients"]
