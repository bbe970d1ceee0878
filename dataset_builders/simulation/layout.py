"""Layout of the simulated sky: its fields, their observations and sources, and the detections.

Each of the four has a stream of random numbers of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import instrument, populations, prose
from .detections import HARDENING, REFERENCE_AREA, Detections, Sources, is_detected
from .knobs import Knobs, stream, text_stream
from .source_classes import CLASS_NAMES, FIELD_KINDS, FIELD_NAMES, class_values

MOST_SOURCES, MOST_OBSERVATIONS = 14, 8
# Chance of each further observation of a field.
_MORE_OBSERVATIONS = 0.42
# Slope of the number of sources above a flux, N(>S) ∝ S^−slope.
_SLOPE = 0.6
# Brighter sources pile up; the catalogue masks them.
_MOST_COUNTS_PER_SECOND = 0.3


@dataclass(frozen=True)
class Fields:
    """Fields, arrays (n)."""

    kind: np.ndarray  # index into `FIELD_NAMES`
    n_sources: np.ndarray  # number of sources
    n_observations: np.ndarray  # number of observations
    ra: np.ndarray  # centre, degrees
    dec: np.ndarray  # centre, degrees
    foreground_nh: np.ndarray  # Galactic column, 1e22 cm⁻²
    distance_mpc: np.ndarray  # distance of the host, nan without
    usual_exposure: np.ndarray  # typical exposure of its observations, s
    names: list[str | None]  # name of the host or region, None without

    @property
    def hosts(self) -> list[str | None]:
        """Host that all sources of a field belong to, None where there is none."""
        hosted = [FIELD_KINDS[FIELD_NAMES[kind]].hosted for kind in self.kind]
        return [name if has else None for name, has in zip(self.names, hosted, strict=True)]


@dataclass(frozen=True)
class Layout:
    """Fields, sources and observations of the sky, and every source in every observation."""

    # fields, sources: contents of the sky; sources have no names yet
    fields: Fields
    sources: Sources
    detections: Detections  # all pairs of a source and an observation of its field
    detected: np.ndarray  # True for the pairs bright enough to be in the catalogue, (n)


def lay_out(knobs: Knobs, n_fields: int) -> Layout:
    """Draw a sky; all draws depend on the number of fields."""
    fields = _draw_fields(knobs, n_fields)
    fields, observations, pointing = _draw_observations(knobs, fields)
    sources, offset = _draw_sources(knobs, fields)
    detections = _draw_detections(knobs, fields, observations, pointing, sources, offset)

    net = sources.flux[detections.source] * detections.flux_factor * REFERENCE_AREA
    net *= detections.exposure
    net *= instrument.vignetting(detections.theta, np.array([1.5]))[:, 0]
    rate = instrument.quiescent_background(detections.family)
    behind = rate * instrument.aperture_area(detections.theta) * detections.background
    behind *= detections.exposure
    return Layout(fields, sources, detections, is_detected(net, behind))


def _draw_fields(knobs: Knobs, n: int) -> Fields:
    """Draw fields; their usual exposures come with the observations."""
    random = stream(knobs.seed, "fields")
    kinds = FIELD_KINDS.values()
    weights = np.array([item.weight for item in kinds])
    kind = random.choice(len(FIELD_NAMES), n, p=weights / weights.sum())
    mean = np.array([item.mean_sources for item in kinds])[kind]
    # Geometric numbers: most pointings have one source with a literature, a few have many.
    n_sources = np.minimum(random.geometric(1.0 / (1.0 + mean)), MOST_SOURCES)
    n_observations = np.minimum(random.geometric(1.0 - _MORE_OBSERVATIONS, n), MOST_OBSERVATIONS)
    ra = random.uniform(0.0, 360.0, n)
    dec = np.degrees(np.arcsin(random.uniform(-0.98, 0.98, n)))
    foreground, distance = np.zeros(n), np.full(n, np.nan)
    for index, item in enumerate(kinds):
        rows = kind == index
        foreground[rows] = item.foreground_nh.draw(random, rows.sum())
        if item.distance_mpc is not None:
            distance[rows] = item.distance_mpc.draw(random, rows.sum())
    names = prose.name_fields(
        [FIELD_NAMES[index] for index in kind], text_stream(knobs.seed, "hosts")
    )
    return Fields(
        kind, n_sources, n_observations, ra, dec, foreground, distance, np.zeros(n), names
    )


def _draw_observations(
    knobs: Knobs, fields: Fields
) -> tuple[Fields, dict[str, np.ndarray], np.ndarray]:
    """Draw the observations, field by field.

    Returns:
        Fields with their usual exposures; columns of `Detections` for each observation; offset of
        each pointing from the centre of the field, arcmin, (n, 2).
    """
    random = stream(knobs.seed, "observations")
    n_fields = len(fields.kind)
    field_of = np.repeat(np.arange(n_fields), fields.n_observations)
    n = len(field_of)
    # Who comes back to a field does so with about the same depth: most of the spread of
    # exposures is between fields, a smaller part between the visits to one.
    long = random.random(n_fields) < 0.64
    depth = np.array([item.depth for item in FIELD_KINDS.values()])[fields.kind]
    between = np.where(long, 0.60, 0.10) * random.standard_normal(n_fields)
    usual_exposure = 1e3 * depth * np.where(long, 40.0, 4.4) * np.exp(between)
    within = np.where(long, 0.32, 0.06)[field_of] * random.standard_normal(n)
    exposure = np.clip(usual_exposure[field_of] * np.exp(within), 400.0, 190_000.0)
    year = random.uniform(1999.8, 2023.0, n)
    family = np.where(random.random(n) < 0.58, "ACIS-S", "ACIS-I")
    # Observation numbers rise with time, as the archive's do.
    obsid = np.empty(n, dtype=int)
    obsid[np.argsort(year, kind="stable")] = 100 + 3 * np.arange(n)
    pointing = random.normal(0.0, 0.5, (n, 2))
    observations = {
        "obsid": obsid,
        "family": family,
        "year": year,
        "exposure": exposure,
        "response": instrument.nearest_epochs(family, year),
    }
    return replace(fields, usual_exposure=usual_exposure), observations, pointing


def _draw_sources(knobs: Knobs, fields: Fields) -> tuple[Sources, np.ndarray]:
    """Draw the sources, field by field, and their offsets from the centre, arcmin, (m, 2)."""
    random = stream(knobs.seed, "sources")
    field = np.repeat(np.arange(len(fields.kind)), fields.n_sources)
    m = len(field)
    place = np.arange(m) - np.repeat(_firsts(fields.n_sources), fields.n_sources)
    class_index = _draw_classes(fields.kind[field], place, random)
    # Four in five targets are where the telescope points; other sources are anywhere, up to
    # where the chips end.
    aimed = (place == 0) & (random.random(m) < 0.8)
    radius = np.where(aimed, np.abs(random.normal(0.0, 0.4, m)), 11.0 * random.random(m) ** 0.75)
    angle = random.uniform(0.0, 2 * np.pi, m)
    offset = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    dec = fields.dec[field] + offset[:, 1] / 60.0
    ra = (fields.ra[field] + offset[:, 0] / 60.0 / np.cos(np.radians(dec))) % 360.0
    spectra = populations.draw_spectra(class_index, fields.foreground_nh[field], random)
    # The limit of a field goes down with its exposure, so counts are spread alike everywhere.
    counts = knobs.faintest_counts * random.random(m) ** (-1.0 / _SLOPE)
    brightness = class_values("brightness")[class_index]
    counts *= 10.0 ** (0.7 * brightness * random.normal(1.0, 0.5, m))
    usual = fields.usual_exposure[field]
    flux = np.minimum(counts / usual, _MOST_COUNTS_PER_SECOND) / REFERENCE_AREA
    nameless = np.empty(m, dtype=object)
    return Sources(field, place, class_index, ra, dec, flux, spectra, nameless), offset


def _draw_classes(kind: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw the class of sources by the kind of their field and their number in it, (m) each."""
    uniform = random.random(len(kind))
    class_index = np.empty(len(kind), dtype=int)
    for index, item in enumerate(FIELD_KINDS.values()):
        rows = np.flatnonzero(kind == index)
        mix = np.array([item.classes.get(name, 0.0) for name in CLASS_NAMES])
        edges = np.cumsum(mix / mix.sum())
        chosen = np.searchsorted(edges, uniform[rows], side="right")
        class_index[rows] = np.minimum(chosen, np.flatnonzero(mix)[-1])
        if item.target is not None:
            class_index[rows[place[rows] == 0]] = CLASS_NAMES.index(item.target)
    return class_index


