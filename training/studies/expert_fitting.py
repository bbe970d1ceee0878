"""Fit a mixture of experts: k-NN, ridge, boosted trees, small networks and distributions, gates and
conformal scores, all cross-fitted over the groups.

Every expert has one member for each fold of the groups, fitted without that fold. A member's answer
on its own fold is an honest one: gates, difficulty and conformal scores are learned from those. In
use, the members' mean answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from hf_specclip import SpecCLIPMoEConfig, SpecCLIPMoEForRegression
from hf_specclip.models.configuration_specclip import GLOBALS
from hf_specclip.models.configuration_specclip_moe import PANELS, TEXT_VIEWS, VIEWS
from hf_specclip.models.modeling_specclip_moe import ASINH, LINEAR, LOG, weighted_median

SpectrumInput = Literal["encoder", "spectrum"]
# Fewer known values than this say nothing about a variable: it stays nan.
FEWEST = 20
# Rows of `validation` that know a variable, for them to decide on its gate.
FEWEST_JUDGES = 100
# The six representations of the paper, as the views they join.
REPRESENTATION_VIEWS = {
    "spectrum": ["spectrum"],
    "text": ["text"],
    "shared_spectrum": ["shared_spectrum"],
    "shared_text": ["shared_text"],
    "shared_both": ["shared_spectrum", "shared_text"],
    "everything": ["spectrum", "text", "shared_spectrum", "shared_text"],
}
_WITHOUT_TEXT = ["spectrum", "shared_spectrum", "features"]


@dataclass(frozen=True)
class ExpertData:
    """Rows to fit to, or to choose by.

    Attributes:
        views: the inputs of `SpecCLIPMoEForRegression.prepare` but the mask, (n, width) float32.
        section_mask: (n, sections) bool.
        targets, lower, upper: (n, variables) float64, nan where unknown.
        groups: (n,) str.
        text_ids: (n,) equal for equal texts.
        feature_names: of the columns of the view `features`.
    """

    views: dict[str, np.ndarray]
    section_mask: np.ndarray
    targets: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    groups: np.ndarray
    text_ids: np.ndarray
    feature_names: tuple[str, ...] = GLOBALS["physics"]

    def __len__(self) -> int:
        return len(self.groups)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Arguments of `SpecCLIPMoEForRegression.prepare`."""
        tensors = {name: torch.from_numpy(np.asarray(v, np.float32)) for name, v in
                   self.views.items()}  # fmt: skip
        return {**tensors, "section_mask": torch.from_numpy(self.section_mask)}


@dataclass(frozen=True)
class FitSettings:
    """How the experts are fitted.

    Attributes:
        n_folds: of the groups.
        text_components: principal components of the text the stronger experts see.
        network_hidden, network_epochs, network_dropout: of the small networks.
        distribution_bins: that a distribution is told in: each holds as many known values, so many
            that the widest, in a heavy tail, does not decide the mean error.
        trees, leaves, tree_depth, tree_rate: of boosting on the plain features; none by default:
            fitting 20 variables over 5 folds takes minutes, where the networks take seconds.
        neighbours: candidates for k of the robust k-NN.
        gate_steps: of the gate's optimiser.
        seed: of everything random.
    """

    n_folds: int = 5
    text_components: int = 64
    network_hidden: tuple[int, ...] = (256, 128)
    network_epochs: int = 20
    network_dropout: float = 0.3
    distribution_bins: int = 64
    trees: int = 0
    leaves: int = 8
    tree_depth: int = 5
    tree_rate: float = 0.1
    neighbours: tuple[int, ...] = (5, 10, 20, 40)
    gate_steps: int = 150
    seed: int = 0


