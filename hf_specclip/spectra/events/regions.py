"""Source and background regions in the sky pixels of an event list, as DS9 and CIAO write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import Angle, SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray

from ..ogip.errors import SpectrumFileError

MAX_REGION_BYTES = 1 << 20
_GRID = 1500  # points a side, where shapes overlap: areas to about 0.1 %
_FRAMES = {"fk5": "fk5", "j2000": "fk5", "icrs": "icrs", "galactic": "galactic"}
_OTHER_FRAMES = ("image", "fk4", "b1950", "ecliptic", "detector", "amplifier", "linear", "wcs")
_SHAPE = re.compile(r"([-+!&*|\s]*)([a-z]+)\s*\(([^()]*)\)", re.IGNORECASE)
_UNITS = {'"': "arcsec", "'": "arcmin", "d": "deg"}
_MEND = "draw circles or annuli, saved in DS9's format (fk5, icrs or physical) or CIAO's"


@dataclass(frozen=True)
class SkyPixels:
    """Sky coordinates of an event list.

    Attributes:
        wcs: tangent plane, whose pixels are the values of X and Y.
        frame: `icrs` or `fk5`.
        scale: arcsec a pixel.
    """

    wcs: WCS
    frame: str
    scale: float

    def pixels(self, position: SkyCoord) -> tuple[float, float]:
        """Convert a position to X and Y. Raises ValueError beyond 90° from the field."""
        there = position.transform_to(self.frame)
        x, y = self.wcs.all_world2pix([[there.ra.deg, there.dec.deg]], 1)[0]
        if not np.isfinite(x + y):
            where = position.to_string("decimal", precision=4)
            raise ValueError(f"{where} lies outside the field, beyond 90°: check the position")
        return float(x), float(y)

    def position(self, x: float, y: float) -> SkyCoord:
        """Convert X and Y to a position, ICRS."""
        ra, dec = self.wcs.all_pix2world([[x, y]], 1)[0]
        return SkyCoord(ra, dec, unit="deg", frame=self.frame).icrs


@dataclass(frozen=True)
class Ring:
    """Annulus, or circle where `inner` is 0; in sky pixels."""

    x: float
    y: float
    inner: float
    outer: float

    def holds(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return True for points inside."""
        square = (x - np.float64(self.x)) ** 2 + (y - np.float64(self.y)) ** 2
        inside = square <= self.outer**2
        return inside & (square > self.inner**2) if self.inner else inside

    @property
    def area(self) -> float:
        """Area, pixels²."""
        return float(np.pi * (self.outer**2 - self.inner**2))


