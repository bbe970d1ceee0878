"""Experts for physical variables, and the scales, views and known pairs they work with.

Each expert is a module of stored tensors that answers for a batch of rows. Fitted experts have one
member for each fold of the groups; their mean answers in use.
"""

# Buffers hide their types behind `__getattr__`; a type checker knows none of it.
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
# Neighbours looked at beyond k, in place of those whose variable is not known.
_SPARE = 16


class StoredTensors(nn.Module):
    """Named tensors that are fitted once, saved with the model and never trained."""

    # Kept as parameters: transformers reads a model's device and type from these.
    weights: tuple[str, ...] = ()

    def declare(self, fill: float = 0, dtype: torch.dtype | None = None, **shapes: tuple) -> None:
        """Declare tensors by name and shape, and their value until they are fitted."""
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
            ValueError: for a shape that the configuration does not announce.
        """
        for name, value in tensors.items():
            target = getattr(self, name)
            if target.shape != value.shape:
                raise ValueError(
                    f"{name} is {tuple(value.shape)}, it must be {tuple(target.shape)}"
                )
            target.copy_(value)

    def unknown(self) -> dict[str, Any]:
        """Return masks of the places where tensors may hold NaN or infinity, by name."""
        return {name: getattr(self, name).isnan() for name, v in self.initial.items() if v != v}

    def reset(self) -> None:
        """Fill the tensors with their initial values."""
        for name, value in self.initial.items():
            init.constant_(getattr(self, name), value)


class SpecCLIPMoEScale(StoredTensors):
    """Map between catalogue units and a scale with short tails and spreads near 1.

    A variable is used as it is, as its logarithm, or as asinh(y / knee), a logarithm with a sign
    that passes through zero; then a location is subtracted and it is divided by a spread.
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
        """Return where tensors may hold NaN or infinity: where no value was known in training."""
        unknown = (self.low == -math.inf) & (self.high == math.inf)
        return dict.fromkeys(("low", "high", "location"), unknown)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Convert from catalogue units (…, variables); nan stays nan."""
        values = values.clamp(self.low, self.high)
        positive = values.clamp(min=torch.finfo(values.dtype).tiny)
        inner = torch.where(self.kind == LOG, positive.log(), values)
        inner = torch.where(self.kind == ASINH, (values / self.knee).asinh(), inner)
        return (inner - self.location) / self.spread

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """Convert back to catalogue units, within the range of the fitted data."""
        linear = values * self.spread + self.location
        inner = linear.clamp(-80.0, 80.0)
        result = torch.where(self.kind == LOG, inner.exp(), inner)
        result = torch.where(self.kind == ASINH, self.knee * inner.sinh(), result)
        result = torch.where(self.kind == LINEAR, linear, result)
        return result.clamp(self.low, self.high)


class SpecCLIPMoEView(StoredTensors):
    """Standardisation of one input, optionally with a reduction to principal components."""

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
        """Centre and divide `(batch, width)`; rows where `present` is False become zeros."""
        scaled = (values.float() - self.mean) / self.std
        return scaled if present is None else scaled * present[:, None]


class SpecCLIPMoEBank(StoredTensors):
    """Pairs with known variables: the candidates for neighbours and for retrieved texts.

    Views are on the scale of `SpecCLIPMoEView`.
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

    def patterns(self) -> list[tuple[list[int], torch.Tensor]]:
        """Group the variables that are known on about the same rows.

        The catalogue fits models to bright sources only, so most variables are absent together;
        neighbours are then searched once for all of them.

        Returns:
            For each group, the indices of its variables and of its rows.
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
    """A batch of rows, with the quantities that several experts need computed once.

    Args:
        views: of `SpecCLIPMoEForRegression.prepare`.
        bank: pairs with known variables.
        scale: of the variables.
        shares: weight of each view in a distance over several.
        patterns: of the bank.
        fold: in fitting, the fold of the rows; nothing of it may answer.
    """

    def __init__(
        self,
        views: dict[str, torch.Tensor],
        bank: SpecCLIPMoEBank,
        scale: SpecCLIPMoEScale,
        shares: dict[str, torch.Tensor],
        patterns: list[tuple[list[int], torch.Tensor]],
        fold: int | None = None,
    ):
        self.views, self.bank, self.scale = views, bank, scale
        self.shares, self.patterns, self.fold = shares, patterns, fold
        self._distances: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.views["spectrum"])

    def joined(self, names: Sequence[str]) -> torch.Tensor:
        """Join views (batch, width)."""
        return torch.cat([self.views[name] for name in names], dim=1)

    def squared_distance(self, names: Sequence[str]) -> torch.Tensor:
        """Compute distances to the bank (batch, rows); views of the same spread weigh alike."""
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
    """Median of the known values: the guess that needs no data, always among the experts."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.declare(value=(config.num_variables,))

    def answer(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Answer (batch, variables)."""
        return self.value.expand(len(query), -1)


class SpecCLIPMoENeighbours(StoredTensors):
    """k nearest neighbours: their mean (the paper, k = 3), or their weighted median."""

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
            rows: indices of the pairs that are candidates.
            targets: (bank rows, variables), nan where unknown.
            count: number of neighbours.

        Returns:
            Targets (batch, count, variables) of the neighbours, 0 where unknown; True where they
            are known; and closeness (batch, count, 1), relative to the nearest, so that no scale of
            the distances overflows.
        """
        distance = query.squared_distance(self.inputs)[:, rows]
        square, index = distance.topk(min(count, len(rows)), dim=1, largest=False)
        labels = targets[rows[index]]
        known = ~labels.isnan() & square.isfinite()[:, :, None]
        closeness = ((square[:, :1] + 1e-6) / (square + 1e-6))[:, :, None]
        return labels.nan_to_num(0.0), known, closeness

    def answer(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Answer (batch, variables) from the bank, without the query's own fold."""
        result = self.power.new_zeros(len(query), len(self.k))
        for variables, rows in query.patterns:
            if not len(rows):
                continue
            k, targets = self.k[variables], query.bank.targets[:, variables]
            labels, known, closeness = self.nearest(query, rows, targets, int(k.max()) + _SPARE)
            chosen = known & (known.cumsum(dim=1) <= k)
            weights = closeness ** (self.power[variables] / 2) * chosen
            if self.average == "mean":
                total = weights.sum(dim=1).clamp(min=1e-12)
                result[:, variables] = (labels * weights).sum(dim=1) / total
            else:
                result[:, variables] = weighted_median(labels, weights)
        return query.scale(result)


class SpecCLIPMoERidge(StoredTensors):
    """Ridge regression, one member for each fold."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.inputs = list(settings["inputs"])
        width = sum(config.width(name) for name in self.inputs)
        folds, variables = config.n_folds, config.num_variables
        self.declare(weight=(folds, width, variables), bias=(folds, variables))

    def answer(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Answer (batch, variables) by the mean of the members of `folds`."""
        inputs = query.joined(self.inputs)
        members = [inputs @ self.weight[fold] + self.bias[fold] for fold in folds]
        return torch.stack(members).mean(dim=0)


class SpecCLIPMoENetwork(StoredTensors):
    """Small fully connected network for all variables together, one member for each fold."""

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

    def answer(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Answer (batch, variables) by the mean of the members of `folds`."""
        return torch.stack([self.member(query, fold) for fold in folds]).mean(dim=0)


class SpecCLIPMoEDistribution(SpecCLIPMoENetwork):
    """Median of a distribution over bins that a network predicts for each variable.

    A network trained on the absolute error always answers the commonest value where most rows share
    one, and falls between two peaks where there are two. The median of a predicted distribution has
    the smallest expected error there, too. The members' probabilities are averaged.
    """

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__(config, settings, settings["bins"])
        shape = (config.num_variables, settings["bins"])
        # Median of each bin's values; True for a bin of one value; True for a bin in use.
        self.declare(value=shape)
        self.declare(dtype=torch.bool, atom=shape, used=shape)

    def answer(self, query: ExpertQuery, folds: Sequence[int]) -> torch.Tensor:
        """Answer (batch, variables) by the mean distribution of the members of `folds`."""
        total = torch.zeros((), device=self.value.device)
        for fold in folds:
            logits = self.member(query, fold).unflatten(1, self.value.shape)
            total = total + logits.masked_fill(~self.used, -1e9).softmax(dim=2)
        return self.median(total / len(folds))

    def median(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Compute medians (batch, variables) of distributions (batch, variables, bins).

        A bin of one value holds all its probability there. Any other has half of it on either side
        of its value, and values between those of two bins are interpolated linearly.
        """
        above = probabilities.cumsum(dim=2)
        half = torch.where(self.atom, 0.0, probabilities / 2)
        start, end = above - probabilities + half, above - half
        last = (self.used.sum(dim=1) - 1).clamp(min=0)[:, None].expand(len(above), -1, 1)
        index = (end < 0.5).sum(dim=2, keepdim=True).minimum(last)
        before = (index - 1).clamp(min=0)
        value = self.value.expand(len(above), -1, -1)
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

    Where the weights split evenly between two values it is their mean, as for an unweighted median.
    """
    # Values without weight go to the end, where they cannot stand in the middle.
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
