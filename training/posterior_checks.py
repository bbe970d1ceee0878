"""Posterior checks of a trained model on simulated spectra of known truth.

    python training/posterior_checks.py --model runs/best --dataset DIR

measures how often the check of `specclip describe` finds an unmodelled 6.4 keV line and a shift of
the gain, how often it raises a false alarm, and how many of the intervals hold by counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hf_specclip import Describer
from hf_specclip.cli.arguments import positive_int
from hf_specclip.cli.run_command import run_command
from hf_specclip.describe.limitations import VARIABILITY
from hf_specclip.describe.posterior_check import PosteriorCheck, check_counts
from hf_specclip.describe.read_dataset import split_files
from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.roc import roc_auc
from hf_specclip.formatting import format_with_interval
from hf_specclip.spectra import emission
from hf_specclip.spectra.rebin import energy_grid, overlap_fractions
from hf_specclip.storage import write_json
from specclip_datasets.contract import ENERGY_RANGE, N_BINS
from specclip_datasets.simulation import instrument
from specclip_training.data.pairs import SPECTRUM
from specclip_training.reports.blocks import Paragraph, Section, Table, write_report
from specclip_training.studies.representations import numbers_of
from specclip_training.studies.transfer import (
    RealRows,
    calibrate_intervals,
    estimates_of,
    reads_texts,
)

COUNTS = (300, 1_000, 3_000, 10_000)
# Rows of the test split with counts within this factor of these are compared with the intervals.
COVERAGE_COUNTS, COVERAGE_FACTOR = (100, 1_000, 10_000), 1.8
LINE_ENERGY, EQUIVALENT_WIDTH, GAIN = 6.404, 0.3, 1.03
# Spectra with fewer net counts calibrate no intervals.
FEWEST_COUNTS = min(COVERAGE_COUNTS) / COVERAGE_FACTOR
# The truth of the spectra: power-law fits of such sources of the test split.
NUCLEI = ("QSO", "Seyfert_1", "Seyfert_2", "LensedQ", "AGN")
_BACKGROUND_SHARE, _BACKGROUND_SCALE = 0.03, 0.05
_GRID = energy_grid(N_BINS, ENERGY_RANGE)
ALTERED = ("clean", "line", "gain")
AREAS = ("line", "any_line", "whole", "ideal")


def simulate(
    gamma: np.ndarray, column: np.ndarray, counts: int, altered: str, random: np.random.Generator
) -> tuple[list[dict[str, Any]], list[np.ndarray], dict[str, np.ndarray]]:
    """Simulate absorbed power laws on axis, with a response of one of the calibration epochs.

    Args:
        gamma, column: photon indices and column densities (1e20 cm⁻²).
        counts: expected counts of the source in each spectrum.
        altered: `clean`, `line` (at 6.4 keV) or `gain` (all energies 3 % too high).
        random: generator.

    Returns:
        For each spectrum its columns of the data contract, and its response (870, 400), cm²; and
        for each alteration the log likelihood ratios of the counts, altered against clean, (n,).
        Given the true spectrum no test is more powerful (Neyman & Pearson 1933).
    """
    columns, responses = [], []
    ratios: dict[str, list[float]] = {kind: [] for kind in ALTERED[1:]}
    edges, centres = instrument.PHOTON_EDGES, instrument.PHOTON_CENTRES
    place = int(np.argmin(np.abs(centres - LINE_ENERGY)))
    on_grid = {kind: overlap_fractions(instrument.CHANNEL_EDGES * stretch, _GRID)
               for kind, stretch in (("clean", 1.0), ("line", 1.0), ("gain", GAIN))}  # fmt: skip
    for index, absorber in zip(gamma, column, strict=True):
        epoch = instrument.load_epochs()[random.integers(6)]
        photons = emission.power_law(edges, index) * emission.phabs(edges, absorber / 100.0)
        response = epoch.redistribution * epoch.area[:, None]
        behind = epoch.background @ on_grid["clean"]
        behind = behind * (_BACKGROUND_SHARE * counts / behind.sum())
        expected = {}
        for kind in ALTERED:
            source = photons.copy()
            if kind == "line":
                source[place] += EQUIVALENT_WIDTH * source[place] / (edges[1] - edges[0])
            rate = source @ response @ on_grid[kind]
            expected[kind] = rate * (counts / rate.sum()) + behind
        responses.append(response @ on_grid["clean"])
        columns.append(
            {
                "counts": random.poisson(expected[altered]),
                "background_counts": random.poisson(behind / _BACKGROUND_SCALE),
                "background_scale": _BACKGROUND_SCALE,
                "exposure": float(random.uniform(2e4, 1e5)),
                "effective_area": np.interp((_GRID[1:] + _GRID[:-1]) / 2, centres, epoch.area),
            }
        )
        for kind, values in ratios.items():
            logs = np.log(expected[kind] / expected["clean"])
            values.append(float(columns[-1]["counts"] @ logs))
    return columns, responses, {kind: np.array(values) for kind, values in ratios.items()}


def check_all(
    describer: Describer, spectra: Sequence[dict[str, Any]], responses: Sequence[np.ndarray]
) -> list[PosteriorCheck]:
    """Infer the variables of the spectra of `simulate`, and compare each with its counts."""
    checks = []
    rows = zip(spectra, responses, describer.describe_many(list(spectra)), strict=True)
    for number, (columns, response, description) in enumerate(rows):
        variables = {variable.name: variable for variable in description.variables}
        check = check_counts(columns, instrument.PHOTON_EDGES, response, variables, seed=number)
        assert check is not None
        checks.append(check)
    return checks


def scores_of(checks: Sequence[PosteriorCheck]) -> dict[str, np.ndarray]:
    """Return scores that rise with disagreement.

    Returns:
        `line` (−ln p of the window at 6.4 keV), `any_line` (of the least likely window), `whole`
        (of the whole spectrum), and `alarm` (1 where `describe` gives a warning).
    """

    def least(items: Any) -> float:
        return -float(np.log(max(min(each.p_value for each in items), 1e-300)))

    at_line = [[each for each in c.lines if each.energy == LINE_ENERGY] for c in checks]
    return {
        "line": np.array([least(windows) for windows in at_line]),
        "any_line": np.array([least(check.lines) for check in checks]),
        "whole": np.array([-np.log(check.p_value) for check in checks]),
        "alarm": np.array([float(bool(check.unexplained)) for check in checks]),
    }


def measure_checks(describer: Describer, truth: np.ndarray, n: int, seed: int) -> dict[str, Any]:
    """Measure the areas under the curve by counts and alteration, and the rates of alarm.

    Args:
        describer: with experts.
        truth: (rows, 2) photon index and column density to draw from.
        n: spectra of each kind.
        seed: of the draws.
    """
    result: dict[str, Any] = {}
    pooled: dict[str, list[dict[str, np.ndarray]]] = {kind: [] for kind in ALTERED}
    for counts in COUNTS:
        scores = {}
        for kind in ALTERED:
            random = np.random.default_rng([seed, counts, ALTERED.index(kind)])
            gamma, column = truth[random.integers(len(truth), size=n)].T
            *spectra, ratios = simulate(gamma, column, counts, kind, random)
            scores[kind] = scores_of(check_all(describer, *spectra))
            scores[kind] |= {f"ideal_{name}": values for name, values in ratios.items()}
            pooled[kind].append(scores[kind])
        result[str(counts)] = _compare(scores, seed)
    joined = {
        kind: {name: np.concatenate([p[name] for p in parts[1:]]) for name in parts[0]}
        for kind, parts in pooled.items()
    }
    result["over 1,000"] = _compare(joined, seed)
    return result


def _compare(scores: dict[str, dict[str, np.ndarray]], seed: int) -> dict[str, Any]:
    clean = scores["clean"]
    result: dict[str, Any] = {"false_alarms": float(clean["alarm"].mean())}
    for kind in ALTERED[1:]:
        both = {name: np.concatenate([clean[name], scores[kind][name]]) for name in clean}
        labels = np.arange(len(both["whole"])) >= len(clean["whole"])
        bootstrap = GroupBootstrap(np.arange(len(labels)), 500, seed)
        score_of = {name: name for name in AREAS} | {"ideal": f"ideal_{kind}"}
        result[kind] = {n: roc_auc(both[score], labels, bootstrap) for n, score in score_of.items()}
        result[kind]["alarms"] = float(scores[kind]["alarm"].mean())
    return result


def measure_intervals(describer: Describer, rows: Any) -> dict[str, Any]:
    """Measure coverage, by counts, of the intervals of a model with experts on rows of a table."""
    counts = np.array([np.sum(each) for each in rows["counts"].to_numpy()])
    chosen = np.flatnonzero(counts > FEWEST_COUNTS)
    estimates = estimates_of(describer, rows.select(SPECTRUM).take(chosen).to_pylist())
    names = [n for n in estimates.value if n not in VARIABILITY and n in rows.column_names]
    coverage: dict[str, Any] = {}
    for level in COVERAGE_COUNTS:
        near = np.abs(np.log(counts[chosen] / level)) < np.log(COVERAGE_FACTOR)
        part = coverage[str(level)] = {"rows": int(near.sum())}
        targets = {n: np.where(near, numbers_of(rows, n)[chosen], np.nan) for n in names}
        for share, measured in estimates.coverage(targets, chosen, n_bootstrap=2).items():
            part[str(share)] = (measured["overall"] or {"value": np.nan})["value"]
            part[f"{share} by variable"] = {
                name: entry["value"] for name, entry in measured["variables"].items() if entry
            }
    return coverage


def report_sections(metrics: dict[str, Any]) -> list[Section]:
    """Write the report."""
    lines = []
    for level, part in metrics["checks"].items():
        for kind in ALTERED[1:]:
            areas = [format_with_interval(part[kind][name], spec=".2f") for name in AREAS]
            alarms = [f"{share:.0%}" for share in (part[kind]["alarms"], part["false_alarms"])]
            lines.append([f"{level} counts: {kind}", *areas, *alarms])
    text = (
        "Simulated absorbed power laws of active nuclei, on axis, "
        f"{metrics['n']} of each kind and brightness: a line at 6.4 keV of "
        f"{EQUIVALENT_WIDTH:g} keV equivalent width, or all energies recorded 3 % too high, "
        "against clean spectra. ROC-AUC (95 % interval) of the window at 6.4 keV, of the least "
        "likely window, of the whole spectrum, and of the likelihood ratio of the true spectra, "
        "which no test exceeds; share for which `describe` says that something is not explained."
    )
    head = ["spectra", "AUC, 6.4 keV", "any window", "whole", "ideal", "alarms", "false alarms"]
    sections = [Section("Checks", [Paragraph(text), Table(head, lines)])]
    rows = [
        [part["rows"], f"about {level}", name, f"{part['68']:.1%}", f"{part['90']:.1%}"]
        for name, coverage in metrics["coverage"].items()
        for level, part in coverage.items()
    ]
    head = ["test rows", "counts", "intervals", "68 % hold", "90 % hold"]
    sections.append(Section("Intervals by counts", [Table(head, rows)]))
    return sections


def main(arguments: argparse.Namespace) -> int:
    """Measure, write and print."""
    describer = Describer.from_pretrained(arguments.model, parts=("moe",))
    rows = pq.read_table(split_files(arguments.dataset)["test"])
    is_nucleus = np.isin(rows["source_class"].to_numpy(zero_copy_only=False).astype(str), NUCLEI)
    truth = np.stack(
        [rows[f"powlaw_{name}"].to_numpy().astype(float) for name in ("gamma", "nh")], 1
    )
    fitted = rows["powlaw_stat"].to_numpy().astype(float) < 1.5
    truth = truth[is_nucleus & fitted & np.isfinite(truth).all(axis=1)]
    metrics = {
        "n": arguments.n,
        "seed": arguments.seed,
        "checks": measure_checks(describer, truth, arguments.n, arguments.seed),
        "coverage": {"of the model": measure_intervals(describer, rows)},
    }
    if not reads_texts(describer.moe):
        train = RealRows.from_table(pq.read_table(split_files(arguments.dataset)["train"]))
        calibrate_intervals(describer, train, np.flatnonzero(train.net_counts > FEWEST_COUNTS))
        name = "calibrated on the train split"
        metrics["coverage"][name] = measure_intervals(describer, rows)
    output = arguments.output or Path(arguments.model) / "posterior_checks"
    write_json(output / "metrics.json", metrics)
    _, page = write_report(output, "Posterior checks (simulated)", report_sections(metrics))
    print((output / "report.md").read_text(encoding="utf-8"))
    print(page)
    return 0


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a finished run")
    parser.add_argument("--dataset", type=Path, required=True, help="its simulated dataset")
    parser.add_argument("-o", "--output", type=Path, help="(default MODEL/posterior_checks)")
    parser.add_argument("-n", type=positive_int, default=200, help="spectra per case (default 200)")
    parser.add_argument("--seed", type=int, default=29, help="(default 29)")
    return parser


if __name__ == "__main__":
    sys.exit(run_command("error", lambda: main(options().parse_args())))
