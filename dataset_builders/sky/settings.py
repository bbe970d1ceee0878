"""Settings of a build, which are also the options of its command.

Fields declared with `option` become command-line options, documented by their help.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hf_specclip.cli.arguments import choices_of, comma_separated
from hf_specclip.errors import SpecCLIPError

from ..splits import SURVEY_LIMIT
from .literature.batches import POLL_SECONDS
from .literature.bibliography import PAPERS_EACH
from .services import full_texts, simbad
from .services.ads import ADS
from .services.archive import CSCCLI, KINDS
from .services.catalogue import CSC_TAP, LIMITS
from .services.http_session import RetryPolicy


class BuildError(SpecCLIPError, RuntimeError):
    """Build that cannot continue; the message says what to do."""


def option(default: Any, help: str = argparse.SUPPRESS, **settings: Any) -> Any:
    """Declare a dataclass field that is also a command-line option."""
    if isinstance(default, bool):
        settings["action"] = f"store_{not default}".lower()
    return field(default=default, metadata={"help": help, **settings})


def add_options(parser: argparse.ArgumentParser, dataclass: type) -> None:
    """Add the options of a dataclass to a parser."""
    for setting in fields(dataclass):
        settings = dict(setting.metadata)
        flag = settings.pop("flag", f"--{setting.name.replace('_', '-')}")
        if settings:
            parser.add_argument(flag, dest=setting.name, default=setting.default, **settings)


def from_options(dataclass: type, options: Mapping[str, Any]) -> Any:
    """Create a dataclass from parsed options."""
    return dataclass(**{f.name: options[f.name] for f in fields(dataclass) if f.name in options})


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 20GB")
    return int(float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2]])


@dataclass(frozen=True)
class Selection:
    """Selection of sources: the union of all criteria, with cuts on the detections."""

    names: tuple[str, ...] = option((), "file of source names or positions", type=Path)
    cone: tuple[float, float, float] | None = option(
        None, "cone search, degrees", type=float, nargs=3, metavar=("RA", "DEC", "RADIUS")
    )
    otype: str | None = option(None, "SIMBAD type, such as LXB, QSO or CV*", flag="--class")
    adql: str | None = option(None, "file with a query that returns a column `name`", type=Path)
    everything: bool = option(False, "the full catalogue")
    min_significance: float | None = option(None, "min. broad-band flux significance", type=float)
    min_counts: float | None = option(None, "min. net counts, broad band", type=float)
    max_theta: float | None = option(None, "max. off-axis angle, arcmin", type=float)

    def summary(self) -> dict[str, Any]:
        """Return the criteria in use; a list of names is replaced by its length."""
        criteria = {
            **vars(self),
            "names": len(self.names) or None,
            "cone": list(self.cone) if self.cone else None,
            "everything": self.everything or None,
        }
        return {name: value for name, value in criteria.items() if value is not None}

    @property
    def limits(self) -> dict[str, float]:
        """Cuts on the detections; see `catalogue.LIMITS`."""
        return {name: value for name, value in self.summary().items() if name in LIMITS}


@dataclass(frozen=True)
class Services:
    """Addresses of the services, request rates (per second) and retry policy."""

    csc_tap: str = option(CSC_TAP)
    archive: str = option(CSCCLI)
    simbad_tap: str = option(simbad.SIMBAD_TAP)
    ads: str = option(ADS)
    arxiv: tuple[str, ...] = option(full_texts.ARXIV, type=comma_separated)
    model_poll: float = option(POLL_SECONDS, type=float)
    retry_policy: RetryPolicy | None = None
    csc_per_second: float = 2.0
    archive_per_second: float = 3.0
    simbad_per_second: float = simbad.PER_SECOND
    ads_per_second: float = 3.0
    arxiv_per_second: float = full_texts.PER_SECOND


@dataclass(frozen=True)
class Options:
    """Options of the dataset."""

    kinds: tuple[str, ...] = option(
        tuple(KINDS),
        f"data products to download (default {','.join(KINDS)})",
        type=choices_of(tuple(KINDS)),
    )
    max_disk: int | None = option(None, "limit for the spectra, such as 50GB", type=_bytes)
    batch: int = 20  # detections per request to the archive
    workers: int = 4  # concurrent requests to the archive
    unpaired: bool = option(False, "also spectra of sources without papers, for pretraining")
    full_texts: bool = option(False, "summarise full texts from arXiv where available")
    search_objects: bool = option(True, "skip the ADS search by object", flag="--no-object-search")
    papers_each: int = option(PAPERS_EACH, "papers per summary (%(default)s)", type=int)
    survey_limit: int = option(SURVEY_LIMIT, "max. sources of a non-survey paper", type=int)
    embedder: str | None = option(None, "text embedder: offline, openai[:MODEL] or local:PATH")
    embedder_url: str | None = option(None, "OpenAI-compatible server for --embedder openai")
    model_batches: bool = option(False, "use the Batch API: half the price, within a day")
    seed: int = option(0, "seed of the splits (%(default)s)", type=int)
