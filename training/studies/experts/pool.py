"""Model under fit, with its data on the scale of the experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from hf_specclip import SpecCLIPMoEConfig, SpecCLIPMoEForRegression
from hf_specclip.models.configuration_specclip_moe import PANELS, TEXT_VIEWS, VIEWS
from hf_specclip.models.experts_specclip import ASINH, LINEAR, LOG
from specclip_training.studies.experts.data import FEWEST, ExpertData, FitSettings, group_folds


class FitPool:
    """Model under fit, with the pool of train and calibration rows.

    Attributes:
        model, config, settings: of the mixture.
        folds: (n,) of the groups.
        raw, targets: (n, variables) in catalogue units, and on the scale of the experts.
        known: (n, variables) bool.
        weights: (n, variables) of `limit_weights`.
        median: (variables,) on the scale of the experts.
        share_known: (variables,) share of the rows with a value; losses are divided by it, so that
            each variable has the same weight.
        views: standardised inputs.
        gate_inputs: by panel, filled by `cross_fitted_answers`.
    """

    def __init__(
        self,
        data: ExpertData,
        variables: Sequence[str],
        experts: list[dict[str, Any]],
        mode: Literal["select", "gate"],
        components: int | None,
        settings: FitSettings,
    ):
        self.settings = settings
        texts, first, text_of_row = np.unique(data.text_ids, return_index=True, return_inverse=True)
        self.config = SpecCLIPMoEConfig(
            variables=list(variables),
            mode=mode,
            views={name: int(data.views[name].shape[1]) for name in VIEWS},
            text_components=components,
            bank_rows=len(data),
            bank_texts=len(texts),
            experts=experts,
            n_folds=settings.n_folds,
            gate_features=_gate_features(data),
            n_scores=max(1, int(np.isfinite(data.targets).sum(axis=0).max())),
        )
        self.model = SpecCLIPMoEForRegression(self.config).eval()
        self.folds = group_folds(data.groups, settings.n_folds, settings.seed)
        self.raw = torch.from_numpy(np.asarray(data.targets, np.float32))
        fit_scale(self.model, data.targets)
        self.targets = self.model.scale(self.raw)
        self.known = self.targets.isfinite()
        self.share_known = self.known.float().mean(dim=0).clamp(min=1e-6)
        self.weights = limit_weights(self.model, self.targets, data.lower, data.upper)
        self.median = torch.nan_to_num(self.targets.nanquantile(0.5, dim=0))
        self.gate_inputs: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            self._fit_views(data)
            self.views = self.model.prepare(**data.tensors())
            bank = {name: self.views[name] for name in VIEWS if name not in TEXT_VIEWS}
            bank |= {name: self.views[name][first] for name in TEXT_VIEWS}
            self.model.bank.put(
                **bank,
                text_given=torch.from_numpy(data.has_text[first]),
                text_of_row=torch.from_numpy(text_of_row.reshape(-1)),
                fold=torch.from_numpy(self.folds),
                text_fold=torch.from_numpy(self.folds[first]),
                targets=torch.where(self.known, self.raw, torch.nan),
            )
            inputs = self.model.gate_inputs(self.views)
            self.model.gate_scale.put(mean=inputs.mean(dim=0), std=_spread(inputs))

    def joined(self, names: Sequence[str]) -> torch.Tensor:
        """Join standardised views (n, width)."""
        return torch.cat([self.views[name] for name in names], dim=1)

    def rows(self, fold: int) -> torch.Tensor:
        """Return the indices of the rows of a fold."""
        return torch.from_numpy(np.flatnonzero(self.folds == fold))

    def _fit_views(self, data: ExpertData) -> None:
        for name, view in self.model.view_of.items():
            values = torch.from_numpy(np.asarray(data.views[name], np.float32))
            mask = torch.from_numpy(data.has_text) if name == "text" else None
            if name.startswith("shared_") or self.config.mode == "select":
                # The paper's k-NN uses a representation as it is; one factor for each gives joined
                # representations equal weight.
                centred = values - values.mean(dim=0)
                factor = centred.square().mean().sqrt().clamp(min=1e-6)
                view.put(std=factor.expand(values.shape[1]))
            else:
                view.put(mean=values.mean(dim=0), std=_spread(values))
            if view.rotated:
                scaled = view.standardise(values, mask)
                torch.manual_seed(self.settings.seed)
                rank = view.components.shape[1]
                _, size, axes = torch.pca_lowrank(scaled, q=rank, center=False, niter=4)
                view.put(components=axes / (size.square().mean() / len(scaled)).sqrt().clamp(1e-6))
            values = view(values, mask)
            total = (values - values.mean(dim=0)).square().mean(dim=0).sum().clamp(min=1e-6)
            view.put(share=1 / total)

    def cross_fitted_answers(self) -> dict[str, torch.Tensor]:
        """Predict each row in each panel by the members fitted without its fold.

        Returns:
            Panel -> predictions (n, experts, variables) on the scale of the experts.
        """
        experts = self.config.experts or []
        with_text = [i for i, e in enumerate(experts) if set(e["inputs"]) & set(TEXT_VIEWS)]
        shape = (len(self.folds), len(experts), self.config.num_variables)
        full, retrieved = torch.zeros(shape), torch.zeros(shape)
        gates = {panel: torch.zeros(len(self.folds), self.config.num_gate_inputs)
                 for panel in PANELS}  # fmt: skip
        for fold in range(self.settings.n_folds):
            rows = self.rows(fold)
            views = {name: values[rows] for name, values in self.views.items()}
            replaced = self.model.retrieve_text(views, fold)
            full[rows] = self.model.expert_predictions(views, fold)
            retrieved[rows] = full[rows]
            if with_text:
                retrieved[rows[:, None], torch.tensor(with_text)[None]] = (
                    self.model.expert_predictions(replaced, fold, with_text)
                )
            for panel, given in zip(PANELS, (views, replaced), strict=True):
                gates[panel][rows] = self.model.gate_inputs(given)
        self.gate_inputs = gates
        # A variable without values has no predictions; its nan must not reach the others.
        both = (full.nan_to_num(0.0), retrieved.nan_to_num(0.0))
        return dict(zip(PANELS, both, strict=True))


def _gate_features(data: ExpertData) -> list[int]:
    """Select the features of brightness and hardness."""
    names = data.feature_names
    width = data.views["features"].shape[1]
    if width != len(names):
        return list(range(width))
    return [i for i, n in enumerate(names) if n.startswith(("log_", "hard_")) or
            n == "significance"]  # fmt: skip


def fit_scale(model: SpecCLIPMoEForRegression, targets: np.ndarray) -> None:
    """Choose the scale of each variable.

    A variable whose middle 98 % are over eight times as wide as its middle half has heavy tails:
    it is scaled by a logarithm where it is positive, by an asinh elsewhere. One with fewer than
    `FEWEST` values gets a location of nan, and so do its predictions.
    """
    count = targets.shape[1]
    kind, knee = np.full(count, LINEAR), np.ones(count)
    location, spread = np.full(count, np.nan), np.ones(count)
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    for number, column in enumerate(targets.T):
        values = column[np.isfinite(column)]
        if len(values) < FEWEST:
            continue
        low[number], high[number] = values.min(), values.max()
        q1, q25, q75, q99 = np.quantile(values, [0.01, 0.25, 0.75, 0.99])
        if q99 - q1 > 8 * (q75 - q25):
            if values.min() > 0:
                kind[number] = LOG
                values = np.log(values)
            else:
                sizes = np.abs(values[values != 0])
                kind[number] = ASINH
                knee[number] = np.quantile(sizes, 0.25) if len(sizes) else 1.0
                values = np.arcsinh(values / knee[number])
        q16, location[number], q84 = np.quantile(values, [0.16, 0.5, 0.84])
        width = (q84 - q16) / 2 or values.std()
        spread[number] = width if width > 0 else 1.0
    model.scale.put(
        kind=torch.from_numpy(kind),
        **{name: torch.from_numpy(value.astype(np.float32)) for name, value in (
            ("knee", knee), ("location", location), ("spread", spread), ("low", low),
            ("high", high))},
    )  # fmt: skip


def limit_weights(
    model: SpecCLIPMoEForRegression, targets: torch.Tensor, lower: np.ndarray, upper: np.ndarray
) -> torch.Tensor:
    """Compute inverse-variance weights (n, variables) of the rows from the catalogue's 68 % limits.

    The median error is added in quadrature, so that no row has more than twice the weight of a
    typical one; where the catalogue gives no limits all rows have equal weight. Zero where a
    variable is unknown, mean 1 over the others.
    """
    ends = [model.scale(torch.from_numpy(np.asarray(e, np.float32))) for e in (lower, upper)]
    error = (ends[1] - ends[0]).abs() / 2
    typical = error.nanquantile(0.5, dim=0).nan_to_num(1.0).clamp(min=1e-3)
    error = torch.where(error.isfinite(), error, typical)
    weights = 1 / (error.square() + typical.square())
    weights = weights * targets.isfinite()
    count = targets.isfinite().sum(dim=0).clamp(min=1)
    return weights / (weights.sum(dim=0) / count).clamp(min=1e-12)


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation of each column, 1 where it never varies."""
    std = values.std(dim=0, correction=0)
    return torch.where(std > 1e-6, std, torch.ones_like(std))
