"""Simulated catalogue: fields, sources, observations, papers, and the rows they give.

`Universe` first lays everything out (which source is seen when, what was published about it, how
the rows split), and then makes rows for any range of detections. Every random number comes from a
counter-based generator whose key is what it is for, so that a row is the same whichever process
makes it and whatever was made before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip.spectra.rebin import (
    background_seed,
    deal_counts_batch,
    detection_seed,
    energy_grid,
)

from ..contract import ENERGY_RANGE, N_BINS, SPLITS, contract_features, list_array
from ..splits import SURVEY_LIMIT, assign_groups, split_groups
from . import (
    instrument,
    photometry,
    populations,
    prose,
    response_files,
    spectral_fits,
    timing,
)
from .populations import CLASS_NAMES, CLASSES, FIELD_KINDS, FIELD_NAMES

# A typical response, counts per absorbed photon/cm² in 0.5–7 keV: turns counts into a flux.
REFERENCE_AREA = 430.0
BANDS = {"s": (0.5, 1.2), "m": (1.2, 2.0), "h": (2.0, 7.0), "b": (0.5, 7.0)}
# Fainter than this, a source in an observation is no detection that has a spectrum.
LEAST_NET_COUNTS = 18.0
LEAST_SIGNIFICANCE = 3.0
MOST_OBSERVATIONS = 8
# Standard deviation of `Detections.hardening`, for sources that vary.
HARDENING = 0.06
# Brighter sources pile up; the catalogue masks them.
MOST_COUNTS_PER_SECOND = 0.3


@dataclass(frozen=True)
class Knobs:
    """Settings of the simulation; recorded in the dataset.

    Attributes:
        pairs: number of rows.
        seed: of every draw.
        faintest_counts: expected counts of the faintest sources of a field in an exposure as is
            usual for it.
        slope: of the number of sources above a flux, N(>S) ∝ S^−slope.
        more_observations: chance of each further observation of a field.
        sample_papers: papers on a few sources of different fields, per field.
        survey_share: share of the sources that are in a survey.
        survey_size: sources of a survey.
        survey_limit: a paper behind more sources links none (see `specclip_datasets.splits`).
        usual, stated_numbers, stated_words, repeated, asides, named, silent, wrong, stated_errors:
            what the literature tells, and how: see `prose.Manner`.
        fits: whether the catalogue's four models are fitted to spectra with counts enough.
        absorption: `phabs`, or `tbabs` for the interstellar medium of Wilms et al. (2000); fits are
            the catalogue's either way.
        cutoffs: whether power laws of accreting neutron stars and ULXs are cut off.
        responses: paths of ARF and RMF files to fold through in place of the tabulated epochs, as
            `response_files.find_responses` gives them; an observation gets one of them by lot.
        response_vignetting: whether the areas of those files are taken as on axis and get the
            simulation's vignetting; otherwise they are used as they are.
    """

    pairs: int = 2000
    seed: int = 0
    faintest_counts: float = 130.0
    slope: float = 0.6
    more_observations: float = 0.42
    sample_papers: float = 0.06
    survey_share: float = 0.35
    survey_size: int = 60
    survey_limit: int = SURVEY_LIMIT
    usual: float = prose.Manner.usual
    stated_numbers: float = prose.Manner.stated_numbers
    stated_words: float = prose.Manner.stated_words
    repeated: float = prose.Manner.repeated
    asides: float = prose.Manner.asides
    named: float = prose.Manner.named
    silent: float = prose.Manner.silent
    wrong: float = prose.Manner.wrong
    stated_errors: float = prose.Manner.stated_errors
    fits: bool = True
    absorption: str = "phabs"
    cutoffs: bool = False
    responses: tuple[tuple[str, str], ...] = ()
    response_vignetting: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs}: ask for at least one")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}: it must be from 0 to 2**63 − 1")
        for name in ("more_observations", "sample_papers", "survey_share"):
            if not 0.0 <= getattr(self, name) <= 0.9:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 0 to 0.9")
        if self.slope <= 0.0 or self.faintest_counts <= 0.0:
            raise ValueError("slope and faintest_counts must be above 0")
        self.manner  # noqa: B018  (checks what it holds)
        if self.absorption not in populations.ABSORPTIONS:
            raise ValueError(
                f"absorption is {self.absorption!r}: {' or '.join(populations.ABSORPTIONS)}"
            )
        if self.survey_size <= self.survey_limit:
            raise ValueError(
                f"survey_size {self.survey_size} must be above survey_limit {self.survey_limit}, "
                "or surveys would link their sources"
            )

    @property
    def manner(self) -> prose.Manner:
        """Style of the simulated literature."""
        return prose.Manner(**{name: getattr(self, name) for name in prose.MANNERS})

    def record(self) -> dict[str, Any]:
        """Return the settings as plain values; files by their content, not by their path."""
        files = response_files.load_responses(self.responses)
        return asdict(self) | {
            "responses": [{"files": item.name, "blake2b": item.digest} for item in files]
        }


def stream(seed: int, *purpose: Hashable) -> np.random.Generator:
    """Return a random generator for one purpose, keyed by the seed and the purpose.

    Args:
        seed: of the simulation.
        purpose: plain values that say what the numbers are for.
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, purpose)))


