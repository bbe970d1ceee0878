"""Settings of a build: the sources wanted, the services asked, and how the dataset is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hf_specclip.errors import SpecCLIPError

from ..splits import SURVEY_LIMIT
from .literature.batches import POLL_SECONDS
from .literature.bibliography import PAPERS_EACH
from .services import full_texts, simbad
from .services.ads import ADS
from .services.archive import CSCCLI
from .services.catalogue import CSC_TAP, Limits
from .services.polite_session import Patience
from .services.products import KINDS

# Characters of a user's ADQL that go onto the card.
_SHOWN_ADQL = 2000


class BuildError(SpecCLIPError, RuntimeError):
    """A build that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Selection:
    """Sources wanted; several ways to name them add up.

    Attributes:
        names: names or positions in degrees.
        cone: right ascension, declination, radius, degrees.
        otype: a type of SIMBAD.
        adql: a query whose answer has a column `name`.
        everything: the whole catalogue.
        limits: on detections.
    """

    names: tuple[str, ...] = ()
    cone: tuple[float, float, float] | None = None
    otype: str | None = None
    adql: str | None = None
    everything: bool = False
    limits: Limits = field(default_factory=Limits)

    def facts(self) -> dict[str, Any]:
        """Return the selection for the card; a long list of names is only counted."""
        limits = {k: v for k, v in vars(self.limits).items() if v is not None}
        facts = {
            "names": len(self.names) or None,
            "cone": list(self.cone) if self.cone else None,
            "otype": self.otype,
            "adql": self.adql[:_SHOWN_ADQL] if self.adql else None,
            "everything": self.everything or None,
            **limits,
        }
        return {name: value for name, value in facts.items() if value is not None}


@dataclass(frozen=True)
class Services:
    """Addresses of the services, requests a second to each, and patience with failures."""

    csc_tap: str = CSC_TAP
    archive: str = CSCCLI
    simbad_tap: str = simbad.SIMBAD_TAP
    ads: str = ADS
    arxiv: tuple[str, ...] = full_texts.ARXIV
    patience: Patience | None = None
    csc_per_second: float = 2.0
    archive_per_second: float = 3.0
    simbad_per_second: float = simbad.PER_SECOND
    ads_per_second: float = 3.0
    arxiv_per_second: float = full_texts.PER_SECOND
    model_poll: float = POLL_SECONDS


@dataclass(frozen=True)
class Options:
    """Choices in the making of the dataset.

    Attributes:
        kinds: of archive files.
        max_disk: bytes of archive files, or None.
        batch, workers: detections in a request to the archive, and requests at once.
        search_objects: ask ADS for papers about each object, beside SIMBAD's references.
        papers_each: papers behind a summary.
        survey_limit: a paper behind more sources is a survey.
        full_texts: read open full texts where there are any, not only abstracts.
        unpaired: fetch spectra of sources without any paper, too, for pretraining.
        embedder: see `hf_specclip.literature.get_embedder`, or None for no embeddings.
        embedder_url: of an OpenAI-compatible server for it, or None.
        model_batches: send questions to the model as batches (half the price, within a day).
        seed: of the splits.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    max_disk: int | None = None
    batch: int = 20
    workers: int = 4
    search_objects: bool = True
    papers_each: int = PAPERS_EACH
    survey_limit: int = SURVEY_LIMIT
    full_texts: bool = False
    unpaired: bool = False
    embedder: str | None = None
    embedder_url: str | None = None
    model_batches: bool = False
    seed: int = 0
