"""Truth about a source, and the papers about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, pi

MPC_IN_CM = 3.0857e24


@dataclass(frozen=True)
class Paper:
    """Invented paper."""

    id: str
    title: str
    year: int

    def row(self) -> dict[str, object]:
        """Return the paper as the contract's `papers` has it; its type keeps it from being
        linked to ADS.
        """
        return {"id": self.id, "id_type": "simulated", "title": self.title, "year": self.year}


@dataclass(frozen=True)
class Facts:
    """Truth about a source, from which its summary is drawn."""

    name: str  # `2CXO J…`
    class_name: str  # key of `source_classes.CLASSES`
    field_kind: str  # key of `source_classes.FIELD_KINDS`
    place: int  # number within the field; 0 is in the middle
    host: str  # name of the field or host
    distance_mpc: float  # of the host, nan where there is none
    foreground_nh: float  # Galactic column, 1e22 cm⁻²
    papers: Sequence[Paper]  # the papers about it
    flux: float  # absorbed, 0.5–7 keV, erg/cm²/s
    photons: float  # counts expected on axis from an exposure as long as is usual for its field
    # hardness, medium_soft: the catalogue's `hard_hs` and `hard_ms`, without noise
    hardness: float
    medium_soft: float
    # first, second, shape, shape2, share2, nh, abundance, redshift: see `populations.Spectra`
    first: float
    second: float
    shape: float
    shape2: float
    share2: float
    nh: float
    abundance: float
    redshift: float

    @property
    def position(self) -> str:
        """Return the part of the name that is a position, `JHHMMSS.s±DDMMSS`."""
        return self.name.removeprefix("2CXO ").rstrip("X")

    @property
    def short_position(self) -> str:
        """Return the position to minutes, `JHHMM±DDMM`."""
        return self.position[:5] + self.position[9:14]

    @property
    def is_at_known_distance(self) -> bool:
        """Return True for a source that lies at its host's distance, which is known."""
        return self.redshift == 0.0 and self.field_kind != "cluster" and isfinite(self.distance_mpc)

    @property
    def luminosity(self) -> float:
        """Return 4πd² times the flux, erg/s; nan without a distance."""
        return 4 * pi * (self.distance_mpc * MPC_IN_CM) ** 2 * self.flux
