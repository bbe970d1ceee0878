"""Sources of an index near a spectrum, on the sky and in the shared space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from ..search.index import Hit, SpecCLIPIndex
from ..search.map import average_positions
from .hits import as_float
from .inputs import find_source

# Search radii around a source position and a target position, arcsec. Error ellipses of the
# catalogue are 1″ on axis and several ″ off axis; target positions come from other catalogues.
SOURCE_RADIUS, TARGET_RADIUS = 3.0, 5.0
_ARCSEC = 3600.0
_MAX_AT_POSITION = 3
# Number of neighbours averaged for a map position.
_MAP_NEIGHBOURS = 5


def hits_at_position(
    index: SpecCLIPIndex | None, facts: Mapping[str, Any]
) -> list[tuple[Hit, float]]:
    """Find the sources of an index at the position of a spectrum, nearest first.

    Args:
        index: the index, or None.
        facts: see `spectrum_facts`; the position of the source, else of the target, is used.

    Returns:
        Hits with score 0, and their separations in arcsec.
    """
    position = position_of(facts)
    if index is None or position is None:
        return []
    ra, dec, radius = position
    near = index.within(ra, dec, radius / _ARCSEC)[:_MAX_AT_POSITION]
    return [
        (Hit(rank, 0.0, match.entry, match.row), round(_ARCSEC * match.separation, 2))
        for rank, match in enumerate(near, 1)
    ]


def position_of(facts: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return the position of the source, else of the target (degrees), and a search radius (″)."""
    for names, radius in ((("ra", "dec"), SOURCE_RADIUS),
                          (("target_ra", "target_dec"), TARGET_RADIUS)):  # fmt: skip
        ra, dec = (as_float(facts.get(name)) for name in names)
        if ra is not None and dec is not None:
            return ra, dec, radius
    return None


def position_name(facts: Mapping[str, Any]) -> str:
    """Return a name for the position in the header of a spectrum, of the source or the target."""
    of_source = as_float(facts.get("ra")) is not None and as_float(facts.get("dec")) is not None
    return "the source position" if of_source else "the target position"


def position_links(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return links to searches at the position of a spectrum, by service; nothing is sent."""
    position = position_of(facts)
    if position is None:
        return {}
    ra, dec, radius = position
    where = f"{ra:.6f} {dec:+.6f}"
    simbad = {"Coord": where, "Radius": radius, "Radius.unit": "arcsec"}
    ned = {
        "search_type": "Near Position Search", "in_csys": "Equatorial", "in_equinox": "J2000",
        "ra": f"{ra:.6f}d", "dec": f"{dec:+.6f}d", "radius": f"{radius / 60:.3f}",
    }  # fmt: skip
    csc = {"RA": f"{ra:.6f}", "DEC": f"{dec:.6f}", "SR": f"{radius / _ARCSEC:.6f}"}
    ads = f'object:"{where}:0 {max(1, round(radius / 60))}"'
    return {
        "SIMBAD": f"https://simbad.cds.unistra.fr/simbad/sim-coo?{urlencode(simbad)}",
        "NED": f"https://ned.ipac.caltech.edu/conesearch?{urlencode(ned)}",
        "ADS": f"https://ui.adsabs.harvard.edu/search/q={quote(ads)}",
        "Chandra Source Catalog": f"https://cda.cfa.harvard.edu/csc21scs/coneSearch?{urlencode(csc)}",
    }


def stored_map(index: SpecCLIPIndex) -> dict[str, Any]:
    """Return the map that an index keeps; see `Describer.map_points`.

    Raises:
        ValueError: for an index without a map.
    """
    if "map" not in index.spectra.columns:
        raise ValueError("the index has no map: build it with this version")
    entries = index.spectra.entries
    return {
        "positions": np.array(index.spectra.columns["map"], np.float32),
        "ids": [entry["id"] for entry in entries],
        "names": [str(entry.get("source_name") or entry["id"]) for entry in entries],
        "classes": [entry.get("class") for entry in entries],
        "splits": [entry.get("split") for entry in entries],
    }


def map_position(
    index: SpecCLIPIndex | None, neighbours: Sequence[Hit]
) -> tuple[float, float] | None:
    """Return the map position of a spectrum, interpolated between its nearest neighbours."""
    if index is None or not neighbours or "map" not in index.spectra.columns:
        return None
    nearest = neighbours[:_MAP_NEIGHBOURS]
    positions = index.spectra.columns["map"][[hit.row for hit in nearest]]
    x, y = average_positions(np.array([[hit.score for hit in nearest]]), positions[None])[0]
    return float(x), float(y)


def group_of(index: SpecCLIPIndex | None, name: str, row: int) -> str:
    """Return the group of a source in the index; for an unknown source, a unique group."""
    entry_row = find_source(index, name)
    if index is not None and entry_row is not None:
        group = index.spectra.entries[entry_row].get("group")
        if isinstance(group, str):
            return group
    return f"\0{row}"


def nearest_per_source(
    hits: Sequence[Hit], top_k: int | None = None, without: Sequence[str] = ()
) -> list[Hit]:
    """Keep the nearest spectrum of each source.

    Args:
        hits: spectra, nearest first.
        top_k: number of sources (default: all). If none of them has a paper, the nearest source
            with a paper is added.
        without: names of sources to exclude.
    """
    names = set(without)
    sources: list[Hit] = []
    for hit in hits:
        name = str(hit.entry.get("source_name") or hit.entry["id"])
        if name not in names:
            names.add(name)
            sources.append(replace(hit, rank=len(sources) + 1))
    nearest = sources[:top_k]
    if not any(hit.entry.get("papers") for hit in nearest):
        nearest += [hit for hit in sources[len(nearest) :] if hit.entry.get("papers")][:1]
    return nearest
