"""Study of the latent spaces of a finished run: correlations, probes and maps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from hf_specclip.evaluation.latent import MIN_ROWS, correlate
from hf_specclip.evaluation.latent_plots import (
    plot_correlations,
    plot_map_classes,
    plot_map_variables,
)
from hf_specclip.evaluation.latent_probes import ProbeError, class_probe, value_probe
from hf_specclip.formatting import format_metric, format_with_interval
from hf_specclip.search.map import map_points, sample_rows
from specclip_training.reports.blocks import Figure, Paragraph, Section, Study, Table, skipped_study
from specclip_training.studies.representations import SplitRepresentations, numbers_of
from specclip_training.studies.subject import Subject

# arXiv 2603.04516, section on the latent space: Pearson |ρ| of the best dimension.
PAPER = {"hard_hs": 0.82, "apec_kt": 0.74, "powlaw_gamma": 0.68, "bb_kt": 0.68}
PAPER_MEAN = {"spectrum": 0.43, "text": 0.30, "shared_both": 0.55}
# An embedding that explains more of the variance of exposure, off-axis angle or year has learned
# the observation, not the source.
METADATA_BOUND = 0.15
TEXT_DIMENSIONS = 64
MAP_POINTS = 3000
MAP_VARIABLES = (
    "hard_hs", "hard_hm", "powlaw_gamma", "powlaw_nh", "bb_kt", "apec_kt", "flux_significance_b",
    "var_index_b",
)  # fmt: skip
_decimals = partial(format_metric, spec=".2f")
_with_interval = partial(format_with_interval, spec=".2f")
_TITLES = {
    "spectrum": "spectrum, before alignment",
    "encoder": "spectrum, aligned encoder",
    "text": "text, before alignment",
    "shared_spectrum": "spectrum, shared space",
    "shared_text": "text, shared space",
    "shared_both": "both, shared space",
    "features": "summary features of the counts",
}


def study_latent_space(subject: Subject) -> Study:
    """Measure correlations, probes and maps of the latent spaces of a run."""
    test, split = subject.rows, subject.split
    if len(test) < MIN_ROWS or len(set(test.groups.tolist())) < 2:
        return skipped_study("Latent space", f"{split} has {len(test)} rows, too few")
    if folder := subject.figure(""):
        folder.mkdir(parents=True, exist_ok=True)
    spaces, train_spaces = _spaces(subject)
    sections, metrics = [], {"split": split, "rows": len(test)}
    for section, part in (
        _correlations(subject, spaces),
        _classes(subject, spaces, train_spaces),
        _metadata(subject),
        _maps(subject),
    ):
        sections.append(section)
        metrics |= part
    return Study(metrics, sections)


def _spaces(subject: Subject) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the spaces by name, of the split and of `train`; texts as principal components."""
    from sklearn.decomposition import PCA

    _, first = np.unique(subject.train.text_ids, return_index=True)
    distinct = subject.train.text[first]
    width = min(TEXT_DIMENSIONS, *distinct.shape)
    pca = PCA(width, svd_solver="covariance_eigh").fit(distinct)
    names = ["spectrum", "encoder", "text", "shared_spectrum", "shared_text", "shared_both"]
    if np.array_equal(subject.rows.encoder, subject.rows.spectrum):
        names.remove("encoder")

    def space(split: SplitRepresentations, name: str) -> np.ndarray:
        if name == "text":
            return pca.transform(split.text)
        return split.encoder if name == "encoder" else split.matrix(name)

    return {n: space(subject.rows, n) for n in names}, {n: space(subject.train, n) for n in names}


def _correlations(
    subject: Subject, spaces: Mapping[str, np.ndarray]
) -> tuple[Section, dict[str, Any]]:
    results = {
        name: correlate(points, subject.rows.targets, subject.rows.groups, **subject.draws)
        for name, points in spaces.items()
    }
    metrics = {
        "correlations": {name: result.to_dict() for name, result in results.items()},
        "paper": {"mean": PAPER_MEAN, "variables": PAPER},
    }
    rows = [
        [_TITLES[name], str(spaces[name].shape[1]), _with_interval(result.mean),
         _decimals(result.mean["chance"]), _decimals(PAPER_MEAN.get(name))]
        for name, result in results.items()
    ]  # fmt: skip
    head = ["space", "dimensions", "Pearson, mean of the best", "chance", "paper"]
    summary = Table(head, rows)
    shown = ("spectrum", "text", "shared_spectrum", "shared_text")
    cells = []
    for v, variable in enumerate(subject.rows.targets):
        cells.append([variable, f"{results['spectrum'].n[v]:,}"])
        for result in (results[name] for name in shown):
            figure = {"value": result.strength[v], "low": result.low[v], "high": result.high[v]}
            note = "" if result.strength[v] > result.null[v] else " within chance"
            cells[-1].append(_with_interval(figure) + note if result.best[v] >= 0 else "–")
        null = results["shared_spectrum"].null[v]
        cells[-1] += [_decimals(null), _decimals(PAPER.get(variable))]
    head = ["variable", "rows", *[_TITLES[name] for name in shown], "chance (95 %)", "paper"]
    text = (
        f"Correlation of single dimensions with each variable on the {subject.word}rows of this "
        "split: the largest |ρ| of all dimensions, over the rows where the variable is known, "
        "averaged over the variables. The best of 64 dimensions correlates with anything; chance "
        "is the same for values permuted between groups. Intervals (95 %) are from resampling "
        "groups, for the chosen dimension. Texts are reduced to "
        f"{spaces['text'].shape[1]} principal components (fitted to `train`), so that both "
        "modalities have a similar number of dimensions. A contrastive loss is invariant under "
        "rotation, so a low correlation with single dimensions does not mean that a variable is "
        "absent."
    )
    blocks: list[Any] = [Paragraph(text), summary, Table(head, cells)]
    if path := subject.figure("latent_pearson.png"):
        plot_correlations({_TITLES[n]: results[n] for n in shown}, path)
        caption = (
            "Pearson correlation of each dimension with each variable "
            f"({subject.word}rows), before and after alignment; rings mark the best dimension."
        )
        blocks.append(Figure(path, caption))
    return Section("Latent space: correlations with the variables", blocks), metrics


