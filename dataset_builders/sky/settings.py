"""Settings of a build, which are also the options of its command.

A field with a `help` is an option of the command under its name, and its help is its documentation.
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
from .services.polite_session import Patience


class BuildError(SpecCLIPError, RuntimeError):
    """A build that cannot go on; the message says what to do."""


def option(default: Any, help: str = argparse.SUPPRESS, **settings: Any) -> Any:
    """Declare a field that is an option of the command, too."""
    if isinstance(default, bool):
        settings["action"] = f"store_{not default}".lower()
    return field(default=default, metadata={"help": help, **settings})


def add_options(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add the fields of a dataclass of settings to a parser."""
    for of in fields(kind):
        settings = dict(of.metadata)
        flag = settings.pop("flag", f"--{of.name.replace('_', '-')}")
        if settings:
            parser.add_argument(flag, dest=of.name, default=of.default, **settings)


def settings_of(kind: type, given: Mapping[str, Any]) -> Any:
    """Make a dataclass of settings of parsed options."""
    return kind(**{of.name: given[of.name] for of in fields(kind) if of.name in given})


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size: use a form such as 500MB or 20GB"
        )
    return int(float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2]])


@dataclass(frozen=True)
class Selection:
    """Sources wanted; several ways to name them add up."""

    names: tuple[str, ...] = option(
        (), "file with a name or a position, degrees, a line", type=Path
    )
    cone: tuple[float, float, float] | None = option(
        None, "degrees", type=float, nargs=3, metavar=("RA", "DEC", "RADIUS")
    )
    otype: str | None = option(None, "SIMBAD type, such as LXB, HXB, QSO or CV*", flag="--class")
    adql: str | None = option(None, "file with a question that gives a column `name`", type=Path)
    everything: bool = option(False, "the whole catalogue")
    min_significance: float | None = option(None, "of the broad-band flux", type=float)
    min_counts: float | None = option(None, "of the source, broad band aperture", type=float)
    max_theta: float | None = option(None, "off-axis angle, arcmin", type=float)

    def facts(self) -> dict[str, Any]:
        """Return the selection for the card; a long list of names is only counted."""
        facts = {
            **vars(self),
            "names": len(self.names) or None,
            "cone": list(self.cone) if self.cone else None,
            "everything": self.everything or None,
        }
        return {name: value for name, value in facts.items() if value is not None}

    @property
    def limits(self) -> dict[str, float]:
        """Limits on the detections; see `catalogue.LIMITS`."""
        return {name: value for name, value in self.facts().items() if name in LIMITS}


@dataclass(frozen=True)
class Services:
    """Addresses of the services, requests a second to each, and patience with failures.

    They can be set for services of one's own, which need no politeness (`--per-second`).
    """

    csc_tap: str = option(CSC_TAP)
    archive: str = option(CSCCLI)
    simbad_tap: str = option(simbad.SIMBAD_TAP)
    ads: str = option(ADS)
    arxiv: tuple[str, ...] = option(full_texts.ARXIV, type=comma_separated)
    model_poll: float = option(POLL_SECONDS, type=float)
    patience: Patience | None = None
    csc_per_second: float = 2.0
    archive_per_second: float = 3.0
    simbad_per_second: float = simbad.PER_SECOND
    ads_per_second: float = 3.0
    arxiv_per_second: float = full_texts.PER_SECOND


@dataclass(frozen=True)
class Options:
    """Choices in the making of the dataset."""

    kinds: tuple[str, ...] = option(
        tuple(KINDS), f"files to fetch ({','.join(KINDS)})", type=choices_of(tuple(KINDS))
    )
    max_disk: int | None = option(None, "that spectra may take, such as 50GB", type=_bytes)
    batch: int = 20  # detections in a request to the archive, and requests at once
    workers: int = 4
    unpaired: bool = option(False, "spectra of sources without papers, too, for pretraining")
    full_texts: bool = option(False, "give open full texts to the model, beside abstracts")
    search_objects: bool = option(True, "use only SIMBAD's references", flag="--no-object-search")
    papers_each: int = option(PAPERS_EACH, "behind a summary (%(default)s)", type=int)
    survey_limit: int = option(SURVEY_LIMIT, "sources of a paper that is no survey", type=int)
    embedder: str | None = option(None, "of summaries: offline, openai, openai:MODEL, local:PATH")
    embedder_url: str | None = option(None, "of an OpenAI-compatible server for --embedder openai")
    model_batches: bool = option(False, "ask the model in batches: half the price, within a day")
    seed: int = option(0, "of the splits (%(default)s)", type=int)
