"""Rows and settings of a fit of the mixture of experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hf_specclip.models.configuration_specclip_moe import VIEWS
from hf_specclip.models.spectrum_input_specclip import GLOBALS
from specclip_training.studies.representations import SplitRepresentations

# A variable with fewer known values is not fitted: its predictions are nan.
FEWEST = 20


@dataclass(frozen=True)
class ExpertData:
    """Rows that a mixture is fitted to or selected on.

    Attributes:
        views: the inputs of `SpecCLIPMoEForRegression.prepare` but the mask, (n, width) float32.
        has_text: (n,) bool.
        targets, lower, upper: (n, variables) float64, nan where unknown.
        groups: (n,) str.
        text_ids: (n,) equal for equal texts.
        feature_names: names of the columns of the view `features`.
    """

    views: dict[str, np.ndarray]
    has_text: np.ndarray
    targets: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    groups: np.ndarray
    text_ids: np.ndarray
    feature_names: tuple[str, ...] = GLOBALS["physics"]

    def __len__(self) -> int:
        return len(self.groups)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the arguments of `SpecCLIPMoEForRegression.prepare`."""
        tensors = {name: torch.from_numpy(np.asarray(v, np.float32)) for name, v in
                   self.views.items()}  # fmt: skip
        return {**tensors, "text_mask": torch.from_numpy(self.has_text)}


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    Attributes:
        n_folds: folds of the groups.
        text_components: principal components of the text for the stronger experts.
        network_hidden, network_epochs: hidden widths and epochs of the small networks.
        distribution_bins: bins of a predicted distribution, with equally many known values.
        neighbours: candidates for k of the robust k-NN.
        gate_steps: optimiser steps of a gate.
        seed: seed of every random choice.
    """

    n_folds: int = 5
    text_components: int = 64
    network_hidden: tuple[int, ...] = (256, 128)
    network_epochs: int = 20
    distribution_bins: int = 64
    neighbours: tuple[int, ...] = (5, 10, 20, 40)
    gate_steps: int = 150
    seed: int = 0


def expert_data(parts: Sequence[SplitRepresentations]) -> ExpertData:
    """Join splits for the fit; splits without rows are left out."""
    parts = [part for part in parts if len(part)] or list(parts[:1])

    def joined(name: str) -> np.ndarray:
        columns = [getattr(part, name) for part in parts]
        if isinstance(columns[0], dict):  # by variable
            columns = [np.stack(list(each.values()), axis=1) for each in columns]
        return np.concatenate(columns)

    names = ("has_text", "targets", "lower", "upper", "groups", "text_ids")
    return ExpertData(
        views={view: joined("encoder" if view == "spectrum" else view) for view in VIEWS},
        **{name: joined(name) for name in names},
        feature_names=parts[0].feature_names,
    )


def group_folds(groups: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Assign folds (n,) of about equal size that cut no group.

    Raises:
        ValueError: for fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < n_folds:
        raise ValueError(
            f"{len(names)} groups cannot be cut into {n_folds} folds: a mixture of experts needs "
            "more independent groups in train"
        )
    # GroupKFold assigns groups by size; the seed orders those of equal size.
    shuffled = np.random.default_rng([seed, 1]).permutation(len(names))
    label = np.empty(len(names), np.int64)
    label[shuffled[np.argsort(-sizes[shuffled], kind="stable")]] = np.arange(len(names))[::-1]
    folds = np.empty(len(groups), np.int64)
    for fold, (_, held) in enumerate(GroupKFold(n_folds).split(groups, groups=label[group])):
        folds[held] = fold
    return folds
