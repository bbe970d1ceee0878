"""All test servers, on one simulated sky."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from ads_server import AdsServer
from archive_server import N_ACIS_CHANNELS, ArchiveServer, acis_files
from arxiv_server import ArxivServer
from chat_server import ChatServer, full_summary
from csc_tables import Sky
from faulty import FaultyServer
from simbad_tables import load_simbad
from tap_server import TapServer
from vectors_server import VectorsServer

TYPES = ("LXB", "QSO", "CV*", "HXB")
SURVEY = "2019ApJS..240....1S"


class World:
    """Sources with two papers each, and a survey about all of them.

    Attributes:
        sky: catalogue.
        csc, simbad, archive, ads, arxiv, chat, vectors: servers.
    """

    def __init__(
        self, n: int = 12, per_source: int = 2, *, observations: int = 12, token: str = "t0ken"
    ) -> None:
        self.sky = Sky(n, per_source, observations)
        self.token = token
        self.archive = ArchiveServer(dict(map(self._files, self.sky.detections)))
        self.csc = self.sky.load(TapServer(kind="csc"))
        objects, papers, references = [], [], []
        for i, row in enumerate(self.sky.master):
            name = f"XYZ {1000 + i}"
            about = {"oid": 100 + i, "main_id": name, "otype": TYPES[i % len(TYPES)]}
            place = {key: row[key] for key in ("ra", "dec")}
            objects.append({**about, **place, "names": [row["name"], name]})
            titles = (f"{name} in optical light", f"The X-ray spectrum of {name}")
            for k, title in enumerate(titles):
                code = f"{2001 + i % 20}ApJ...{100 + i}..{100 + k}A"
                paper = {"bibcode": code, "year": int(code[:4]), "title": title}
                papers.append({**paper, "nbobject": 1 + k})
                references.append((100 + i, code, 3))
            references.append((100 + i, SURVEY, 1))
        survey = {"bibcode": SURVEY, "year": 2019, "title": "A survey", "nbobject": 90_000}
        self.simbad = load_simbad(TapServer(), objects, [*papers, survey], references)
        known = [
            {
                "bibcode": paper["bibcode"], "title": paper["title"], "year": str(paper["year"]),
                "identifier": [paper["bibcode"], f"arXiv:2001.{number:05d}"],
                "abstract": self._abstract(number, paper["title"]),
            }
            for number, paper in enumerate([*papers, survey])
        ]  # fmt: skip
        codes = [paper["bibcode"] for paper in papers]
        about = {100 + i: codes[2 * i : 2 * i + 2] for i in range(n)}
        self.ads = AdsServer(known, about, token)
        # Every second paper has a full text.
        parts = [part * 120 for part in ("First. ", "Second. ", "Third. ")]
        texts = {}
        for number in range(0, len(known), 2):
            abstract = self._abstract(number, "This paper")
            texts[f"2001.{number:05d}"] = [f"{abstract} {part}" for part in parts]
        self.arxiv = ArxivServer(texts)
        self.chat, self.vectors = ChatServer(full_summary), VectorsServer()
        self.servers = [each for each in vars(self).values() if isinstance(each, FaultyServer)]

    def __enter__(self) -> World:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)

    @property
    def services(self) -> dict[str, str]:
        """Addresses, by field of `Services`."""
        return {
            "csc_tap": f"{self.csc.url}/tap",
            "simbad_tap": f"{self.simbad.url}/tap",
            "archive": f"{self.archive.url}/csccli",
            "ads": self.ads.url,
            "arxiv": self.arxiv.urls,
        }

    @property
    def arguments(self) -> list[str]:
        """Addresses and high request rates as command-line options."""
        addresses = {**self.services, "arxiv": self.services["arxiv"][0]}
        words = [f"--{name.replace('_', '-')}={url}" for name, url in addresses.items()]
        return [*words, "--per-second=500", "--model-poll=0.02"]

    @property
    def names(self) -> list[str]:
        """Names of all sources."""
        return [row["name"] for row in self.sky.master]

    def requests(self) -> int:
        """Return the number of requests to all servers."""
        return sum(len(server.requests) for server in self.servers)

    @staticmethod
    def _files(row: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
        random = np.random.default_rng([row["obsid"], row["region_id"]])
        energy = 0.0146 * (np.arange(N_ACIS_CHANNELS) + 0.5)
        shape = np.where(energy > 0.3, np.exp(-energy / (1 + row["region_id"] % 4)), 0.0)
        counts = random.poisson(300 * shape / shape.sum())
        behind = random.poisson(0.2, N_ACIS_CHANNELS)
        name = f"{row['obsid']}.{row['obi']}.{row['region_id']}"
        return name, acis_files(name, counts, behind, exposure=row["livetime"], scale=0.05)

    @staticmethod
    def _abstract(number: int, title: str) -> str:
        index = 1.2 + number % 13 / 10
        return (
            f"We present {title} as seen with Chandra. The spectrum is an absorbed power law with "
            f"a photon index of {index:.1f} and a column density of {2 + number % 7}e21 cm^-2. "
            "The source is a compact object that accretes from its companion."
        )
