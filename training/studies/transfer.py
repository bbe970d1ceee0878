"""Measures of a model on real rows: variables, intervals, classes, outliers.

The rows are those of a catalogue. Test groups are those of `specclip_datasets.splits.hash_splits`;
the others give the median guess and train the probes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from hf_specclip.evaluation import evaluate_coverage, evaluate_regression
from hf_specclip.models.configuration_specclip_moe import TEXT_VIEWS
from hf_specclip.models.variables_specclip import VARIABLES
from hf_specclip.spectra.fitting.fit import fit_counts
from hf_specclip.spectra.rebin import overlap_fractions
from specclip_datasets.simulation.instrument import CHANNEL_EDGES, PHOTON_EDGES, load_epochs
from specclip_datasets.splits import hash_splits
from specclip_datasets.tables.reconstruct import (
    area_at_bins,
    band_areas,
    band_sums,
    bin_edges,
)
from specclip_training.data.pairs import SPECTRUM, TrainingDataError
from specclip_training.data.parquet_rows import to_arrays
from specclip_training.studies.experts.compact import RETRIEVED, thin_scores
from specclip_training.studies.representations import numbers_of

FEWEST_COUNTS = 150
# Real values of a variable, for its intervals to be calibrated on them.
FEWEST_CALIBRATING = 200
_ROWS_AT_ONCE = 512
# Variables that the catalogue and a spectrum both hold.
JUDGED = (
    "hard_hm", "hard_hs", "hard_ms", "powlaw_gamma", "powlaw_nh", "bb_kt", "bb_nh", "brems_kt",
    "brems_nh", "flux_significance_b",
)  # fmt: skip
RATIOS = JUDGED[:3]
FITTED = ("powlaw", "bb", "brems")
# What is asked of a model that is called good: bias of the ratios, mean and largest error over that
# of the median guess, shares of real values in the intervals.
GOALS = {"bias": 0.03, "mean_error": 0.20, "largest_error": 0.6, 68: (0.60, 0.76), 90: (0.85, 0.95)}


@dataclass(frozen=True)
class RealRows:
    """Rows of a catalogue.

    Attributes:
        spectra: columns that the feature extractor takes, (n, …).
        targets: variable -> value, (n,), nan where unknown.
        groups: (n,) of strings.
        names: of the sources, (n,).
        classes: (n,), None where unknown.
    """

    spectra: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]
    groups: np.ndarray
    names: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def net_counts(self) -> np.ndarray:
        """Net counts at 0.5–8 keV, (n,)."""
        behind = self.spectra["background_counts"].sum(axis=1) * self.spectra["background_scale"]
        return self.spectra["counts"].sum(axis=1) - behind

    @property
    def is_test(self) -> np.ndarray:
        """True for rows of the test groups, (n,)."""
        return hash_splits(self.groups) == "test"

    def records(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Return some spectra as mappings."""
        return [{name: values[row] for name, values in self.spectra.items()} for row in rows]

    @classmethod
    def from_table(cls, table: pa.Table) -> RealRows:
        """Take rows in the columns of the data contract."""
        spectra = to_arrays(table.select(list(SPECTRUM)))
        targets = {n: numbers_of(table, n) for n in VARIABLES if n in table.column_names}
        texts = ("group", "source_name", "source_class")
        groups, names, classes = (np.array(table[n].to_pylist(), dtype=object) for n in texts)
        return cls(spectra, targets, groups, names, classes)


