"""What the latent spaces of a finished run know, and what they ought not to.

accelerate launch training/latent_space.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from specclip_training.engine.commands import Run, call, parser
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Figure, Paragraph, Section, Study, Table, with_interval
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.run_study import add_split, run_study

from hf_specclip.evaluation import evaluate_retrieval
from hf_specclip.evaluation.latent import (
    METHODS,
    MIN_ROWS,
    Correlations,
    alignment_and_uniformity,
    correlate,
    held_out_strength,
)
from hf_specclip.evaluation.latent_maps import MAPS, map_points, sample_rows
from hf_specclip.evaluation.latent_plots import (
    plot_correlations,
    plot_map_classes,
    plot_map_variables,
    plot_probes,
)
from hf_specclip.evaluation.latent_probes import (
    ProbeError,
    class_probe,
    label_probe,
    value_probe,
    without_readable,
)

FIGURES = "figures"
# arXiv 2603.04516, section on the latent space: Pearson |ρ| of the best dimension.
PAPER = {"hard_hs": 0.82, "apec_kt": 0.74, "powlaw_gamma": 0.68, "bb_kt": 0.68}
PAPER_MEAN = {"spectrum": 0.43, "text": 0.30, "shared_both": 0.55}
# An embedding from which more of the variance of exposure, off-axis angle or year can be read has
# learned the observation, not the source.
METADATA_BOUND = 0.15
TEXT_DIMENSIONS = 64
MAP_POINTS = 3000
MAP_VARIABLES = (
    "hard_hs", "hard_hm", "powlaw_gamma", "powlaw_nh", "bb_kt", "apec_kt", "flux_significance_b",
    "var_index_b",
)  # fmt: skip
_TITLES = {
    "spectrum": "spectrum, before alignment",
    "encoder": "spectrum, aligned encoder",
    "text": "text, before alignment",
    "shared_spectrum": "spectrum, shared space",
    "shared_text": "text, shared space",
    "shared_both": "both, shared space",
    "features": "plain numbers of the counts",
}


def study_latent_space(
    run: Run,
    reps: Mapping[str, SplitRepresentations],
    *,
    split: str = "test",
    simulated: bool = False,
    figures: Path | None = None,
) -> Study:
    """Correlations, geometry, probes and maps of the spaces of a run.

    Args:
        run: whose output folder the figures go to.
        reps: by split; probes learn on `train`.
        split: measured on.
        simulated: whether the rows are, which every sentence then says.
        figures: folder of the figures; `figures` in the output folder where None.
    """
    figures = run.output / FIGURES if figures is None else figures
    here = reps[split]
    word = "simulated " if simulated else ""
    if len(here) < MIN_ROWS or len(set(here.groups.tolist())) < 2:
        why = f"{split} has {len(here)} rows: too few to say anything about a latent space."
        return Study({"skipped": why}, [Section("Latent space", [Paragraph(why)])])
    if run.is_main:
        figures.mkdir(parents=True, exist_ok=True)
    spaces, learned = _spaces(reps["train"], here)
    metrics: dict[str, Any] = {"split": split, "rows": len(here)}
    sections = [
        _correlation_section(run, reps["train"], here, spaces, learned, figures, word, metrics),
        _geometry_section(run, here, word, metrics),
        _class_section(run, reps["train"], here, spaces, learned, word, metrics),
        _metadata_section(run, reps["train"], here, figures, word, metrics),
        _map_section(run, here, figures, word, metrics),
    ]
    return Study(metrics, sections)


def _spaces(
    train: SplitRepresentations, here: SplitRepresentations
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The spaces to look at, of the split and of train; texts at the width of the spectra."""
    from sklearn.decomposition import PCA

    _, first = np.unique(train.text_ids, return_index=True)
    distinct = train.text[first]
    width = min(TEXT_DIMENSIONS, *distinct.shape)
    pca = PCA(width, svd_solver="covariance_eigh").fit(distinct)
    names = ["spectrum", "encoder", "text", "shared_spectrum", "shared_text", "shared_both"]
    if np.array_equal(here.encoder, here.spectrum):
        names.remove("encoder")

    def of(split: SplitRepresentations, name: str) -> np.ndarray:
        if name == "text":
            return pca.transform(split.text)
        return split.encoder if name == "encoder" else split.matrix(name)

    return {name: of(here, name) for name in names}, {name: of(train, name) for name in names}