def _draw_detections(
    knobs: Knobs,
    fields: Fields,
    observations: dict[str, np.ndarray],
    pointing: np.ndarray,
    sources: Sources,
    offset: np.ndarray,
) -> Detections:
    """Draw every source of a field in every observation of it, faint or not."""
    random = stream(knobs.seed, "detections")
    n_pairs = fields.n_sources * fields.n_observations
    field = np.repeat(np.arange(len(n_pairs)), n_pairs)
    number = np.arange(len(field)) - np.repeat(_firsts(n_pairs), n_pairs)
    source = _firsts(fields.n_sources)[field] + number // fields.n_observations[field]
    seen = _firsts(fields.n_observations)[field] + number % fields.n_observations[field]
    k = len(source)
    observed = {name: column[seen] for name, column in observations.items()}
    exposure = observed["exposure"]
    theta = np.hypot(*(offset[source] - pointing[seen]).T)
    varies = class_values("variability")[sources.class_index[source]] * np.log(10.0)
    light = populations.draw_light_curves(
        sources.class_index, source, exposure, stream(knobs.seed, "light curves")
    )
    return Detections(
        source=source,
        obi=np.zeros(k, dtype=int),
        region_id=sources.place[source] + 1,
        theta=theta,
        flux_factor=np.exp(varies * random.standard_normal(k)) * light.flare_boost(exposure),
        hardening=np.where(varies > 0, HARDENING * random.standard_normal(k), 0.0),
        background=instrument.local_background(theta, random.standard_normal(k)),
        background_scale=np.clip(0.056 * np.exp(0.9 * random.standard_normal(k)), 0.004, 1.0),
        light=light,
        **observed,
    )


def _firsts(numbers: np.ndarray) -> np.ndarray:
    """Return the index of the first member of each group, (n)."""
    return np.cumsum(numbers) - numbers
