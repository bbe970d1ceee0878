"""Which sources of a finished run are odd, why, and whether rare kinds are found among the others.

accelerate launch training/outliers.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from specclip_training.engine.commands import Run, call, parser
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Figure, Paragraph, Section, Study, Table, with_interval
from specclip_training.studies.outlier_figures import (
    injection_test,
    plot_scores_by_class,
    scores_by_class,
)
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.run_study import add_split, run_study

from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.outliers.detector import DETECTORS, OutlierRows, SpecCLIPOutlierDetector
from hf_specclip.outliers.explain import Oddity, describe_outliers

OUTLIERS, FIGURES = "outliers", "figures"
# Kinds that an injection test hides: of the simulated catalogue, and as SIMBAD names them.
RARE = ("LensedQ", "LensedQ_Candidate", "ULX_pulsar", "TDE", "TDE_Candidate")
QUASARS, ACTIVE = ("QSO",), ("AGN", "Seyfert", "Seyfert_1", "Seyfert_2", "Seyfert1", "Seyfert2")
TOP = 0.01
MOST_TOLD = 40
K = 10
_TITLES = {
    "isolation_forest": "Isolation Forest (the paper)",
    "mahalanobis": "Mahalanobis distance, shared space",
    "spectrum_neighbours": "distance to near spectra, shared space",
    "text_neighbours": "distance to near texts, shared space",
    "text_density": "near texts, over the neighbours' own distances",
    "identity_neighbours": "distance to near texts on what it is",
    "identity_density": "near texts on what it is, over the neighbours' own",
    "feature_neighbours": "distance in plain numbers of the counts",
    "disagreement": "spectrum against text",
    "variables": "variables against the neighbours'",
    "combined": "combined by rank",
}


def study_outliers(
    run: Run,
    reps: Mapping[str, SplitRepresentations],
    *,
    split: str = "test",
    simulated: bool = False,
    figures: Path | None = None,
) -> Study:
    """Fit a detector on `train`, leave it in `OUTPUT/outliers`, and look at a split with it.

    Args:
        run: its output folder takes the detector and the figures.
        reps: by split.
        split: looked at.
        simulated: whether the rows are, which every sentence then says.
        figures: folder of the figures; `figures` in the output folder where None.
    """
    figures = run.output / FIGURES if figures is None else figures
    word = "simulated " if simulated else ""
    train, here = outlier_rows(reps["train"]), outlier_rows(reps[split])
    unseen = [reps[name] for name in ("calibration", "validation") if name != split]
    held = _joined([outlier_rows(one) for one in unseen if len(one)])
    # Fewer rows than this cannot tell a percentile from the next.
    ruler = held if split == "test" and held is not None and len(held) >= 200 else None
    try:
        detector = SpecCLIPOutlierDetector.fit(train, ruler, k=K, seed=run.seed)
    except ValueError as error:
        why = f"No detector: {error}."
        return Study({"skipped": str(error)}, [Section("Outliers", [Paragraph(why)])])
    if run.is_main:
        figures.mkdir(parents=True, exist_ok=True)
        detector.save_pretrained(run.output / OUTLIERS)
    scores = detector.score(here)
    metrics: dict[str, Any] = {
        "split": split,
        "rows": len(here),
        "reference": "train" if ruler is None else "calibration and validation",
        "reference_rows": len(train) if ruler is None else len(ruler),
    }
    against = (
        "`train`, each row without its own group"
        if ruler is None
        else f"the {len(ruler):,} rows of `calibration` and `validation`, which no training saw"
    )
    intro = Paragraph(
        f"Detectors learn what is ordinary from the {len(train):,} {word}rows of `train` (saved in "
        f"`{OUTLIERS}/`). Percentiles are taken against {against}. The paper's Isolation Forest "
        "looks at spectrum and text in the shared space; the combined score is the mean logarithm "
        "of the ranks in six views: near spectra, near texts, near sections on what the source "
        "is, the two of texts over the distances their neighbours keep, and plain numbers of the "
        "counts."
    )
    sections = [
        _injection_section(run, train, here, word, metrics, intro),
        _class_section(run, scores.percentile, here, figures, word, metrics),
        _top_section(detector, here, scores, reps[split].bands, word, metrics),
    ]
    return Study(metrics, sections)


def outlier_rows(reps: SplitRepresentations) -> OutlierRows:
    """What a detector looks at, from the representations of a split."""
    width = reps.text.shape[1] // max(reps.section_mask.shape[1], 1)
    # The section on what it is: the first, where none is called so.
    place = reps.sections.index("identity") if "identity" in reps.sections else 0
    identity = np.array(reps.text[:, place * width : (place + 1) * width], np.float32)
    identity[~reps.section_mask[:, place]] = np.nan
    text = np.array(reps.shared_text, np.float32)
    text[~reps.section_mask.any(axis=1)] = np.nan
    counts, errors = band_counts(reps.table, reps.energy_range, reps.bands)
    return OutlierRows(
        spectrum=reps.shared_spectrum,
        text=text,
        identity=identity,
        features=reps.features,
        variables=reps.targets,
        band_counts=counts,
        band_errors=errors,
        names=reps.table["source_name"].to_pylist(),
        classes=reps.classes,
        groups=reps.groups,
    )


def band_counts(
    table: pa.Table, energy_range: Sequence[float], bands: Sequence[Sequence[float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Net counts in three bands and their standard deviations, (n, 3) each; bins by their centre.

    Args:
        table: with `counts`, `background_counts` and `background_scale`.
        energy_range: ends of the bins.
        bands: three pairs on the same axis.
    """
    width = table.schema.field("counts").type.list_size
    edges = np.linspace(*energy_range, width + 1)
    centres = 0.5 * (edges[1:] + edges[:-1])

    def summed(column: str) -> np.ndarray:
        parts = [chunk.flatten().to_numpy() for chunk in table[column].chunks]
        counts = np.concatenate([*parts, np.empty(0)]).reshape(-1, width)
        inside = [(centres >= low) & (centres < high) for low, high in bands]
        return counts @ np.stack(inside, axis=1).astype(float)

    source, background = summed("counts"), summed("background_counts")
    scale = table["background_scale"].to_numpy().astype(float)[:, None]
    return source - scale * background, np.sqrt(source + scale**2 * background)


