"""Study of the physical variables: k-NN on six representations, and the mixtures of experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hf_specclip import SpecCLIPMoEForRegression
from hf_specclip.models.configuration_specclip_moe import PANELS, TEXT_VIEWS
from hf_specclip.storage import atomic_folder, write_json
from specclip_training.engine.checkpoint import TRAINING_FILE, fingerprint, read_record
from specclip_training.engine.commands import CHECKPOINTS, Run
from specclip_training.reports.blocks import Study, skipped_study
from specclip_training.studies.experts.compact import compact_settings, fit_compact
from specclip_training.studies.experts.data import FEWEST, ExpertData, FitSettings, expert_data
from specclip_training.studies.experts.fit import fit_gate, fit_select
from specclip_training.studies.experts.measures import (
    MODES,
    measure_experts,
    representation_predictions,
)
from specclip_training.studies.experts.report import expert_sections
from specclip_training.studies.measure import ERRORS, EVALUATION, write_tensors
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.subject import Subject

STAGE = "experts"
MOE = "moe"
# Mode of the small mixture that comes with the package, beside `MODES`.
COMPACT = "compact"


def study_experts(subject: Subject) -> Study:
    """Fit and measure both mixtures of experts; that of the preset is saved in `moe/`.

    Experts are fitted to `train` and `calibration`; `validation` selects the representation (the
    paper) and, in part, the kind of gate.
    """
    run, split, train, rows = subject.run, subject.split, subject.train, subject.rows
    fitted = [name for name in rows.targets if np.isfinite(train.targets[name]).sum() >= FEWEST]
    if not any(np.isfinite(rows.targets[name]).any() for name in fitted):
        why = f"no variable is known for {FEWEST} rows of train and any of {split}"
        return skipped_study("Physical variables", why)
    folds, groups = FitSettings(seed=run.seed).n_folds, len(np.unique(train.groups))
    if groups < folds:
        why = f"{groups} groups in train: a mixture of experts is fitted over {folds} or more"
        return skipped_study("Physical variables", why)
    headline = run.preset.moe.mode
    models = {mode: load_or_fit(run, subject.reps, mode) for mode in MODES}
    outputs = {mode: _predict(model, rows) for mode, model in models.items()}
    metrics = measure_experts(outputs, rows, train, run.preset.evaluation.n_bootstrap)
    metrics |= {"split": split, "simulated": subject.simulated, "headline": headline}
    if run.is_main and split == "test":
        _save_errors(run, outputs, rows, split)
    return Study(metrics, expert_sections(metrics))


def load_or_fit(
    run: Run, reps: Mapping[str, SplitRepresentations], mode: str
) -> SpecCLIPMoEForRegression:
    """Load the mixture of one mode, or fit and save it.

    Args:
        run: the preset's own mixture is in its `moe/`, others among its checkpoints.
        reps: by split.
        mode: one of `MODES`, or `COMPACT`.
    """
    headline = mode == run.preset.moe.mode
    folder = run.output / MOE if headline else run.output / CHECKPOINTS / f"{MOE}_{mode}"
    settings = compact_settings(run.seed) if mode == COMPACT else FitSettings(seed=run.seed)
    pool = expert_data([reps["train"], reps["calibration"]])
    validation = expert_data([reps["validation"]])
    identity = {
        "stage": STAGE,
        "mode": mode,
        "settings": dataclasses.asdict(settings),
        "data": _fingerprint(pool, validation),
    }
    if read_record(folder / TRAINING_FILE, identity) is None and run.is_main:
        names = list(reps["train"].targets)
        fit = {"select": fit_select, "gate": fit_gate, COMPACT: fit_compact}[mode]
        model = fit(pool, validation, names, settings)
        with atomic_folder(folder) as partial:
            model.save_pretrained(partial)
            write_json(partial / TRAINING_FILE, {"identity": identity})
    run.accelerator.wait_for_everyone()
    return SpecCLIPMoEForRegression.from_pretrained(folder).eval()


def _fingerprint(*parts: ExpertData) -> str:
    tensors = {}
    for number, part in enumerate(parts):
        arrays = {
            **part.views,
            "mask": part.has_text,
            "targets": part.targets,
            "texts": part.text_ids,
            "groups": np.unique(part.groups, return_inverse=True)[1].reshape(-1),
        }
        for name, array in arrays.items():
            tensors[f"{number}.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
    return fingerprint(tensors)


@torch.no_grad()
def _predict(
    model: SpecCLIPMoEForRegression, rows: SplitRepresentations
) -> dict[str, dict[str, np.ndarray]]:
    """Predict rows with their text and without it: panel -> outputs of the model."""
    inputs = expert_data([rows]).tensors()
    bare = {name: x for name, x in inputs.items() if name not in (*TEXT_VIEWS, "text_mask")}
    outputs = dict(zip(PANELS, (model(**inputs), model(**bare)), strict=True))
    return {panel: {k: v.double().numpy() for k, v in output.items() if k != "panels"} for
            panel, output in outputs.items()}  # fmt: skip


def _save_errors(
    run: Run, outputs: Mapping[str, Mapping[str, Any]], rows: SplitRepresentations, split: str
) -> None:
    """Save the absolute error of each row, so that runs can be compared row by row.

    `evaluation/errors.safetensors` has `SPLIT.METHOD.VARIABLE` (n,), nan where nothing is known;
    the methods are the paper's k-NN on each representation and the two mixtures.
    """
    full = {mode: outputs[mode]["full"] for mode in MODES}
    predictions = {f"knn {n}": values for n, values in representation_predictions(full).items()}
    predictions |= {f"moe {mode}": full[mode]["predictions"] for mode in MODES}
    tensors = {
        f"{split}.{method}.{name}": np.abs(values[:, column] - rows.targets[name])
        for method, values in predictions.items()
        for column, name in enumerate(rows.targets)
    }
    write_tensors(run.output / EVALUATION / ERRORS, tensors)