def text_stream(seed: int, *purpose: Hashable) -> Random:
    """Return a `stream` for choices one at a time, ten times faster at them than NumPy.

    Args:
        seed: of the simulation.
        purpose: plain values that say what the numbers are for.
    """
    return Random(_key(seed, purpose))


def _key(seed: int, purpose: tuple[Hashable, ...]) -> int:
    words = "\x1f".join(str(word) for word in (seed, *purpose))
    key = hashlib.blake2b(words.encode(), digest_size=16, person=b"specclip-sim").digest()
    return int.from_bytes(key, "little")


@dataclass(frozen=True)
class Sources:
    """Sources, arrays (n).

    Attributes:
        field: index of the field.
        place: number within the field.
        class_index: index into `populations.CLASS_NAMES`.
        ra, dec: degrees.
        flux: absorbed photons/cm²/s in 0.5–7 keV, on average over time.
        spectra: their average spectra.
        names: `2CXO J…`, unique.
    """

    field: np.ndarray
    place: np.ndarray
    class_index: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    flux: np.ndarray
    spectra: populations.Spectra
    names: np.ndarray


@dataclass(frozen=True)
class Detections:
    """Detections: sources in observations, arrays (n).

    Attributes:
        source: index of the source.
        obsid, obi, region_id: the detection.
        family, year, exposure, theta: of the observation (`ACIS-S`, `ACIS-I` or empty where a file
            of the response does not say; yr, s, arcmin).
        response: index into `Universe.responses`.
        flux_factor: flux at that time over the average.
        hardening: how much harder than the average (in photon index, or in ln kT).
        background: local background over the quiescent one.
        background_scale: background-region counts times this are aperture counts.
        light: how the sources behaved meanwhile.
    """

    source: np.ndarray
    obsid: np.ndarray
    obi: np.ndarray
    region_id: np.ndarray
    family: np.ndarray
    year: np.ndarray
    exposure: np.ndarray
    theta: np.ndarray
    response: np.ndarray
    flux_factor: np.ndarray
    hardening: np.ndarray
    background: np.ndarray
    background_scale: np.ndarray
    light: timing.LightCurves

    def take(self, rows: np.ndarray) -> Detections:
        """Return some detections, in the order of `rows`."""
        columns = {name: column[rows] for name, column in vars(self).items() if name != "light"}
        return Detections(**columns, light=self.light.take(rows))