def _classes(
    subject: Subject, spaces: Mapping[str, np.ndarray], train_spaces: Mapping[str, np.ndarray]
) -> tuple[Section, dict[str, Any]]:
    title, cells = "Latent space: the class of a source", []
    metrics: dict[str, Any] = {}
    for name, points in spaces.items():
        try:
            probe = class_probe(
                train_spaces[name], subject.train.classes, points, subject.rows.classes,
                subject.rows.groups, **subject.draws,
            )  # fmt: skip
        except ProbeError as error:
            section = Section(title, [Paragraph(f"No probe: {error}.")])
            return section, {"class_probe": {"skipped": str(error)}}
        metrics[name] = probe
        cells.append([_TITLES[name]])
        for key in ("accuracy", "balanced_accuracy"):
            cells[-1] += [format_with_interval(probe[key]), f"{probe[key]['chance']:.1%}"]
    text = (
        f"Logistic regression of {probe['n_classes']} classes, fitted to the "
        f"{probe['n_train']:,} {subject.word}rows of `train` and measured on {probe['n']:,} rows "
        "of other groups. The baselines are the accuracy of always naming the commonest class, and "
        "one over the number of classes. Texts often state the class, so a high accuracy for texts "
        "is expected."
    )
    head = ["space", "accuracy", "majority", "balanced accuracy", "chance"]
    return Section(title, [Paragraph(text), Table(head, cells)]), {"class_probe": metrics}


def _metadata(subject: Subject) -> tuple[Section, dict[str, Any]]:
    embeddings = ("shared_spectrum", "encoder", "features")
    metrics: dict[str, Any] = {"bound": METADATA_BOUND}
    cells, skipped, verdicts = [], [], []
    quantities = {"exposure (log)": "exposure", "off-axis angle": "theta", "year": "year"}
    for quantity, column in quantities.items():
        train, test = (numbers_of(split.table, column) for split in (subject.train, subject.rows))
        if column == "exposure":
            train, test = (np.log10(np.where(v > 0, v, np.nan)) for v in (train, test))
        try:
            probes = {
                name: value_probe(
                    getattr(subject.train, name), train, getattr(subject.rows, name), test,
                    subject.rows.groups, **subject.draws,
                )
                for name in embeddings
            }  # fmt: skip
        except ProbeError as error:
            skipped.append(f"{quantity}: {error}")
            continue
        verdict = _verdict(probes["shared_spectrum"])
        metrics[quantity] = {**probes, "verdict": verdict}
        verdicts.append(f"{quantity} {verdict}")
        cells += [[quantity, _TITLES[name], _with_interval(p)] for name, p in probes.items()]
    text = (
        "Exposure, off-axis angle and year are properties of the observation: an embedding that "
        "predicts them may identify the field, and through it the papers, instead of the source. "
        "None of them is an input, but counts and flux of a spectrum determine the exposure. Ridge "
        f"regression is fitted to `train` and predicts {subject.word}rows of other groups. The "
        f"bound is an R² of {METADATA_BOUND:g} for the spectrum in the shared space; the summary "
        "features show the R² that count rate and counts alone give."
    )
    blocks: list[Any] = [Paragraph(text)]
    if verdicts:
        blocks.append(Paragraph("**Verdict:** " + "; ".join(verdicts) + "."))
        blocks.append(Table(["quantity", "predicted from", "R² (chance 0)"], cells))
    if skipped:
        metrics["skipped"] = skipped
        blocks.append(Paragraph("Not measured: " + "; ".join(skipped) + "."))
    return Section("Latent space: metadata of the observation", blocks), {"metadata": metrics}


def _maps(subject: Subject) -> tuple[Section, dict[str, Any]]:
    title, test = "Latent space: map", subject.rows
    drawn = sample_rows(len(test), MAP_POINTS, subject.draws["seed"])
    metrics: dict[str, Any] = {"points": len(drawn)}
    if not (path := subject.figure("map_tsne.png")):
        return Section(title), {"maps": metrics}
    positions = map_points(test.shared_spectrum[drawn], seed=subject.draws["seed"])
    text = (
        f"Map of {len(drawn):,} {subject.word}spectra in the shared space by t-SNE. Only "
        "neighbourhoods are meaningful, not axes, sizes of clusters or distances between them."
    )
    blocks: list[Any] = [Paragraph(text)]
    variables = {
        f"{name} [{test.units[name]}]" if test.units[name] else name: test.targets[name][drawn]
        for name in [v for v in MAP_VARIABLES if v in test.targets] or list(test.targets)[:8]
    }
    plot_map_variables(positions, variables, path)
    blocks.append(Figure(path, f"Map of {subject.word}spectra, coloured by variables."))
    if any(label is not None for label in test.classes):
        path = path.with_name("map_classes.png")
        plot_map_classes(positions, test.classes[drawn], path)
        blocks.append(Figure(path, f"The same {subject.word}spectra, coloured by class."))
    return Section(title, blocks), {"maps": metrics}


def _verdict(figure: Mapping[str, Any]) -> str:
    verdict = "above the bound" if figure["value"] >= METADATA_BOUND else "below the bound"
    if figure["value"] < METADATA_BOUND <= figure["high"]:
        verdict += ", which lies within the interval"
    return f"{verdict} (R² {_with_interval(figure)})"
