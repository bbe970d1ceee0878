"""Compact mixture of experts: networks on the spectrum alone, without a bank of known pairs.

Nearest neighbours need every pair they were fitted to, which a model bundled with the package
cannot hold. A text given to a compact mixture has no effect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hf_specclip import SpecCLIPMoEConfig, SpecCLIPMoEForRegression
from hf_specclip.models.configuration_specclip_moe import PANELS, TEXT_VIEWS, VIEWS
from specclip_training.studies.experts.data import ExpertData, FitSettings
from specclip_training.studies.experts.gates import HeldRows, calibrate, fit_panel_gate
from specclip_training.studies.experts.members import fit_expert
from specclip_training.studies.experts.pool import FitPool

# Chosen on `validation` of 11,447 simulated pairs: the errors of the full mixture at a twentieth of
# its size.
HIDDEN, BINS = (192, 96), 40
# Number of conformal scores kept, as evenly spaced quantiles.
SCORES = 1000
RETRIEVED = PANELS[1]


def fit_compact(
    data: ExpertData, validation: ExpertData, variables: Sequence[str], settings: FitSettings
) -> SpecCLIPMoEForRegression:
    """Fit a compact mixture; see `fit_gate` for the arguments."""
    data, validation = _without_texts(data), _without_texts(validation)
    pool = FitPool(data, variables, compact_experts(settings), "gate", 1, settings)
    model = pool.model
    # The only text, an empty one, belongs to no fold.
    model.bank.put(text_fold=torch.tensor([-1]))
    for number in range(len(model.experts)):
        fit_expert(pool, number)
    with torch.no_grad():
        answers = pool.cross_fitted_answers()[RETRIEVED]
        views = model.retrieve_text(model.prepare(**validation.tensors()))
        held = HeldRows.predict(model, views, validation)
    calibrate(pool, RETRIEVED, answers, fit_panel_gate(pool, RETRIEVED, answers, held))
    return without_bank(model)


def compact_settings(seed: int) -> FitSettings:
    """Return the settings of a compact mixture."""
    return FitSettings(seed=seed, network_hidden=HIDDEN, distribution_bins=BINS)


def compact_experts(settings: FitSettings) -> list[dict[str, Any]]:
    """List the experts of a compact mixture, as `SpecCLIPMoEConfig.experts`."""
    inputs = [name for name in VIEWS if name not in TEXT_VIEWS]
    hidden = list(settings.network_hidden)
    return [
        {"name": "median", "kind": "median", "inputs": []},
        {"name": "network", "kind": "network", "inputs": inputs, "hidden": hidden},
        {"name": "distribution", "kind": "distribution", "inputs": inputs, "hidden": hidden,
         "bins": settings.distribution_bins},
    ]  # fmt: skip


@torch.no_grad()
def without_bank(model: SpecCLIPMoEForRegression) -> SpecCLIPMoEForRegression:
    """Return a compact mixture without the pairs it was fitted to, and with fewer scores."""
    config = model.config.to_dict()
    n_scores = min(SCORES, model.config.n_scores)
    config |= {"bank_rows": 1, "bank_texts": 1, "n_scores": n_scores}
    small = SpecCLIPMoEForRegression(SpecCLIPMoEConfig(**config)).eval()
    state = {name: value for name, value in model.state_dict().items()
             if not name.startswith("bank.")}  # fmt: skip
    scores = thin_scores(model.panels[RETRIEVED].scores, n_scores)
    for panel in PANELS:
        for name in model.panels[RETRIEVED].state_dict():
            state[f"panels.{panel}.{name}"] = state[f"panels.{RETRIEVED}.{name}"]
        state[f"panels.{panel}.scores"] = scores
    state |= {f"bank.{name}": value for name, value in small.bank.state_dict().items()}
    state["bank.text_given"] = torch.zeros_like(small.bank.text_given)
    small.load_state_dict(state)
    return small


def thin_scores(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return evenly spaced quantiles (count, variables) of scores, which ascend in each column and
    end with nan; a column with fewer is returned whole."""
    result = torch.full((count, scores.shape[1]), torch.nan)
    for column, values in enumerate(scores.T):
        known = values[~values.isnan()]
        if len(known) > count:
            known = known.quantile(torch.linspace(0, 1, count))
        result[: len(known), column] = known
    return result


def _without_texts(data: ExpertData) -> ExpertData:
    """Return rows that all have the same empty text."""
    n = len(data)
    empty = {name: np.zeros_like(data.views[name]) for name in TEXT_VIEWS}
    return dataclasses.replace(
        data,
        views={**data.views, **empty},
        has_text=np.zeros(n, bool),
        text_ids=np.zeros(n, np.int64),
    )