def _joined(parts: list[OutlierRows]) -> OutlierRows | None:
    if not parts:
        return None
    arrays = ("spectrum", "text", "identity", "features", "band_counts", "band_errors")
    labels = ("names", "classes", "groups")
    return OutlierRows(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
        **{name: [x for part in parts for x in getattr(part, name)] for name in labels},
        variables={
            name: np.concatenate([part.variables[name] for part in parts])
            for name in parts[0].variables
        },
    )


def _injection_section(
    run: Run,
    train: OutlierRows,
    here: OutlierRows,
    word: str,
    metrics: dict[str, Any],
    intro: Paragraph,
) -> Section:
    blocks: list[Any] = [intro]
    classes = np.asarray(here.classes, object)
    kinds = [kind for kind in RARE if (classes == kind).any()]
    if not kinds:
        why = (
            f"no row of this split is of a rare kind ({', '.join(RARE)}), so there is nothing "
            "to inject"
        )
        metrics["injection"] = {"skipped": why}
        blocks.append(Paragraph(f"Injection test not made: {why}."))
        return Section("Outliers: rare kinds among the others", blocks)
    metrics["injection"] = {}
    blocks.append(
        Paragraph(
            f"Rare kinds are hidden one at a time among the other {word}sources of this split. "
            "Chance is an AUC of 0.5 and a recall of the share looked at. `new`: detectors are "
            "fitted without any of them. `rare`: `train` keeps the share it has. The embedding "
            "itself was trained with them either way. Where a text names its class, distances "
            "between texts find a kind that was never met because it is called by another name; "
            "what the spectrum alone shows is in the rows on spectra and counts. Where `train` has "
            f"more of a kind than the {K} neighbours of each distance, it is no longer far from "
            "its like."
        )
    )
    for key, natural in (("new", False), ("rare", True)):
        found = injection_test(
            train, here, kinds, natural=natural, n_bootstrap=run.preset.evaluation.n_bootstrap,
            seed=run.seed, k=K,
        )  # fmt: skip
        metrics["injection"][key] = found
        rows = []
        for kind, one in found.items():
            shown = DETECTORS if kind == "together" else ("isolation_forest", "combined")
            for name in shown:
                figures = one["detectors"].get(name)
                if figures is None:
                    continue
                recalls = [figures["recall@1%"], figures["recall@5%"]]
                rows.append(
                    [
                        f"{'all' if kind == 'together' else kind} ({one['n']} of {one['n_groups']} "
                        f"groups among {one['n_others']:,}): {_TITLES[name]}",
                        with_interval(figures["auc"], "{:.2f}"),
                        *[
                            f"{with_interval(r, '{:.0%}')}, chance {r['chance']:.1%}, "
                            f"at most {r['most']:.0%}"
                            for r in recalls
                        ],
                    ]
                )
        head = [f"{key}: kind and detector", "ROC-AUC", "recall in top 1 %", "recall in top 5 %"]
        blocks.append(Table(head, rows))
    return Section("Outliers: rare kinds among the others", blocks)


