"""Mixture of experts that predicts physical variables from spectra and texts.

The tensors of this model are fitted by `specclip_training.study`: the bank of training pairs, ridge
and network weights, gates and conformal scores. Inference does not need scikit-learn.
"""

# The types of buffers are hidden from a type checker by `__getattr__`.
# mypy: disable-error-code="arg-type, assignment, operator, union-attr, index, misc"

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_specclip_moe import PANELS, TEXT_VIEWS, SpecCLIPMoEConfig
from .experts_specclip import (
    EXPERTS,
    ExpertQuery,
    SpecCLIPMoEBank,
    SpecCLIPMoEScale,
    SpecCLIPMoEView,
    StoredTensors,
)
from .feature_extraction_specclip import SpecCLIPFeatureExtractor
from .gate_specclip import SpecCLIPMoEPanel
from .modeling_specclip_spectrum import SpecCLIPPreTrainedModel
from .spectrum_input_specclip import global_features_kind
from .variables_specclip import VARIABLES

LEVELS = {"68": 0.68, "90": 0.90}
_LIMITS = tuple(f"{end}_{level}" for level in LEVELS for end in ("lower", "upper"))
# Rows per block, to bound the memory of the distances.
_BLOCK_ROWS = 512


@dataclass
class SpecCLIPMoEOutput(ModelOutput):
    r"""
    predictions (`torch.FloatTensor` of shape `(batch, variables)`):
        Predictions in catalogue units, in the order of `config.variables`.
    lower_68, upper_68, lower_90, upper_90 (`torch.FloatTensor` of shape `(batch, variables)`):
        Limits of the conformal intervals.
    expert_predictions (`torch.FloatTensor` of shape `(batch, experts, variables)`):
        Predictions of the experts, in the order of `config.experts`.
    gate_weights (`torch.FloatTensor` of shape `(batch, variables, experts)`):
        Weights of the experts; their sum is 1.
    panels (`torch.LongTensor` of shape `(batch,)`):
        Index in `PANELS`: 0 where the text was given, 1 where retrieved texts replaced it.
    """

    predictions: torch.FloatTensor | None = None
    lower_68: torch.FloatTensor | None = None
    upper_68: torch.FloatTensor | None = None
    lower_90: torch.FloatTensor | None = None
    upper_90: torch.FloatTensor | None = None
    expert_predictions: torch.FloatTensor | None = None
    gate_weights: torch.FloatTensor | None = None
    panels: torch.LongTensor | None = None


