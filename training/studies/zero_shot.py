"""Zero-shot classification by the names of classes and families, against a linear probe."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_specclip import ZeroShotClasses
from hf_specclip.classify.families import family_name
from hf_specclip.classify.zero_shot import CONFIG_FILE, ZERO_SHOT_FOLDER, calibration_error
from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.latent_probes import ProbeError, balanced_accuracy, class_probe
from hf_specclip.evaluation.roc import weighted_figure
from hf_specclip.formatting import format_with_interval
from specclip_training.reports.blocks import Paragraph, Section, Study, Table, skipped_study
from specclip_training.stages.alignment import MODEL
from specclip_training.studies.subject import Subject

TITLE = "Zero-shot classes"


def study_zero_shot(subject: Subject) -> Study:
    """Measure accuracy and calibration of the model's zero-shot classes.

    The probe learns on `train`; the temperature was fitted to `calibration` and `validation`.
    """
    folder = subject.run.output / MODEL
    measured, train = subject.rows, subject.train
    if not (folder / ZERO_SHOT_FOLDER / CONFIG_FILE).is_file():
        why = "its dataset has too few, or no embedder was available when it was aligned"
        return skipped_study(TITLE, f"the model has no classes: {why}")
    zero_shot = ZeroShotClasses.from_pretrained(folder)
    index_of = {name: index for index, name in enumerate(zero_shot.classes)}
    rows = np.array([name in index_of for name in measured.classes], dtype=bool)
    if not rows.any() or len(set(measured.groups[rows].tolist())) < 2:
        return skipped_study(TITLE, f"{subject.split} has no two groups with one of the classes")
    truth = np.array([index_of[name] for name in measured.classes[rows]])
    points, groups = measured.shared_spectrum[rows], measured.groups[rows]
    bootstrap = GroupBootstrap(groups, **subject.draws)
    probabilities = zero_shot.probabilities(points)
    metrics: dict[str, Any] = {
        "split": subject.split,
        "rows": int(rows.sum()),
        "classes": list(zero_shot.classes),
        "temperature": zero_shot.temperature,
        **_figures(probabilities, truth, bootstrap),
        "families": _families(zero_shot, points, measured.classes[rows], bootstrap),
    }
    try:
        known = (train.shared_spectrum, train.classes)
        probe = class_probe(*known, points, measured.classes[rows], groups, **subject.draws)
        metrics["probe"] = {name: probe[name] for name in ("accuracy", "balanced_accuracy")}
    except ProbeError as error:
        metrics["probe"] = {"skipped": str(error)}
    return Study(metrics, [_section(metrics, subject.word)])


def _families(
    zero_shot: ZeroShotClasses, points: np.ndarray, labels: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """Measure the families over all rows, and over those where one stands out."""
    names, probabilities = zero_shot.family_probabilities(points)
    truth = np.array([names.index(family_name(label)) for label in labels])
    stands_out = probabilities.max(axis=1) >= zero_shot.least_probability
    right = probabilities.argmax(axis=1) == truth
    return {
        "names": names,
        **_figures(probabilities, truth, bootstrap),
        "least_probability": zero_shot.least_probability,
        "stands_out": float(stands_out.mean()),
        "accuracy_where_one_stands_out": float(right[stands_out].mean()) if stands_out.any() else 0,
        "accuracy_elsewhere": float(right[~stands_out].mean()) if not stands_out.all() else 0,
    }


def _figures(
    probabilities: np.ndarray, truth: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """Measure accuracy and calibration."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    n, n_classes = probabilities.shape
    present, counts = np.unique(truth, return_counts=True)
    balanced = balanced_accuracy(order[:, 0] == truth, truth, present)
    top = {k: (order[:, :k] == truth[:, None]).any(axis=1) for k in (1, 3)}
    shares = {k: bootstrap.figure(hit.mean(), bootstrap.means(hit)) for k, hit in top.items()}
    return {
        "accuracy": {**shares[1], "chance": 1 / n_classes, "commonest": float(counts.max() / n)},
        "balanced_accuracy": {**weighted_figure(balanced, n, bootstrap), "chance": 1 / n_classes},
        "top_3": {**shares[3], "chance": min(3, n_classes) / n_classes},
        "calibration_error": calibration_error(probabilities, truth),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
    }


def _section(metrics: dict[str, Any], word: str) -> Section:
    probe = metrics["probe"]
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy",
             "top_3": "true class in the top 3"}  # fmt: skip
    families = metrics["families"]
    rows = [
        [
            f"{group}{title}",
            format_with_interval(figures[name]),
            format_with_interval(probe[name]) if name in probe and figures is metrics else "–",
            f"{figures[name]['chance']:.1%}",
        ]
        for group, figures in (("families: ", families), ("classes: ", metrics))
        for name, title in names.items()
    ]
    about = (
        f"Each of {len(metrics['classes'])} classes is the mean direction of sentences that name "
        f"and describe it; a {word}spectrum is assigned to the nearest class. Compared with a "
        "linear probe of the same space, fitted to the labels of `train`. 95 % bootstrap "
        "intervals over groups. Always naming the commonest class has an accuracy of "
        f"{metrics['accuracy']['commonest']:.1%}; zero-shot classes have no prior."
    )
    calibration = (
        f"Probabilities (temperature {metrics['temperature']:.3g}, fitted to `calibration` and "
        f"`validation`): mean confidence {metrics['mean_confidence']:.1%}, expected calibration "
        f"error on these {metrics['rows']:,} {word}rows {metrics['calibration_error']:.1%}; of "
        f"families {families['calibration_error']:.1%}."
    )
    threshold = (
        f"A family stands out if its probability is {families['least_probability']:.2f} or more: "
        f"{families['stands_out']:.1%} of the rows, with an accuracy of "
        f"{families['accuracy_where_one_stands_out']:.1%}, against "
        f"{families['accuracy_elsewhere']:.1%} for the others."
    )
    table = Table(["", "zero-shot", "linear probe", "chance"], rows)
    return Section(TITLE, [Paragraph(about), table, Paragraph(calibration), Paragraph(threshold)])
