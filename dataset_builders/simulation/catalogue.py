"""Simulated catalogue: fields, sources, observations, papers, and the rows they give.

`Universe` first lays everything out (which source is seen when, what was published about it, how
the rows split), and then makes rows for any range of detections. Every random number comes from a
counter-based generator whose key is its purpose, so that a row is the same whichever process
makes it and whatever was made before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.spectra.rebin import (
    background_seed,
    deal_counts_batch,
    detection_seed,
    energy_grid,
)

from ..contract import ENERGY_RANGE, N_BINS, SPLITS, contract_features, list_array
from ..splits import assign_groups, split_groups
from . import instrument, populations, prose, response_files, spectral_fits, timing
from .detections import (
    HARDENING,
    MOST_COUNTS_PER_SECOND,
    REFERENCE_AREA,
    Batch,
    Detections,
    Observed,
    Sources,
    at_the_time,
    bins_within,
    is_detected,
    measured_variables,
    noise_free_quantities,
    source_names,
)
from .knobs import MOST_OBSERVATIONS, Knobs, stream, text_stream
from .publications import publish_papers
from .source_classes import CLASS_NAMES, CLASSES, FIELD_KINDS, FIELD_NAMES


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
        self.papers = publish_papers(self.knobs, self.sources, self.field_names)
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
        keep = self.is_detected(net, behind)
        self.sources = Sources(
            source_field, place, class_index, ra, dec, flux, spectra, np.empty(m, dtype=object)
        )
        self.detections = detections.take(np.flatnonzero(keep))

    def is_detected(self, net: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """Select the detections, see `detections.is_detected`."""
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
        truth = noise_free_quantities(
            self.sources.spectra.take(sources), self.sources.flux[sources], self.knobs.absorption
        )
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
