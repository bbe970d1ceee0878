"""Physical variables from spectra and texts: a mixture of experts with conformal intervals.

Everything an answer needs is in the tensors of this model: the pairs whose variables are known (the
bank), trees, ridge and network weights, gates and conformal scores. Fitting is done elsewhere
(`training/experts.py`); nothing here needs scikit-learn.
"""

# Buffers hide their types behind `__getattr__`; a type checker knows none of it.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr, index, misc"

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_specclip import describing_kind
from .configuration_specclip_moe import PANELS, TEXT_VIEWS, SpecCLIPMoEConfig
from .feature_extraction_specclip import SpecCLIPFeatureExtractor
from .modeling_specclip import SpecCLIPPreTrainedModel

LEVELS = {"68": 0.68, "90": 0.90}
LINEAR, LOG, ASINH = range(3)
# Neighbours looked at beyond k, in place of those whose variable is not known.
_SPARE = 16
# Rows taken at once: bounds the memory of distances and of the walk through the trees.
_ROWS = 512


@dataclass
class SpecCLIPMoEOutput(ModelOutput):
    r"""
    predictions (`torch.FloatTensor` of shape `(batch, variables)`):
        In catalogue units, in the order of `config.variables`.
    lower_68, upper_68, lower_90, upper_90 (`torch.FloatTensor` of shape `(batch, variables)`):
        Ends of the conformal intervals.
    expert_predictions (`torch.FloatTensor` of shape `(batch, experts, variables)`):
        What each expert of `config.experts` says; nan where it needs a text and none was given.
    gate_weights (`torch.FloatTensor` of shape `(batch, variables, experts)`):
        Their weights, which sum to 1 over the experts.
    panels (`torch.LongTensor` of shape `(batch,)`):
        Place in `PANELS`: 0 where the text was given, 1 where retrieved texts stood in for it, 2
        where experts without text answered.
    """

    predictions: torch.FloatTensor | None = None
    lower_68: torch.FloatTensor | None = None
    upper_68: torch.FloatTensor | None = None
    lower_90: torch.FloatTensor | None = None
    upper_90: torch.FloatTensor | None = None
    expert_predictions: torch.FloatTensor | None = None
    gate_weights: torch.FloatTensor | None = None
    panels: torch.LongTensor | None = None