def _correlation_section(
    run: Run,
    train: SplitRepresentations,
    here: SplitRepresentations,
    spaces: Mapping[str, np.ndarray],
    learned: Mapping[str, np.ndarray],
    figures: Path,
    word: str,
    metrics: dict[str, Any],
) -> Section:
    draws = run.preset.evaluation.n_bootstrap
    found: dict[str, dict[str, Correlations]] = {}
    held: dict[str, np.ndarray] = {}
    for name, points in spaces.items():
        found[name] = {
            method: correlate(
                points, here.targets, here.groups, method=method, n_bootstrap=draws, seed=run.seed
            )
            for method in METHODS
        }
        choice = correlate(
            learned[name], train.targets, train.groups, n_bootstrap=1, n_permutations=1
        )
        held[name] = held_out_strength(choice, points, here.targets)
    metrics["correlations"] = {
        name: {
            **{method: one.to_dict() for method, one in methods.items()},
            "held_out_mean": _number(held[name]),
        }
        for name, methods in found.items()
    }
    metrics["paper"] = {"mean": PAPER_MEAN, "variables": PAPER}
    summary = Table(
        ["space", "dimensions", "Pearson, mean of the best", "chance", "paper", "Spearman",
         "dimension chosen on train"],
        [
            [
                _TITLES[name],
                str(spaces[name].shape[1]),
                with_interval(found[name]["pearson"].mean),
                f"{found[name]['pearson'].mean['chance']:.2f}",
                f"{PAPER_MEAN[name]:.2f}" if name in PAPER_MEAN else "–",
                with_interval(found[name]["spearman"].mean),
                _text(_number(held[name])),
            ]
            for name in spaces
        ],
    )  # fmt: skip
    shown = [n for n in ("spectrum", "text", "shared_spectrum", "shared_text") if n in spaces]
    rows = []
    for v, variable in enumerate(here.targets):
        cells = [variable, f"{found['spectrum']['pearson'].n[v]:,}"]
        for name in shown:
            one = found[name]["pearson"]
            above = one.strength[v] > one.null[v]
            cells.append(
                "–"
                if one.best[v] < 0
                else f"{one.strength[v]:.2f} ({one.low[v]:.2f} to {one.high[v]:.2f})"
                + ("" if above else " within chance")
            )
        null = found["shared_spectrum"]["pearson"].null[v]
        cells += [_text(null), f"{PAPER[variable]:.2f}" if variable in PAPER else "–"]
        rows.append(cells)
    table = Table(
        ["variable", "rows", *[_TITLES[name] for name in shown], "chance (95 %)", "paper"], rows
    )
    blocks: list[Any] = [
        Paragraph(
            f"Correlation of single dimensions with each variable on the {word}rows of this split: "
            "the best |ρ| of all dimensions, over the rows where the variable is known, averaged "
            "over the variables. The best of 64 dimensions correlates with anything, so chance "
            "stands beside it: groups of rows dealt to other groups' values. Intervals (95 %) come "
            "from resampling groups and hold for the chosen dimension; the last column chooses it "
            f"on `train` instead. Texts are cut to {spaces['text'].shape[1]} principal components "
            "(fitted on `train`), so that both modalities choose among equally many. Single "
            "dimensions depend on the axes that training happened to choose: a contrastive loss is "
            "blind to rotations, so a low figure does not say that a variable is not there."
        ),
        summary,
        table,
    ]
    if run.is_main:
        for method in METHODS:
            path = figures / f"latent_{method}.png"
            plot_correlations({_TITLES[n]: found[n][method] for n in shown}, path)
            blocks.append(
                Figure(
                    path,
                    f"{method.capitalize()} correlation of each dimension with each variable "
                    f"({word}rows), before and after alignment; rings mark the best dimension.",
                )
            )
    return Section("Latent space: what the dimensions stand for", blocks)


def _geometry_section(
    run: Run, here: SplitRepresentations, word: str, metrics: dict[str, Any]
) -> Section:
    found = alignment_and_uniformity(
        here.shared_spectrum,
        here.shared_text,
        here.groups,
        n_bootstrap=run.preset.evaluation.n_bootstrap,
        seed=run.seed,
    )
    metrics["geometry"] = found
    names = {
        "alignment": ("alignment, mean squared distance of a pair", "pairs of other groups"),
        "uniformity_spectrum": ("uniformity of spectra", "even over the sphere"),
        "uniformity_text": ("uniformity of texts", "even over the sphere"),
        "modality_gap": ("modality gap, distance of the two means", "places swapped, 95 %"),
    }
    rows = [
        [title, with_interval(found[key]), f"{found[key]['chance']:.3f}", what]
        for key, (title, what) in names.items()
    ]
    text = (
        f"The shared space of the {word}rows after Wang & Isola (2020): pairs close together "
        "(alignment, lower is better), all points spread out (uniformity, lower is better), and "
        "how far spectra and texts lie from each other as a whole (Liang et al. 2022)."
    )
    head = ["figure", "value", "reference", "reference is"]
    return Section("Latent space: geometry", [Paragraph(text), Table(head, rows)])