@dataclass(frozen=True)
class Observed:
    """Instrument output for n detections.

    Attributes:
        channels, background_channels: counts in the aperture and in the background region, in the
            channels of each one's response, (n, C).
        counts, background: the same in the contract's bins, (n, 400).
        area: effective area at the bins' centres, cm², (n, 400).
        times: counts of the aperture in 0.5–7 keV, in equal parts of the observation,
            (n, timing.N_TIMES).
    """

    channels: np.ndarray
    background_channels: np.ndarray
    counts: np.ndarray
    background: np.ndarray
    area: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Rows that are made together: complete sources of one split.

    Attributes:
        split: name of the split.
        number: of the batch within its split.
        rows: indices of detections, (n).
    """

    split: str
    number: int
    rows: np.ndarray


class Universe:
    """Simulated catalogue.

    Args:
        knobs: its settings.

    Attributes:
        sources, detections: what there is.
        groups, splits: of each detection, (pairs,) of strings.
        papers: of each source, a list of `prose.Paper`.
        responses: what `detections.response` counts.
    """

    def __init__(self, knobs: Knobs | None = None) -> None:
        self.knobs = knobs if knobs is not None else Knobs()
        self._response_files = tuple(
            item.response
            for item in response_files.load_responses(
                self.knobs.responses, vignetted=not self.knobs.response_vignetting
            )
        )
        n_fields = self.knobs.pairs // 3 + 16
        # How many fields give enough rows depends on the draws; a field's draws depend on how many
        # there are, so each attempt starts anew.
        while True:
            self._lay_out(n_fields)
            if len(self.detections.source) >= self.knobs.pairs:
                break
            n_fields = n_fields * 3 // 2
        self._keep_first(self.knobs.pairs)
        self._publish()
        seen = self.detections.source
        self.groups = assign_groups(
            self.sources.names[seen],
            self.detections.obsid,
            [self._hosts[self.sources.field[source]] for source in seen],
            [[paper.id for paper in self.papers[source]] for source in seen],
            survey_limit=self.knobs.survey_limit,
        )
        self.splits = split_groups(self.groups, seed=self.knobs.seed)

    @property
    def responses(self) -> tuple[instrument.Response, ...]:
        return self._response_files or instrument.load_epochs()

    def _lay_out(self, n_fields: int) -> None:
        knobs = self.knobs
        random = stream(knobs.seed, "fields")
        weights = np.array([kind.weight for kind in FIELD_KINDS.values()])
        kind = random.choice(len(FIELD_NAMES), n_fields, p=weights / weights.sum())
        mean = np.array([item.mean_sources for item in FIELD_KINDS.values()])[kind]
        # Geometric numbers: most pointings have one source with a literature, a few have many.
        n_sources = np.minimum(random.geometric(1.0 / (1.0 + mean)), 14)
        n_observations = np.minimum(
            random.geometric(1.0 - knobs.more_observations, n_fields), MOST_OBSERVATIONS
        )
        centre_ra = random.uniform(0.0, 360.0, n_fields)
        centre_dec = np.degrees(np.arcsin(random.uniform(-0.98, 0.98, n_fields)))
        foreground, distance = np.zeros(n_fields), np.full(n_fields, np.nan)
        for index, item in enumerate(FIELD_KINDS.values()):
            rows = kind == index
            foreground[rows] = item.foreground_nh.draw(random, rows.sum())
            if item.distance_mpc is not None:
                distance[rows] = item.distance_mpc.draw(random, rows.sum())
        self.field_kind, self.foreground_nh, self.distance_mpc = kind, foreground, distance
        self._hosts: list[str | None] = prose.name_fields(
            [FIELD_NAMES[index] for index in kind], text_stream(knobs.seed, "hosts")
        )
        self.field_names = list(self._hosts)
        for index, name in enumerate(kind):
            if not FIELD_KINDS[FIELD_NAMES[name]].hosted:
                self._hosts[index] = None

        # Observations.
        random = stream(knobs.seed, "observations")
        field_of = np.repeat(np.arange(n_fields), n_observations)
        n = len(field_of)
        first_observation = np.cumsum(n_observations) - n_observations
        # Who comes back to a field does so with about the same depth: most of the spread of
        # exposures is between fields, a smaller part between the visits to one.
        long = random.random(n_fields) < 0.64
        depth = np.array([item.depth for item in FIELD_KINDS.values()])[kind]
        between = np.where(long, 0.60, 0.10) * random.standard_normal(n_fields)
        self.usual_exposure = 1e3 * depth * np.where(long, 40.0, 4.4) * np.exp(between)
        within = np.where(long, 0.32, 0.06)[field_of] * random.standard_normal(n)
        exposure = np.clip(self.usual_exposure[field_of] * np.exp(within), 400.0, 190_000.0)
        year = random.uniform(1999.8, 2023.0, n)
        family = np.where(random.random(n) < 0.58, "ACIS-S", "ACIS-I")
        # Observation numbers rise with time, as the archive's do.
        obsid = np.empty(n, dtype=int)
        obsid[np.argsort(year, kind="stable")] = 100 + 3 * np.arange(n)
        pointing = random.normal(0.0, 0.5, (n, 2))
        if self._response_files:
            response = stream(knobs.seed, "responses").integers(len(self.responses), size=n)
            family = np.array([item.family for item in self.responses])[response]
            areas = np.array([instrument.typical_area(item) for item in self.responses])
        else:
            response = instrument.nearest_epochs(family, year)
            areas = np.full(len(self.responses), REFERENCE_AREA)
        reference_area = areas.mean()

        # Sources.
        random = stream(knobs.seed, "sources")
        source_field = np.repeat(np.arange(n_fields), n_sources)
        m = len(source_field)
        first_source = np.cumsum(n_sources) - n_sources
        place = np.arange(m) - np.repeat(first_source, n_sources)
        class_index = self._draw_classes(kind[source_field], place, random)
        # Four in five targets are where the telescope points; other sources are anywhere, up to
        # where the chips end.
        aimed = (place == 0) & (random.random(m) < 0.8)
        radius = np.where(
            aimed, np.abs(random.normal(0.0, 0.4, m)), 11.0 * random.random(m) ** 0.75
        )
        angle = random.uniform(0.0, 2 * np.pi, m)
        offset = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        dec = centre_dec[source_field] + offset[:, 1] / 60.0
        ra = (centre_ra[source_field] + offset[:, 0] / 60.0 / np.cos(np.radians(dec))) % 360.0
        spectra = populations.draw_spectra(class_index, foreground[source_field], random)
        if knobs.cutoffs:
            cutoff = populations.draw_cutoffs(class_index, stream(knobs.seed, "cutoffs"))
            spectra = replace(spectra, cutoff=cutoff)
        # The limit of a field goes down with its exposure, so counts are spread alike everywhere.
        brightness = np.array([CLASSES[name].brightness for name in CLASS_NAMES])[class_index]
        counts = knobs.faintest_counts * random.random(m) ** (-1.0 / knobs.slope)
        counts *= 10.0 ** (0.7 * brightness * random.normal(1.0, 0.5, m))
        usual = self.usual_exposure[source_field]
        flux = np.minimum(counts / usual, MOST_COUNTS_PER_SECOND) / reference_area

        # Every source of a field in every observation of it; the faint ones drop out.
        random = stream(knobs.seed, "detections")
        pairs_of = n_sources * n_observations
        field = np.repeat(np.arange(n_fields), pairs_of)
        within = np.arange(len(field)) - np.repeat(np.cumsum(pairs_of) - pairs_of, pairs_of)
        source = first_source[field] + within // n_observations[field]
        seen = first_observation[field] + within % n_observations[field]
        k = len(source)
        theta = np.hypot(*(offset[source] - pointing[seen]).T)
        scatter = np.array([CLASSES[name].variability for name in CLASS_NAMES])
        varies = scatter[class_index[source]] * np.log(10.0)
        light = populations.draw_light_curves(
            class_index, source, exposure[seen], stream(knobs.seed, "light curves")
        )
        detections = Detections(
            source=source,
            obsid=obsid[seen],
            obi=np.zeros(k, dtype=int),
            region_id=place[source] + 1,
            family=family[seen],
            year=year[seen],
            exposure=exposure[seen],
            theta=theta,
            response=response[seen],
            flux_factor=np.exp(varies * random.standard_normal(k))
            * light.flare_boost(exposure[seen]),
            hardening=np.where(varies > 0, HARDENING * random.standard_normal(k), 0.0),
            background=instrument.local_background(theta, random.standard_normal(k)),
            background_scale=np.clip(0.056 * np.exp(0.9 * random.standard_normal(k)), 0.004, 1.0),
            light=light,
        )
        net = flux[source] * detections.flux_factor * areas[detections.response]
        net *= detections.exposure
        vignetted = np.array([item.vignetted for item in self.responses])[detections.response]
        at_angle = instrument.vignetting(theta, np.array([1.5]))[:, 0]
        net *= np.where(vignetted, 1.0, at_angle)
        rate = instrument.quiescent_background(detections.family)
        behind = rate * instrument.aperture_area(theta) * detections.background
        behind *= detections.exposure
        keep = self._seen(net, behind)
        self.sources = Sources(
            source_field, place, class_index, ra, dec, flux, spectra, np.empty(m, dtype=object)
        )
        self.detections = detections.take(np.flatnonzero(keep))

    def _seen(self, net: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """Select the detections, of all sources in all observations of their fields."""
        return is_detected(net, behind)

    def _draw_classes(
        self, kind: np.ndarray, place: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
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

    def _keep_first(self, pairs: int) -> None:
        """Keep the first detections, and number the sources that still have one anew."""
        detections = self.detections.take(np.arange(pairs))
        kept, number = np.unique(detections.source, return_inverse=True)
        old = self.sources
        self.detections = replace(detections, source=number)
        extended = [CLASSES[CLASS_NAMES[index]].extended for index in old.class_index[kept]]
        self.sources = Sources(
            field=old.field[kept],
            place=old.place[kept],
            class_index=old.class_index[kept],
            ra=old.ra[kept],
            dec=old.dec[kept],
            flux=old.flux[kept],
            spectra=old.spectra.take(kept),
            names=source_names(old.ra[kept], old.dec[kept], np.array(extended)),
        )

    def _publish(self) -> None:
        """Write papers on single sources, on fields, on small samples, and surveys."""
        knobs, sources = self.knobs, self.sources
        n = len(sources.names)
        random = stream(knobs.seed, "papers")
        about: list[list[prose.Subject]] = [[] for _ in range(n)]
        in_field: dict[int, list[int]] = {}
        for source, field in enumerate(sources.field):
            in_field.setdefault(int(field), []).append(source)

        number = 0

        def publish(kind: str, members: list[int], name: str) -> None:
            nonlocal number
            subject = prose.Subject(kind, number, name)
            number += 1
            for member in members:
                about[member].append(subject)

        own = random.random(n)
        for field, members in in_field.items():
            if len(members) > 1 or own[members[0]] < 0.5:
                publish("field", members[: knobs.survey_limit], self.field_names[field] or "")
        for source in range(n):
            if own[source] < 0.55 or not about[source]:
                publish("source", [source], "")
        fields = sorted(in_field)
        by_class: dict[int, list[int]] = {}
        for source in random.permutation(n):
            by_class.setdefault(int(sources.class_index[source]), []).append(int(source))
        for _ in range(int(knobs.sample_papers * len(fields))):
            members = by_class[int(sources.class_index[random.integers(n)])]
            start = int(random.integers(len(members)))
            size = 2 + int(random.random() < 0.3)
            publish("sample", members[start : start + size], "")
        surveyed = random.permutation(n)[: int(knobs.survey_share * n)]
        for start in range(0, len(surveyed) - knobs.survey_limit, knobs.survey_size):
            members = [int(source) for source in surveyed[start : start + knobs.survey_size]]
            publish("survey", members, "")
        self._about = about
        written: dict[int, prose.Paper] = {}
        self.papers: list[list[prose.Paper]] = []
        for source in range(n):
            label = CLASS_NAMES[sources.class_index[source]]
            for subject in about[source]:
                if subject.number not in written:
                    written[subject.number] = prose.write_paper(
                        subject,
                        label,
                        sources.names[source],
                        self.field_names[sources.field[source]] or "",
                        text_stream(knobs.seed, "paper", subject.number),
                    )
            self.papers.append([written[subject.number] for subject in about[source]])

    def batches(self, size: int, splits: Sequence[str] = SPLITS) -> list[Batch]:
        """Yield the rows in batches of about a size, in order; none cuts a source.

        Args:
            size: rows of a batch; the last source may bring a few more.
            splits: those wanted.
        """
        batches = []
        for split in splits:
            rows = np.flatnonzero(self.splits == split)
            source = self.detections.source[rows]
            last = np.flatnonzero(np.append(source[1:] != source[:-1], True)[: len(rows)])
            start = number = 0
            while start < len(rows):
                later = np.searchsorted(last, start + size - 1)
                stop = int(last[min(later, len(last) - 1)]) + 1
                batches.append(Batch(split, number, rows[start:stop]))
                start, number = stop, number + 1
        return batches

    def summaries(self, sources: np.ndarray) -> list[dict[str, str]]:
        """Write the three sections for some sources, from their truth and never from a row's
        counts.

        Args:
            sources: indices of sources, (n).
        """
        return [dict(summary.sections) for summary in self._written(sources)]

    def statements(self, sources: np.ndarray) -> list[tuple[prose.Statement, ...]]:
        """Return the statements of some sources' summaries, in a form that has a likelihood.

        Args:
            sources: indices of sources, (n).
        """
        return [summary.statements for summary in self._written(sources)]

    def facts(self, sources: np.ndarray) -> list[prose.Facts]:
        """Return the truth about some sources, from which their summaries are drawn.

        Args:
            sources: indices of sources, (n).
        """
        truth = self._truth(sources)
        return [
            prose.Facts(
                name=self.sources.names[source],
                class_name=CLASS_NAMES[self.sources.class_index[source]],
                field_kind=FIELD_NAMES[self.field_kind[self.sources.field[source]]],
                place=int(self.sources.place[source]),
                host=self.field_names[self.sources.field[source]] or "",
                distance_mpc=float(self.distance_mpc[self.sources.field[source]]),
                foreground_nh=float(self.foreground_nh[self.sources.field[source]]),
                papers=self.papers[source],
                photons=float(self.usual_counts[source]),
                **{name: float(values[row]) for name, values in truth.items()},
            )
            for row, source in enumerate(sources)
        ]

    @cached_property
    def usual_counts(self) -> np.ndarray:
        """Return counts of each source on axis in an exposure usual for its field, (n)."""
        return self.sources.flux * REFERENCE_AREA * self.usual_exposure[self.sources.field]

    def _written(self, sources: np.ndarray) -> list[prose.Summary]:
        seed, manner = self.knobs.seed, self.knobs.manner
        return [
            prose.write_summary(facts, text_stream(seed, "summary", facts.name), manner)
            for facts in self.facts(sources)
        ]

    def _truth(self, sources: np.ndarray) -> dict[str, np.ndarray]:
        """Return noise-free measurements of other observations of the sources."""
        spectra = self.sources.spectra.take(sources)
        photons = populations.photon_spectra(spectra, self.knobs.absorption)
        energy = instrument.PHOTON_CENTRES
        share = {
            band: photons[:, (energy > low) & (energy < high)].sum(axis=1)
            for band, (low, high) in BANDS.items()
        }
        broad = (energy > BANDS["b"][0]) & (energy < BANDS["b"][1])
        ergs = photons[:, broad] @ energy[broad] * 1.602177e-9
        flux = self.sources.flux[sources]
        return {
            "flux": flux * ergs,
            "hardness": (share["h"] - share["s"]) / (share["h"] + share["s"]),
            "medium_soft": (share["m"] - share["s"]) / (share["m"] + share["s"]),
            "first": spectra.first,
            "second": spectra.second,
            "shape": spectra.shape,
            "shape2": spectra.shape2,
            "share2": spectra.share2,
            "nh": spectra.nh,
            "abundance": spectra.abundance,
            "redshift": spectra.redshift,
            "line": spectra.line,
            "covering": spectra.covering,
        }

    def rows(self, detections: np.ndarray) -> pa.Table:
        """Return the rows of some detections.

        The result for a detection depends on it alone, but floating-point sums may depend on the
        size of the batch in the last digit: ask for the same batches to get the same bytes.

        Args:
            detections: indices into `detections`, (n).

        Returns:
            Table with the contract's columns.
        """
        seen = self.detections.take(detections)
        n = len(detections)
        # Variability between observations takes all of a source's.
        together = np.flatnonzero(np.isin(self.detections.source, seen.source))
        observed = self._observe(self.detections.take(together), together)
        variables = measured_variables(observed, self.detections.take(together))
        place = np.searchsorted(together, detections)
        sources, of_source = np.unique(seen.source, return_inverse=True)
        texts = self.summaries(sources)
        papers = [[paper.row() for paper in self.papers[source]] for source in sources]
        labels = np.array([item.label for item in CLASSES.values()])
        columns: dict[str, object] = {
            "source_name": self.sources.names[seen.source],
            "obsid": seen.obsid,
            "obi": seen.obi,
            "region_id": seen.region_id,
            "ra": np.round(self.sources.ra[seen.source], 6),
            "dec": np.round(self.sources.dec[seen.source], 6),
            "source_class": labels[self.sources.class_index[seen.source]],
            "group": self.groups[detections],
            "exposure": seen.exposure,
            "counts": list_array(observed.counts[place].astype(np.int32)),
            "background_counts": list_array(observed.background[place].astype(np.int32)),
            "background_scale": seen.background_scale,
            "effective_area": list_array(observed.area[place].astype(np.float32)),
            "detector": [str(name) or None for name in seen.family],
            "theta": seen.theta,
            "year": seen.year,
            "papers": [papers[index] for index in of_source],
            "summary": [texts[index] for index in of_source],
        }
        columns |= {name: values[place] for name, values in variables.items()}
        if self.knobs.fits:
            columns |= spectral_fits.fit_columns(
                observed.channels[place],
                observed.background_channels[place],
                seen.background_scale,
                seen.exposure,
                seen.response,
                seen.theta,
                self.responses,
            )
        schema = contract_features(N_BINS).arrow_schema
        arrays = []
        for field in schema:
            values = columns.get(field.name)
            if values is None:
                arrays.append(pa.nulls(n, field.type))
            elif isinstance(values, pa.Array):
                arrays.append(values.cast(field.type))
            elif field.name in ("papers", "summary"):
                arrays.append(pa.array(values, field.type))
            elif pa.types.is_string(field.type):
                texts = [None if value is None else str(value) for value in values]
                arrays.append(pa.array(texts, field.type))
            else:
                arrays.append(pa.array(values, from_pandas=True).cast(field.type, safe=False))
        return pa.Table.from_arrays(arrays, schema=schema)

    def observe(self, detections: np.ndarray) -> Observed:
        """Simulate the instrument output for some detections.

        Args:
            detections: indices into `detections`, (n).
        """
        return self._observe(self.detections.take(detections), detections)

    def expected(self, detections: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected instrument output, without noise.

        Args:
            detections: indices into `detections`, (n).

        Returns:
            Counts of the source and of the background in the aperture, in the channels of each
            one's response, (n, C) each.
        """
        return self._expected(self.detections.take(detections))

    def photons(self, detections: np.ndarray) -> np.ndarray:
        """Return photons arriving from the sources at the time of some detections.

        Args:
            detections: indices into `detections`, (n).

        Returns:
            Photons/cm²/s on `instrument.PHOTON_EDGES`, (n, 870).
        """
        return self._photons(self.detections.take(detections))

    def _photons(self, seen: Detections) -> np.ndarray:
        spectra = at_the_time(self.sources.spectra.take(seen.source), seen.hardening)
        photons = populations.photon_spectra(spectra, self.knobs.absorption)
        photons *= (self.sources.flux[seen.source] * seen.flux_factor)[:, None]
        return photons

    def _expected(self, seen: Detections) -> tuple[np.ndarray, np.ndarray]:
        photons, responses = self._photons(seen), self.responses
        source = instrument.fold(photons, seen.response, seen.theta, responses)
        source *= seen.exposure[:, None]
        behind = instrument.background_rates(seen.response, seen.theta, seen.background, responses)
        behind *= seen.exposure[:, None]
        return source, behind

    def _observe(self, seen: Detections, numbers: np.ndarray) -> Observed:
        """Simulate the instrument output for some detections; their numbers fix the draws."""
        source, behind = self._expected(seen)
        channels = np.empty((2, *source.shape), dtype=np.int64)
        noise = np.empty((len(numbers), 2, timing.N_OCTAVES))
        streams = [stream(self.knobs.seed, "counts", int(number)) for number in numbers]
        for row, random in enumerate(streams):
            channels[0, row] = random.poisson(source[row] + behind[row])
            channels[1, row] = random.poisson(behind[row] / seen.background_scale[row])
            noise[row] = random.random((2, timing.N_OCTAVES))
        seeds = [
            detection_seed(int(obsid), int(obi), int(region), self.sources.names[index])
            for obsid, obi, region, index in zip(
                seen.obsid, seen.obi, seen.region_id, seen.source, strict=True
            )
        ]
        bins = energy_grid(N_BINS, ENERGY_RANGE)
        counts, background = np.zeros((2, len(numbers), N_BINS), dtype=np.int64)
        constant = np.empty(len(numbers))
        grid_of, grids = instrument.channel_grids(self.responses)
        for number in np.unique(grid_of[seen.response]):
            rows = np.flatnonzero(grid_of[seen.response] == number)
            edges, n = grids[number], len(grids[number]) - 1
            own = [seeds[row] for row in rows]
            counts[rows] = deal_counts_batch(channels[0, rows, :n], edges, bins, own)
            background[rows] = deal_counts_batch(
                channels[1, rows, :n], edges, bins, [background_seed(seed) for seed in own]
            )
            inside = instrument.channels_within(BANDS["b"], edges)
            constant[rows] = behind[rows, :n][:, inside].sum(axis=1) / source[rows, :n][
                :, inside
            ].sum(axis=1)
        # Given their number, events of a Poisson process fall independently, as the rate has it;
        # colours do not change meanwhile.
        rates = seen.light.rates(seen.exposure, noise)
        rates = (rates + constant[:, None]) / (timing.N_TIMES * (1.0 + constant[:, None]))
        rates /= rates.sum(axis=1, keepdims=True)
        in_band = counts[:, bins_within("b")].sum(axis=1)
        times = np.stack(
            [
                random.multinomial(number, rate)
                for random, number, rate in zip(streams, in_band, rates, strict=True)
            ]
        )
        centres = (bins[1:] + bins[:-1]) / 2
        area = instrument.effective_area(seen.response, seen.theta, centres, self.responses)
        return Observed(channels[0], channels[1], counts, background, area, times)


