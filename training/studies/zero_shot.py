"""Zero-shot classification by class names, in families and kinds, against a linear probe."""

from __future__ import annotations

from collections.abc import Callable
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
        return skipped_study(
            TITLE,
            "the model has no classes: its dataset has too few, or no embedder was available when "
            "it was aligned",
        )
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
        **_confidence(probabilities, truth),
        "families": _families(zero_shot, points, measured.classes[rows], bootstrap),
    }
    try:
        probe = class_probe(
            train.shared_spectrum,
            train.classes,
            points,
            measured.classes[rows],
            groups,
            **subject.draws,
        )
        metrics["probe"] = {name: probe[name] for name in ("accuracy", "balanced_accuracy")}
    except ProbeError as error:
        metrics["probe"] = {"skipped": str(error)}
    return Study(metrics, [_section(metrics, subject.word)])


def _confidence(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "calibration_error": calibration_error(probabilities, truth),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
    }


def _families(
    zero_shot: ZeroShotClasses, points: np.ndarray, labels: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """Measure the families, all rows and those where one stands out."""
    names, probabilities = zero_shot.family_probabilities(points)
    truth = np.array([names.index(family_name(label)) for label in labels])
    stands_out = probabilities.max(axis=1) >= zero_shot.least_probability
    right = probabilities.argmax(axis=1) == truth
    return {
        "names": names,
        **_figures(probabilities, truth, bootstrap),
        **_confidence(probabilities, truth),
        "least_probability": zero_shot.least_probability,
        "stands_out": float(stands_out.mean()),
        "accuracy_where_one_stands_out": float(right[stands_out].mean()) if stands_out.any() else 0,
        "accuracy_elsewhere": float(right[~stands_out].mean()) if not stands_out.all() else 0,
    }


def _figures(
    probabilities: np.ndarray, truth: np.ndarray, bootstrap: GroupBootstrap
) -> dict[str, dict[str, float]]:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    n_classes = probabilities.shape[1]
    present, counts = np.unique(truth, return_counts=True)
    balanced = balanced_accuracy(order[:, 0] == truth, truth, present)

    def share(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda weights: weights @ values / weights.sum(axis=1)

    top = {k: (order[:, :k] == truth[:, None]).any(axis=1).astype(np.float64) for k in (1, 3)}
    n = len(truth)
    return {
        "accuracy": {**weighted_figure(share(top[1]), n, bootstrap), "chance": 1 / n_classes,
                     "commonest": float(counts.max() / len(truth))},
        "balanced_accuracy": {**weighted_figure(balanced, n, bootstrap), "chance": 1 / n_classes},
        "top_3": {**weighted_figure(share(top[3]), n, bootstrap),
                  "chance": min(3, n_classes) / n_classes},
    }  # fmt: skip


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
    return Section(
        TITLE,
        [
            Paragraph(
                f"Each of {len(metrics['classes'])} classes is the mean direction of sentences "
                f"that name and describe it; a {word}spectrum is assigned to the nearest class. "
                "Compared with a linear probe of the same space, fitted to the labels of `train`. "
                "95 % bootstrap intervals over groups. The majority class alone is right for "
                f"{metrics['accuracy']['commonest']:.1%} of the rows; class names carry no prior."
            ),
            Table(["", "zero-shot", "linear probe", "chance"], rows),
            Paragraph(
                f"Probabilities (temperature {metrics['temperature']:.3g}, fitted to `calibration` "
                "and `validation`): mean confidence "
                f"{metrics['mean_confidence']:.1%}, expected calibration error on these "
                f"{metrics['rows']:,} {word}rows "
                f"{metrics['calibration_error']:.1%}; of families "
                f"{families['calibration_error']:.1%}."
            ),
            Paragraph(
                f"A family stands out from a probability of {families['least_probability']:.2f}, "
                f"as in {families['stands_out']:.1%} of the rows: right in "
                f"{families['accuracy_where_one_stands_out']:.1%} of these, and in "
                f"{families['accuracy_elsewhere']:.1%} of the others."
            ),
        ],
    )
