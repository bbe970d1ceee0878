"""Outliers of a finished run: detector, rare sources, percentiles by class and the top 1 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np

from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.formatting import format_metric, format_number, format_with_interval
from hf_specclip.outliers.detector import SpecCLIPOutlierDetector
from hf_specclip.outliers.explain import OutlierExplanation, explain_outliers
from hf_specclip.outliers.rows import DETECTORS, OutlierRows, OutlierScores, band_columns
from specclip_training.data.pairs import SPECTRUM
from specclip_training.data.parquet_rows import to_arrays
from specclip_training.reports.blocks import Paragraph, Section, Study, Table, skipped_study
from specclip_training.studies.rare_sources import CHECK, SCARCITY, TIMES_CHANCE, rare_source_test
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.subject import Subject

OUTLIERS = "outliers"
QUASARS, ACTIVE = ("QSO",), ("AGN", "Seyfert", "Seyfert_1", "Seyfert_2", "Seyfert1", "Seyfert2")
TOP = 0.01
MOST_LISTED = 40
K = 10
# Fewer reference rows make percentiles too coarse.
FEWEST_CALIBRATION = 200
# A class with fewer rows has no meaningful median.
FEWEST_ROWS = 5
_TITLES = {
    "isolation_forest": "Isolation Forest (the paper)",
    "spectrum_neighbours": "distance to the nearest spectra",
    "disagreement": "disagreement of spectrum and text",
    "combined": "combined by rank",
    CHECK: "least likely window of an iron line",
}
_SCORES = (*DETECTORS, CHECK)
_SHOWN = ("isolation_forest", "combined")


def study_outliers(subject: Subject) -> Study:
    """Fit a detector to `train` and apply it to a split; for `test` save it in `outliers/`."""
    run, split = subject.run, subject.split
    train, rows = outlier_rows(subject.train), outlier_rows(subject.rows)
    unseen = [subject.reps[name] for name in ("calibration", "validation") if name != split]
    calibration = _join([outlier_rows(part) for part in unseen if len(part)])
    if split != "test" or calibration is None or len(calibration) < FEWEST_CALIBRATION:
        calibration = None
    try:
        detector = SpecCLIPOutlierDetector.fit(train, calibration, k=K, seed=run.seed)
    except ValueError as error:
        return skipped_study("Outliers", f"no detector: {error}")
    if run.is_main and split == "test":
        detector.save_pretrained(run.output / OUTLIERS)
    scores = detector.score(rows)
    metrics: dict[str, Any] = {
        "split": split,
        "rows": len(rows),
        "reference": "train" if calibration is None else "calibration and validation",
        "reference_rows": len(train if calibration is None else calibration),
    }
    sections = [
        _rare_section(subject, (train, calibration, rows), metrics),
        _class_section(subject, scores, rows, metrics),
        _top_section(subject, detector, rows, scores, metrics),
    ]
    return Study(metrics, sections)


def outlier_rows(reps: SplitRepresentations) -> OutlierRows:
    """Make the rows of a detector from the representations of a split."""
    text = np.array(reps.shared_text, np.float32)
    text[~reps.has_text] = np.nan
    names = [name for name in SPECTRUM if name in reps.table.column_names]
    bands = band_columns(to_arrays(reps.table.select(names)), reps.energy_range, reps.bands)
    return OutlierRows(
        spectrum=reps.shared_spectrum,
        text=text,
        variables=reps.targets,
        **bands,
        names=reps.table["source_name"].to_pylist(),
        classes=reps.classes,
        groups=reps.groups,
    )


def _join(parts: list[OutlierRows]) -> OutlierRows | None:
    if not parts:
        return None
    fields = [n for n, x in vars(parts[0]).items() if n != "variables" and x is not None]
    return OutlierRows(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields},
        variables={
            name: np.concatenate([part.variables[name] for part in parts])
            for name in parts[0].variables
        },
    )


def _rare_section(
    subject: Subject,
    parts: tuple[OutlierRows, OutlierRows | None, OutlierRows],
    metrics: dict[str, Any],
) -> Section:
    """Measure and report the recall of rare kinds at their real abundance.

    Args:
        subject: its run has `model/`, and `moe/` for the injected spectra.
        parts: rows of `train`, rows that ranks are taken among (or None), rows of the split.
        metrics: filled.
    """
    from hf_specclip import Describer

    run, table, describer = subject.run, subject.rows.table, None
    if (run.output / "moe" / "config.json").is_file() and "effective_area" in table.column_names:
        describer = Describer.from_pretrained(run.output, parts=("moe",))
    train, calibration, rows = parts
    metrics["rare_sources"] = results = rare_source_test(
        train, calibration, rows, table=table, describer=describer, k=K, seed=run.seed
    )
    lines = [
        [f"{name} ({entry['n']})",
         *(format_metric(entry["recall"].get(score), spec=".0%") for score in _SCORES),
         _TITLES[entry["best"]] if entry["found"] else "none"]
        for name, entry in results.items() if entry["best"]
    ]  # fmt: skip
    about = Paragraph(
        f"Detectors are fitted to the {len(train):,} {subject.word}rows of `train`. Percentiles "
        f"refer to the {metrics['reference_rows']:,} rows of {metrics['reference']}"
        + (", each without its own group" if calibration is None else ", which were not used in "
           "training") + ". The paper's Isolation Forest uses spectrum and text in the shared "
        "space; the combined score is the mean logarithm of the ranks by the forest, by the "
        "distance to the nearest spectra and by the disagreement of spectrum and text."
    )  # fmt: skip
    text = (
        "Share of the injected sources above the threshold of the top 1 % of the ordinary sources; "
        "chance is 1 %. The fitted rows hold rare classes at their abundance in the sky "
        f"({', '.join(f'{n} {name}' for name, n in SCARCITY.items())} among 10,000). Supersoft "
        "sources and lines of 1 keV equivalent width are simulated with the counts and area of "
        "ordinary rows; a wrong text is that of another source. The last column names the best "
        f"score where it reaches {TIMES_CHANCE:.0f} times chance."
    )
    head = ["kind (number)", *(_TITLES[score] for score in _SCORES), "found by"]
    return Section("Outliers: rare sources", [about, Paragraph(text), Table(head, lines)])


def percentiles_by_class(
    percentiles: np.ndarray,
    classes: Sequence[Any],
    groups: Sequence[Any] | np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Compute the median outlier percentile of each class with an interval, and its spread.

    Args:
        percentiles: (n,) 0 to 100, nan where a row cannot be scored.
        classes: (n,) class, None where unknown.
        groups: (n,).
        n_bootstrap, seed: of the intervals.

    Returns:
        class -> `n`, `value` (median), `low`, `high`, `lower`, `upper` (16th and 84th percentile
        of its rows), the highest median first.
    """
    labels, names = np.asarray(groups), np.array([str(c) if c else "" for c in classes])
    result = {}
    for name in sorted(set(names[names != ""].tolist())):
        rows = np.flatnonzero((names == name) & np.isfinite(percentiles))
        if len(rows) < FEWEST_ROWS:
            continue
        values = percentiles[rows]
        bootstrap = GroupBootstrap(labels[rows], n_bootstrap, seed)
        # One group tells nothing of the spread between groups.
        draws = bootstrap.medians(values) if bootstrap.n_groups > 1 else np.empty(0)
        lower, upper = np.quantile(values, [0.16, 0.84]).tolist()
        figure = bootstrap.figure(np.median(values), draws)
        result[name] = {"n": len(rows), **figure, "lower": lower, "upper": upper}
    return dict(sorted(result.items(), key=lambda item: -item[1]["value"]))