class _Stored(nn.Module):
    """Named tensors that are fitted once, saved with the model, and never trained."""

    # Kept as parameters: transformers reads a model's device and type from these.
    weights: tuple[str, ...] = ()

    def store(self, fill: float = 0, dtype: torch.dtype | None = None, **shapes: tuple) -> None:
        """Declares tensors by name and shape, and what they hold until they are fitted."""
        for name, shape in shapes.items():
            value = torch.full(shape, fill, dtype=dtype or torch.get_default_dtype())
            if name in self.weights:
                setattr(self, name, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(name, value)
            self.__dict__.setdefault("initial", {})[name] = fill

    @torch.no_grad()
    def put(self, **tensors: torch.Tensor) -> None:
        """Fills the tensors.

        Raises:
            ValueError: for a shape that the configuration does not announce.
        """
        for name, value in tensors.items():
            own = getattr(self, name)
            if own.shape != value.shape:
                raise ValueError(f"{name} is {tuple(value.shape)}, it must be {tuple(own.shape)}")
            own.copy_(value)

    def reset(self) -> None:
        for name, value in self.initial.items():
            init.constant_(getattr(self, name), value)


class SpecCLIPMoEScale(_Stored):
    """Between catalogue units and a scale on which tails are short and spreads near 1.

    A variable is taken as it is, as its logarithm, or as asinh(y / knee), a logarithm with a sign
    that passes through zero; then a location is taken off and it is divided by a spread.
    """

    def __init__(self, variables: int):
        super().__init__()
        each = (variables,)
        self.store(kind=each, dtype=torch.int64)
        self.store(location=each)
        self.store(1.0, knee=each, spread=each)
        self.store(-math.inf, low=each)
        self.store(math.inf, high=each)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """From catalogue units (…, variables); nan stays nan."""
        values = values.clamp(self.low, self.high)
        positive = values.clamp(min=torch.finfo(values.dtype).tiny)
        inner = torch.where(self.kind == LOG, positive.log(), values)
        inner = torch.where(self.kind == ASINH, (values / self.knee).asinh(), inner)
        return (inner - self.location) / self.spread

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """Back to catalogue units, within the range of what was fitted."""
        inner = (values * self.spread + self.location).clamp(-80.0, 80.0)
        result = torch.where(self.kind == LOG, inner.exp(), inner)
        result = torch.where(self.kind == ASINH, self.knee * inner.sinh(), result)
        linear = values * self.spread + self.location
        result = torch.where(self.kind == LINEAR, linear, result)
        return result.clamp(self.low, self.high)


class SpecCLIPMoEView(_Stored):
    """One input on the scale the experts see it: centred, divided, perhaps rotated and cut."""

    def __init__(self, width: int, components: int | None = None, n_sections: int | None = None):
        super().__init__()
        self.n_sections = n_sections
        self.store(mean=(width,))
        self.store(1.0, std=(width,), share=())
        self.rotated = components is not None
        if components is not None:
            self.store(components=(width, components))

    def forward(self, values: torch.Tensor, section_mask: torch.Tensor | None = None):
        """`(batch, width)` to `(batch, components or width)`; absent sections become zeros."""
        scaled = (values.float() - self.mean) / self.std
        if self.n_sections is not None and section_mask is not None:
            sections = scaled.unflatten(-1, (self.n_sections, -1))
            scaled = (sections * section_mask[:, :, None]).flatten(1)
        return scaled @ self.components if self.rotated else scaled


class SpecCLIPMoEBank(_Stored):
    """The pairs whose variables are known: what neighbours are looked for among, and the texts that
    can stand in for an absent one. Views are on the scale of `SpecCLIPMoEView`."""

    def __init__(self, config: SpecCLIPMoEConfig):
        super().__init__()
        rows, texts = config.bank_rows, config.bank_texts
        self.store(
            spectrum=(rows, config.width("spectrum")),
            shared_spectrum=(rows, config.width("shared_spectrum")),
            features=(rows, config.width("features")),
            text=(texts, config.width("text")),
            shared_text=(texts, config.width("shared_text")),
            text_sections=(texts, config.n_sections),
        )
        whole = {"text_of_row": (rows,), "fold": (rows,), "text_fold": (texts,)}
        self.store(dtype=torch.int64, **whole)
        self.store(math.nan, targets=(rows, config.num_variables))

    def patterns(self) -> list[tuple[list[int], torch.Tensor]]:
        """Variables that are known on about the same rows: their places, and those rows.

        The catalogue fits models to bright sources only, so most variables are absent together;
        neighbours are then looked for once for all of them.
        """
        known = ~self.targets.isnan()
        found: list[tuple[list[int], torch.Tensor]] = []
        for place, mask in enumerate(known.unbind(dim=1)):
            for index, (places, union) in enumerate(found):
                both, either = (mask & union).sum(), (mask | union).sum()
                if both >= 0.95 * either and bool(either):
                    found[index] = ([*places, place], mask | union)
                    break
            else:
                found.append(([place], mask))
        return [(places, mask.nonzero()[:, 0]) for places, mask in found]


class _Query:
    """Rows that are asked for, with what several experts need of them computed once."""

    def __init__(
        self,
        views: dict[str, torch.Tensor],
        bank: SpecCLIPMoEBank,
        shares: dict[str, torch.Tensor],
        patterns: list[tuple[list[int], torch.Tensor]],
        fold: int | None = None,
    ):
        self.views, self.bank, self.shares, self.patterns = views, bank, shares, patterns
        # In fitting: rows of this fold are asked for, and nothing of it may answer.
        self.fold = fold
        self._distances: dict[str, torch.Tensor] = {}

    def joined(self, names: list[str]) -> torch.Tensor:
        return torch.cat([self.views[name] for name in names], dim=1)

    def squared_distance(self, names: list[str]) -> torch.Tensor:
        """To every row of the bank (batch, rows); views of the same spread weigh alike."""
        return torch.stack([self._distance(name) for name in names]).sum(dim=0)

    def _distance(self, name: str) -> torch.Tensor:
        if name not in self._distances:
            own, other = self.views[name], getattr(self.bank, name)
            square = own.square().sum(dim=1)[:, None] + other.square().sum(dim=1)[None]
            square = (square - 2 * own @ other.t()).clamp(min=0) * self.shares[name]
            if name in TEXT_VIEWS:
                square = square[:, self.bank.text_of_row]
            if self.fold is not None:
                square = square.masked_fill(self.bank.fold == self.fold, math.inf)
            self._distances[name] = square
        return self._distances[name]


class SpecCLIPMoEMedian(_Stored):
    """The median of what is known: the guess that needs no data, always among the experts."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.store(value=(config.num_variables,))

    def member(self, query: _Query, fold: int) -> torch.Tensor:
        return self.value.expand(len(query.views["spectrum"]), -1)


class SpecCLIPMoENeighbours(_Stored):
    """k nearest neighbours: their mean (the paper, k = 3), or their weighted median."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.inputs, self.average = list(settings["inputs"]), settings["average"]
        variables = config.num_variables
        self.store(3, torch.int64, k=(variables,))
        self.store(power=(variables,))

    def member(self, query: _Query, fold: int, scale: SpecCLIPMoEScale) -> torch.Tensor:
        distance = query.squared_distance(self.inputs)
        result = distance.new_zeros(len(distance), len(self.k))
        for places, rows in query.patterns:
            if not len(rows):
                continue
            near = min(int(self.k[places].max()) + _SPARE, len(rows))
            square, index = distance[:, rows].topk(near, dim=1, largest=False)
            labels = query.bank.targets[:, places][rows[index]]
            found = ~labels.isnan() & square.isfinite()[:, :, None]
            chosen = found & (found.cumsum(dim=1) <= self.k[places])
            # Relative to the nearest, so that no scale of the distances overflows.
            closeness = (square[:, :1] + 1e-6) / (square + 1e-6)
            weights = closeness[:, :, None] ** (self.power[places] / 2) * chosen
            labels = labels.nan_to_num(0.0)
            if self.average == "mean":
                total = weights.sum(dim=1).clamp(min=1e-12)
                result[:, places] = (labels * weights).sum(dim=1) / total
            else:
                result[:, places] = weighted_median(labels, weights)
        return scale(result)


class _Folded(_Stored):
    """An expert that was fitted: one member for each fold, and their mean in use."""

    def answer(self, query: _Query, folds: Sequence[int]) -> torch.Tensor:
        return torch.stack([self.member(query, fold) for fold in folds]).mean(dim=0)


class SpecCLIPMoERidge(_Folded):
    """Linear in its inputs, one member for each fold."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.inputs = list(settings["inputs"])
        width = sum(config.width(name) for name in self.inputs)
        folds, variables = config.n_folds, config.num_variables
        self.store(weight=(folds, width, variables), bias=(folds, variables))

    def member(self, query: _Query, fold: int) -> torch.Tensor:
        return query.joined(self.inputs) @ self.weight[fold] + self.bias[fold]


class SpecCLIPMoETrees(_Folded):
    """Boosted regression trees as tables of nodes, walked from the root, all trees at once.

    A leaf points at itself, so that a walk of `depth` steps ends in a leaf wherever that is.
    """

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__()
        self.inputs, self.depth = list(settings["inputs"]), settings["depth"]
        folds, variables = config.n_folds, config.num_variables
        shape = (folds, variables, settings["n_trees"], settings["n_nodes"])
        self.store(dtype=torch.int32, feature=shape, left=shape, right=shape)
        self.store(threshold=shape, value=shape, baseline=(folds, variables))

    def member(self, query: _Query, fold: int) -> torch.Tensor:
        inputs = query.joined(self.inputs)
        variables, trees, nodes = self.feature.shape[1:]
        flat = [getattr(self, name)[fold].reshape(-1) for name in
                ("feature", "left", "right", "threshold", "value")]  # fmt: skip
        feature, left, right, threshold, value = flat
        root = torch.arange(variables * trees, device=inputs.device) * nodes
        parts = []
        for rows in inputs.split(128):
            place = root.expand(len(rows), -1)
            for _ in range(self.depth):
                seen = rows.gather(1, feature[place].long())
                step = torch.where(seen <= threshold[place], left[place], right[place])
                place = root + step
            leaves = value[place].view(len(rows), variables, trees)
            parts.append(leaves.double().sum(dim=2))
        return (torch.cat(parts) + self.baseline[fold]).to(inputs.dtype)


class SpecCLIPMoENetwork(_Folded):
    """A small fully connected network for all variables together, one member for each fold."""

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any], outputs: int = 1):
        super().__init__()
        self.inputs = list(settings["inputs"])
        widths = [sum(config.width(name) for name in self.inputs), *settings["hidden"]]
        widths.append(config.num_variables * outputs)
        self.n_layers = len(widths) - 1
        folds = config.n_folds
        for layer, (a, b) in enumerate(pairwise(widths)):
            shapes = {f"weight_{layer}": (folds, b, a), f"bias_{layer}": (folds, b)}
            self.store(**shapes)

    def member(self, query: _Query, fold: int) -> torch.Tensor:
        hidden = query.joined(self.inputs)
        for layer in range(self.n_layers):
            weight, bias = getattr(self, f"weight_{layer}"), getattr(self, f"bias_{layer}")
            hidden = F.linear(hidden, weight[fold], bias[fold])
            if layer + 1 < self.n_layers:
                hidden = F.gelu(hidden)
        return hidden


class SpecCLIPMoEDistribution(SpecCLIPMoENetwork):
    """The median of a distribution over bins, which a network says of each variable.

    A network that is trained on the absolute error answers the commonest value for ever where most
    rows share one, and falls between two peaks where there are two. The median of what it deems
    likely has the smallest expected error there, too. Members add up their probabilities.
    """

    def __init__(self, config: SpecCLIPMoEConfig, settings: dict[str, Any]):
        super().__init__(config, settings, settings["bins"])
        shape = (config.num_variables, settings["bins"])
        # The median of what fell into a bin; whether all of that is one value; whether it is used.
        self.store(value=shape)
        self.store(dtype=torch.bool, atom=shape, used=shape)

    def answer(self, query: _Query, folds: Sequence[int]) -> torch.Tensor:
        total = torch.zeros((), device=self.value.device)
        for fold in folds:
            logits = self.member(query, fold).unflatten(1, self.value.shape)
            total = total + logits.masked_fill(~self.used, -1e9).softmax(dim=2)
        return self.median(total / len(folds))

    def median(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Medians (batch, variables) of distributions (batch, variables, bins).

        A bin of one value holds all its probability there. Any other has half of it on either side
        of its value, and values between those of two bins lie on the line that joins them.
        """
        above = probabilities.cumsum(dim=2)
        half = torch.where(self.atom, 0.0, probabilities / 2)
        start, end = above - probabilities + half, above - half
        last = (self.used.sum(dim=1) - 1).clamp(min=0)[:, None].expand(len(above), -1, 1)
        place = (end < 0.5).sum(dim=2, keepdim=True).minimum(last)
        before = (place - 1).clamp(min=0)
        value = self.value.expand(len(above), -1, -1)
        low, high = value.gather(2, before), value.gather(2, place)
        from_, to = end.gather(2, before), start.gather(2, place)
        share = ((0.5 - from_) / (to - from_).clamp(min=1e-9)).clamp(0.0, 1.0)
        return torch.where(place == 0, high, low + share * (high - low))[..., 0]


class SpecCLIPMoEPanel(_Stored):
    """Gate, difficulty and conformal scores for one circumstance (see `PANELS`)."""

    weights = ("bias", "weight")

    def __init__(self, config: SpecCLIPMoEConfig, name: str):
        super().__init__()
        variables, experts = config.num_variables, config.num_experts
        gate = config.num_gate_inputs
        folds, hidden = config.n_folds, config.difficulty_hidden
        seen = config.width("features") + gate + 2 * variables
        self.store(
            bias=(variables, experts),
            weight=(variables, experts, gate),
            difficulty_weight_0=(folds, hidden, seen),
            difficulty_bias_0=(folds, hidden),
            difficulty_weight_1=(folds, variables, hidden),
            difficulty_bias_1=(folds, variables),
        )
        # Ascending for each variable, nan at the end.
        self.store(math.nan, scores=(config.n_scores, variables))
        barred = [
            name == "without_text" and bool(set(expert["inputs"]) & set(TEXT_VIEWS))
            for expert in config.experts
        ]
        self.barred = [place for place, out in enumerate(barred) if out]

    def gate(self, inputs: torch.Tensor) -> torch.Tensor:
        """Weights (batch, variables, experts) from gate inputs (batch, gate)."""
        logits = self.bias + torch.einsum("bg,veg->bve", inputs, self.weight)
        if self.barred:
            logits = logits.index_fill(2, torch.tensor(self.barred, device=logits.device), -1e9)
        return logits.softmax(dim=2)

    def mix(
        self, answers: torch.Tensor, gate_inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predictions (batch, variables) and weights from answers (batch, experts, variables)."""
        weights = self.gate(gate_inputs)
        return torch.einsum("bve,bev->bv", weights, answers), weights

    def difficulty_inputs(
        self,
        features: torch.Tensor,
        gate_inputs: torch.Tensor,
        answers: torch.Tensor,
        mixed: torch.Tensor,
    ) -> torch.Tensor:
        kept = [place for place in range(answers.shape[1]) if place not in self.barred]
        spread = (answers[:, kept] - mixed[:, None]).abs().mean(dim=1)
        # Far beyond what was fitted, a network extrapolates without limit.
        parts = (features, gate_inputs, mixed, (spread + 1e-3).log())
        return torch.cat([part.clamp(-8.0, 8.0) for part in parts], dim=1)

    def difficulty(self, inputs: torch.Tensor, fold: int | None = None) -> torch.Tensor:
        """Expected distance from the truth (batch, variables), on the scale of the experts."""
        folds = range(len(self.difficulty_bias_0)) if fold is None else [fold]
        total = torch.zeros((), device=inputs.device)
        for f in folds:
            hidden = F.linear(inputs, self.difficulty_weight_0[f], self.difficulty_bias_0[f])
            total = total + F.linear(
                F.gelu(hidden), self.difficulty_weight_1[f], self.difficulty_bias_1[f]
            )
        return (total / len(folds)).clamp(-9.0, 4.0).exp()

    def score_at(self, share: float) -> torch.Tensor:
        """Conformal quantile of the scores (variables,), with the correction for their number.

        `share` below one half gives a lower end, above it an upper end.
        """
        count = (~self.scores.isnan()).sum(dim=0)
        if share < 0.5:
            place = ((count + 1) * share).floor().long() - 1
        else:
            place = ((count + 1) * share).ceil().long() - 1
        inside = (place >= 0) & (place < count)
        place = place.clamp(min=0).minimum((count - 1).clamp(min=0))
        found = self.scores.gather(0, place[None])[0]
        # Too few scores for the level: nothing is known, and the interval is the whole range.
        beyond = torch.full_like(found, -math.inf if share < 0.5 else math.inf)
        return torch.where(inside & (count > 0), found, beyond)


_EXPERTS = {
    "median": SpecCLIPMoEMedian,
    "neighbours": SpecCLIPMoENeighbours,
    "ridge": SpecCLIPMoERidge,
    "trees": SpecCLIPMoETrees,
    "network": SpecCLIPMoENetwork,
    "distribution": SpecCLIPMoEDistribution,
}


class SpecCLIPMoEForRegression(SpecCLIPPreTrainedModel):
    """
    Physical variables of X-ray sources by experts over the representations of a [`SpecCLIPModel`].

    With `mode="select"` (the paper) one k-nearest-neighbour expert answers for each variable; with
    `mode="gate"` a gate weighs stronger experts, row by row. Both give conformal intervals. Rows
    without a text are answered from the texts that their spectrum finds in the bank, or by experts
    that need no text.

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip import SpecCLIPMoEConfig, SpecCLIPMoEForRegression

    >>> widths = {"spectrum": 4, "text": 6, "shared_spectrum": 3, "shared_text": 3, "features": 2}
    >>> model = SpecCLIPMoEForRegression(SpecCLIPMoEConfig(views=widths)).eval()
    >>> inputs = {name: torch.randn(5, width) for name, width in widths.items()}
    >>> output = model(encoder=inputs.pop("spectrum"), **inputs)
    >>> tuple(output.predictions.shape)
    (5, 20)
    ```"""

    config: SpecCLIPMoEConfig
    base_model_prefix = "moe"
    main_input_name = "encoder"
    # Nothing is left to a lower precision: see `from_pretrained`.
    _keep_in_fp32_modules_strict = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any):
        """See `PreTrainedModel.from_pretrained`; always float32, whatever `dtype` says: a threshold
        or a distance in bfloat16 would be another one."""
        kwargs.pop("torch_dtype", None)
        kwargs["dtype"] = torch.float32
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def __init__(self, config: SpecCLIPMoEConfig):
        super().__init__(config)
        self.scale = SpecCLIPMoEScale(config.num_variables)
        self.view_of = nn.ModuleDict(
            {
                name: SpecCLIPMoEView(
                    width,
                    config.text_components if name == "text" else None,
                    config.n_sections if name == "text" else None,
                )
                for name, width in config.views.items()
            }
        )
        self.gate_scale = SpecCLIPMoEView(config.num_gate_inputs)
        self.bank = SpecCLIPMoEBank(config)
        self.experts = nn.ModuleList([_EXPERTS[e["kind"]](config, e) for e in config.experts])
        self.panels = nn.ModuleDict({name: SpecCLIPMoEPanel(config, name) for name in PANELS})
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, _Stored):
            module.reset()

    def _set_trainable(self) -> None:
        self.requires_grad_(False)

    def prepare(
        self,
        *,
        spectrum: torch.Tensor,
        shared_spectrum: torch.Tensor,
        features: torch.Tensor,
        text: torch.Tensor | None = None,
        shared_text: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Views on the scale of the experts, and `sections` (batch, n_sections).

        Raises:
            ValueError: another width, batch or value than the model was fitted for.
        """
        given = {
            "spectrum": spectrum,
            "text": text,
            "shared_spectrum": shared_spectrum,
            "shared_text": shared_text,
            "features": features,
        }
        for name, values in given.items():
            if values is None:
                continue
            expected = (len(spectrum), self.config.views[name])
            if tuple(values.shape) != expected:
                raise ValueError(
                    f"{name} is {tuple(values.shape)}, this mixture of experts needs {expected}: "
                    "use the outputs of the model it was fitted with"
                )
            if not torch.isfinite(values).all():
                raise ValueError(f"{name} holds NaN or infinity")
        views = {}
        if text is not None:
            if section_mask is None:
                section_mask = (text.unflatten(1, (self.config.n_sections, -1)) != 0).any(dim=-1)
            views["sections"] = section_mask.float()
        for name, values in given.items():
            if values is not None:
                mask = section_mask if name == "text" else None
                views[name] = self.view_of[name](values, mask)
        return views

    def stand_in(
        self, views: dict[str, torch.Tensor], fold: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Views with the text that the spectrum finds: the mean of the nearest texts of the bank,
        weighted by the softmax of their scaled cosines.

        Args:
            views: of `prepare`.
            fold: texts of this fold are not looked at (in fitting).
        """
        own = views["shared_spectrum"] * self.view_of["shared_spectrum"].std
        other = self.bank.shared_text * self.view_of["shared_text"].std
        cosine = F.normalize(own, dim=1) @ F.normalize(other, dim=1).t()
        if fold is not None:
            cosine = cosine.masked_fill(self.bank.text_fold == fold, -math.inf)
        count = min(self.config.retrieved_texts, cosine.shape[1])
        best, place = cosine.topk(count, dim=1)
        weights = (best * self.config.retrieval_scale).softmax(dim=1)[:, :, None]
        found = {
            name: (getattr(self.bank, store)[place] * weights).sum(dim=1)
            for name, store in (
                ("text", "text"), ("shared_text", "shared_text"), ("sections", "text_sections")
            )
        }  # fmt: skip
        return {**views, **found}

    def gate_inputs(self, views: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the gate sees (batch, gate): some features, the cosine of spectrum and text in the
        shared space, and the sections; the last two are zero without a text."""
        features = views["features"][:, self.config.gate_features]
        if "shared_text" in views:
            own, other = (
                views[name] * self.view_of[name].std for name in ("shared_spectrum", "shared_text")
            )
            cosine = F.cosine_similarity(own, other, dim=1)[:, None]
            sections = views["sections"]
        else:
            cosine = features.new_zeros(len(features), 1)
            sections = features.new_zeros(len(features), self.config.n_sections)
        return self.gate_scale(torch.cat([features, cosine, sections], dim=1)).clamp(-5.0, 5.0)

    def answers(
        self,
        views: dict[str, torch.Tensor],
        fold: int | None = None,
        experts: list[int] | None = None,
    ) -> torch.Tensor:
        """What each expert says (batch, experts, variables), on the scale of `self.scale`.

        Args:
            views: of `prepare` or `stand_in`; without `text`, experts that need one say nan.
            fold: only the member that has not seen this fold answers, and nothing of the fold is
                among the neighbours (in fitting); by default the mean over all members.
            experts: places of the experts that are asked, all by default.
        """
        experts = list(range(len(self.experts))) if experts is None else experts
        patterns = self.bank.patterns()
        shares = {name: view.share for name, view in self.view_of.items()}
        parts = []
        for start in range(0, len(views["spectrum"]), _ROWS):
            some = {name: values[start : start + _ROWS] for name, values in views.items()}
            query = _Query(some, self.bank, shares, patterns, fold)
            parts.append(torch.stack([self._ask(place, query) for place in experts], dim=1))
        if not parts:
            return views["spectrum"].new_zeros(0, len(experts), self.config.num_variables)
        return torch.cat(parts)

    def _ask(self, place: int, query: _Query) -> torch.Tensor:
        expert, settings = self.experts[place], self.config.experts[place]
        if any(name not in query.views for name in settings["inputs"]):
            batch = len(query.views["spectrum"])
            return query.views["spectrum"].new_full((batch, self.config.num_variables), math.nan)
        if settings["kind"] == "neighbours":
            return expert.member(query, 0, self.scale)
        if settings["kind"] == "median":
            return expert.member(query, 0)
        folds = range(self.config.n_folds) if query.fold is None else [query.fold]
        return expert.answer(query, folds)

    @can_return_tuple
    def forward(
        self,
        spectrum: torch.Tensor | None = None,
        encoder: torch.Tensor | None = None,
        text: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        shared_spectrum: torch.Tensor | None = None,
        shared_text: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
        without_text: str | None = None,
        **kwargs: Any,
    ) -> SpecCLIPMoEOutput:
        r"""
        spectrum (`torch.FloatTensor` of shape `(batch, latent_dim)`, *optional*):
            Latents of the pretrained autoencoder; needed where `config.spectrum_input` is
            `"spectrum"`.
        encoder (`torch.FloatTensor` of shape `(batch, latent_dim)`, *optional*):
            Latents of the aligned model's encoder; needed where it is `"encoder"`.
        text (`torch.FloatTensor` of shape `(batch, n_sections * d)`, *optional*):
            Joined embeddings of the sections, before alignment.
        section_mask (`torch.BoolTensor` of shape `(batch, n_sections)`, *optional*):
            True where a section is present; taken from the zeros in `text` where left out. A row
            without any section counts as one without text.
        shared_spectrum, shared_text (`torch.FloatTensor` of shape `(batch, shared_dim)`):
            Points in the shared space; `shared_text` goes with `text`.
        features (`torch.FloatTensor` of shape `(batch, features)`):
            `spectrum_globals` of a [`SpecCLIPFeatureExtractor`], of kind `"physics"` where the
            model's own has none.
        without_text (`str`, *optional*):
            What is done for rows without text, by default `config.without_text`.
        """
        chosen = {"spectrum": spectrum, "encoder": encoder}[self.config.spectrum_input]
        needed = {
            self.config.spectrum_input: chosen,
            "shared_spectrum": shared_spectrum,
            "features": features,
        }
        missing = [name for name, values in needed.items() if values is None]
        if missing:
            raise ValueError(f"this mixture of experts needs {', '.join(missing)}")
        if (text is None) != (shared_text is None):
            raise ValueError("give text and shared_text, or neither")
        absent = without_text or self.config.without_text
        if absent not in PANELS[1:]:
            raise ValueError(f"without_text is {absent!r}, it must be one of {PANELS[1:]}")
        views = self.prepare(
            spectrum=chosen,
            shared_spectrum=shared_spectrum,
            features=features,
            text=text,
            shared_text=shared_text,
            section_mask=section_mask,
        )
        panels = torch.full((len(chosen),), PANELS.index(absent), device=chosen.device)
        if text is not None:
            panels = panels.masked_fill(views["sections"].any(dim=1), 0)
        outputs: dict[str, torch.Tensor] = {}
        for number, name in enumerate(PANELS):
            rows = (panels == number).nonzero()[:, 0]
            if not len(rows) and not (number == 0 and not len(panels)):
                continue
            for key, values in self._answer(name, {k: v[rows] for k, v in views.items()}).items():
                if key not in outputs:
                    outputs[key] = values.new_full((len(panels), *values.shape[1:]), math.nan)
                outputs[key][rows] = values
        return SpecCLIPMoEOutput(panels=panels, **outputs)

    def _answer(self, panel: str, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if panel != "full":
            texts = ("text", "shared_text", "sections")
            views = {name: values for name, values in views.items() if name not in texts}
        if panel == "retrieved":
            views = self.stand_in(views)
        return self.conclude(panel, views, self.answers(views))

    def conclude(
        self, panel: str, views: dict[str, torch.Tensor], answers: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Gate, prediction and intervals from what the experts said, in catalogue units."""
        part = self.panels[panel]
        said = answers.nan_to_num(0.0)
        gate_inputs = self.gate_inputs(views)
        mixed, weights = part.mix(said, gate_inputs)
        expected = part.difficulty(
            part.difficulty_inputs(views["features"], gate_inputs, said, mixed)
        )
        result = {
            "predictions": self.scale.restore(mixed),
            "expert_predictions": self.scale.restore(answers),
            "gate_weights": weights,
        }
        for name, level in LEVELS.items():
            for end, share in (("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
                edge = mixed + expected * part.score_at(share)
                result[f"{end}_{name}"] = self.scale.restore(edge)
        return result

    @torch.no_grad()
    def predict(
        self,
        model: SpecCLIPPreTrainedModel,
        spectra: Any,
        *,
        text_embeds: torch.Tensor | None = None,
        section_mask: torch.Tensor | None = None,
        without_text: str | None = None,
        spectrum_model: SpecCLIPPreTrainedModel | None = None,
    ) -> SpecCLIPMoEOutput:
        """Variables of spectra, straight from the model this was fitted with.

        Args:
            model: the [`SpecCLIPModel`] whose representations the experts know.
            spectra: whatever [`SpecCLIPFeatureExtractor`] takes: the path of a PHA file, an
                `XRaySpectrum`, columns with `counts` and `exposure`, or a list of such.
            text_embeds: (batch, n_sections * d), by the embedder the model was trained with;
                without it see `without_text`.
            section_mask: bool (batch, n_sections).
            without_text: see `forward`.
            spectrum_model: the pretrained autoencoder, needed only where `config.spectrum_input` is
                `"spectrum"`.

        Returns:
            See [`SpecCLIPMoEOutput`].

        Raises:
            ValueError: from the feature extractor or `forward`.
        """
        settings = model.config.spectrum_config
        layout = settings.grid
        kind = describing_kind(settings.input_kind)
        device = model.device

        def tensors(extractor: SpecCLIPFeatureExtractor) -> dict[str, torch.Tensor]:
            return {k: v.to(device) for k, v in extractor(spectra, return_tensors="pt").items()}

        described = tensors(SpecCLIPFeatureExtractor(kind, **layout))
        own = described
        if settings.input_kind != kind:
            own = tensors(SpecCLIPFeatureExtractor(settings.input_kind, **layout))
        output = model(**own, text_embeds=text_embeds, section_mask=section_mask)
        before = None
        if spectrum_model is not None:
            before = spectrum_model.spectrum_model(**own).pooler_output
        mask = section_mask
        text = None
        if text_embeds is not None:
            text = text_embeds
            if mask is not None:
                sections = text.unflatten(1, (self.config.n_sections, -1))
                text = (sections * mask[:, :, None]).flatten(1)
        return self(
            spectrum=before,
            encoder=output.spectrum_latent,
            text=text,
            section_mask=mask,
            shared_spectrum=output.spectrum_embeds,
            shared_text=output.text_embeds,
            features=described["spectrum_globals"],
            without_text=without_text,
        )


def weighted_median(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted median over dim 1: values and weights (batch, k, …) to (batch, …).

    Where the weights split evenly between two values it is their mean, as for an unweighted median.
    """
    # What weighs nothing goes to the end, where it cannot stand in the middle.
    ordered, order = values.masked_fill(weights <= 0, math.inf).sort(dim=1)
    total = weights.gather(1, order).cumsum(dim=1)
    half = total[:, -1:] / 2
    tiny = 1e-6 * half
    lower = (total >= half - tiny).float().argmax(dim=1, keepdim=True)
    upper = (total > half + tiny).float().argmax(dim=1, keepdim=True)
    middle = (ordered.gather(1, lower) + ordered.gather(1, upper)) / 2
    return middle.squeeze(1).nan_to_num(0.0, posinf=0.0)


SpecCLIPMoEForRegression.register_for_auto_class("AutoModel")

__all__ = ["SpecCLIPMoEForRegression", "SpecCLIPMoEOutput", "weighted_median"]