def _class_section(
    run: Run,
    percentile: Any,
    here: OutlierRows,
    figures: Path,
    word: str,
    metrics: dict[str, Any],
) -> Section:
    title = "Outliers: how odd each class is"
    options = {"n_bootstrap": run.preset.evaluation.n_bootstrap, "seed": run.seed}
    found = {
        name: scores_by_class(percentile(name), here.classes, here.groups, **options)
        for name in ("isolation_forest", "combined")
    }
    metrics["by_class"] = found
    if not found["combined"]:
        return Section(title, [Paragraph("No class has five rows: nothing to compare.")])
    head = ["class", "rows", "Isolation Forest, median percentile", "68 % of its rows",
            "combined, median percentile", "68 % of its rows"]  # fmt: skip
    rows = [
        [
            kind,
            f"{one['n']:,}",
            *[
                cell
                for name in ("isolation_forest", "combined")
                for cell in (
                    with_interval(found[name][kind], "{:.0f}"),
                    f"{found[name][kind]['lower']:.0f} to {found[name][kind]['upper']:.0f}",
                )
            ],
        ]
        for kind, one in found["isolation_forest"].items()
        if kind in found["combined"]
    ]
    blocks: list[Any] = [
        Paragraph(
            f"Median percentile of the {word}rows of each class, 50 where a class is as ordinary "
            "as the rest. " + _quasars(percentile("isolation_forest"), here, options, metrics)
        ),
        Table(head, rows),
    ]
    if run.is_main:
        path = figures / "outliers_by_class.png"
        plot_scores_by_class({_TITLES[name]: one for name, one in found.items()}, path)
        blocks.append(
            Figure(
                path,
                f"Oddness by class ({word}rows): median with its 95 % interval, and the middle "
                "68 % of the rows (wide).",
            )
        )
    return Section(title, blocks)


def _quasars(
    percentile: np.ndarray, here: OutlierRows, options: dict[str, Any], metrics: dict[str, Any]
) -> str:
    """The paper's comparison: quasars score above other active nuclei."""
    classes, groups = np.asarray(here.classes, object), np.asarray(here.groups, object).astype(str)
    sides, draws = [], []
    for kinds in (QUASARS, ACTIVE):
        rows = np.flatnonzero(np.isin(classes, kinds) & np.isfinite(percentile))
        if len(set(groups[rows].tolist())) < 2:
            return "There are not both quasars and other active nuclei to compare."
        bootstrap = GroupBootstrap(groups[rows], options["n_bootstrap"], options["seed"])
        sides.append(float(np.median(percentile[rows])))
        draws.append(bootstrap.medians(percentile[rows]))
    low, high = (float(q) for q in np.quantile(draws[0] - draws[1], [0.025, 0.975]))
    figure = {"value": sides[0] - sides[1], "low": low, "high": high}
    metrics["quasars_less_other_nuclei"] = figure
    verdict = "above" if low > 0 else "below" if high < 0 else "not told apart from"
    return (
        f"The paper finds quasars above other active nuclei; here, by its Isolation Forest, their "
        f"median is {verdict} theirs (difference in percentile {with_interval(figure, '{:.0f}')})."
    )


def _top_section(
    detector: SpecCLIPOutlierDetector,
    here: OutlierRows,
    scores: Any,
    bands: Sequence[Sequence[float]],
    word: str,
    metrics: dict[str, Any],
) -> Section:
    raw = np.nan_to_num(scores.raw["combined"], nan=-np.inf)
    order = np.argsort(-raw, kind="stable")[: int(np.ceil(TOP * len(here)))]
    found = describe_outliers(detector, here, scores, order)
    metrics["top"] = [asdict(one) for one in found]
    rows = [_told(one, float(raw[one.row])) for one in found[:MOST_TOLD]]
    text = (
        f"The oddest 1 % of the {word}rows ({len(found)}), oddest first. The band is the one of s, "
        f"m and h ({', '.join(f'{low:g}–{high:g}' for low, high in bands)} along the spectrum) "
        "whose net counts depart most from the mean shape of the ten nearest sources at this "
        "brightness; the variable is the one that departs most from the neighbours' median, in "
        "robust standard deviations of what is usual; the last column is the percentile of the "
        "disagreement of spectrum and text."
    )
    head = ["source", "class", "score", "percentile", "most odd in", "nearest", "band", "variable",
            "spectrum against text"]  # fmt: skip
    return Section("Outliers: the top 1 %", [Paragraph(text), Table(head, rows)])


def _told(one: Oddity, score: float) -> list[str]:
    near = ", ".join(f"{name} ({kind or '?'})" for name, kind in one.neighbours[:3])
    band = "–" if one.band is None else f"{one.band} {one.band_sigma:+.1f} σ"
    variable = "–"
    if one.variable is not None:
        variable = (
            f"{one.variable} {one.variable_value:.3g}, usual {one.variable_usual:.3g} "
            f"({one.variable_z:+.1f} σ)"
        )
    apart = "–" if one.disagreement is None else f"{one.disagreement:.0f}"
    return [one.name, one.kind or "–", f"{score:.2f}", f"{one.percentile:.1f}",
            _TITLES[one.strongest], near, band, variable, apart]  # fmt: skip


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run_study("outlier_study", study_outliers, arguments, preset)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Find the odd sources of a finished run, and test the finding.",
        "Leaves DIR/outliers/, a SpecCLIPOutlierDetector, and DIR/outlier_study/: metrics.json,\n"
        "report.html, report.md and figures.",
    )
    add_split(command)
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
