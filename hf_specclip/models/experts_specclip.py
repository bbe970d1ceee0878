"""Experts for physical variables, with their target scale, input views and bank of training pairs.

Each expert is a module of fitted tensors. Ridge and network experts have one member per fold of the
groups; predictions are averaged over the members.
"""

# The types of buffers are hidden from a type checker by `__getattr__`.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr, index, misc"

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init

from .configuration_specclip_moe import TEXT_VIEWS, SpecCLIPMoEConfig

LINEAR, LOG, ASINH = range(3)
# Neighbours searched in addition to k, to replace those with an unknown variable.
_EXTRA_NEIGHBOURS = 16


class StoredTensors(nn.Module):
    """Base class of modules with fitted tensors that are saved but not trained."""

    # Names of tensors that are parameters: transformers reads a model's device and dtype from them.
    weights: tuple[str, ...] = ()

    def declare(self, fill: float = 0, dtype: torch.dtype | None = None, **shapes: tuple) -> None:
        """Register tensors by name and shape with their initial value."""
        for name, shape in shapes.items():
            value = torch.full(shape, fill, dtype=dtype or torch.get_default_dtype())
            if name in self.weights:
                setattr(self, name, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(name, value)
            self.__dict__.setdefault("initial", {})[name] = fill

    @torch.no_grad()
    def put(self, **tensors: torch.Tensor) -> None:
        """Copy values into the tensors.

        Raises:
            ValueError: a shape differs from the configuration.
        """
        for name, value in tensors.items():
            target = getattr(self, name)
            if target.shape != value.shape:
                raise ValueError(
                    f"{name} is {tuple(value.shape)}, it must be {tuple(target.shape)}"
                )
            target.copy_(value)

    def unknown(self) -> dict[str, Any]:
        """Return masks of the elements that may be NaN or infinity, by tensor name."""
        return {name: getattr(self, name).isnan() for name, v in self.initial.items() if v != v}

    def reset(self) -> None:
        """Fill the tensors with their initial values."""
        for name, value in self.initial.items():
            init.constant_(getattr(self, name), value)


class SpecCLIPMoEScale(StoredTensors):
    """Transform between catalogue units and a standardised scale with short tails.

    A variable is linear, logarithmic or asinh(y / knee), then shifted by a location and divided by
    a spread.
    """

    def __init__(self, variables: int):
        super().__init__()
        shape = (variables,)
        self.declare(kind=shape, dtype=torch.int64)
        self.declare(location=shape)
        self.declare(1.0, knee=shape, spread=shape)
        self.declare(-math.inf, low=shape)
        self.declare(math.inf, high=shape)

    def unknown(self) -> dict[str, Any]:
        """Mask the variables without a known training value."""
        unknown = (self.low == -math.inf) & (self.high == math.inf)
        return dict.fromkeys(("low", "high", "location"), unknown)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Transform values in catalogue units (…, variables); nan stays nan."""
        values = values.clamp(self.low, self.high)
        positive = values.clamp(min=torch.finfo(values.dtype).tiny)
        scaled = torch.where(self.kind == LOG, positive.log(), values)
        scaled = torch.where(self.kind == ASINH, (values / self.knee).asinh(), scaled)
        return (scaled - self.location) / self.spread

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """Transform back to catalogue units, clipped to the range of the training data."""
        linear = values * self.spread + self.location
        exponent = linear.clamp(-80.0, 80.0)
        result = torch.where(self.kind == LOG, exponent.exp(), exponent)
        result = torch.where(self.kind == ASINH, self.knee * exponent.sinh(), result)
        result = torch.where(self.kind == LINEAR, linear, result)
        return result.clamp(self.low, self.high)


class SpecCLIPMoEView(StoredTensors):
    """Standardisation of one input, optionally reduced to principal components.

    `share` is the weight of this view in a distance over several views.
    """

    def __init__(self, width: int, components: int | None = None):
        super().__init__()
        self.declare(mean=(width,))
        self.declare(1.0, std=(width,), share=())
        self.rotated = components is not None
        if components is not None:
            self.declare(components=(width, components))

    def forward(self, values: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """Standardise `(batch, width)` to `(batch, components or width)`."""
        scaled = self.standardise(values, present)
        return scaled @ self.components if self.rotated else scaled

    def standardise(
        self, values: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Standardise `(batch, width)` without reduction; rows with `present` False become zero."""
        scaled = (values.float() - self.mean) / self.std
        return scaled if present is None else scaled * present[:, None]


class SpecCLIPMoEBank(StoredTensors):
    """Training pairs with known variables, searched for neighbours and for retrieved texts.

    Views are standardised by `SpecCLIPMoEView`.
    """

    def __init__(self, config: SpecCLIPMoEConfig):
        super().__init__()
        rows, texts = config.bank_rows, config.bank_texts
        self.declare(
            spectrum=(rows, config.width("spectrum")),
            shared_spectrum=(rows, config.width("shared_spectrum")),
            features=(rows, config.width("features")),
            text=(texts, config.width("text")),
            shared_text=(texts, config.width("shared_text")),
        )
        self.declare(True, torch.bool, text_given=(texts,))
        integers = {"text_of_row": (rows,), "fold": (rows,), "text_fold": (texts,)}
        self.declare(dtype=torch.int64, **integers)
        self.declare(math.nan, targets=(rows, config.num_variables))

    def variable_groups(self) -> list[tuple[list[int], torch.Tensor]]:
        """Group variables that are known for about the same rows.

        The catalogue fits models to bright sources only, so most variables are missing together and
        can share one neighbour search.

        Returns:
            The indices of the variables and of the rows of each group.
        """
        groups: list[tuple[list[int], torch.Tensor]] = []
        for variable, mask in enumerate((~self.targets.isnan()).unbind(dim=1)):
            for number, (members, union) in enumerate(groups):
                both, either = (mask & union).sum(), (mask | union).sum()
                if both >= 0.95 * either and bool(either):
                    groups[number] = ([*members, variable], mask | union)
                    break
            else:
                groups.append(([variable], mask))
        return [(members, mask.nonzero()[:, 0]) for members, mask in groups]


class ExpertQuery:
    """Batch of rows for the experts, which share its distances to the bank.

    Args:
        views: standardised inputs; see `SpecCLIPMoEForRegression.prepare`.
        bank: training pairs.
        scale: scale of the variables.
        shares: weight of each view in a distance over several views.
        variable_groups: see `SpecCLIPMoEBank.variable_groups`.
        fold: fold of the rows in cross-fitting, which is excluded from the bank.
    """

    def __init__(
        self,
        views: dict[str, torch.Tensor],
        bank: SpecCLIPMoEBank,
        scale: SpecCLIPMoEScale,
        shares: dict[str, torch.Tensor],
        variable_groups: list[tuple[list[int], torch.Tensor]],
        fold: int | None = None,
    ):
        self.views, self.bank, self.scale = views, bank, scale
        self.shares, self.variable_groups, self.fold = shares, variable_groups, fold
        self._distances: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.views["spectrum"])

    def joined(self, names: Sequence[str]) -> torch.Tensor:
        """Concatenate views to (batch, width)."""
        return torch.cat([self.views[name] for name in names], dim=1)

    def squared_distance(self, names: Sequence[str]) -> torch.Tensor:
        """Compute weighted squared distances to the bank (batch, rows)."""
        return torch.stack([self._distance(name) for name in names]).sum(dim=0)

    def _distance(self, name: str) -> torch.Tensor:
        if name not in self._distances:
            rows, bank = self.views[name], getattr(self.bank, name)
            square = rows.square().sum(dim=1)[:, None] + bank.square().sum(dim=1)[None]
            square = (square - 2 * rows @ bank.t()).clamp(min=0) * self.shares[name]
            if name in TEXT_VIEWS:
                square = square[:, self.bank.text_of_row]
            if self.fold is not None:
                square = square.masked_fill(self.bank.fold == self.fold, math.inf)
            self._distances[name] = square
        return self._distances[name]