def at_the_time(spectra: populations.Spectra, hardening: np.ndarray) -> populations.Spectra:
    """Return average spectra as they are at the time of an observation.

    Args:
        spectra: n spectra.
        hardening: see `Detections`, (n).
    """
    shape = np.where(
        spectra.first == populations.POWER_LAW,
        spectra.shape - hardening,
        np.clip(spectra.shape * np.exp(hardening), *models_range()),
    )
    return replace(spectra, shape=shape)


def is_detected(net: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return True for sources with a spectrum in the catalogue.

    Args:
        net: expected source counts in 0.5–7 keV, for `REFERENCE_AREA`.
        behind: expected background counts in the aperture.
    """
    return (net > LEAST_NET_COUNTS) & (net / np.sqrt(net + 2 * behind) > LEAST_SIGNIFICANCE)


def bins_within(band: str) -> np.ndarray:
    """Return the contract's bins that lie in a band, (400,) of booleans."""
    edges = energy_grid(N_BINS, ENERGY_RANGE)
    centres = (edges[1:] + edges[:-1]) / 2
    low, high = BANDS[band]
    return (centres > low) & (centres < high)


def models_range() -> tuple[float, float]:
    """Return the temperatures that every thermal model covers, keV."""
    table = populations.models.plasma_temperatures()
    return float(table[0]), float(table[-1])


def source_names(ra: np.ndarray, dec: np.ndarray, extended: np.ndarray) -> np.ndarray:
    """Return unique catalogue names from positions: truncated, not rounded, as the IAU asks.

    Args:
        ra, dec: degrees, (n).
        extended: whether an `X` ends the name, (n).
    """
    names, taken = np.empty(len(ra), dtype=object), set()
    for index, (longitude, latitude, large) in enumerate(zip(ra, dec, extended, strict=True)):
        tenths = int(longitude / 15.0 * 36000.0)
        seconds = int(abs(latitude) * 3600.0)
        while True:
            sign = "-" if latitude < 0 else "+"
            name = (
                f"2CXO J{tenths // 36000:02d}{tenths // 600 % 60:02d}"
                f"{tenths // 10 % 60:02d}.{tenths % 10}"
                f"{sign}{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
                f"{'X' if large else ''}"
            )
            if name not in taken:
                break
            tenths = (tenths + 1) % 864000
        taken.add(name)
        names[index] = name
    return names


def measured_variables(observed: Observed, seen: Detections) -> dict[str, np.ndarray]:
    """Measure the catalogue columns that follow from counts: hardness, significance, variability.

    Args:
        observed: what the instrument gave for the detections.
        seen: the detections; all there are of each source.

    Returns:
        Arrays (n) by column, nan where the catalogue has nothing.
    """
    bands = {}
    for name in BANDS:
        inside = bins_within(name)
        counts, area = observed.counts[:, inside], observed.area[:, inside]
        number = counts.sum(axis=1)
        # Each count is as many photons as its own energy's area says; without any, the mean does.
        per_count = np.where(
            number > 0,
            (counts / area).sum(axis=1) / np.maximum(number, 1),
            1.0 / area.mean(axis=1),
        )
        bands[name] = photometry.Band(
            number,
            observed.background[:, inside].sum(axis=1),
            seen.background_scale,
            per_count / seen.exposure,
        )
    columns = {"flux_significance_b": photometry.flux_significance(bands["b"])}
    for pair in ("hm", "hs", "ms"):
        found = photometry.hardness_ratio(bands[pair[0]], bands[pair[1]])
        for end, values in zip(("", "_lolim", "_hilim"), found, strict=True):
            columns[f"hard_{pair}{end}"] = values
    columns |= timing.within_observation(observed.times, seen.exposure)
    broad = bands["b"]
    columns["var_inter_prob_b"] = timing.between_observations(
        seen.source,
        broad.counts,
        broad.scale * broad.background,
        1.0 / broad.flux_per_count,
    )
    return columns