def _class_section(
    run: Run,
    train: SplitRepresentations,
    here: SplitRepresentations,
    spaces: Mapping[str, np.ndarray],
    learned: Mapping[str, np.ndarray],
    word: str,
    metrics: dict[str, Any],
) -> Section:
    title, rows = "Latent space: the class of a source", []
    metrics["class_probe"] = {}
    for name, points in spaces.items():
        try:
            found = class_probe(
                learned[name], train.classes, points, here.classes, here.groups,
                n_bootstrap=run.preset.evaluation.n_bootstrap, seed=run.seed,
            )  # fmt: skip
        except ProbeError as error:
            metrics["class_probe"] = {"skipped": str(error)}
            return Section(title, [Paragraph(f"No probe: {error}.")])
        metrics["class_probe"][name] = found
        accuracy, balanced = found["accuracy"], found["balanced_accuracy"]
        rows.append(
            [
                _TITLES[name],
                with_interval(accuracy, "{:.1%}"),
                f"{accuracy['chance']:.1%}",
                with_interval(balanced, "{:.1%}"),
                f"{balanced['chance']:.1%}",
            ]
        )
    text = (
        f"Logistic regression learns {found['n_classes']} classes on the {found['n_train']:,} "
        f"{word}rows of `train` and names those of {found['n']:,} rows of groups it has not seen. "
        "Chance is always naming the commonest class, and one over the number of classes. Texts "
        "often say the class outright: what they reach is no feat."
    )
    head = ["space", "accuracy", "majority", "balanced accuracy", "chance"]
    return Section(title, [Paragraph(text), Table(head, rows)])


def _metadata_section(
    run: Run,
    train: SplitRepresentations,
    here: SplitRepresentations,
    figures: Path,
    word: str,
    metrics: dict[str, Any],
) -> Section:
    title = "Latent space: what ought not to be there"
    options = {"n_bootstrap": run.preset.evaluation.n_bootstrap, "seed": run.seed}
    embeddings = ["shared_spectrum", "encoder", "features"]
    quantities = {
        title: tuple(read(_column(table, column)) for table in (train.table, here.table))
        for title, column, read in (
            ("exposure (log)", "exposure", _log),
            ("off-axis angle", "theta", np.asarray),
            ("year", "year", np.asarray),
        )
    }
    rows, skipped, drawn, verdicts = [], [], {}, []
    metrics["metadata"] = {"bound": METADATA_BOUND}
    for quantity, (known, truth) in quantities.items():
        found: dict[str, Any] = {}
        try:
            for name in embeddings:
                found[name] = value_probe(
                    getattr(train, name), known, getattr(here, name), truth, here.groups, **options
                )
        except ProbeError as error:
            skipped.append(f"{quantity}: {error}")
            continue
        drawn[quantity] = {
            _TITLES[name]: max(
                (one["ridge"], one["boosting"]), key=lambda figure: figure["value"]
            )
            for name, one in found.items()
        }  # fmt: skip
        verdict = _verdict(found["shared_spectrum"])
        metrics["metadata"][quantity] = {**found, "verdict": verdict}
        verdicts.append(f"{quantity} {verdict}")
        for name, one in found.items():
            rows.append(
                [f"{quantity} from {_TITLES[name]}", "R²", with_interval(one["ridge"]),
                 with_interval(one["boosting"]), "0"]
            )  # fmt: skip
    try:
        for name in embeddings:
            one = label_probe(
                getattr(train, name), _labels(train.table, "detector"),
                getattr(here, name), _labels(here.table, "detector"), here.groups, **options,
            )  # fmt: skip
            metrics["metadata"].setdefault("detector", {})[name] = one
            rows.append(
                [f"detector from {_TITLES[name]}", "balanced accuracy, AUC",
                 with_interval(one["balanced_accuracy"]), with_interval(one["auc"]),
                 f"{one['balanced_accuracy']['chance']:.2f}, 0.5"]
            )  # fmt: skip
    except ProbeError as error:
        skipped.append(f"detector: {error}")
    price: dict[str, Any] = {}
    if verdicts:
        price = _metadata_price(run, train, here, [known for known, _ in quantities.values()])
        metrics["metadata"]["price"] = price
    blocks: list[Any] = [
        Paragraph(
            "Exposure, off-axis angle, year and detector belong to the observation: what can be "
            "read of them from an embedding is a shortcut to the field, and through the field to "
            f"its papers. Ridge regression and gradient-boosted trees learn on `train` and read "
            f"{word}rows of fields they have not seen. The bound is an R² of {METADATA_BOUND:g} "
            "for the default embedding, the spectrum in the shared space; the plain numbers of the "
            "counts show what any account of rate and counts gives away."
        ),
    ]
    if verdicts:
        blocks.append(Paragraph("**Verdict:** " + "; ".join(verdicts) + "."))
    if verdicts:
        blocks.append(
            Paragraph(
                "**Why, and what it costs.** None of this is an input. But a spectrum shows how "
                "many counts there were (as a number, or by how ragged it is) and, where it is not "
                "normalised, how bright its source is: the ratio is exposure times area. Both are "
                "needed, the counts to know how far the rest can be trusted, and because papers "
                "say how many photons they had. With the directions taken out of spectra and texts "
                "along which exposure, off-axis angle and year are read linearly, Recall@1% of the "
                f"{word}rows is {with_interval(price['without'], '{:.1%}')} in place of "
                f"{with_interval(price['with'], '{:.1%}')}: so much of it may be owed to them. No "
                "field is in two splits, so it is no memory of fields."
            )
        )
    if rows:
        blocks.append(Table(["what is read", "measure", "linear", "boosted trees", "chance"], rows))
    if skipped:
        metrics["metadata"]["skipped"] = skipped
        blocks.append(Paragraph("Not measured: " + "; ".join(skipped) + "."))
    if drawn and run.is_main:
        path = figures / "metadata_probe.png"
        plot_probes(drawn, METADATA_BOUND, path)
        caption = f"Observing metadata read from embeddings of {word}spectra; the better probe."
        blocks.append(Figure(path, caption))
    return Section(title, blocks)


