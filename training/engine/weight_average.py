"""Running mean of a model's weights over the steps of training."""

from __future__ import annotations

import torch

from specclip_training.engine.sharding import shard_like


class WeightAverage:
    """Running mean of a model's weights, which often generalises better than the last step.

    torch's `AveragedModel` starts from the first step's weights and copies the whole model; this
    one follows the first steps closely (a decay of (1 + step) / (10 + step)) and handles shards.

    Args:
        model: whose trained parameters are averaged.
        decay: share of the old mean that a step keeps, 0 for no averaging.
    """

    def __init__(self, model: torch.nn.Module, decay: float):
        self._decay = decay
        self._parameters = {
            name: parameter
            for name, parameter in model.named_parameters()
            if decay > 0.0 and parameter.requires_grad
        }
        self.weights = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after a step (counted from 0) to the mean."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            # The model may have moved to its device since.
            self.weights[name] = self.weights[name].to(parameter.device).lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights and the mean."""
        for name, parameter in self._parameters.items():
            current = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name] = current

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        """Continue from the mean in a checkpoint."""
        for name, parameter in self._parameters.items():
            self.weights[name] = shard_like(weights[name], parameter).clone()
