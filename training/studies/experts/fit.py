"""Fit of a mixture of experts, cross-fitted over the groups.

Every expert has one member for each fold of the groups, fitted without that fold. Gates, expected
errors and conformal scores are learned from the predictions of each member on its own fold; a
prediction for a new spectrum is the mean over the members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hf_specclip import SpecCLIPMoEForRegression
from hf_specclip.models.configuration_specclip_moe import PANELS, VIEWS
from specclip_training.studies.experts.data import ExpertData, FitSettings
from specclip_training.studies.experts.gates import (
    HeldRows,
    calibrate,
    expert_errors,
    fit_panel_gate,
    one_hot_bias,
)
from specclip_training.studies.experts.members import fit_expert, tune_neighbours
from specclip_training.studies.experts.pool import FitPool
from specclip_training.studies.representations import REPRESENTATION_VIEWS


def fit_select(
    data: ExpertData, validation: ExpertData, variables: Sequence[str], settings: FitSettings
) -> SpecCLIPMoEForRegression:
    """Fit the paper's mixture: k-NN with k = 3 on six representations, and for each variable the
    one with the smallest mean absolute error on `validation`."""
    experts = [
        {"name": name, "kind": "neighbours", "inputs": list(inputs), "average": "mean"}
        for name, inputs in REPRESENTATION_VIEWS.items()
    ]
    pool = FitPool(data, variables, experts, "select", None, settings)
    model = pool.model
    with torch.no_grad():
        answers = pool.cross_fitted_answers()
        views = _panel_views(model, validation)
        raw = torch.from_numpy(validation.targets).float()
        known = torch.where(pool.known, pool.raw, torch.nan)
        for panel in PANELS:
            error = expert_errors(model, model.expert_predictions(views[panel]), raw)
            error = torch.where(error.isnan(), expert_errors(model, answers[panel], known), error)
            model.panels[panel].put(bias=one_hot_bias(error.argmin(dim=1), len(experts)))
            mixed, _ = model.panels[panel].mix(answers[panel], pool.gate_inputs[panel])
            calibrate(pool, panel, answers[panel], mixed)
    return model


def fit_gate(
    data: ExpertData, validation: ExpertData, variables: Sequence[str], settings: FitSettings
) -> SpecCLIPMoEForRegression:
    """Fit stronger experts, and for each variable a gate over them.

    Experts and gates are fitted to `data`, from cross-fitted predictions. The kind of gate is
    chosen on `validation`, too: the aligned model was trained on the pairs of `data`, where errors
    in its shared space are smaller than for new sources.
    """
    experts = gate_experts(settings)
    components = min(settings.text_components, data.views["text"].shape[1], len(data))
    pool = FitPool(data, variables, experts, "gate", components, settings)
    model = pool.model
    for number in range(len(experts)):
        fit_expert(pool, number)
    tune_neighbours(pool)
    with torch.no_grad():
        answers = pool.cross_fitted_answers()
        views = _panel_views(model, validation)
        held = {panel: HeldRows.predict(model, each, validation) for panel, each in views.items()}
    for panel in PANELS:
        mixed = fit_panel_gate(pool, panel, answers[panel], held[panel])
        calibrate(pool, panel, answers[panel], mixed)
    return model


def gate_experts(settings: FitSettings) -> list[dict[str, Any]]:
    """List the experts under a gate, as `SpecCLIPMoEConfig.experts`."""
    robust = {**REPRESENTATION_VIEWS, "features": ("features",)}
    experts: list[dict[str, Any]] = [{"name": "median", "kind": "median", "inputs": []}]
    experts += [
        {"name": f"knn_{name}", "kind": "neighbours", "inputs": list(inputs), "average": "median"}
        for name, inputs in robust.items()
    ]
    hidden = list(settings.network_hidden)
    without_text = ["spectrum", "shared_spectrum", "features"]
    for suffix, inputs in (("", list(VIEWS)), ("_without_text", without_text)):
        experts += [
            {"name": f"ridge{suffix}", "kind": "ridge", "inputs": inputs},
            {"name": f"network{suffix}", "kind": "network", "inputs": inputs, "hidden": hidden},
            {"name": f"distribution{suffix}", "kind": "distribution", "inputs": inputs,
             "hidden": hidden, "bins": settings.distribution_bins},
        ]  # fmt: skip
    return experts


def _panel_views(
    model: SpecCLIPMoEForRegression, data: ExpertData
) -> dict[str, dict[str, torch.Tensor]]:
    """Return the inputs of the experts by panel."""
    views = model.prepare(**data.tensors())
    return dict(zip(PANELS, (views, model.retrieve_text(views)), strict=True))