@dataclass(frozen=True)
class Estimates:
    """Estimates of variables, and their intervals.

    Attributes:
        value: variable -> (n,).
        ends: nominal coverage in per cent -> lower and upper ends, variable -> (n,) each.
    """

    value: Mapping[str, np.ndarray]
    ends: Mapping[int, tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]

    def interval(self, level: int, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends (n, names); open ones are infinite."""
        low, high = (np.stack([ends[name] for name in names], axis=1) for ends in self.ends[level])
        return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

    def coverage(
        self, targets: Mapping[str, np.ndarray], groups: np.ndarray, n_bootstrap: int
    ) -> dict[int, dict[str, Any]]:
        """Measure how often the intervals hold the targets (n,) by variable.

        Returns:
            Level -> `evaluate_coverage`'s figures, over the rows that have an estimate.
        """
        truth = np.stack(
            [np.where(np.isfinite(self.value[n]), v, np.nan) for n, v in targets.items()], axis=1
        )
        options: dict[str, Any] = {"variables": list(targets), "n_bootstrap": n_bootstrap}
        return {
            level: evaluate_coverage(
                *self.interval(level, list(targets)), truth, groups, nominal=level / 100, **options
            )
            for level in self.ends
        }


def estimates_of(describer: Any, records: Sequence[Mapping[str, Any]]) -> Estimates:
    """Ask the experts of a model for the variables of spectra."""
    parts: list[list[dict[str, Any]]] = []
    for start in range(0, len(records), 256):
        output = describer.moe.predict(describer.model, list(records[start : start + 256]))
        parts.append(describer.moe.to_records(output))
    rows = [row for part in parts for row in part]

    def column(name: str, key: str) -> np.ndarray:
        return np.array([np.nan if r[name][key] is None else r[name][key] for r in rows], float)

    names = describer.moe.config.variables
    ends = {
        level: tuple({n: column(n, f"{end}_{level}") for n in names} for end in ("lower", "upper"))
        for level in (68, 90)
    }
    return Estimates({name: column(name, "value") for name in names}, ends)


def measure_variables(
    estimates: Mapping[str, Estimates], rows: RealRows, n_bootstrap: int
) -> dict[str, Any]:
    """Measure estimates for the test rows with enough counts.

    Args:
        estimates: method -> estimates for `test_rows(rows)`; the first is the model measured.
        rows: all rows.
        n_bootstrap: draws behind the intervals.

    Returns:
        `methods`: method -> `evaluate_regression`'s figures, with the median bias of each variable;
        `coverage`: method -> level -> `evaluate_coverage`'s figures; `goals` of the first method.
    """
    test = test_rows(rows)
    names = [name for name in VARIABLES if name in rows.targets]
    train = ~rows.is_test
    guess = np.array([_median(rows.targets[name][train]) for name in names])
    targets = np.stack([rows.targets[name][test] for name in names], axis=1)
    targets[:, ~np.isfinite(guess)] = np.nan
    methods, coverage = {}, {}
    for method, estimate in estimates.items():
        values = np.stack(
            [estimate.value.get(n, np.full(len(test), np.nan)) for n in names], axis=1
        )
        known = np.where(np.isfinite(values), targets, np.nan)
        methods[method] = evaluate_regression(
            np.nan_to_num(values), known, rows.groups[test], variables=names, guess=guess,
            n_bootstrap=n_bootstrap,
        )  # fmt: skip
        for number, name in enumerate(names):
            entry = methods[method]["variables"].get(name)
            if entry and entry["n"]:
                entry["median_bias"] = _median(values[:, number] - known[:, number])
        if estimate.ends:
            judged = [n for n in JUDGED if n in rows.targets and n in estimate.value]
            coverage[method] = estimate.coverage(
                {name: rows.targets[name][test] for name in judged}, rows.groups[test], n_bootstrap
            )
    first = next(iter(estimates))
    return {
        "rows": len(test),
        "groups": len(set(rows.groups[test])),
        "methods": methods,
        "coverage": coverage,
        "goals": check_goals(methods[first], coverage.get(first, {})),
    }


def test_rows(rows: RealRows) -> np.ndarray:
    """Return the rows of the test groups with enough net counts."""
    return np.flatnonzero(rows.is_test & (rows.net_counts > FEWEST_COUNTS))


def reads_texts(moe: Any) -> bool:
    """Tell whether some expert reads neighbouring texts."""
    return any(set(expert["inputs"]) & set(TEXT_VIEWS) for expert in moe.config.experts)


@torch.no_grad()
def calibrate_intervals(
    describer: Any, rows: RealRows, chosen: np.ndarray | None = None
) -> dict[str, int]:
    """Replace the conformal scores of compact experts by those of some rows, in place.

    Predictions and expected errors stay as they are, as do the scores of variables that few rows
    know.

    Args:
        describer: with experts.
        rows: of the data contract.
        chosen: rows to calibrate on; those outside the test groups with enough counts where None.

    Returns:
        Number of `rows` and `groups` of the scores.

    Raises:
        TrainingDataError: for experts that read texts.
    """
    moe, model = describer.moe, describer.model
    if reads_texts(moe):
        raise TrainingDataError(
            "intervals are calibrated for experts on the spectrum alone, as those of the model "
            "that comes with the package"
        )
    if chosen is None:
        chosen = np.flatnonzero(~rows.is_test & (rows.net_counts > FEWEST_COUNTS))
    panel, scores = moe.panels[RETRIEVED], []
    truth = np.stack([rows.targets.get(name, np.full(len(rows), np.nan))
                      for name in moe.config.variables], axis=1)  # fmt: skip
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
        part = chosen[start : start + _ROWS_AT_ONCE]
        inputs = describer.extractor(rows.records(part), return_tensors="pt")
        output = model(**inputs)
        views = moe.retrieve_text(
            moe.prepare(
                spectrum=output.spectrum_latent,
                shared_spectrum=output.spectrum_embeds,
                features=inputs["spectrum_globals"],
            )
        )
        answers, gate_inputs = moe.expert_predictions(views).nan_to_num(0.0), moe.gate_inputs(views)
        mixed, _ = panel.mix(answers, gate_inputs)
        expected = panel.difficulty(
            panel.difficulty_inputs(views["features"], gate_inputs, answers, mixed)
        )
        scores.append((moe.scale(torch.from_numpy(truth[part]).float()) - mixed) / expected)
    ordered = thin_scores(torch.cat(scores).sort(dim=0).values, len(panel.scores))
    unknown = np.isfinite(truth[chosen]).sum(axis=0) < FEWEST_CALIBRATING
    ordered[:, unknown] = panel.scores[:, unknown]
    for each in moe.panels.values():
        each.put(scores=ordered)
    return {"rows": len(chosen), "groups": len(set(rows.groups[chosen]))}


def check_goals(method: Mapping[str, Any], coverage: Mapping[int, Any]) -> dict[str, Any]:
    """Compare figures with `GOALS`, over the variables of `JUDGED`."""
    entries = {n: method["variables"][n] for n in JUDGED if method["variables"][n]["n"]}
    errors = {name: 1 - entry["gain_over_guess"]["value"] for name, entry in entries.items()}
    bias = max(abs(entries[name]["median_bias"]) for name in RATIOS)
    mean, largest = float(np.mean(list(errors.values()))), max(errors.values())
    figures: dict[str, Any] = {
        "bias": {"value": bias, "met": bias <= GOALS["bias"]},
        "mean_error": {"value": mean, "met": mean <= GOALS["mean_error"]},
        "largest_error": {"value": largest, "met": largest < GOALS["largest_error"]},
    }
    for level, entry in coverage.items():
        low, high = GOALS[level]
        value = entry["overall"]["value"]
        figures[f"coverage_{level}"] = {"value": value, "met": low <= value <= high}
    return figures


def measured_estimates(rows: RealRows, chosen: np.ndarray) -> Estimates:
    """Measure the hardness ratios and the significance from the counts, as the catalogue defines
    them, and fit the models of the catalogue to the same counts.

    The response is the nearest calibration epoch, its redistribution a Gaussian.
    """
    part = {name: values[chosen] for name, values in rows.spectra.items()}
    epochs = nearest_epoch_by_area(part["effective_area"])
    areas = np.stack([band_areas(int(epoch)) for epoch in epochs])
    scale = part["background_scale"][:, None]
    source, background = band_sums(part["counts"]), band_sums(part["background_counts"])
    flux = np.maximum(source - scale * background, 0.0) / areas
    s, m, h = flux.T
    with np.errstate(invalid="ignore"):
        value = {"hard_hm": (h - m) / (h + m), "hard_hs": (h - s) / (h + s),
                 "hard_ms": (m - s) / (m + s)}  # fmt: skip
    net = (source - scale * background).sum(axis=1)
    error = np.sqrt((source + scale**2 * background).sum(axis=1))
    value["flux_significance_b"] = net / np.maximum(error, 1.0)
    for epoch in np.unique(epochs):
        where = np.flatnonzero(epochs == epoch)
        for name, values in _fit({n: v[where] for n, v in part.items()}, int(epoch)).items():
            value.setdefault(name, np.full(len(chosen), np.nan))[where] = values
    return Estimates(value, {})


def nearest_epoch_by_area(area: np.ndarray) -> np.ndarray:
    """Return the calibration epoch whose area is most like that of each row, (n,)."""
    known = np.stack([area_at_bins(epoch) for epoch in range(len(load_epochs()))])
    logs = np.log(np.maximum(area, 1e-3))[:, ::8]
    distance = np.abs(logs[:, None] - np.log(np.maximum(known, 1e-3))[None, :, ::8]).mean(axis=2)
    return distance.argmin(axis=1)


def _fit(part: Mapping[str, np.ndarray], epoch: int) -> dict[str, np.ndarray]:
    response = load_epochs()[epoch]
    fits = fit_counts(
        part["counts"],
        part["background_counts"],
        part["background_scale"],
        part["exposure"],
        redistribution=response.redistribution @ overlap_fractions(CHANNEL_EDGES, bin_edges()),
        energy_edges=PHOTON_EDGES,
        channel_edges=bin_edges(),
        effective_area=response.area,
        models=FITTED,
        limits=False,
    )
    wanted = [name for name in VARIABLES if name.partition("_")[0] in FITTED]
    return {name: fits[name] for name in wanted if name in fits}


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
