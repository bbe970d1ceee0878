"""Helpers to run builds on local services."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from world import World

from specclip_datasets.folder import read_dataset
from specclip_datasets.sky.build import STAGES, Build
from specclip_datasets.sky.literature.bibliography import RankedPaper, SourceLiterature
from specclip_datasets.sky.literature.chat_model import ChatModel
from specclip_datasets.sky.literature.summaries import ModelSummariser
from specclip_datasets.sky.services.http_session import RetryPolicy, Service
from specclip_datasets.sky.services.tap import TapClient
from specclip_datasets.sky.settings import Options, Selection, Services
from specclip_datasets.sky.work.store import Store

TOKEN = "MARKED-build-token-2342"
KEY = "sk-MARKED-model-key-7151"
QUICK = RetryPolicy(attempts=6, initial_backoff=0.01, max_backoff=0.05, read_timeout=5.0)
FAST: dict[str, Any] = {f"{name}_per_second": 500.0 for name in ("csc", "archive", "simbad", "ads")}
FAST |= {"arxiv_per_second": 500.0, "model_poll": 0.02}


def build(world, work, names=None, *, model=False, whole=False, **options) -> Build:
    """Return a build, optionally with a language model, or with all stages (`whole`)."""
    options = {"kinds": ("spectrum", "arf"), "batch": 4, "workers": 2, "survey_limit": 5, **options}
    if whole:
        options = {
            "full_texts": True,
            "embedder": "openai",
            "embedder_url": world.vectors.base_url,
            **options,
        }
    summariser = None
    if model or whole:
        chat = ChatModel(Store(work), base_url=world.chat.base_url)
        summariser = ModelSummariser(chat, workers=2)
    return Build(
        work,
        Selection(names=tuple(world.names if names is None else names)),
        Services(**world.services, retry_policy=QUICK, **FAST),
        Options(**options),
        summariser=summariser,
    )


@contextmanager
def built_world(root: Path, whole: bool = False, change: Callable = lambda world: None):
    """Yield a world, changed, after its build into the folders `work` and `dataset` of `root`."""
    with World(token=TOKEN) as world, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADS_DEV_KEY", TOKEN)
        patch.setenv("OPENAI_API_KEY", KEY)
        change(world)
        build(world, root / "work", whole=whole).run(STAGES, root / "dataset")
        yield world


def tap_client(server, retry_policy=QUICK, name="SIMBAD") -> TapClient:
    """Return a client of a TAP server without a limit of its rate."""
    return TapClient(f"{server.url}/tap", Service(name, per_second=1000, retry_policy=retry_policy))


def paper(number=0, abstract="The source is a neutron star with a photon index of 1.7."):
    """Return a paper about one source."""
    return RankedPaper(
        id=f"2010ApJ...700..{100 + number}A",
        title=f"On X-{number}",
        abstract=abstract,
        year=2010,
        about="source",
        xray=True,
        score=3.0,
        survey=False,
        sources=1,
    )


def source(number=0, papers=None) -> SourceLiterature:
    """Return a source with its papers, by default one."""
    papers = [paper(number)] if papers is None else papers
    return SourceLiterature(f"2CXO J{number:06d}.0+000000", ("X-1",), "LXB", "M 31", tuple(papers))


class Sources(list):
    """Stand-in for `Literature`."""

    def get(self, name):
        return next((each for each in self if each.name == name), None)


def summariser_of(server, folder, *, workers=4, **settings) -> ModelSummariser:
    """Return a summariser that uses a chat server and caches in a folder."""
    settings = {"max_retries": 2, **settings}
    chat = ChatModel(Store(folder), base_url=server.base_url, **settings)
    return ModelSummariser(chat, workers=workers)


def digest(folder: Path) -> str:
    """Return the hash of all files in a folder and their names."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def rows_of(folder: Path):
    """Return all rows of a dataset, and its description."""
    splits, info = read_dataset(folder)
    return [row for part in splits.values() for row in part], info
