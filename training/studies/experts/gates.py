"""Fit of the gates over the experts, and of the conformal intervals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hf_specclip import SpecCLIPMoEForRegression
from specclip_training.studies.experts.data import ExpertData
from specclip_training.studies.experts.members import fit_difficulty, put_members
from specclip_training.studies.experts.pool import FitPool

# Fewest values of a variable on `validation` for the choice of its gate to use them.
FEWEST_JUDGES = 100


@dataclass(frozen=True)
class HeldRows:
    """Rows of `validation` in one panel.

    Attributes:
        answers: predictions (n, experts, variables) on the scale of the experts.
        gate_inputs: (n, gate).
        raw: (n, variables) true values in catalogue units.
    """

    answers: torch.Tensor
    gate_inputs: torch.Tensor
    raw: torch.Tensor

    @classmethod
    def predict(
        cls, model: SpecCLIPMoEForRegression, views: dict[str, torch.Tensor], data: ExpertData
    ) -> HeldRows:
        """Predict the rows of `data` from their views."""
        answers = model.expert_predictions(views).nan_to_num(0.0)
        return cls(answers, model.gate_inputs(views), torch.from_numpy(data.targets).float())


def fit_panel_gate(
    pool: FitPool, panel: str, answers: torch.Tensor, validation: HeldRows
) -> torch.Tensor:
    """Choose a gate for each variable and store it in the model.

    The candidates are the best single expert, constant weights, and weights that depend on the
    row. They are compared by the geometric mean of two errors: on the folds of the pool that the
    gate was not fitted to, which have many rows, and on `validation`, which the aligned model was
    not trained on (only the former where few values are known there). A more flexible gate must
    reduce the error by more than a thousandth.

    Returns:
        Predictions (n, variables) on the scale of the experts, by gates fitted without the fold.
    """
    part = pool.model.panels[panel]
    inputs = pool.gate_inputs[panel]
    blocks = torch.from_numpy(pool.folds % min(3, pool.settings.n_folds))
    cross_fitted = {kind: torch.zeros_like(pool.targets) for kind in ("best", "constant", "row")}
    for block in range(int(blocks.max()) + 1):
        held = blocks == block
        for kind, gate in _fit_gates(pool, panel, answers, inputs, blocks != block).items():
            with torch.no_grad():
                part.put(**gate)
                cross_fitted[kind][held], _ = part.mix(answers[held], inputs[held])
    final = _fit_gates(pool, panel, answers, inputs, torch.ones_like(blocks, dtype=torch.bool))
    judged = validation.raw.isfinite().sum(dim=0) >= FEWEST_JUDGES
    with torch.no_grad():
        error = {}
        for kind, gate in final.items():
            part.put(**gate)
            predicted, _ = part.mix(validation.answers, validation.gate_inputs)
            on_validation, on_pool = (
                expert_errors(pool.model, values[:, None], raw)[:, 0]
                for values, raw in ((predicted, validation.raw), (cross_fitted[kind], pool.raw))
            )
            error[kind] = torch.where(judged, (on_validation * on_pool).sqrt(), on_pool)
        bias, weight = final["best"]["bias"].clone(), torch.zeros_like(part.weight)
        mixed, lowest = cross_fitted["best"].clone(), error["best"].clone()
        for kind in ("constant", "row"):
            better = error[kind] < 0.999 * lowest
            bias[better], weight[better] = (final[kind][n][better] for n in ("bias", "weight"))
            mixed[:, better] = cross_fitted[kind][:, better]
            lowest = torch.where(better, error[kind], lowest)
        part.put(bias=bias, weight=weight)
    return mixed


def _fit_gates(
    pool: FitPool, panel: str, answers: torch.Tensor, inputs: torch.Tensor, rows: torch.Tensor
) -> dict[str, dict[str, torch.Tensor]]:
    """Fit the three kinds of gate to some rows (n,) bool: kind -> `bias` and `weight`."""
    model, part = pool.model, pool.model.panels[panel]
    answers, inputs = answers[rows], inputs[rows]
    raw, target, known = pool.raw[rows], pool.targets[rows], pool.known[rows]
    with torch.no_grad():
        error = expert_errors(model, answers, torch.where(known, raw, torch.nan))
        guess = expert_errors(model, pool.median.expand(len(raw), 1, -1), raw)[:, 0]
        guess = torch.where(guess > 0, guess, 1.0).nan_to_num(1.0)
        relative = error / guess[:, None]
        best = one_hot_bias(torch.nan_to_num(error, nan=torch.inf).argmin(dim=1), error.shape[1])
        start = -20 * (relative - relative.amin(dim=1, keepdim=True)).nan_to_num(0.0, posinf=10.0)
        share = known.float() / known.float().mean(dim=0).clamp(min=1e-6)
        raw, target = raw.nan_to_num(0.0), target.nan_to_num(0.0)
    zeros = torch.zeros_like(part.weight)
    result = {"best": {"bias": best, "weight": zeros}}
    for kind in ("constant", "row"):
        bias = nn.Parameter(start.clamp(min=-10.0).clone())
        weight = nn.Parameter(zeros.clone())
        optimizer = torch.optim.Adam([bias] if kind == "constant" else [bias, weight], lr=0.05)
        steps = pool.settings.gate_steps
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        generator = torch.Generator().manual_seed(pool.settings.seed)
        for _ in range(steps):
            batch = torch.randint(len(raw), (min(768, len(raw)),), generator=generator)
            logits = bias.expand(len(batch), -1, -1)
            if kind == "row":
                logits = bias + torch.einsum("bg,veg->bve", inputs[batch], weight)
            mixed = torch.einsum("bve,bev->bv", logits.softmax(dim=2), answers[batch])
            scaled = (mixed - target[batch]).abs()
            restored = (model.scale.restore(mixed) - raw[batch]).abs().nan_to_num(0.0) / guess
            # In catalogue units alone, a few outliers would dominate.
            total = ((0.5 * scaled + 0.5 * restored.clamp(max=20.0)) * share[batch]).mean()
            total = total + 2e-3 * weight.square().sum(dim=(1, 2)).mean()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            schedule.step()
        result[kind] = {"bias": bias.detach(), "weight": weight.detach()}
    return result


def calibrate(pool: FitPool, panel: str, answers: torch.Tensor, mixed: torch.Tensor) -> None:
    """Fit the expected error of predictions; store the conformal scores of cross-fitted ones."""
    part, features = pool.model.panels[panel], pool.views["features"]
    with torch.no_grad():
        inputs = part.difficulty_inputs(features, pool.gate_inputs[panel], answers, mixed)
    distance = (pool.targets - mixed).abs()
    hidden, seed = pool.config.difficulty_hidden, pool.settings.seed
    others = [torch.from_numpy(pool.folds != fold) for fold in range(pool.settings.n_folds)]
    members = [fit_difficulty(inputs[rows], distance[rows], hidden, seed) for rows in others]
    put_members(part, members)
    scores = torch.full_like(mixed, torch.nan)
    with torch.no_grad():
        for fold in range(pool.settings.n_folds):
            rows = pool.rows(fold)
            expected = part.difficulty(inputs[rows], fold)
            scores[rows] = (pool.targets[rows] - mixed[rows]) / expected
    ordered = scores.masked_fill(~pool.known, torch.nan).sort(dim=0).values
    part.put(scores=ordered[: pool.config.n_scores])


def expert_errors(
    model: SpecCLIPMoEForRegression, answers: torch.Tensor, raw: torch.Tensor
) -> torch.Tensor:
    """Compute mean absolute errors (variables, experts) of predictions (n, experts, variables)
    against raw (n, variables) in catalogue units; nan where nothing is known."""
    return (model.scale.restore(answers) - raw[:, None]).abs().nanmean(dim=0).t()


def one_hot_bias(experts: torch.Tensor, count: int) -> torch.Tensor:
    """Return gate biases (variables, count) that select a single expert."""
    return 50.0 * nn.functional.one_hot(experts, count).float()