def _class_section(
    subject: Subject, scores: OutlierScores, rows: OutlierRows, metrics: dict[str, Any]
) -> Section:
    title = "Outliers: percentiles by class"
    by_class = {
        name: percentiles_by_class(
            scores.percentile(name), rows.classes, rows.groups, **subject.draws
        )
        for name in _SHOWN
    }
    metrics["by_class"] = by_class
    if not by_class["combined"]:
        return Section(title, [Paragraph("No class has five rows.")])
    head = ["class", "rows"]
    for name in _SHOWN:
        head += [f"{_TITLES[name]}, median percentile", "68 % of its rows"]
    lines = []
    for name in [name for name in by_class["isolation_forest"] if name in by_class["combined"]]:
        figures = [by_class[detector][name] for detector in _SHOWN]
        cells = [(format_with_interval(each, spec=".0f"), f"{each['lower']:.0f} to "
                  f"{each['upper']:.0f}") for each in figures]  # fmt: skip
        lines.append([name, f"{figures[0]['n']:,}", *chain(*cells)])
    forest = scores.percentile("isolation_forest")
    text = (
        f"Median percentile of the {subject.word}rows of each class; 50 for a class distributed as "
        f"the reference. {_compare_quasars(forest, rows, subject.draws, metrics)}"
    )
    return Section(title, [Paragraph(text), Table(head, lines)])


