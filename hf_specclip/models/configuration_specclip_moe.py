"""Configuration of the mixture of experts for physical variables."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict

from .configuration_specclip import SpecCLIPPreTrainedConfig
from .variables_specclip import VARIABLES

# Inputs of the experts: latent of the spectrum encoder, text embedding before the projection (see
# `text_view`), embeddings in the shared space, and global features of the feature extractor (of
# input kind "physics" if the model's own has none).
VIEWS = ("spectrum", "text", "shared_spectrum", "shared_text", "features")
TEXT_VIEWS = ("text", "shared_text")
# Rows with a text, and rows for which texts are retrieved: each has a gate and conformal scores.
PANELS = ("full", "retrieved")
EXPERT_KINDS = ("median", "neighbours", "ridge", "network", "distribution")


@strict
class SpecCLIPMoEConfig(SpecCLIPPreTrainedConfig):
    r"""
    Configuration of [`SpecCLIPMoEForRegression`]. Most settings are shapes of fitted tensors and
    are written by the fit.

    Args:
        variables (`list[str]`):
            Names of the variables, in the order of the predictions; the 20 of the paper by default.
        mode (`str`, defaults to `"gate"`):
            `"select"`: one expert is selected per variable (the paper). `"gate"`: a gate mixes all
            experts.
        views (`dict[str, int]`):
            Width of each input before standardisation: `spectrum`, `text`, `shared_spectrum`,
            `shared_text`, `features`.
        text_components (`int`, *optional*):
            Number of principal components of the text; `None` for no reduction.
        bank_rows (`int`, defaults to 1), bank_texts (`int`, defaults to 1):
            Number of training pairs stored for the neighbours, and of their distinct texts.
        experts (`list[dict]`):
            Settings of the experts: `name`, `kind` (`median`, `neighbours`, `ridge`, `network` or
            `distribution`) and `inputs` (names of views). `neighbours` also has `average`
            (`"mean"` or `"median"`), `network` and `distribution` have `hidden` (layer widths), and
            `distribution` has `bins`.
        n_folds (`int`, defaults to 5):
            Number of members of a fitted expert, each fitted without one fold of the groups.
        gate_features (`list[int]`):
            Indices of the `features` that the gate uses, in addition to the cosine of spectrum and
            text.
        difficulty_hidden (`int`, defaults to 64):
            Width of the network that predicts the absolute error.
        n_scores (`int`, defaults to 1):
            Number of conformal scores stored per variable and panel.
        retrieved_texts (`int`, defaults to 32):
            Number of retrieved texts averaged for a row without a text.
        retrieval_scale (`float`, defaults to 14.3):
            Inverse temperature of their weights.

    Examples:

    ```python
    >>> from hf_specclip import SpecCLIPMoEConfig

    >>> config = SpecCLIPMoEConfig(variables=["powlaw_gamma"], mode="select")
    >>> config.num_experts
    1
    ```"""

    model_type = "specclip_moe"

    variables: list[str] | None = None
    mode: Literal["select", "gate"] = "gate"
    views: dict[str, int] | None = None
    text_components: int | None = None
    bank_rows: int = 1
    bank_texts: int = 1
    experts: list[dict] | None = None
    n_folds: int = 5
    gate_features: list[int] | None = None
    difficulty_hidden: int = 64
    n_scores: int = 1
    retrieved_texts: int = 32
    retrieval_scale: float | int = 14.3

    def __post_init__(self, **kwargs: Any):
        if self.variables is None:
            self.variables = list(VARIABLES)
        if self.views is None:
            self.views = dict.fromkeys(VIEWS, 1)
        if self.experts is None:
            self.experts = [{"name": "median", "kind": "median", "inputs": []}]
        if self.gate_features is None:
            self.gate_features = []
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Validate the fitted shapes (called by `@strict`)."""
        if not self.variables or len(set(self.variables)) != len(self.variables):
            raise ValueError("variables must be a list of unique names")
        if set(self.views or ()) != set(VIEWS):
            raise ValueError(f"views must give the width of {', '.join(VIEWS)}")
        if self.retrieved_texts < 1:
            raise ValueError(f"retrieved_texts must be at least 1, not {self.retrieved_texts}")
        names = [expert.get("name") for expert in self.experts or ()]
        if not names or len(set(names)) != len(names):
            raise ValueError("experts must be a list of settings with unique names")
        for expert in self.experts or ():
            if expert.get("kind") not in EXPERT_KINDS:
                raise ValueError(
                    f"expert {expert.get('name')!r} is of kind {expert.get('kind')!r}, it must be "
                    f"one of {', '.join(EXPERT_KINDS)}"
                )
            unknown = set(expert.get("inputs", ())) - set(VIEWS)
            if unknown:
                raise ValueError(
                    f"expert {expert['name']!r} has unknown inputs {sorted(unknown)}: use "
                    f"{', '.join(VIEWS)}"
                )
        features = (self.views or {})["features"]
        if any(not 0 <= index < features for index in self.gate_features or ()):
            raise ValueError(f"gate_features must be indices of the {features} features")

    @property
    def num_variables(self) -> int:
        """Number of variables."""
        return len(self.variables or ())

    @property
    def num_experts(self) -> int:
        """Number of experts."""
        return len(self.experts or ())

    @property
    def num_gate_inputs(self) -> int:
        """Width of the gate's input: features, and the cosine of spectrum and text."""
        return len(self.gate_features or ()) + 1

    def width(self, view: str) -> int:
        """Return the width of a view after standardisation."""
        if view == "text" and self.text_components is not None:
            return self.text_components
        return (self.views or {})[view]


SpecCLIPMoEConfig.register_for_auto_class()

__all__ = ["EXPERT_KINDS", "PANELS", "TEXT_VIEWS", "VIEWS", "SpecCLIPMoEConfig"]