class SpecCLIPMoEForRegression(SpecCLIPPreTrainedModel):
    """
    Mixture of experts for the physical variables of X-ray sources, on the representations of a
    [`SpecCLIPModel`].

    With `mode="select"` (the paper), one k-nearest-neighbour expert is selected per variable. With
    `mode="gate"`, a gate mixes several experts per row. Both give conformal intervals. For rows
    without a text, the nearest texts of the bank are retrieved by the spectrum.

    Examples:

    ```python
    >>> import torch
    >>> from hf_specclip import SpecCLIPMoEConfig, SpecCLIPMoEForRegression

    >>> widths = {"spectrum": 4, "text": 6, "shared_spectrum": 3, "shared_text": 3, "features": 2}
    >>> model = SpecCLIPMoEForRegression(SpecCLIPMoEConfig(views=widths)).eval()
    >>> inputs = {name: torch.randn(5, width) for name, width in widths.items()}
    >>> output = model(**inputs)
    >>> tuple(output.predictions.shape)
    (5, 20)
    ```"""

    config: SpecCLIPMoEConfig
    base_model_prefix = "moe"
    main_input_name = "spectrum"
    _keep_in_fp32_modules_strict = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any):
        """Load in float32 whatever `dtype` says, since bfloat16 distances change the neighbours.

        See `PreTrainedModel.from_pretrained`.
        """
        kwargs.pop("torch_dtype", None)
        kwargs["dtype"] = torch.float32
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def __init__(self, config: SpecCLIPMoEConfig):
        super().__init__(config)
        self.scale = SpecCLIPMoEScale(config.num_variables)
        self.view_of = nn.ModuleDict(
            {
                name: SpecCLIPMoEView(width, config.text_components if name == "text" else None)
                for name, width in config.views.items()
            }
        )
        self.gate_scale = SpecCLIPMoEView(config.num_gate_inputs)
        self.bank = SpecCLIPMoEBank(config)
        self.experts = nn.ModuleList([EXPERTS[e["kind"]](config, e) for e in config.experts])
        self.panels = nn.ModuleDict({name: SpecCLIPMoEPanel(config) for name in PANELS})
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, StoredTensors):
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
        text_mask: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Standardise the inputs of the experts; see `forward` for the arguments.

        Raises:
            ValueError: wrong shape, NaN or infinity.
        """
        inputs = {
            "spectrum": spectrum,
            "text": text,
            "shared_spectrum": shared_spectrum,
            "shared_text": shared_text,
            "features": features,
        }
        inputs = {name: values for name, values in inputs.items() if values is not None}
        for name, values in inputs.items():
            expected = (len(spectrum), self.config.views[name])
            if tuple(values.shape) != expected:
                raise ValueError(
                    f"{name} is {tuple(values.shape)}, this mixture of experts needs {expected}: "
                    "use the outputs of the model it was fitted with"
                )
            if not torch.isfinite(values).all():
                raise ValueError(f"{name} holds NaN or infinity")
        return {
            name: self.view_of[name](values, text_mask if name == "text" else None)
            for name, values in inputs.items()
        }

    def retrieve_text(
        self, views: dict[str, torch.Tensor], fold: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Add the text views retrieved by the spectrum.

        They are the mean over the nearest texts of the bank, weighted by the softmax of the scaled
        cosines.

        Args:
            views: see `prepare`.
            fold: fold whose texts are excluded, in cross-fitting.
        """
        spectra = views["shared_spectrum"] * self.view_of["shared_spectrum"].std
        texts = self.bank.shared_text * self.view_of["shared_text"].std
        cosine = F.normalize(spectra, dim=1) @ F.normalize(texts, dim=1).t()
        cosine = cosine.masked_fill(~self.bank.text_given, -1.0)
        if fold is not None:
            cosine = cosine.masked_fill(self.bank.text_fold == fold, -math.inf)
        best, rows = cosine.topk(min(self.config.retrieved_texts, cosine.shape[1]), dim=1)
        weights = (best * self.config.retrieval_scale).softmax(dim=1)[:, :, None]
        means = {name: (getattr(self.bank, name)[rows] * weights).sum(dim=1) for name in TEXT_VIEWS}
        return {**views, **means}

    def gate_inputs(self, views: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the inputs of the gate (batch, inputs): selected features, and the cosine of
        spectrum and text in the shared space."""
        features = views["features"][:, self.config.gate_features]
        pair = [views[name] * self.view_of[name].std for name in ("shared_spectrum", "shared_text")]
        cosine = F.cosine_similarity(*pair, dim=1)[:, None]
        return self.gate_scale(torch.cat([features, cosine], dim=1)).clamp(-5.0, 5.0)

    def expert_predictions(
        self,
        views: dict[str, torch.Tensor],
        fold: int | None = None,
        experts: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Compute the predictions of the experts (batch, experts, variables), on `self.scale`.

        Args:
            views: see `prepare` and `retrieve_text`.
            fold: fold of the rows in cross-fitting: only the member fitted without it is used, and
                the fold is excluded from the neighbours. By default, members are averaged.
            experts: indices of the experts; all by default.
        """
        experts = range(len(self.experts)) if experts is None else experts
        folds = range(self.config.n_folds) if fold is None else [fold]
        groups = self.bank.variable_groups()
        shares = {name: view.share for name, view in self.view_of.items()}
        blocks = []
        for start in range(0, len(views["spectrum"]), _BLOCK_ROWS):
            block = {name: values[start : start + _BLOCK_ROWS] for name, values in views.items()}
            query = ExpertQuery(block, self.bank, self.scale, shares, groups, fold)
            blocks.append(
                torch.stack([self.experts[n].predict(query, folds) for n in experts], dim=1)
            )
        if not blocks:
            return views["spectrum"].new_zeros(0, len(experts), self.config.num_variables)
        return torch.cat(blocks)

    @can_return_tuple
    def forward(
        self,
        spectrum: torch.Tensor | None = None,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        shared_spectrum: torch.Tensor | None = None,
        shared_text: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SpecCLIPMoEOutput:
        r"""
        spectrum (`torch.FloatTensor` of shape `(batch, latent_dim)`):
            Latents of the spectrum encoder.
        text (`torch.FloatTensor` of shape `(batch, W)`, *optional*):
            Text embeddings before the projection; see `text_view`.
        text_mask (`torch.BoolTensor` of shape `(batch,)`, *optional*):
            True for rows with a text; by default, rows of zeros have none.
        shared_spectrum, shared_text (`torch.FloatTensor` of shape `(batch, shared_dim)`):
            Embeddings in the shared space; `shared_text` is needed with `text`.
        features (`torch.FloatTensor` of shape `(batch, features)`):
            `spectrum_globals` of a [`SpecCLIPFeatureExtractor`], of input kind `"physics"` if the
            model's own has none.
        """
        required = {
            "spectrum": spectrum, "shared_spectrum": shared_spectrum, "features": features
        }  # fmt: skip
        missing = [name for name, values in required.items() if values is None]
        if missing:
            raise ValueError(f"this mixture of experts needs {', '.join(missing)}")
        if (text is None) != (shared_text is None):
            raise ValueError("give text and shared_text, or neither")
        if text is None:
            text_mask = torch.zeros(len(spectrum), dtype=torch.bool, device=spectrum.device)
        elif text_mask is None:
            text_mask = (text != 0).any(dim=1)
        views = self.prepare(**required, text=text, shared_text=shared_text, text_mask=text_mask)
        outputs: dict[str, torch.Tensor] = {}
        for panel, in_panel in zip(PANELS, (text_mask, ~text_mask), strict=True):
            rows = in_panel.nonzero()[:, 0]
            # An empty batch still needs outputs of the right shape.
            if not len(rows) and (len(spectrum) or panel == "full"):
                continue
            panel_views = {name: values[rows] for name, values in views.items()}
            for name, values in self._predict_panel(panel, panel_views).items():
                if name not in outputs:
                    outputs[name] = values.new_full((len(spectrum), *values.shape[1:]), math.nan)
                outputs[name][rows] = values
        return SpecCLIPMoEOutput(panels=(~text_mask).long(), **outputs)

    def _predict_panel(self, panel: str, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute predictions, gate weights and intervals in catalogue units."""
        if panel == "retrieved":
            views = self.retrieve_text(views)
        gate = self.panels[panel]
        predictions = self.expert_predictions(views)
        known = predictions.nan_to_num(0.0)
        gate_inputs = self.gate_inputs(views)
        mixed, weights = gate.mix(known, gate_inputs)
        error = gate.difficulty(
            gate.difficulty_inputs(views["features"], gate_inputs, known, mixed)
        )
        outputs = {
            "predictions": self.scale.restore(mixed),
            "expert_predictions": self.scale.restore(predictions),
            "gate_weights": weights,
        }
        for name, level in LEVELS.items():
            for end, share in (("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
                outputs[f"{end}_{name}"] = self.scale.restore(mixed + error * gate.score_at(share))
        return outputs

    @torch.no_grad()
    def predict(
        self,
        model: SpecCLIPPreTrainedModel,
        spectra: Any = None,
        *,
        output: Any = None,
        features: torch.Tensor | None = None,
        **texts: torch.Tensor,
    ) -> SpecCLIPMoEOutput:
        """Predict the variables of spectra with the model that the experts were fitted with.

        Args:
            model: the [`SpecCLIPModel`].
            spectra: see [`SpecCLIPFeatureExtractor`]; not needed with `output` and `features`.
            output: precomputed output of `model` for the spectra and texts.
            features: precomputed global features of the spectra.
            texts: inputs of the text encoder, such as `sentence_embeds` and `sentence_mask`. By
                default, texts are retrieved from the bank.

        Returns:
            See [`SpecCLIPMoEOutput`]; `to_records` converts it to plain values.

        Raises:
            ValueError: see the feature extractor and `forward`.
        """
        config = model.config.spectrum_config
        features_kind = global_features_kind(config.input_kind)

        def extract(input_kind: str) -> dict[str, torch.Tensor]:
            extractor = SpecCLIPFeatureExtractor(input_kind, **config.grid)
            tensors = extractor(spectra, return_tensors="pt")
            return {name: values.to(model.device) for name, values in tensors.items()}

        inputs: dict[str, torch.Tensor] = {}
        if output is None:
            inputs = extract(config.input_kind)
            output = model(**inputs, **texts)
        if features is None:
            if not inputs or config.input_kind != features_kind:
                inputs = extract(features_kind)
            features = inputs["spectrum_globals"]
        text, text_mask = text_view(**texts) if texts else (None, None)
        return self(
            spectrum=output.spectrum_latent,
            text=text,
            text_mask=text_mask,
            shared_spectrum=output.spectrum_embeds,
            shared_text=None if text is None else output.text_embeds,
            features=features,
        )

    def to_records(self, output: SpecCLIPMoEOutput) -> list[dict[str, dict[str, Any]]]:
        """Convert an output to plain values.

        Returns:
            For each row, variable -> `value`, `lower_68`, `upper_68`, `lower_90`, `upper_90` (None
            for an unbounded limit or a variable that was not fitted) and `unit`.
        """
        columns = {"value": output.predictions, **{limit: output[limit] for limit in _LIMITS}}
        values = {name: tensor.tolist() for name, tensor in columns.items()}
        return [
            {
                variable: {
                    **{
                        name: rows[row][number] if math.isfinite(rows[row][number]) else None
                        for name, rows in values.items()
                    },
                    "unit": VARIABLES.get(variable, ""),
                }
                for number, variable in enumerate(self.config.variables)
            }
            for row in range(len(output.predictions))
        ]


def text_view(
    text_embeds: torch.Tensor | None = None,
    section_mask: torch.Tensor | None = None,
    sentence_embeds: torch.Tensor | None = None,
    sentence_numbers: torch.Tensor | None = None,
    sentence_mask: torch.Tensor | None = None,
    **kwargs: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the view `text` from the inputs of the text encoder.

    It is the concatenation of the sections, zero for absent ones, or the mean over the sentences of
    their embeddings and encoded quantities.

    Args:
        text_embeds, section_mask, sentence_embeds, sentence_numbers, sentence_mask: see
            [`SpecCLIPTextModel`].

    Returns:
        `text` (batch, W) and `text_mask` (batch,).

    Raises:
        ValueError: the texts are not embedded.
    """
    if text_embeds is not None:
        if section_mask is None:
            return text_embeds, (text_embeds != 0).any(dim=1)
        sections = text_embeds.unflatten(1, (section_mask.shape[1], -1)) * section_mask[..., None]
        return sections.flatten(1), section_mask.any(dim=1)
    if sentence_embeds is None or sentence_mask is None:
        raise ValueError("give embedded texts: text_embeds, or sentence_embeds and sentence_mask")
    sentences = sentence_embeds
    if sentence_numbers is not None:
        sentences = torch.cat([sentences, sentence_numbers], dim=-1)
    weights = sentence_mask[..., None].float()
    total = (sentences * weights).sum(dim=1)
    return total / weights.sum(dim=1).clamp(min=1), sentence_mask.any(dim=1)


SpecCLIPMoEForRegression.register_for_auto_class("AutoModel")

__all__ = ["SpecCLIPMoEForRegression", "SpecCLIPMoEOutput", "text_view"]