def _compare_quasars(
    percentile: np.ndarray, rows: OutlierRows, draws_of: dict[str, int], metrics: dict[str, Any]
) -> str:
    """Make the paper's comparison: quasars score above other active nuclei."""
    classes, groups = np.asarray(rows.classes, object), np.asarray(rows.groups, object).astype(str)
    medians, draws = [], []
    for names in (QUASARS, ACTIVE):
        chosen = np.flatnonzero(np.isin(classes, names) & np.isfinite(percentile))
        if len(set(groups[chosen].tolist())) < 2:
            return "Quasars and other active nuclei are not both present."
        bootstrap = GroupBootstrap(groups[chosen], **draws_of)
        medians.append(float(np.median(percentile[chosen])))
        draws.append(bootstrap.medians(percentile[chosen]))
    figure = bootstrap.figure(medians[0] - medians[1], draws[0] - draws[1])
    metrics["quasars_less_other_nuclei"] = figure
    verdict = "not distinguishable from"
    if figure["low"] > 0 or figure["high"] < 0:
        verdict = "above" if figure["low"] > 0 else "below"
    return (
        "The paper finds quasars above other active nuclei; here, by its Isolation Forest, their "
        f"median is {verdict} theirs (difference in percentile "
        f"{format_with_interval(figure, spec='.0f')})."
    )


def _top_section(
    subject: Subject,
    detector: SpecCLIPOutlierDetector,
    rows: OutlierRows,
    scores: OutlierScores,
    metrics: dict[str, Any],
) -> Section:
    raw = np.nan_to_num(scores.raw["combined"], nan=-np.inf)
    order = np.argsort(-raw, kind="stable")[: int(np.ceil(TOP * len(rows)))]
    explanations = explain_outliers(detector, rows, scores, order)
    metrics["top"] = [asdict(each) for each in explanations]
    bands = subject.rows.bands
    text = (
        f"The top 1 % of the {subject.word}rows ({len(explanations)}), highest score first. Band: "
        f"the one of s, m and h ({', '.join(f'{low:g}–{high:g}' for low, high in bands)} along the "
        "spectrum) whose net counts deviate most from the mean shape of the ten nearest sources at "
        "this brightness. Variable: the one that deviates most from the neighbours' median, in "
        "robust standard deviations of the reference. Last column: percentile of the disagreement "
        "of spectrum and text."
    )
    head = ["source", "class", "score", "percentile", "highest in", "nearest", "band", "variable",
            "spectrum against text"]  # fmt: skip
    lines = [_top_line(each, float(raw[each.row])) for each in explanations[:MOST_LISTED]]
    return Section("Outliers: the top 1 %", [Paragraph(text), Table(head, lines)])


def _top_line(each: OutlierExplanation, score: float) -> list[str]:
    near = ", ".join(f"{name} ({label or '?'})" for name, label in each.neighbours[:3])
    band = "–" if each.band is None else f"{each.band} {each.band_sigma:+.1f} σ"
    variable = "–"
    if each.variable is not None:
        variable = (
            f"{each.variable} {format_number(each.variable_value)}, "
            f"usual {format_number(each.variable_usual)} ({each.variable_z:+.1f} σ)"
        )
    disagreement = "–" if each.disagreement is None else f"{each.disagreement:.0f}"
    return [each.name, each.source_class or "–", f"{score:.2f}", f"{each.percentile:.1f}",
            _TITLES[each.strongest], near, band, variable, disagreement]  # fmt: skip
