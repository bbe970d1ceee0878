"""Simulated catalogue: fields, sources, observations, papers, and the rows they give.

`Universe` first lays everything out (which source is seen when, what was published about it, how
the rows split), and then makes rows for any range of detections. Every random number comes from a
counter-based generator whose key is its purpose, so that a row is the same whichever process
makes it and whatever was made before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ..contract import (
    BIN_CENTRES,
    N_BINS,
    SPLITS,
    contract_features,
    deal_detections,
    list_array,
    to_table,
)
from ..splits import assign_groups, split_groups
from . import instrument, light_curves, populations, prose, spectral_fits
from .detections import (
    REFERENCE_AREA,
    Batch,
    Observed,
    at_the_time,
    bins_within,
    measured_variables,
    noise_free_quantities,
    source_names,
)
from .knobs import Knobs, stream, text_stream
from .layout import Layout, lay_out
from .publications import publish_papers
from .source_classes import CLASS_NAMES, FIELD_NAMES, class_values

# Splits that unseen writers never write for.
SEEN_SPLITS = ("train", "calibration")
# Columns of the contract that `Detections` has.
_COLUMNS = ("obsid", "obi", "region_id", "exposure", "background_scale", "theta", "year")


class Universe:
    """Simulated catalogue. Its methods take indices into `sources` or `detections`, (n).

    Args:
        knobs: its settings.

    Attributes:
        fields, sources, detections: contents of the sky.
        groups, splits: of each detection, (pairs,) of strings.
        source_splits: split of each source, (n) of strings.
        papers: of each source, a list of `prose.Paper`.
    """

    def __init__(self, knobs: Knobs | None = None) -> None:
        self.knobs = knobs if knobs is not None else Knobs()
        n_fields = self.knobs.pairs // 3 + 16
        # How many fields give enough rows depends on the draws; a field's draws depend on how many
        # there are, so each attempt starts anew.
        while True:
            layout = lay_out(self.knobs, n_fields)
            rows = np.flatnonzero(layout.detected)
            if len(rows) >= self.knobs.pairs:
                break
            n_fields = n_fields * 3 // 2
        self.fields = layout.fields
        self._keep(layout, rows[: self.knobs.pairs])
        self.papers = publish_papers(self.knobs.seed, self.sources, self.fields.names)
        hosts, seen = self.fields.hosts, self.detections.source
        self.groups = assign_groups(
            self.sources.names[seen],
            self.detections.obsid,
            [hosts[self.sources.field[source]] for source in seen],
            [[paper.id for paper in self.papers[source]] for source in seen],
        )
        self.splits = split_groups(
            self.groups, seed=self.knobs.seed, fractions=self.knobs.fractions
        )
        # A group holds all rows of its sources, so each source is in one split.
        self.source_splits = np.empty(len(self.sources.names), dtype=self.splits.dtype)
        self.source_splits[seen] = self.splits

    def _keep(self, layout: Layout, rows: np.ndarray) -> None:
        """Keep some detections, and number the sources that have one anew."""
        detections = layout.detections.take(rows)
        kept, number = np.unique(detections.source, return_inverse=True)
        self.detections = replace(detections, source=number)
        sources = layout.sources.take(kept)
        extended = class_values("extended")[sources.class_index]
        self.sources = replace(sources, names=source_names(sources.ra, sources.dec, extended))

    def batches(self, size: int) -> list[Batch]:
        """Return the rows in batches of at least `size`; the rows of a source are in one batch."""
        batches = []
        for split in SPLITS:
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

    def write_summaries(self, sources: np.ndarray) -> list[prose.Summary]:
        """Write the summaries of some sources; see `write_texts`."""
        return [text for [text] in self.write_texts(sources, 1)]

    def write_texts(self, sources: np.ndarray, n_texts: int) -> list[list[prose.Summary]]:
        """Write texts about some sources, with their statements, from their truth and never from a
        row's counts.

        Args:
            sources: indices, (k).
            n_texts: texts of a source of `train`, each by writers that have not yet written about
                it while there are some; other sources have one.

        Returns:
            The texts of each source, the summary first.
        """
        seed, written = self.knobs.seed, []
        for source, facts in zip(sources, self.facts(sources), strict=True):
            split, texts = self.source_splits[source], []
            left = all_writers = self.knobs.chosen_writers
            for number in range(n_texts if split == "train" else 1):
                random = text_stream(seed, "writer", facts.name, *([number] if number else []))
                chosen = prose.choose_writers(left, random, seen=split in SEEN_SPLITS)
                left = tuple(writer for writer in left if writer not in chosen)
                if all(writer.unseen for writer in left):
                    left = all_writers
                stream = partial(text_stream, seed, "summary", facts.name)
                texts.append(prose.write_summary(facts, chosen, stream))
            written.append(texts)
        return written

    def facts(self, sources: np.ndarray) -> list[prose.Facts]:
        """Return the truth about some sources, from which their summaries are drawn."""
        truth = noise_free_quantities(
            self.sources.spectra.take(sources), self.sources.flux[sources]
        )
        field = self.sources.field[sources]
        # Counts on axis in an exposure usual for the field.
        photons = self.sources.flux[sources] * REFERENCE_AREA * self.fields.usual_exposure[field]
        return [
            prose.Facts(
                name=self.sources.names[source],
                class_name=CLASS_NAMES[self.sources.class_index[source]],
                field_kind=FIELD_NAMES[self.fields.kind[field[row]]],
                place=int(self.sources.place[source]),
                host=self.fields.names[field[row]] or "",
                distance_mpc=float(self.fields.distance_mpc[field[row]]),
                foreground_nh=float(self.fields.foreground_nh[field[row]]),
                papers=self.papers[source],
                photons=float(photons[row]),
                **{name: float(values[row]) for name, values in truth.items()},
            )
            for row, source in enumerate(sources)
        ]

    def rows(self, detections: np.ndarray) -> pa.Table:
        """Return the rows of some detections, in the contract's columns.

        The result for a detection depends on it alone, but floating-point sums may depend on the
        size of the batch in the last digit: ask for the same batches to get the same bytes.
        """
        seen = self.detections.take(detections)
        # Variability between observations takes all of a source's.
        together = np.flatnonzero(np.isin(self.detections.source, seen.source))
        observed = self.observe(together)
        variables = measured_variables(observed, self.detections.take(together))
        place = np.searchsorted(together, detections)
        sources, of_source = np.unique(seen.source, return_inverse=True)
        written = self.write_texts(sources, self.knobs.texts)
        papers = [[paper.row() for paper in self.papers[source]] for source in sources]
        further = [[dict(text.sections) for text in texts[1:]] for texts in written]
        columns: dict[str, Any] = {
            "source_name": self.sources.names[seen.source],
            **{name: getattr(seen, name) for name in _COLUMNS},
            "ra": np.round(self.sources.ra[seen.source], 6),
            "dec": np.round(self.sources.dec[seen.source], 6),
            "source_class": class_values("label")[self.sources.class_index[seen.source]],
            "group": self.groups[detections],
            "counts": list_array(observed.counts[place].astype(np.int32)),
            "background_counts": list_array(observed.background[place].astype(np.int32)),
            "effective_area": list_array(observed.area[place].astype(np.float32)),
            "detector": seen.family,
            "papers": [papers[index] for index in of_source],
            "summary": [dict(written[index][0].sections) for index in of_source],
            "writer": [written[index][0].writer for index in of_source],
            "further_texts": [further[index] for index in of_source],
        }
        columns |= {name: values[place] for name, values in variables.items()}
        seed, share = self.knobs.seed, self.knobs.fits
        fitted = np.flatnonzero(
            [share == 1 or stream(seed, "fits", row).random() < share for row in detections]
        )
        if len(fitted):
            fits = spectral_fits.fit_columns(
                observed.channels[place][fitted],
                observed.background_channels[place][fitted],
                seen.background_scale[fitted],
                seen.exposure[fitted],
                seen.response[fitted],
                seen.theta[fitted],
            )
            for name, values in fits.items():
                columns[name] = np.full(len(detections), np.nan)
                columns[name][fitted] = values
        return to_table(columns, len(detections), contract_features(N_BINS).arrow_schema)

    def expected(self, detections: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected instrument output, without noise: counts of the source and of the
        background in the aperture, in PI channels, (n, 560) each.
        """
        seen = self.detections.take(detections)
        spectra = at_the_time(self.sources.spectra.take(seen.source), seen.hardening)
        photons = populations.photon_spectra(spectra)
        photons *= (self.sources.flux[seen.source] * seen.flux_factor)[:, None]
        source = instrument.fold(photons, seen.response, seen.theta)
        source *= seen.exposure[:, None]
        behind = instrument.background_rates(seen.response, seen.theta, seen.background)
        behind *= seen.exposure[:, None]
        return source, behind

    def observe(self, detections: np.ndarray, draws: np.ndarray | None = None) -> Observed:
        """Simulate the instrument output for some detections.

        Args:
            detections: indices, (n).
            draws: seeds of the noise, (n); default those of the catalogue.
        """
        seen, n = self.detections.take(detections), len(detections)
        source, behind = self.expected(detections)
        channels = np.empty((2, *source.shape), dtype=np.int64)
        noise = np.empty((n, 2, light_curves.N_OCTAVES))
        draws = detections if draws is None else draws
        streams = [stream(self.knobs.seed, "counts", int(draw)) for draw in draws]
        for row, random in enumerate(streams):
            channels[0, row] = random.poisson(source[row] + behind[row])
            channels[1, row] = random.poisson(behind[row] / seen.background_scale[row])
            noise[row] = random.random((2, light_curves.N_OCTAVES))
        counts, background = deal_detections(
            *channels,
            instrument.CHANNEL_EDGES,
            zip(seen.obsid, seen.obi, seen.region_id, self.sources.names[seen.source], strict=True),
        )
        # Given their number, events of a Poisson process fall independently, as the rate has it;
        # colours do not change meanwhile.
        rates = seen.light.rates(seen.exposure, noise)
        broad = instrument.channels_within("b")
        constant = behind[:, broad].sum(axis=1) / source[:, broad].sum(axis=1)
        rates = (rates + constant[:, None]) / (light_curves.N_TIMES * (1.0 + constant[:, None]))
        rates /= rates.sum(axis=1, keepdims=True)
        in_band = counts[:, bins_within("b")].sum(axis=1)
        times = np.stack(
            [
                random.multinomial(number, rate)
                for random, number, rate in zip(streams, in_band, rates, strict=True)
            ]
        )
        area = instrument.effective_area(seen.response, seen.theta, BIN_CENTRES)
        return Observed(channels[0], channels[1], counts, background, area, times)
