"""Gate over the experts, expected error and conformal intervals of their answers."""

# Buffers hide their types behind `__getattr__`; a type checker knows none of it.
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
        """Return where tensors may hold NaN: behind the last score of a variable."""
        return {"scores": self.scores.isnan().flip(0).cumprod(0).flip(0).bool()}

    def gate(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute weights (batch, variables, experts) from gate inputs (batch, gate)."""
        logits = self.bias + torch.einsum("bg,veg->bve", inputs, self.weight)
        return logits.softmax(dim=2)

    def mix(
        self, answers: torch.Tensor, gate_inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute predictions (batch, variables) and weights from answers (batch, experts,
        variables)."""
        weights = self.gate(gate_inputs)
        return torch.einsum("bve,bev->bv", weights, answers), weights

    def difficulty_inputs(
        self,
        features: torch.Tensor,
        gate_inputs: torch.Tensor,
        answers: torch.Tensor,
        mixed: torch.Tensor,
    ) -> torch.Tensor:
        """Join the inputs of the difficulty network, the experts' spread among them."""
        spread = (answers - mixed[:, None]).abs().mean(dim=1)
        # Far beyond the fitted range, a network extrapolates without limit.
        parts = (features, gate_inputs, mixed, (spread + 1e-3).log())
        return torch.cat([part.clamp(-8.0, 8.0) for part in parts], dim=1)

    def difficulty(self, inputs: torch.Tensor, fold: int | None = None) -> torch.Tensor:
        """Estimate the absolute error (batch, variables), on the scale of the experts.

        Args:
            inputs: of `difficulty_inputs`.
            fold: of the one member to ask; the mean over all members by default.
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

        `share` below one half gives a lower end, above it an upper end.
        """
        lower = share < 0.5
        count = (~self.scores.isnan()).sum(dim=0)
        rank = (count + 1) * share
        index = (rank.floor() if lower else rank.ceil()).long() - 1
        inside = (index >= 0) & (index < count)
        index = index.clamp(min=0).minimum((count - 1).clamp(min=0))
        score = self.scores.gather(0, index[None])[0]
        # Too few scores for the level: the interval is the full range.
        beyond = torch.full_like(score, -math.inf if lower else math.inf)
        return torch.where(inside & (count > 0), score, beyond)


__all__ = ["SpecCLIPMoEPanel"]
