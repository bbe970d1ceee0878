"""Fit of single experts: neighbours, ridge, networks and distributions, a member for each fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_specclip.models.experts_specclip import ExpertQuery, weighted_median
from specclip_training.studies.experts.data import FEWEST
from specclip_training.studies.experts.pool import FitPool

RIDGE_PENALTIES = (3.0, 30.0, 300.0, 3000.0)
# Most rows that the number of neighbours is chosen on; more would not change it.
_TUNING_ROWS = 2000
_DROPOUT = 0.3


def fit_expert(pool: FitPool, number: int) -> None:
    """Fit an expert, by its index in `config.experts`; for neighbours see `tune_neighbours`."""
    kind = pool.config.experts[number]["kind"]
    if kind == "median":
        pool.model.experts[number].put(value=pool.median)
    elif kind != "neighbours":
        fits = {"ridge": _fit_ridge, "network": _fit_network, "distribution": _fit_distribution}
        fits[kind](pool, number)


@torch.no_grad()
def tune_neighbours(pool: FitPool) -> None:
    """Choose k and the weighting by distance, for each representation and variable, on unseen
    folds."""
    model, bank = pool.model, pool.model.bank
    random = np.random.default_rng([pool.settings.seed, 2])
    groups = bank.variable_groups()
    shares = {name: view.share for name, view in model.view_of.items()}
    candidates = [(k, power) for k in pool.settings.neighbours for power in (0.0, 2.0)]
    experts = [expert for expert, settings in zip(model.experts, pool.config.experts, strict=True)
               if settings["kind"] == "neighbours"]  # fmt: skip
    errors = torch.zeros(len(experts), len(candidates), pool.config.num_variables)
    for variables, known_rows in groups:
        tuning = known_rows.numpy()
        if len(tuning) > _TUNING_ROWS:
            tuning = np.sort(random.choice(tuning, _TUNING_ROWS, replace=False))
        for fold in range(pool.settings.n_folds):
            rows = torch.from_numpy(tuning[pool.folds[tuning] == fold])
            if not len(rows) or len(known_rows) < FEWEST:
                continue
            views = {name: values[rows] for name, values in pool.views.items()}
            query = ExpertQuery(views, bank, model.scale, shares, groups, fold)
            truth = pool.targets[rows][:, variables]
            for expert, totals in zip(experts, errors, strict=True):
                labels, valid, closeness = expert.nearest(
                    query, known_rows, pool.targets[:, variables], max(pool.settings.neighbours)
                )
                rank = valid.cumsum(dim=1)
                for number, (k, power) in enumerate(candidates):
                    weight = closeness[:, :k] ** (power / 2) * (valid & (rank <= k))[:, :k]
                    predicted = weighted_median(labels[:, :k], weight)
                    error = (predicted - truth).abs().nan_to_num(0.0).sum(dim=0)
                    totals[number, variables] += error
    for expert, totals in zip(experts, errors, strict=True):
        best = [candidates[index] for index in totals.argmin(dim=0).tolist()]
        expert.put(
            k=torch.tensor([k for k, _ in best]), power=torch.tensor([power for _, power in best])
        )


def _fit_ridge(pool: FitPool, number: int) -> None:
    """Fit ridge regressions, with the penalty for each variable that has the smallest error on
    unseen folds."""
    from sklearn.linear_model import Ridge

    expert = pool.model.experts[number]
    inputs = pool.joined(expert.inputs).double().numpy()
    targets, weights = pool.targets.double().numpy(), pool.weights.double().numpy()
    known = pool.known.numpy()
    count, variables = pool.settings.n_folds, pool.config.num_variables
    weight = np.zeros((count, len(RIDGE_PENALTIES), inputs.shape[1], variables))
    bias = np.zeros((count, len(RIDGE_PENALTIES), variables))
    error = np.zeros((len(RIDGE_PENALTIES), variables))
    for fold in range(count):
        for variable in range(variables):
            rows = known[:, variable] & (pool.folds != fold)
            if rows.sum() < FEWEST:
                continue
            # One target for each penalty: the inputs' covariance is computed once.
            target = np.repeat(targets[:, variable, None], len(RIDGE_PENALTIES), axis=1)
            ridge = Ridge(RIDGE_PENALTIES, solver="cholesky")
            ridge.fit(inputs[rows], target[rows], weights[rows, variable])
            weight[fold, :, :, variable], bias[fold, :, variable] = ridge.coef_, ridge.intercept_
            held = known[:, variable] & (pool.folds == fold)
            if held.any():
                predicted = ridge.predict(inputs[held])
                error[:, variable] += np.abs(predicted - target[held]).sum(axis=0)
    best, every = error.argmin(axis=0), np.arange(variables)
    expert.put(
        weight=torch.from_numpy(weight[:, best, :, every]).permute(1, 2, 0).float(),
        bias=torch.from_numpy(bias[:, best, every]).float(),
    )


def _fit_network(pool: FitPool, number: int) -> None:
    """Fit small networks by the absolute error, all variables together."""
    targets = pool.targets.nan_to_num(0.0)
    weights = pool.weights / pool.share_known

    def loss(predicted: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return ((predicted - targets[rows]).abs() * weights[rows]).mean()

    _fit_layers(pool, number, pool.config.num_variables, loss)


def _fit_distribution(pool: FitPool, number: int) -> None:
    """Fit small networks by the likelihood of the bins of the values, all variables together."""
    expert = pool.model.experts[number]
    variables, bins = expert.value.shape
    labels = torch.zeros(pool.targets.shape, dtype=torch.int64)
    value = torch.zeros(variables, bins)
    atom, used = (torch.zeros(variables, bins, dtype=torch.bool) for _ in range(2))
    for variable in range(variables):
        known = pool.known[:, variable]
        if known.sum() < FEWEST:
            continue
        values = pool.targets[known, variable].double()
        edges, times = torch.quantile(values, torch.linspace(0, 1, bins + 1).double()[1:-1]).unique(
            return_counts=True
        )
        # A value that many rows share has a bin of its own.
        beyond = torch.nextafter(edges[times > 1], torch.tensor(torch.inf).double())
        within = torch.bucketize(values, torch.cat([edges, beyond]).sort().values, right=True)
        filled, within = within.unique(return_inverse=True)
        labels[known, variable] = within
        for bin_number in range(len(filled)):
            inside = values[within == bin_number]
            value[variable, bin_number] = inside.median()
            atom[variable, bin_number] = inside.min() == inside.max()
        used[variable, : len(filled)] = True
    expert.put(value=value, atom=atom, used=used)
    weights = pool.known / pool.share_known

    def loss(predicted: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        logits = predicted.unflatten(1, (variables, bins)).masked_fill(~used, -1e9)
        unlikely = nn.functional.cross_entropy(
            logits.transpose(1, 2), labels[rows], reduction="none"
        )
        return (unlikely * weights[rows]).mean()

    _fit_layers(pool, number, variables * bins, loss)


def _fit_layers(
    pool: FitPool,
    number: int,
    outputs: int,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    """Train one network for each fold, on the rows outside it.

    Args:
        pool: the data and the model.
        number: index of the expert.
        outputs: width of the last layer.
        loss: function of the outputs for some rows, and the indices of these rows.
    """
    expert, settings = pool.model.experts[number], pool.settings
    inputs = pool.joined(expert.inputs).clamp(-8.0, 8.0)
    members = []
    for fold in range(settings.n_folds):
        rows = torch.from_numpy(np.flatnonzero(pool.folds != fold))
        seed = settings.seed * 1000 + number * 10 + fold
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        width = inputs.shape[1]
        layers: list[nn.Module] = [nn.Dropout(0.1)]
        for hidden in settings.network_hidden:
            layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(_DROPOUT)]
            width = hidden
        network = nn.Sequential(*layers, nn.Linear(width, outputs))

        def batch_loss(
            batch: torch.Tensor, network: nn.Module = network, rows: torch.Tensor = rows
        ) -> torch.Tensor:
            return loss(network(inputs[rows[batch]]), rows[batch])

        _train(network, batch_loss, len(rows), settings.network_epochs, 4e-3, generator)
        members.append(_linear_weights(network))
    put_members(expert, members)


@torch.enable_grad()
def fit_difficulty(
    inputs: torch.Tensor, distance: torch.Tensor, hidden: int, seed: int
) -> dict[str, torch.Tensor]:
    """Fit a network for the expected error b of predictions, by the likelihood of a Laplace
    distribution, |distance| / b + log b.

    Args:
        inputs: (n, inputs) of `SpecCLIPMoEPanel.difficulty_inputs`.
        distance: (n, variables), nan where the truth is unknown.
        hidden: width of the hidden layer.
        seed: of the weights and batches.

    Returns:
        One member of the tensors `difficulty_…` of a `SpecCLIPMoEPanel`.
    """
    torch.manual_seed(seed)
    first, last = nn.Linear(inputs.shape[1], hidden), nn.Linear(hidden, distance.shape[1])
    network = nn.Sequential(first, nn.GELU(), last)
    known = distance.isfinite()
    typical = torch.nan_to_num(distance.nanmean(dim=0), nan=1.0).clamp(min=1e-4)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(typical.log())
    # A few outliers must not dominate the likelihood.
    clipped = torch.minimum(distance.nan_to_num(0.0), 10 * typical)
    share = known.float() / known.float().mean(dim=0).clamp(min=1e-6)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        expected = network(inputs[batch]).clamp(-9.0, 4.0)
        return ((clipped[batch] * (-expected).exp() + expected) * share[batch]).mean()

    _train(network, loss, len(inputs), 15, 3e-3, torch.Generator().manual_seed(seed))
    return {f"difficulty_{name}": value for name, value in _linear_weights(network).items()}


def put_members(module: Any, members: Sequence[Mapping[str, torch.Tensor]]) -> None:
    """Store tensors of the members of all folds, stacked, in a module of the mixture."""
    module.put(**{name: torch.stack([each[name] for each in members]) for name in members[0]})


def _linear_weights(network: nn.Sequential) -> dict[str, torch.Tensor]:
    """Return `weight_i` and `bias_i` of the linear layers."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    return {f"{name}_{i}": getattr(layer, name).detach() for i, layer in enumerate(linear)
            for name in ("weight", "bias")}  # fmt: skip


def _train(
    network: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor], rows: int, epochs: int,
    rate: float, generator: torch.Generator,
) -> None:  # fmt: skip
    """Train in place by AdamW with a one-cycle schedule up to `rate`.

    `loss` takes a batch of indices of the `rows` rows, in the order of `generator`.
    """
    batch = min(512, rows)
    steps = epochs * (rows // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    schedule: Any = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1)
    network.train()
    for step in range(steps):
        start = step % (rows // batch) * batch
        if start == 0:
            order = torch.randperm(rows, generator=generator)
        optimizer.zero_grad()
        loss(order[start : start + batch]).backward()
        optimizer.step()
        schedule.step()
    network.eval()