class SpecCLIPMoEMedian(StoredTensors):
    """Median of the training values: the baseline expert, always present."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.declare(value=(config.num_variables,))

    def predict(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Predict (batch, variables)."""
        return self.value.expand(len(query), -1)


class SpecCLIPMoENeighbours(StoredTensors):
    """k nearest neighbours: mean (the paper, k = 3) or weighted median of their values."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.inputs, self.average = list(settings["inputs"]), settings["average"]
        self.declare(3, torch.int64, k=(config.num_variables,))
        self.declare(power=(config.num_variables,))

    def nearest(
        self, query: ExpertQuery, rows: torch.Tensor, targets: torch.Tensor, count: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Find the nearest pairs of the bank.

        Args:
            query: the rows.
            rows: candidate rows of the bank.
            targets: (bank rows, variables), nan where unknown.
            count: number of neighbours.

        Returns:
            Targets of the neighbours (batch, count, variables), 0 where unknown; mask of the known
            ones; and closeness (batch, count, 1): inverse squared distance relative to the nearest
            neighbour, so that it cannot overflow.
        """
        distance = query.squared_distance(self.inputs)[:, rows]
        square, index = distance.topk(min(count, len(rows)), dim=1, largest=False)
        labels = targets[rows[index]]
        known = ~labels.isnan() & square.isfinite()[:, :, None]
        closeness = ((square[:, :1] + 1e-6) / (square + 1e-6))[:, :, None]
        return labels.nan_to_num(0.0), known, closeness

    def predict(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Predict (batch, variables) from the bank, without the fold of the query."""
        result = self.power.new_zeros(len(query), len(self.k))
        for variables, rows in query.variable_groups:
            if not len(rows):
                continue
            k, targets = self.k[variables], query.bank.targets[:, variables]
            count = int(k.max()) + _EXTRA_NEIGHBOURS
            labels, known, closeness = self.nearest(query, rows, targets, count)
            is_used = known & (known.cumsum(dim=1) <= k)
            weights = closeness ** (self.power[variables] / 2) * is_used
            if self.average == "mean":
                total = weights.sum(dim=1).clamp(min=1e-12)
                result[:, variables] = (labels * weights).sum(dim=1) / total
            else:
                result[:, variables] = weighted_median(labels, weights)
        return query.scale(result)


class SpecCLIPMoERidge(StoredTensors):
    """Ridge regression with one member per fold."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.inputs = list(settings["inputs"])
        width = sum(config.width(name) for name in self.inputs)
        folds, variables = config.n_folds, config.num_variables
        self.declare(weight=(folds, width, variables), bias=(folds, variables))

    def predict(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Predict (batch, variables) by the mean over the members of `folds`."""
        inputs = query.joined(self.inputs)
        members = [inputs @ self.weight[fold] + self.bias[fold] for fold in folds]
        return torch.stack(members).mean(dim=0)


class SpecCLIPMoENetwork(StoredTensors):
    """Fully connected network for all variables, with one member per fold."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any], outputs: int = 1):
        super().__init__()
        self.inputs = list(settings["inputs"])
        widths = [sum(config.width(name) for name in self.inputs), *settings["hidden"]]
        widths.append(config.num_variables * outputs)
        self.n_layers = len(widths) - 1
        folds = config.n_folds
        for layer, (a, b) in enumerate(pairwise(widths)):
            shapes = {f"weight_{layer}": (folds, b, a), f"bias_{layer}": (folds, b)}
            self.declare(**shapes)

    def member(self, query: ExpertQuery, fold: int) -> torch.Tensor:
        """Compute the outputs of one member (batch, outputs)."""
        hidden = query.joined(self.inputs)
        for layer in range(self.n_layers):
            weight, bias = getattr(self, f"weight_{layer}"), getattr(self, f"bias_{layer}")
            hidden = F.linear(hidden, weight[fold], bias[fold])
            if layer + 1 < self.n_layers:
                hidden = F.gelu(hidden)
        return hidden

    def predict(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Predict (batch, variables) by the mean over the members of `folds`."""
        return torch.stack([self.member(query, fold) for fold in folds]).mean(dim=0)


class SpecCLIPMoEDistribution(SpecCLIPMoENetwork):
    """Network that predicts a histogram per variable, whose median is the estimate.

    The median minimises the expected absolute error. A network trained on that error directly
    predicts the mode where most rows share one value, and a value between the peaks of a bimodal
    distribution. Probabilities are averaged over the members.
    """

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__(config, settings, settings["bins"])
        shape = (config.num_variables, settings["bins"])
        # Median of the values in each bin; mask of bins with a single value; mask of used bins.
        self.declare(value=shape)
        self.declare(dtype=torch.bool, atom=shape, used=shape)

    def predict(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Predict (batch, variables) by the mean distribution over the members of `folds`."""
        total = torch.zeros((), device=self.value.device)
        for fold in folds:
            logits = self.member(query, fold).unflatten(1, self.value.shape)
            total = total + logits.masked_fill(~self.used, -1e9).softmax(dim=2)
        return self.median(total / len(folds))

    def median(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Compute medians (batch, variables) of histograms (batch, variables, bins).

        An atom (a bin with a single value) has all its probability at that value; another bin has
        half of it below and half above its median. Quantiles between two bins are interpolated
        linearly.
        """
        cumulative = probabilities.cumsum(dim=2)
        half = torch.where(self.atom, 0.0, probabilities / 2)
        start, end = cumulative - probabilities + half, cumulative - half
        last = (self.used.sum(dim=1) - 1).clamp(min=0)[:, None].expand(len(cumulative), -1, 1)
        index = (end < 0.5).sum(dim=2, keepdim=True).minimum(last)
        before = (index - 1).clamp(min=0)
        value = self.value.expand(len(cumulative), -1, -1)
        low, high = value.gather(2, before), value.gather(2, index)
        from_, to = end.gather(2, before), start.gather(2, index)
        share = ((0.5 - from_) / (to - from_).clamp(min=1e-9)).clamp(0.0, 1.0)
        return torch.where(index == 0, high, low + share * (high - low))[..., 0]


EXPERTS = {
    "median": SpecCLIPMoEMedian,
    "neighbours": SpecCLIPMoENeighbours,
    "ridge": SpecCLIPMoERidge,
    "network": SpecCLIPMoENetwork,
    "distribution": SpecCLIPMoEDistribution,
}


def weighted_median(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Compute the weighted median over dim 1: values and weights (batch, k, …) to (batch, …).

    Where the weights split evenly between two values, their mean is returned.
    """
    # Values of zero weight are sorted to the end, so that they are never the median.
    ordered, order = values.masked_fill(weights <= 0, math.inf).sort(dim=1)
    total = weights.gather(1, order).cumsum(dim=1)
    half = total[:, -1:] / 2
    tiny = 1e-6 * half
    lower = (total >= half - tiny).float().argmax(dim=1, keepdim=True)
    upper = (total > half + tiny).float().argmax(dim=1, keepdim=True)
    middle = (ordered.gather(1, lower) + ordered.gather(1, upper)) / 2
    return middle.squeeze(1).nan_to_num(0.0, posinf=0.0)


__all__ = [
    "ASINH",
    "EXPERTS",
    "LINEAR",
    "LOG",
    "ExpertQuery",
    "SpecCLIPMoEBank",
    "SpecCLIPMoEDistribution",
    "SpecCLIPMoEMedian",
    "SpecCLIPMoENeighbours",
    "SpecCLIPMoENetwork",
    "SpecCLIPMoERidge",
    "SpecCLIPMoEScale",
    "SpecCLIPMoEView",
    "StoredTensors",
    "weighted_median",
]
