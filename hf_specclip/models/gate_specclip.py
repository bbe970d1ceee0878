"""Gate over the experts, with the predicted error and conformal scores of the mixture."""

# The types of buffers are hidden from a type checker by `__getattr__`.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr, index, misc"

import math
from typing import Any

import torch
import torch.nn.functional as F

from .configuration_specclip_moe import SpecCLIPMoEConfig
from .experts_specclip import StoredTensors


class SpecCLIPMoEPanel(StoredTensors):
    """Gate, difficulty network and conformal scores for one entry of `PANELS`."""

    weights = ("bias", "weight")

    def __init__(self, config: SpecCLIPMoEConfig):
        super().__init__()
        variables, experts = config.num_variables, config.num_experts
        gate = config.num_gate_inputs
        folds, hidden = config.n_folds, config.difficulty_hidden
        inputs = config.width("features") + gate + 2 * variables
        self.declare(
            bias=(variables, experts),
            weight=(variables, experts, gate),
            difficulty_weight_0=(folds, hidden, inputs),
            difficulty_bias_0=(folds, hidden),
            difficulty_weight_1=(folds, variables, hidden),
            difficulty_bias_1=(folds, variables),
        )
        # Ascending for each variable, nan at the end.
        self.declare(math.nan, scores=(config.n_scores, variables))

    def unknown(self) -> dict[str, Any]:
        """Mask the padding after the last score of each variable."""
        return {"scores": self.scores.isnan().flip(0).cumprod(0).flip(0).bool()}

    def gate(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute weights (batch, variables, experts) from gate inputs (batch, inputs)."""
        logits = self.bias + torch.einsum("bg,veg->bve", inputs, self.weight)
        return logits.softmax(dim=2)

    def mix(
        self, answers: torch.Tensor, gate_inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix expert predictions (batch, experts, variables) to (batch, variables); also return the
        weights."""
        weights = self.gate(gate_inputs)
        return torch.einsum("bve,bev->bv", weights, answers), weights

    def difficulty_inputs(
        self,
        features: torch.Tensor,
        gate_inputs: torch.Tensor,
        answers: torch.Tensor,
        mixed: torch.Tensor,
    ) -> torch.Tensor:
        """Concatenate the inputs of the difficulty network, with the spread of the experts."""
        spread = (answers - mixed[:, None]).abs().mean(dim=1)
        inputs = torch.cat([features, gate_inputs, mixed, (spread + 1e-3).log()], dim=1)
        return inputs.clamp(-8.0, 8.0)  # a network extrapolates without bound

    def difficulty(self, inputs: torch.Tensor, fold: int | None = None) -> torch.Tensor:
        """Predict the absolute error (batch, variables), on the scale of the experts.

        Args:
            inputs: see `difficulty_inputs`.
            fold: use only the member of this fold, instead of the mean over all.
        """
        folds = range(len(self.difficulty_bias_0)) if fold is None else [fold]
        total = torch.zeros((), device=inputs.device)
        for f in folds:
            hidden = F.linear(inputs, self.difficulty_weight_0[f], self.difficulty_bias_0[f])
            total = total + F.linear(
                F.gelu(hidden), self.difficulty_weight_1[f], self.difficulty_bias_1[f]
            )
        return (total / len(folds)).clamp(-9.0, 4.0).exp()

    def score_at(self, share: float) -> torch.Tensor:
        """Compute the conformal quantile of the scores (variables,), corrected for their number.

        Args:
            share: level of the quantile; below 0.5 for a lower limit, above for an upper limit.

        Returns:
            -inf or inf for a variable with too few scores for the level.
        """
        lower = share < 0.5
        count = (~self.scores.isnan()).sum(dim=0)
        rank = (count + 1) * share
        index = (rank.floor() if lower else rank.ceil()).long() - 1
        inside = (index >= 0) & (index < count)
        index = index.clamp(min=0).minimum((count - 1).clamp(min=0))
        score = self.scores.gather(0, index[None])[0]
        unbounded = torch.full_like(score, -math.inf if lower else math.inf)
        return torch.where(inside & (count > 0), score, unbounded)


__all__ = ["SpecCLIPMoEPanel"]
