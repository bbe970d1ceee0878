"""Mixture of experts that estimates physical variables from spectra and texts.

Everything an answer needs is in the tensors of this model: the pairs with known variables (the
bank), ridge and network weights, gates and conformal scores. Fitting is done elsewhere (the command
`specclip_training.study`); nothing here needs scikit-learn.
"""

# Buffers hide their types behind `__getattr__`; a type checker knows none of it.
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
from .spectrum_input_specclip import describing_kind
from .variables_specclip import VARIABLES

LEVELS = {"68": 0.68, "90": 0.90}
_ENDS = tuple(f"{end}_{level}" for level in LEVELS for end in ("lower", "upper"))
# Rows per block: bounds the memory of the distances.
_BLOCK_ROWS = 512


@dataclass
class SpecCLIPMoEOutput(ModelOutput):
    r"""
    predictions (`torch.FloatTensor` of shape `(batch, variables)`):
        In catalogue units, in the order of `config.variables`.
    lower_68, upper_68, lower_90, upper_90 (`torch.FloatTensor` of shape `(batch, variables)`):
        Ends of the conformal intervals.
    expert_predictions (`torch.FloatTensor` of shape `(batch, experts, variables)`):
        Prediction of each expert of `config.experts`.
    gate_weights (`torch.FloatTensor` of shape `(batch, variables, experts)`):
        Their weights, which sum to 1 over the experts.
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
    Mixture of experts for the physical variables of X-ray sources, over the representations of a
    [`SpecCLIPModel`].

    With `mode="select"` (the paper) one k-nearest-neighbour expert answers for each variable; with
    `mode="gate"` a gate weighs stronger experts, row by row. Both give conformal intervals. Rows
    without a text are answered from the texts of the bank nearest to their spectrum.

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
    # Nothing is left to a lower precision: see `from_pretrained`.
    _keep_in_fp32_modules_strict = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any):
        """See `PreTrainedModel.from_pretrained`; always float32, whatever `dtype` says: distances
        in bfloat16 would find other neighbours."""
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
        """Standardise the inputs; for the arguments see `forward`.

        Returns:
            The views on the scale of the experts.

        Raises:
            ValueError: another width, batch or value than the model was fitted for.
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
        """Add the text retrieved by the spectrum: the mean of the nearest texts of the bank,
        weighted by the softmax of their scaled cosines.

        Args:
            views: of `prepare`.
            fold: in fitting, the fold whose texts are left out.
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
        """Join the inputs of the gate (batch, gate): some features, and the cosine of spectrum and
        text in the shared space."""
        features = views["features"][:, self.config.gate_features]
        pair = [views[name] * self.view_of[name].std for name in ("shared_spectrum", "shared_text")]
        cosine = F.cosine_similarity(*pair, dim=1)[:, None]
        return self.gate_scale(torch.cat([features, cosine], dim=1)).clamp(-5.0, 5.0)

    def answers(
        self,
        views: dict[str, torch.Tensor],
        fold: int | None = None,
        experts: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Ask the experts (batch, experts, variables), on the scale of `self.scale`.

        Args:
            views: of `prepare` or `retrieve_text`.
            fold: in fitting, the fold of the rows: only the member fitted without it answers, and
                nothing of it is among the neighbours. The mean over all members by default.
            experts: indices of the experts to ask, all by default.
        """
        experts = range(len(self.experts)) if experts is None else experts
        folds = range(self.config.n_folds) if fold is None else [fold]
        patterns = self.bank.patterns()
        shares = {name: view.share for name, view in self.view_of.items()}
        blocks = []
        for start in range(0, len(views["spectrum"]), _BLOCK_ROWS):
            block = {name: values[start : start + _BLOCK_ROWS] for name, values in views.items()}
            query = ExpertQuery(block, self.bank, self.scale, shares, patterns, fold)
            blocks.append(
                torch.stack([self.experts[n].answer(query, folds) for n in experts], dim=1)
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
            Latents of the model's spectrum encoder.
        text (`torch.FloatTensor` of shape `(batch, W)`, *optional*):
            Texts before alignment, of the width the mixture was fitted with; see `text_view`.
        text_mask (`torch.BoolTensor` of shape `(batch,)`, *optional*):
            True where a text is given; derived from the zeros in `text` where left out.
        shared_spectrum, shared_text (`torch.FloatTensor` of shape `(batch, shared_dim)`):
            Points in the shared space; `shared_text` goes with `text`.
        features (`torch.FloatTensor` of shape `(batch, features)`):
            `spectrum_globals` of a [`SpecCLIPFeatureExtractor`], of kind `"physics"` where the
            model's own has none.
        """
        needed = {
            "spectrum": spectrum, "shared_spectrum": shared_spectrum, "features": features
        }  # fmt: skip
        missing = [name for name, values in needed.items() if values is None]
        if missing:
            raise ValueError(f"this mixture of experts needs {', '.join(missing)}")
        if (text is None) != (shared_text is None):
            raise ValueError("give text and shared_text, or neither")
        if text is None:
            text_mask = torch.zeros(len(spectrum), dtype=torch.bool, device=spectrum.device)
        elif text_mask is None:
            text_mask = (text != 0).any(dim=1)
        views = self.prepare(**needed, text=text, shared_text=shared_text, text_mask=text_mask)
        outputs: dict[str, torch.Tensor] = {}
        for panel, chosen in zip(PANELS, (text_mask, ~text_mask), strict=True):
            rows = chosen.nonzero()[:, 0]
            # An empty batch still needs outputs of the right shape.
            if not len(rows) and (len(spectrum) or panel == "full"):
                continue
            for key, values in self._answer(panel, {k: v[rows] for k, v in views.items()}).items():
                if key not in outputs:
                    outputs[key] = values.new_full((len(spectrum), *values.shape[1:]), math.nan)
                outputs[key][rows] = values
        return SpecCLIPMoEOutput(panels=(~text_mask).long(), **outputs)

    def _answer(self, panel: str, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if panel == "retrieved":
            views = self.retrieve_text(views)
        return self.combine(panel, views, self.answers(views))

    def combine(
        self, panel: str, views: dict[str, torch.Tensor], answers: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Compute predictions, gate weights and intervals from answers, in catalogue units."""
        gate = self.panels[panel]
        filled = answers.nan_to_num(0.0)
        gate_inputs = self.gate_inputs(views)
        mixed, weights = gate.mix(filled, gate_inputs)
        expected = gate.difficulty(
            gate.difficulty_inputs(views["features"], gate_inputs, filled, mixed)
        )
        result = {
            "predictions": self.scale.restore(mixed),
            "expert_predictions": self.scale.restore(answers),
            "gate_weights": weights,
        }
        for name, level in LEVELS.items():
            for end, share in (("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
                edge = mixed + expected * gate.score_at(share)
                result[f"{end}_{name}"] = self.scale.restore(edge)
        return result

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
        """Predict the variables of spectra, straight from the model this was fitted with.

        Args:
            model: the [`SpecCLIPModel`] whose representations the experts know.
            spectra: whatever [`SpecCLIPFeatureExtractor`] takes: the path of a PHA file, an
                `XRaySpectrum`, columns with `counts` and `exposure`, or a list of such. Optional
                where `output` and `features` are given.
            output: of `model` for the spectra and texts, where it was computed already.
            features: their numbers of the feature extractor, likewise.
            texts: inputs of the model's text side, such as `sentence_embeds` and its companions;
                without them retrieved texts answer.

        Returns:
            See [`SpecCLIPMoEOutput`]; `to_records` makes plain values of it.

        Raises:
            ValueError: from the feature extractor or `forward`.
        """
        settings = model.config.spectrum_config
        describing = describing_kind(settings.input_kind)

        def extract(input_kind: str) -> dict[str, torch.Tensor]:
            tensors = SpecCLIPFeatureExtractor(input_kind, **settings.grid)(
                spectra, return_tensors="pt"
            )
            return {name: values.to(model.device) for name, values in tensors.items()}

        inputs: dict[str, torch.Tensor] = {}
        if output is None:
            inputs = extract(settings.input_kind)
            output = model(**inputs, **texts)
        if features is None:
            described = inputs if inputs and settings.input_kind == describing else None
            features = (described or extract(describing))["spectrum_globals"]
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
            where an interval is open or the variable was never fitted) and `unit`.
        """
        columns = {"value": output.predictions, **{end: output[end] for end in _ENDS}}
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
    """Make the view `text` from the inputs of a text side.

    It is the joined sections, absent ones zero, or the mean over the sentences of their embeddings
    and stated quantities.

    Args:
        text_embeds, section_mask, sentence_embeds, sentence_numbers, sentence_mask: see
            [`SpecCLIPTextModel`].

    Returns:
        `text` (batch, W) and `text_mask` (batch,).

    Raises:
        ValueError: for tokens, which have no embedding yet.
    """
    if text_embeds is not None:
        if section_mask is None:
            return text_embeds, (text_embeds != 0).any(dim=1)
        sections = text_embeds.unflatten(1, (section_mask.shape[1], -1)) * section_mask[..., None]
        return sections.flatten(1), section_mask.any(dim=1)
    if sentence_embeds is None or sentence_mask is None:
        raise ValueError("give embedded texts: text_embeds, or sentence_embeds and sentence_mask")
    parts = [part for part in (sentence_embeds, sentence_numbers) if part is not None]
    weights = sentence_mask[..., None].float()
    total = (torch.cat(parts, dim=-1) * weights).sum(dim=1)
    return total / weights.sum(dim=1).clamp(min=1), sentence_mask.any(dim=1)


SpecCLIPMoEForRegression.register_for_auto_class("AutoModel")

__all__ = ["SpecCLIPMoEForRegression", "SpecCLIPMoEOutput", "text_view"]
