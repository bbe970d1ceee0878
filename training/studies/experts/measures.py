"""Errors, gains and coverage of two mixtures of experts, with and without the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from hf_specclip.evaluation import evaluate_coverage, evaluate_regression
from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.information import information_gain
from hf_specclip.models.configuration_specclip_moe import PANELS
from specclip_training.studies.representations import REPRESENTATIONS, SplitRepresentations

MODES = ("select", "gate")
COUNT_EDGES = (0, 50, 150, 500, np.inf)
# Of the ends of the 90 and 68 % intervals, and of the estimate between them.
QUANTILE_LEVELS = np.array([0.05, 0.16, 0.5, 0.84, 0.95])

Outputs = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]


def measure_experts(
    outputs: Outputs,
    rows: SplitRepresentations,
    train: SplitRepresentations,
    n_bootstrap: int,
) -> dict[str, Any]:
    """Measure the two mixtures.

    Args:
        outputs: mode -> panel -> outputs of `SpecCLIPMoEForRegression` as arrays.
        rows: the rows predicted.
        train: rows whose medians are the baseline.
        n_bootstrap: draws behind each interval.
    """
    names = list(rows.targets)
    targets = np.stack([rows.targets[name] for name in names], axis=1)
    known = [train.targets[name][np.isfinite(train.targets[name])] for name in names]
    guess = np.array([np.median(values) if len(values) else np.nan for values in known])
    # Variables with too few values for a fit are left out.
    answered = np.isfinite(outputs["gate"]["full"]["predictions"]).all(axis=0) & np.isfinite(guess)
    targets[:, ~answered] = np.nan

    def score(predictions: np.ndarray, baseline: np.ndarray | None) -> dict[str, Any]:
        return evaluate_regression(
            predictions, targets, rows.groups, variables=names, baseline=baseline, guess=guess,
            n_bootstrap=n_bootstrap,
        )  # fmt: skip

    full = {mode: panels["full"] for mode, panels in outputs.items()}
    select, gate = (full[mode]["predictions"] for mode in MODES)
    single = representation_predictions(full)
    spectra = single["spectrum"]
    metrics: dict[str, Any] = {"knn": {n: score(values, spectra) for n, values in single.items()}}
    metrics |= {mode: score(full[mode]["predictions"], spectra) for mode in MODES}
    metrics["gate_over_select"] = score(gate, select)["mean_gain"]
    metrics["missing_text"] = {mode: {} for mode in MODES}
    for mode, panel in product(MODES, PANELS[1:]):
        values = outputs[mode][panel]["predictions"]
        result, gain = score(values, spectra), score(values, full[mode]["predictions"])["mean_gain"]
        metrics["missing_text"][mode][panel] = {
            **{key: result[key] for key in ("mean_gain", "mean_gain_over_guess")},
            # The growth of the error without the text.
            "price": {"value": -gain["value"], "low": -gain["high"], "high": -gain["low"]},
        }
    metrics["coverage"] = _coverage(outputs, targets, rows, names, n_bootstrap)
    metrics["information"] = {
        panel: _information(output, targets, train, rows.groups, names, n_bootstrap)
        for panel, output in outputs["gate"].items()
    }
    return metrics


def representation_predictions(
    full: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Representation -> predictions (n, variables) of the paper's k-NN on it, from mode -> outputs
    with text."""
    answers = full["select"]["expert_predictions"]
    return {name: answers[:, number] for number, name in enumerate(REPRESENTATIONS)}


def _coverage(
    outputs: Outputs,
    targets: np.ndarray,
    rows: SplitRepresentations,
    names: Sequence[str],
    n_bootstrap: int,
) -> dict[str, Any]:
    """Coverage by mode, panel and level, overall and by the counts of the spectrum."""
    counts = 10 ** rows.features[:, rows.feature_names.index("log_counts")] - 1
    by = {
        f"{low:g} to {high:g} counts" if np.isfinite(high) else f"over {low:g} counts":
        (counts >= low) & (counts < high)
        for low, high in pairwise(COUNT_EDGES)
    }  # fmt: skip
    return {
        mode: {
            panel: {
                level: evaluate_coverage(
                    output[f"lower_{level}"], output[f"upper_{level}"], targets, rows.groups,
                    variables=names, nominal=int(level) / 100, by=by, n_bootstrap=n_bootstrap,
                )
                for level in ("68", "90")
            }
            for panel, output in panels.items()
        }
        for mode, panels in outputs.items()
    }  # fmt: skip


def _information(
    output: Mapping[str, np.ndarray],
    targets: np.ndarray,
    train: SplitRepresentations,
    groups: np.ndarray,
    names: Sequence[str],
    n_bootstrap: int,
) -> dict[str, dict[str, float]]:
    """Mean information gain in nats over the distribution of each variable in `train`."""
    ends = ("lower_90", "lower_68", "predictions", "upper_68", "upper_90")
    result = {}
    for column, name in enumerate(names):
        quantiles = np.stack([output[end][:, column] for end in ends], axis=1)
        population = np.asarray(train.targets[name], np.float64)
        gain = information_gain(quantiles, QUANTILE_LEVELS, targets[:, column], population)
        known = np.isfinite(gain)
        if known.any():
            bootstrap = GroupBootstrap(np.asarray(groups)[known], n_bootstrap)
            result[name] = bootstrap.figure(gain[known].mean(), bootstrap.means(gain[known]))
    return result