def _metadata_price(
    run: Run,
    train: SplitRepresentations,
    here: SplitRepresentations,
    known: Sequence[np.ndarray],
) -> dict[str, Any]:
    """Recall@1% from spectra to texts `with` and `without` what metadata can be read by."""
    _, first, owner = np.unique(here.text_ids, return_index=True, return_inverse=True)
    points = here.shared_spectrum, here.shared_text[first]
    found = {
        "with": points,
        "without": without_readable(train.shared_spectrum, np.stack(known, axis=1), *points),
    }
    settings = run.preset.evaluation
    return {
        name: evaluate_retrieval(
            *pair, owner, here.groups, ks=[1], n_bootstrap=settings.n_bootstrap, seed=run.seed
        )["spectrum_to_text"]["recall@1%"]
        for name, pair in found.items()
    }


def _map_section(
    run: Run, here: SplitRepresentations, figures: Path, word: str, metrics: dict[str, Any]
) -> Section:
    title = "Latent space: maps"
    rows = sample_rows(len(here), MAP_POINTS, run.seed)
    metrics["maps"] = {"points": len(rows)}
    if not run.is_main:
        return Section(title)
    maps: dict[str, np.ndarray] = {}
    missing = ""
    for method in MAPS:
        try:
            maps[method] = map_points(here.shared_spectrum[rows], method, seed=run.seed)
        except ImportError as error:
            missing = f" {error}."
            metrics["maps"]["skipped"] = str(error)
    blocks: list[Any] = [
        Paragraph(
            f"The spectra of {len(rows):,} {word}rows in the shared space, laid out in a plane. "
            "Only nearness means something: not the axes, nor the size of a cluster, nor the gap "
            "between two." + missing
        )
    ]
    variables = {
        f"{name} [{here.units[name]}]" if here.units[name] else name: here.targets[name][rows]
        for name in [v for v in MAP_VARIABLES if v in here.targets] or list(here.targets)[:8]
    }
    for method, places in maps.items():
        path = figures / f"map_{method.lower().replace('-', '')}.png"
        plot_map_variables(places, variables, path, title=f"{method} of the shared space")
        blocks.append(
            Figure(path, f"{method} of {word}spectra in the shared space, coloured by variables.")
        )
    if any(label is not None for label in here.classes):
        path = figures / "map_classes.png"
        plot_map_classes(maps, here.classes[rows], path)
        blocks.append(Figure(path, f"The same {word}spectra, coloured by class."))
    return Section(title, blocks)


def _verdict(found: Mapping[str, Any]) -> str:
    best = max((found["ridge"], found["boosting"]), key=lambda figure: figure["value"])
    value = f"R² {with_interval(best)}"
    if best["value"] >= METADATA_BOUND:
        return f"above the bound ({value})"
    if best["high"] >= METADATA_BOUND:
        return f"below the bound, but the interval reaches over it ({value})"
    return f"below the bound ({value})"


def _column(table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), np.float64)


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)


def _labels(table: pa.Table, name: str) -> Sequence[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


def _number(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _text(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.2f}"


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run_study("latent_space", study_latent_space, arguments, preset)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Look into the latent spaces of a finished run.",
        "Leaves DIR/latent_space/: metrics.json, report.html, report.md and figures.",
    )
    add_split(command)
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))