@dataclass(frozen=True)
class Region:
    """Union of shapes, less others.

    Attributes:
        include, exclude: the shapes.
        text: as it is printed.
    """

    include: tuple[Ring, ...]
    exclude: tuple[Ring, ...]
    text: str

    def holds(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return True for points inside."""
        inside = np.logical_or.reduce([ring.holds(x, y) for ring in self.include])
        for ring in self.exclude:
            inside &= ~ring.holds(x, y)
        return inside

    @property
    def area(self) -> float:
        """Area, pixels²; counted on a grid where shapes may overlap."""
        if len(self.include) == 1 and not self.exclude:
            return self.include[0].area
        low = np.array([(ring.x - ring.outer, ring.y - ring.outer) for ring in self.include])
        high = np.array([(ring.x + ring.outer, ring.y + ring.outer) for ring in self.include])
        sides = high.max(axis=0) - low.min(axis=0)
        steps = (np.arange(_GRID) + 0.5) / _GRID
        x, y = (low.min(axis=0)[axis] + sides[axis] * steps for axis in (0, 1))
        return float(self.holds(x[None, :], y[:, None]).mean() * sides.prod())


def ring_at(sky: SkyPixels, position: SkyCoord, inner: Angle, outer: Angle) -> Region:
    """Make a circle (`inner` 0) or annulus. Raises ValueError for radii that do not grow."""
    radii = [float(angle.to_value("arcsec")) for angle in (inner, outer)]
    name = f"circle of {radii[1]:g}″" if not radii[0] else f"annulus of {radii[0]:g}–{radii[1]:g}″"
    if not 0 <= radii[0] < radii[1] < 7200:
        raise ValueError(f"{name}: no region (radii grow, from 0 to 2 degrees at most)")
    ring = Ring(*sky.pixels(position), *(radius / sky.scale for radius in radii))
    return Region((ring,), (), name)


def source_region(
    sky: SkyPixels, at: str | None, radius: str | float | None, region: str | Path | None
) -> Region:
    """Make the source region: a circle around a position, or of a region file.

    Raises ValueError for neither or both, or text that is not understood.
    """
    if region is not None:
        if at is not None or radius is not None:
            raise ValueError("a position and radius go without a region file")
        return read_region(region, sky)
    words = (at or "").split(",")
    if len(words) != 2:
        raise ValueError(f"{at!r}: give the position as RA,DEC with one comma")
    if radius is None:
        raise ValueError("a position needs a radius, such as --radius 3 (arcsec)")
    return ring_at(sky, parse_position(*words), Angle(0, "deg"), parse_radius(str(radius)))


def background_region(sky: SkyPixels, text: str | Path, source: Region) -> Region:
    """Make the background region: `annulus:IN,OUT` around the source, or of a region file."""
    kind, _, radii = str(text).partition(":")
    if kind.lower() != "annulus":
        if not Path(text).exists():
            raise ValueError(f"{text} is neither annulus:IN,OUT nor a region file")
        return read_region(text, sky)
    words = radii.split(",")
    if len(words) != 2:
        raise ValueError(f"{text}: give annulus:IN,OUT")
    ring = source.include[0]
    return ring_at(sky, sky.position(ring.x, ring.y), *map(parse_radius, words))


def read_region(path: str | Path, sky: SkyPixels) -> Region:
    """Read a region file: circles and annuli, some of which may be excluded (`-circle(…)`).

    Raises:
        SpectrumFileError: no file, another shape, or coordinates that are not understood.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_REGION_BYTES:
            raise SpectrumFileError("is too large", path=path, mend=_MEND)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not text"
        raise SpectrumFileError(f"region file: {reason}", path=path, mend=_MEND) from None
    shapes: dict[bool, list[Ring]] = {True: [], False: []}
    frame = "physical"
    for part in _parts(text):
        word = part.lower()
        if word == "physical" or word in _FRAMES:
            frame = _FRAMES.get(word, word)
            continue
        if word in _OTHER_FRAMES:
            mend = "save it in fk5, icrs or physical coordinates"
            raise SpectrumFileError(f"{part} coordinates are not read", path=path, mend=mend)
        if _SHAPE.sub("", part).strip():
            raise SpectrumFileError(f"{part!r} is not understood", path=path, mend=_MEND)
        for sign, name, inside in _SHAPE.findall(part):
            try:
                ring = _ring(name.lower(), [word.strip() for word in inside.split(",")], frame, sky)
            except ValueError as error:
                raise SpectrumFileError(f"{part!r}: {error}", path=path, mend=_MEND) from None
            shapes["-" not in sign and "!" not in sign].append(ring)
    if not shapes[True]:
        raise SpectrumFileError("holds no circle or annulus", path=path, mend=_MEND)
    number = len(shapes[True]) + len(shapes[False])
    text = f"region of {path.name} ({number} shape{'s' if number > 1 else ''})"
    return Region(tuple(shapes[True]), tuple(shapes[False]), text)


def parse_radius(text: str) -> Angle:
    """Parse a radius: arcsec, or with a unit such as `0.5'` or `30arcsec`. Raises ValueError."""
    word = text.strip().replace("″", '"').replace("′", "'").replace("''", '"')
    try:
        if word[-1:] in _UNITS:
            return Angle(float(word[:-1]), _UNITS[word[-1]])
        return Angle(word, "arcsec")
    except ValueError:
        raise ValueError(f"{text!r} is not a radius: give arcsec, or 0.5arcmin") from None


def parse_position(longitude: str, latitude: str, frame: str = "icrs") -> SkyCoord:
    """Parse degrees, or sexagesimal hours and degrees. Raises ValueError."""
    sexagesimal = bool(re.search(r"[:h ]", longitude.strip()))
    unit = ("hourangle" if sexagesimal and frame != "galactic" else "deg", "deg")
    try:
        if not sexagesimal and not 0 <= float(longitude.rstrip("d")) <= 360:
            raise ValueError("0 to 360 degrees")
        return SkyCoord(longitude.rstrip("d"), latitude.rstrip("d"), unit=unit, frame=frame)
    except ValueError as error:
        why = f"{longitude},{latitude} is not a position in degrees or hours and degrees ({error})"
        raise ValueError(why) from None


def _parts(text: str) -> Iterator[str]:
    """Give the frames and shapes of a region file."""
    for line in text.splitlines():
        for part in line.split("#")[0].split(";"):
            if part.strip() and not part.strip().lower().startswith("global"):
                yield part.strip()


def _ring(name: str, words: list[str], frame: str, sky: SkyPixels) -> Ring:
    if name not in ("circle", "annulus") or len(words) != (3 if name == "circle" else 4):
        raise ValueError("neither a circle nor an annulus of one ring")
    if ":" in words[0] and frame == "physical":  # CIAO names no frame
        frame = sky.frame
    if frame == "physical":
        x, y = float(words[0]), float(words[1])
    else:
        x, y = sky.pixels(parse_position(words[0], words[1], frame))
    radii = [0.0] if name == "circle" else []
    for word in words[2:]:
        if word[-1:] in _UNITS or frame != "physical":
            angle = parse_radius(word if word[-1:] in _UNITS else f"{word}d")
            radii.append(float(angle.to_value("arcsec") / sky.scale))
        else:
            radii.append(float(word))
    inner, outer = radii
    if not (0 <= inner < outer and np.isfinite([x, y, outer]).all()):
        raise ValueError("radii that do not grow, or no finite position")
    return Ring(x, y, inner, outer)