def group_folds(groups: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Folds (n,) of about equal size that cut no group."""
    names, owner, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < n_folds:
        raise ValueError(
            f"{len(names)} groups cannot be cut into {n_folds} folds: a mixture of experts needs "
            "more independent groups in train"
        )
    shuffled = np.random.default_rng([seed, 1]).permutation(len(names))
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of = np.empty(len(names), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = int(np.argmin(filled))
        filled[fold_of[group]] += sizes[group]
    return fold_of[owner]


def fit_select(
    pool: ExpertData,
    validation: ExpertData,
    variables: Sequence[str],
    spectrum_input: SpectrumInput,
    settings: FitSettings,
) -> SpecCLIPMoEForRegression:
    """The paper's mixture: k-NN with k = 3 on six representations, and for each variable the one
    with the smallest mean absolute error on `validation`."""
    experts = [
        {"name": name, "kind": "neighbours", "inputs": inputs, "average": "mean"}
        for name, inputs in REPRESENTATION_VIEWS.items()
    ]
    fit = _Fit(pool, variables, experts, "select", spectrum_input, None, settings)
    answers = fit.honest_answers()
    wanted = torch.from_numpy(validation.targets).float()
    with torch.no_grad():
        views = fit.model.prepare(**validation.tensors())
        bare = {name: v for name, v in views.items() if name not in (*TEXT_VIEWS, "sections")}
        for panel in PANELS:
            seen = fit.model.stand_in(bare) if panel == "retrieved" else views
            said = fit.model.answers(seen)
            error = _errors(fit.model, said, wanted)
            error = torch.where(error.isnan(), fit.errors(answers[panel]), error)
            error[:, fit.model.panels[panel].barred] = torch.inf
            fit.model.panels[panel].put(bias=_one_hot(error.argmin(dim=1), len(experts)))
            mixed, _ = fit.model.panels[panel].mix(answers[panel], fit.gate_inputs[panel])
            fit.calibrate(panel, answers[panel], mixed)
    return fit.model


def fit_gate(
    pool: ExpertData,
    validation: ExpertData,
    variables: Sequence[str],
    spectrum_input: SpectrumInput,
    settings: FitSettings,
) -> SpecCLIPMoEForRegression:
    """Stronger experts, and for each variable a gate over them.

    Experts and gates learn on `pool`, from honest answers. `validation` has a say in which kind of
    gate answers: the model that brought the views was trained on the pairs of the pool, where its
    shared space looks better than it is.
    """
    robust = {**REPRESENTATION_VIEWS, "features": ["features"]}
    experts: list[dict[str, Any]] = [{"name": "median", "kind": "median", "inputs": []}]
    experts += [
        {"name": f"knn_{name}", "kind": "neighbours", "inputs": inputs, "average": "median"}
        for name, inputs in robust.items()
    ]
    for suffix, inputs in (("", list(VIEWS)), ("_without_text", _WITHOUT_TEXT)):
        experts += [
            {"name": f"ridge{suffix}", "kind": "ridge", "inputs": inputs},
            {"name": f"network{suffix}", "kind": "network", "inputs": inputs,
             "hidden": list(settings.network_hidden)},
            {"name": f"distribution{suffix}", "kind": "distribution", "inputs": inputs,
             "hidden": list(settings.network_hidden), "bins": settings.distribution_bins},
        ]  # fmt: skip
    if settings.trees:
        # A full tree has a leaf more than splits.
        nodes = {"n_trees": settings.trees, "n_nodes": 2 * settings.leaves - 1,
                 "depth": settings.tree_depth}  # fmt: skip
        experts.append({"name": "trees", "kind": "trees", "inputs": ["features"], **nodes})
    width = pool.views["text"].shape[1]
    components = min(settings.text_components, width, len(pool))
    fit = _Fit(pool, variables, experts, "gate", spectrum_input, components, settings)
    for place, expert in enumerate(experts):
        if expert["kind"] == "median":
            fit.model.experts[place].put(value=fit.median)
        elif expert["kind"] != "neighbours":
            _FITTERS[expert["kind"]](fit, place)
    with torch.no_grad():
        _tune_neighbours(fit)
        answers = fit.honest_answers()
        views = fit.model.prepare(**validation.tensors())
        bare = {name: v for name, v in views.items() if name not in (*TEXT_VIEWS, "sections")}
    for panel in PANELS:
        seen = {"full": views, "retrieved": fit.model.stand_in(bare), "without_text": bare}[panel]
        with torch.no_grad():
            held = _Held(
                fit.model.answers(seen).nan_to_num(0.0), fit.model.gate_inputs(seen),
                torch.from_numpy(validation.targets).float(),
            )  # fmt: skip
        mixed = _fit_panel_gate(fit, panel, answers[panel], held)
        fit.calibrate(panel, answers[panel], mixed)
    return fit.model


class _Fit:
    """A model that is being fitted, with its data on the scale of the experts."""

    def __init__(
        self,
        pool: ExpertData,
        variables: Sequence[str],
        experts: list[dict[str, Any]],
        mode: Literal["select", "gate"],
        spectrum_input: SpectrumInput,
        components: int | None,
        settings: FitSettings,
    ):
        self.settings = settings
        texts, first, text_of_row = np.unique(pool.text_ids, return_index=True, return_inverse=True)
        names = pool.feature_names
        gated = [n for n in names if n.startswith(("log_", "hard_")) or n == "significance"]
        features = pool.views["features"].shape[1]
        known = np.isfinite(pool.targets)
        self.config = SpecCLIPMoEConfig(
            variables=list(variables),
            mode=mode,
            views={name: int(pool.views[name].shape[1]) for name in VIEWS},
            spectrum_input=spectrum_input,
            text_components=components,
            n_sections=int(pool.section_mask.shape[1]),
            bank_rows=len(pool),
            bank_texts=len(texts),
            experts=experts,
            n_folds=settings.n_folds,
            gate_features=[names.index(n) for n in gated] if features == len(names) else
            list(range(features)),
            n_scores=max(1, int(known.sum(axis=0).max())),
        )  # fmt: skip
        self.model = SpecCLIPMoEForRegression(self.config).eval()
        self.folds = group_folds(pool.groups, settings.n_folds, settings.seed)
        self.raw = torch.from_numpy(np.asarray(pool.targets, np.float32))
        fit_scale(self.model, pool.targets)
        self.targets = self.model.scale(self.raw)
        self.known = self.targets.isfinite()
        self.weights = limit_weights(self.model, self.targets, pool.lower, pool.upper)
        self.median = torch.nan_to_num(self.targets.nanquantile(0.5, dim=0))
        with torch.no_grad():
            self._fit_views(pool)
            self.views = self.model.prepare(**pool.tensors())
            bank = {name: self.views[name] for name in VIEWS if name not in TEXT_VIEWS}
            bank |= {name: self.views[name][first] for name in TEXT_VIEWS}
            self.model.bank.put(
                **bank,
                text_sections=self.views["sections"][first],
                text_of_row=torch.from_numpy(text_of_row.reshape(-1)),
                fold=torch.from_numpy(self.folds),
                text_fold=torch.from_numpy(self.folds[first]),
                targets=torch.where(self.known, self.raw, torch.nan),
            )
            inputs = self.model.gate_inputs(self.views)
            self.model.gate_scale.put(mean=inputs.mean(dim=0), std=_spread(inputs))
        self.gate_inputs: dict[str, torch.Tensor] = {}

    def _fit_views(self, pool: ExpertData) -> None:
        for name, view in self.model.view_of.items():
            values = torch.from_numpy(np.asarray(pool.views[name], np.float32))
            width = values.shape[1]
            if name.startswith("shared_") or self.config.mode == "select":
                # The paper's k-NN sees a representation as it is; where several are joined, one
                # factor for each makes them weigh alike.
                centred = values - values.mean(dim=0)
                one = centred.square().mean().sqrt().clamp(min=1e-6)
                view.put(std=one.expand(width))
            else:
                view.put(mean=values.mean(dim=0), std=_spread(values))
            if view.rotated:
                mask = torch.from_numpy(pool.section_mask)
                view.rotated = False
                scaled = view(values, mask)
                view.rotated = True
                torch.manual_seed(self.settings.seed)
                rank = view.components.shape[1]
                _, size, axes = torch.pca_lowrank(scaled, q=rank, center=False, niter=4)
                factor = (size.square().mean() / len(scaled)).sqrt().clamp(min=1e-6)
                view.put(components=axes / factor)
                values = scaled @ view.components
            else:
                values = view(values, torch.from_numpy(pool.section_mask) if name == "text" else
                              None)  # fmt: skip
            total = (values - values.mean(dim=0)).square().mean(dim=0).sum().clamp(min=1e-6)
            view.put(share=1 / total)

    def honest_answers(self) -> dict[str, torch.Tensor]:
        """What the experts say of each row without having seen its fold, in every circumstance."""
        experts = self.config.experts or []
        with_text = [i for i, e in enumerate(experts) if set(e["inputs"]) & set(TEXT_VIEWS)]
        shape = (len(self.folds), len(experts), self.config.num_variables)
        full, found = torch.zeros(shape), torch.zeros(shape)
        gates = {panel: torch.zeros(len(self.folds), self.config.num_gate_inputs)
                 for panel in PANELS}  # fmt: skip
        for fold in range(self.settings.n_folds):
            rows = torch.from_numpy(np.flatnonzero(self.folds == fold))
            views = {name: values[rows] for name, values in self.views.items()}
            bare = {name: v for name, v in views.items() if name not in (*TEXT_VIEWS, "sections")}
            replaced = self.model.stand_in(bare, fold)
            full[rows] = self.model.answers(views, fold)
            found[rows] = full[rows]
            found[rows[:, None], torch.tensor(with_text)[None]] = self.model.answers(
                replaced, fold, with_text
            )
            for panel, seen in (("full", views), ("retrieved", replaced), ("without_text", bare)):
                gates[panel][rows] = self.model.gate_inputs(seen)
        self.gate_inputs = gates
        # A variable that is never known has no answers; it must not spoil the others.
        full, found = full.nan_to_num(0.0), found.nan_to_num(0.0)
        bare_answers = full.clone()
        bare_answers[:, with_text] = 0.0  # barred by the gate, as in use
        return {"full": full, "retrieved": found, "without_text": bare_answers}

    def errors(self, answers: torch.Tensor) -> torch.Tensor:
        """Mean absolute error (variables, experts) in catalogue units."""
        return _errors(self.model, answers, torch.where(self.known, self.raw, torch.nan))

    def calibrate(self, panel: str, answers: torch.Tensor, mixed: torch.Tensor) -> None:
        """Learn how far answers are off, and keep the scores of honest ones."""
        part = self.model.panels[panel]
        with torch.no_grad():
            seen = part.difficulty_inputs(
                self.views["features"], self.gate_inputs[panel], answers, mixed
            )
        distance = (self.targets - mixed).abs()
        members = []
        for fold in range(self.settings.n_folds):
            rows = torch.from_numpy(np.flatnonzero(self.folds != fold))
            members.append(_difficulty_member(seen[rows], distance[rows], part, self.settings.seed))
        part.put(**{name: torch.stack([m[name] for m in members]) for name in members[0]})
        scores = torch.full_like(mixed, torch.nan)
        with torch.no_grad():
            for fold in range(self.settings.n_folds):
                rows = torch.from_numpy(np.flatnonzero(self.folds == fold))
                expected = part.difficulty(seen[rows], fold)
                scores[rows] = (self.targets[rows] - mixed[rows]) / expected
        ordered = scores.masked_fill(~self.known, torch.nan).sort(dim=0).values
        part.put(scores=ordered[: self.config.n_scores])


def fit_scale(model: SpecCLIPMoEForRegression, targets: np.ndarray) -> None:
    """Choose for each variable how its tails are drawn in.

    A variable whose middle 98 % are over eight times as wide as its middle half has heavy tails:
    it is taken as a logarithm where it is positive, as an asinh elsewhere. One with fewer than
    `FEWEST` values gets a location of nan, and so do its predictions.
    """
    count = targets.shape[1]
    kind, knee = np.full(count, LINEAR), np.ones(count)
    location, spread = np.full(count, np.nan), np.ones(count)
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    for place, column in enumerate(targets.T):
        values = column[np.isfinite(column)]
        if len(values) < FEWEST:
            continue
        low[place], high[place] = values.min(), values.max()
        q1, q25, q75, q99 = np.quantile(values, [0.01, 0.25, 0.75, 0.99])
        if q99 - q1 > 8 * (q75 - q25):
            if values.min() > 0:
                kind[place] = LOG
                values = np.log(values)
            else:
                sizes = np.abs(values[values != 0])
                kind[place] = ASINH
                knee[place] = np.quantile(sizes, 0.25) if len(sizes) else 1.0
                values = np.arcsinh(values / knee[place])
        q16, location[place], q84 = np.quantile(values, [0.16, 0.5, 0.84])
        width = (q84 - q16) / 2 or values.std()
        spread[place] = width if width > 0 else 1.0
    model.scale.put(
        kind=torch.from_numpy(kind),
        **{name: torch.from_numpy(value.astype(np.float32)) for name, value in (
            ("knee", knee), ("location", location), ("spread", spread), ("low", low),
            ("high", high))},
    )  # fmt: skip


def limit_weights(
    model: SpecCLIPMoEForRegression, targets: torch.Tensor, lower: np.ndarray, upper: np.ndarray
) -> torch.Tensor:
    """Weights (n, variables) of the rows: inverse variance from the catalogue's 68 % limits.

    The floor is the median error, so that no row weighs more than twice an ordinary one; where the
    catalogue gives no limits all rows weigh alike. Zero where a variable is unknown, mean 1 over
    the others.
    """
    ends = [model.scale(torch.from_numpy(np.asarray(e, np.float32))) for e in (lower, upper)]
    error = (ends[1] - ends[0]).abs() / 2
    typical = error.nanquantile(0.5, dim=0).nan_to_num(1.0).clamp(min=1e-3)
    error = torch.where(error.isfinite(), error, typical)
    weights = 1 / (error.square() + typical.square())
    weights = weights * targets.isfinite()
    count = targets.isfinite().sum(dim=0).clamp(min=1)
    return weights / (weights.sum(dim=0) / count).clamp(min=1e-12)


def _fit_ridge(fit: _Fit, place: int) -> None:
    """Ridge, with the penalty for each variable that has the smallest error on unseen folds."""
    expert = fit.model.experts[place]
    inputs = torch.cat([fit.views[name] for name in expert.inputs], dim=1).double()
    targets = fit.targets.nan_to_num(0.0).double()
    penalties = torch.tensor([3.0, 30.0, 300.0, 3000.0], dtype=torch.float64)
    folds = torch.from_numpy(fit.folds)
    count, variables = fit.settings.n_folds, fit.config.num_variables
    weight = torch.zeros(count, len(penalties), inputs.shape[1], variables, dtype=torch.float64)
    bias = torch.zeros(count, len(penalties), variables, dtype=torch.float64)
    error = torch.zeros(len(penalties), variables, dtype=torch.float64)
    for fold in range(count):
        for variable in range(variables):
            rows = ((folds != fold) & fit.known[:, variable]).nonzero()[:, 0]
            if len(rows) < FEWEST:
                continue
            w = fit.weights[rows, variable].double()
            x, y = inputs[rows], targets[rows, variable]
            centre = (w[:, None] * x).sum(dim=0) / w.sum()
            middle = (w * y).sum() / w.sum()
            x = (x - centre) * w.sqrt()[:, None]
            values, axes = torch.linalg.eigh(x.t() @ x)
            moment = axes.t() @ (x.t() @ ((y - middle) * w.sqrt()))
            found = axes @ (moment[:, None] / (values[:, None].clamp(min=0) + penalties))
            weight[fold, :, :, variable] = found.t()
            bias[fold, :, variable] = middle - found.t() @ centre
            held = ((folds == fold) & fit.known[:, variable]).nonzero()[:, 0]
            said = inputs[held] @ found + bias[fold, :, variable]
            error[:, variable] += (said - targets[held, variable, None]).abs().sum(dim=0)
    best = error.argmin(dim=0)
    every = torch.arange(variables)
    expert.put(
        weight=weight[:, best, :, every].permute(1, 2, 0).float(),
        bias=bias[:, best, every].float(),
    )


def _fit_trees(fit: _Fit, place: int) -> None:
    """Boosted trees on the median loss (scikit-learn), turned into tensors."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    expert, settings = fit.model.experts[place], fit.settings
    inputs = torch.cat([fit.views[name] for name in expert.inputs], dim=1).numpy()
    tables = {name: getattr(expert, name).numpy().copy() for name in expert.initial}
    for variable in range(fit.config.num_variables):
        known = fit.known[:, variable].numpy()
        for fold in range(settings.n_folds):
            rows = np.flatnonzero((fit.folds != fold) & known)
            if len(rows) < FEWEST:
                continue
            boosting = HistGradientBoostingRegressor(
                loss="absolute_error",
                max_iter=settings.trees,
                learning_rate=settings.tree_rate,
                max_leaf_nodes=settings.leaves,
                max_depth=settings.tree_depth,
                min_samples_leaf=20,
                max_bins=63,
                max_features=0.3,
                early_stopping=False,
                random_state=settings.seed,
            )
            boosting.fit(
                inputs[rows],
                fit.targets[rows, variable].numpy().astype(np.float64),
                fit.weights[rows, variable].numpy(),
            )
            for name, table in tree_tables(boosting, *tables["value"].shape[2:]).items():
                tables[name][fold, variable] = table
    expert.put(**{name: torch.from_numpy(np.asarray(t)) for name, t in tables.items()})


def tree_tables(boosting: Any, n_trees: int, n_nodes: int) -> dict[str, np.ndarray]:
    """The trees of a fitted `HistGradientBoostingRegressor` as tables (n_trees, n_nodes).

    Thresholds are rounded down to float32: for a float32 input x, x ≤ t holds exactly where it
    holds for the float64 threshold.
    """
    feature, left, right = (np.zeros((n_trees, n_nodes), np.int32) for _ in range(3))
    threshold, value = (np.zeros((n_trees, n_nodes), np.float32) for _ in range(2))
    left[:], right[:] = np.arange(n_nodes), np.arange(n_nodes)
    for tree, (predictor,) in enumerate(boosting._predictors):
        nodes = predictor.nodes
        count = len(nodes)
        leaf = nodes["is_leaf"].astype(bool)
        edge = nodes["num_threshold"].astype(np.float64)
        rounded = edge.astype(np.float32)
        rounded = np.where(rounded > edge, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        feature[tree, :count] = np.where(leaf, 0, nodes["feature_idx"])
        left[tree, :count] = np.where(leaf, np.arange(count), nodes["left"])
        right[tree, :count] = np.where(leaf, np.arange(count), nodes["right"])
        threshold[tree, :count] = np.where(leaf, 0, rounded)
        value[tree, :count] = np.where(leaf, nodes["value"], 0)
    baseline = np.asarray(boosting._baseline_prediction, np.float32).reshape(())
    return {"feature": feature, "left": left, "right": right, "threshold": threshold,
            "value": value, "baseline": baseline}  # fmt: skip


def _fit_network(fit: _Fit, place: int) -> None:
    """Small networks on the median loss, all variables together."""
    targets = fit.targets.nan_to_num(0.0)
    weights = fit.weights / _share_known(fit)

    def loss(said: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return ((said - targets[rows]).abs() * weights[rows]).mean()

    _fit_layers(fit, place, fit.config.num_variables, loss)


def _fit_distribution(fit: _Fit, place: int) -> None:
    """Small networks on the likelihood of the bins that the values of all variables fall into."""
    expert = fit.model.experts[place]
    variables, bins = expert.value.shape
    labels = torch.zeros(fit.targets.shape, dtype=torch.int64)
    value = torch.zeros(variables, bins)
    atom, used = (torch.zeros(variables, bins, dtype=torch.bool) for _ in range(2))
    for variable in range(variables):
        known = fit.known[:, variable]
        if known.sum() < FEWEST:
            continue
        values = fit.targets[known, variable].double()
        edges, times = torch.quantile(values, torch.linspace(0, 1, bins + 1).double()[1:-1]).unique(
            return_counts=True
        )
        # A value that many rows share has a bin of its own.
        beyond = torch.nextafter(edges[times > 1], torch.tensor(torch.inf).double())
        within = torch.bucketize(values, torch.cat([edges, beyond]).sort().values, right=True)
        filled, within = within.unique(return_inverse=True)
        labels[known, variable] = within
        for number in range(len(filled)):
            inside = values[within == number]
            value[variable, number] = inside.median()
            atom[variable, number] = inside.min() == inside.max()
        used[variable, : len(filled)] = True
    expert.put(value=value, atom=atom, used=used)
    weights = fit.known / _share_known(fit)

    def loss(said: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        logits = said.unflatten(1, (variables, bins)).masked_fill(~used, -1e9)
        unlikely = nn.functional.cross_entropy(
            logits.transpose(1, 2), labels[rows], reduction="none"
        )
        return (unlikely * weights[rows]).mean()

    _fit_layers(fit, place, variables * bins, loss)


def _share_known(fit: _Fit) -> torch.Tensor:
    """So that a variable known for few rows counts as much as the others."""
    return fit.known.float().mean(dim=0).clamp(min=1e-6)


def _fit_layers(
    fit: _Fit,
    place: int,
    outputs: int,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    """One network for each fold, trained on the rows outside it.

    Args:
        fit: what is fitted.
        place: of the expert.
        outputs: width of the last layer.
        loss: of its outputs for some rows, and those rows.
    """
    expert, settings = fit.model.experts[place], fit.settings
    inputs = torch.cat([fit.views[name] for name in expert.inputs], dim=1).clamp(-8.0, 8.0)
    members = []
    for fold in range(settings.n_folds):
        rows = torch.from_numpy(np.flatnonzero(fit.folds != fold))
        generator = torch.Generator().manual_seed(settings.seed * 1000 + place * 10 + fold)
        torch.manual_seed(settings.seed * 1000 + place * 10 + fold)
        layers: list[nn.Module] = []
        width = inputs.shape[1]
        layers.append(nn.Dropout(0.1))
        for hidden in settings.network_hidden:
            layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(settings.network_dropout)]
            width = hidden
        network = nn.Sequential(*layers, nn.Linear(width, outputs))

        def of_batch(
            batch: torch.Tensor, network: nn.Module = network, rows: torch.Tensor = rows
        ) -> torch.Tensor:
            chosen = rows[batch]
            return loss(network(inputs[chosen]), chosen)

        _descend(network, of_batch, len(rows), settings.network_epochs, 512, 4e-3, generator)
        linear = [layer for layer in network if isinstance(layer, nn.Linear)]
        members.append(
            {f"weight_{i}": layer.weight.detach() for i, layer in enumerate(linear)}
            | {f"bias_{i}": layer.bias.detach() for i, layer in enumerate(linear)}
        )
    expert.put(**{name: torch.stack([m[name] for m in members]) for name in members[0]})


def _difficulty_member(
    inputs: torch.Tensor, distance: torch.Tensor, part: Any, seed: int
) -> dict[str, torch.Tensor]:
    """A network for the expected distance b of answers from the truth: the likelihood of a Laplace
    distribution, |distance| / b + log b."""
    torch.manual_seed(seed)
    hidden, variables = part.difficulty_bias_0.shape[1], part.difficulty_bias_1.shape[1]
    network = nn.Sequential(nn.Linear(inputs.shape[1], hidden), nn.GELU(),
                            nn.Linear(hidden, variables))  # fmt: skip
    known = distance.isfinite()
    typical = torch.nan_to_num(distance.nanmean(dim=0), nan=1.0).clamp(min=1e-4)
    last = network[2]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(typical.log())
    # A few rows that are far off must not make the likelihood.
    kept = torch.minimum(distance.nan_to_num(0.0), 10 * typical)
    share = known.float() / known.float().mean(dim=0).clamp(min=1e-6)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        expected = network(inputs[batch]).clamp(-9.0, 4.0)
        return ((kept[batch] * (-expected).exp() + expected) * share[batch]).mean()

    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        _descend(network, loss, len(inputs), 15, 512, 3e-3, generator)
    state = network.state_dict()
    return {f"difficulty_{kind}_{i}": state[f"{2 * i}.{kind}"] for i in (0, 1) for kind in
            ("weight", "bias")}  # fmt: skip


def _descend(
    network: nn.Module, loss: Any, rows: int, epochs: int, batch: int, rate: float,
    generator: torch.Generator,
) -> None:  # fmt: skip
    """AdamW on a cosine, over `epochs` passes."""
    batch = min(batch, rows)
    steps = epochs * (rows // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1)
    network.train()
    for step in range(steps):
        place = step % (rows // batch)
        if place == 0:
            order = torch.randperm(rows, generator=generator)
        optimizer.zero_grad()
        loss(order[place * batch : (place + 1) * batch]).backward()
        optimizer.step()
        schedule.step()
    network.eval()


def _tune_neighbours(fit: _Fit) -> None:
    """k and the weighting by distance, for each representation and variable, on unseen folds."""
    model, bank = fit.model, fit.model.bank
    random = np.random.default_rng([fit.settings.seed, 2])
    patterns = bank.patterns()
    shares = {name: view.share for name, view in model.view_of.items()}
    candidates = [(k, power) for k in fit.settings.neighbours for power in (0.0, 2.0)]
    places = [i for i, e in enumerate(fit.config.experts or []) if e["kind"] == "neighbours"]
    variables = fit.config.num_variables
    totals = {place: torch.zeros(len(candidates), variables) for place in places}
    from hf_specclip.models.modeling_specclip_moe import _Query

    for columns, known in patterns:
        asked = known.numpy()
        if len(asked) > 2000:  # enough to tell k apart
            asked = np.sort(random.choice(asked, 2000, replace=False))
        for fold in range(fit.settings.n_folds):
            rows = torch.from_numpy(asked[fit.folds[asked] == fold])
            if not len(rows) or len(known) < FEWEST:
                continue
            views = {name: values[rows] for name, values in fit.views.items()}
            query = _Query(views, bank, shares, patterns, fold)
            for place in places:
                distance = query.squared_distance(model.experts[place].inputs)[:, known]
                near = min(max(fit.settings.neighbours), len(known))
                square, index = distance.topk(near, dim=1, largest=False)
                labels = fit.targets[known][index][:, :, columns]
                valid = ~labels.isnan() & square.isfinite()[:, :, None]
                labels = labels.nan_to_num(0.0)
                truth = fit.targets[rows][:, columns]
                closeness = ((square[:, :1] + 1e-6) / (square + 1e-6))[:, :, None]
                rank = valid.cumsum(dim=1)
                for number, (k, power) in enumerate(candidates):
                    part = slice(0, k)
                    weight = closeness[:, part] ** (power / 2) * valid[:, part]
                    weight = weight * (rank[:, part] <= k)
                    said = weighted_median(labels[:, part], weight)
                    wrong = (said - truth).abs().nan_to_num(0.0).sum(dim=0)
                    totals[place][number, columns] += wrong
    for place, total in totals.items():
        best = total.argmin(dim=0).tolist()
        model.experts[place].put(
            k=torch.tensor([candidates[b][0] for b in best]),
            power=torch.tensor([candidates[b][1] for b in best]),
        )


@dataclass(frozen=True)
class _Held:
    """Rows of `validation` in one circumstance: what the experts say of them (n, experts,
    variables), what the gate sees (n, gate) and what is true (n, variables), in catalogue units."""

    answers: torch.Tensor
    gate_inputs: torch.Tensor
    raw: torch.Tensor


def _fit_panel_gate(
    fit: _Fit, panel: str, answers: torch.Tensor, validation: _Held
) -> torch.Tensor:
    """Choose a gate for each variable and put it into the model.

    Three kinds compete: the one best expert, constant weights, and weights that depend on the row.
    Two judges weigh alike: the folds of the pool that a gate has not seen, which are many rows, and
    `validation`, which is no part of what brought the views; for a variable that few of its rows
    know, the pool alone. A freer kind has to be better by more than a thousandth.

    Returns:
        Predictions (n, variables) on the scale of the experts, by gates that had not seen the fold.
    """
    part = fit.model.panels[panel]
    inputs = fit.gate_inputs[panel]
    blocks = torch.from_numpy(fit.folds % min(3, fit.settings.n_folds))
    honest = {kind: torch.zeros_like(fit.targets) for kind in ("best", "constant", "row")}
    for block in range(int(blocks.max()) + 1):
        seen, held = blocks != block, blocks == block
        for kind, gate in _gates(fit, panel, answers, inputs, seen).items():
            with torch.no_grad():
                part.put(**gate)
                honest[kind][held], _ = part.mix(answers[held], inputs[held])
    final = _gates(fit, panel, answers, inputs, torch.ones_like(blocks, dtype=torch.bool))
    judged = validation.raw.isfinite().sum(dim=0) >= FEWEST_JUDGES
    with torch.no_grad():
        error = {}
        for kind, gate in final.items():
            part.put(**gate)
            said, _ = part.mix(validation.answers, validation.gate_inputs)
            own, other = (
                _errors(fit.model, predicted[:, None], raw)[:, 0]
                for predicted, raw in ((said, validation.raw), (honest[kind], fit.raw))
            )
            error[kind] = torch.where(judged, (own * other).sqrt(), other)
        bias, weight = final["best"]["bias"].clone(), torch.zeros_like(part.weight)
        mixed, lowest = honest["best"].clone(), error["best"].clone()
        for kind in ("constant", "row"):
            better = error[kind] < 0.999 * lowest
            bias[better], weight[better] = (final[kind][n][better] for n in ("bias", "weight"))
            mixed[:, better] = honest[kind][:, better]
            lowest = torch.where(better, error[kind], lowest)
        part.put(bias=bias, weight=weight)
    return mixed


def _gates(
    fit: _Fit, panel: str, answers: torch.Tensor, inputs: torch.Tensor, rows: torch.Tensor
) -> dict[str, dict[str, torch.Tensor]]:
    """The three kinds of gate, learned from some rows."""
    model, part = fit.model, fit.model.panels[panel]
    answers, inputs = answers[rows], inputs[rows]
    raw, target = fit.raw[rows], fit.targets[rows]
    known = fit.known[rows]
    with torch.no_grad():
        error = _errors(model, answers, torch.where(known, raw, torch.nan))
        error[:, part.barred] = torch.inf
        guess = _errors(model, fit.median.expand(len(raw), 1, -1), raw)[:, 0]
        guess = torch.where(guess > 0, guess, 1.0).nan_to_num(1.0)
        relative = error / guess[:, None]
        best = _one_hot(torch.nan_to_num(error, nan=torch.inf).argmin(dim=1), error.shape[1])
        start = -20 * (relative - relative.amin(dim=1, keepdim=True)).nan_to_num(0.0, posinf=10.0)
        share = known.float() / known.float().mean(dim=0).clamp(min=1e-6)
        raw, target = raw.nan_to_num(0.0), target.nan_to_num(0.0)
    zeros = torch.zeros_like(part.weight)
    result = {"best": {"bias": best, "weight": zeros}}
    scale = model.scale
    for kind in ("constant", "row"):
        bias = nn.Parameter(start.clamp(min=-10.0).clone())
        weight = nn.Parameter(zeros.clone())
        learned = [bias] if kind == "constant" else [bias, weight]
        optimizer = torch.optim.Adam(learned, lr=0.05)
        steps = fit.settings.gate_steps
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        generator = torch.Generator().manual_seed(fit.settings.seed)
        barred = torch.tensor(part.barred, dtype=torch.int64)
        for _ in range(steps):
            batch = torch.randint(len(raw), (min(768, len(raw)),), generator=generator)
            logits = bias + torch.einsum("bg,veg->bve", inputs[batch], weight) if (
                kind == "row") else bias.expand(len(batch), -1, -1)  # fmt: skip
            logits = logits.index_fill(2, barred, -1e9)
            mixed = torch.einsum("bve,bev->bv", logits.softmax(dim=2), answers[batch])
            near = (mixed - target[batch]).abs()
            far = (scale.restore(mixed) - raw[batch]).abs().nan_to_num(0.0) / guess
            # In catalogue units a few far tails decide alone: half the say is the scale's.
            total = ((0.5 * near + 0.5 * far.clamp(max=20.0)) * share[batch]).mean()
            total = total + 2e-3 * weight.square().sum(dim=(1, 2)).mean()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            schedule.step()
        result[kind] = {"bias": bias.detach(), "weight": weight.detach()}
    return result


def _errors(
    model: SpecCLIPMoEForRegression, answers: torch.Tensor, raw: torch.Tensor
) -> torch.Tensor:
    """Mean absolute error (variables, experts) of answers (n, experts, variables) against raw (n,
    variables) in catalogue units; nan where nothing is known."""
    return (model.scale.restore(answers) - raw[:, None]).abs().nanmean(dim=0).t()


def _one_hot(places: torch.Tensor, experts: int) -> torch.Tensor:
    """Gate biases that let one expert answer alone."""
    return 50.0 * nn.functional.one_hot(places, experts).float()


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation of each column, 1 where it never varies."""
    std = values.std(dim=0, correction=0)
    return torch.where(std > 1e-6, std, torch.ones_like(std))


_FITTERS: Mapping[str, Any] = {
    "ridge": _fit_ridge,
    "trees": _fit_trees,
    "network": _fit_network,
    "distribution": _fit_distribution,
}

__all__ = [
    "FEWEST",
    "REPRESENTATION_VIEWS",
    "ExpertData",
    "FitSettings",
    "fit_gate",
    "fit_scale",
    "fit_select",
    "group_folds",
    "limit_weights",
    "tree_tables",
]
