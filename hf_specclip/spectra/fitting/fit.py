"""Fits of the Chandra Source Catalog's four models, to one spectrum or many thousands.

The catalogue fits an absorbed power law, black body, bremsstrahlung and thermal plasma to every
detection with more than 150 net counts (Evans et al. 2010, ApJS 189, 37; Evans et al. 2024, ApJS
274, 22): 0.5–7 keV, at least 16 counts in a group, background subtracted, χ² with the variance of
the data, `phabs` absorption with the abundances of Anders & Grevesse. `fit_spectra` does that to
spectra read from files, `fit_counts` to arrays of counts that share a response.

Limits and bias, measured on simulated spectra of known truth behind 5e21 cm⁻², with 5 % background
(`tests/spectra/test_fit_coverage.py`, slow tests; Γ = 1.8, black body of 0.6 keV, bremsstrahlung of
4 keV, plasma of 2 keV; binomial errors 1 to 2.4 %). The 68 % limits of shape and N_H hold the truth
in so many spectra, and the median shape is off by so many of its errors:

=========  ================  ================  ================  ================
counts     powlaw            bb                brems             apec
=========  ================  ================  ================  ================
χ², 200    67, 68 %; −0.15   68, 69 %; +0.20   70, 69 %; +0.10   65, 64 %; +0.10
χ², 1000   69, 68 %; +0.08   67, 67 %; −0.09   66, 67 %; −0.06   67, 67 %; −0.12
C, 200     69, 67 %; −0.01   68, 71 %; −0.08   70, 70 %; −0.04   67, 65 %; 0.00
C, 1000    69, 69 %; +0.03   69, 68 %; +0.04   69, 69 %; +0.03   65, 64 %; +0.05
=========  ================  ================  ================  ================

With χ² groups that happen to be low weigh more, which steepens spectra (+0.3 at 1000 counts with
the leftover channels kept), and leaving out those channels, which is where a steep spectrum has few
counts, flattens them. In groups of 1, W is biased (−0.2 of the error): most channels have no
background counts at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..spectrum import XRaySpectrum
from .engine import Minimum, SpectraBatch, minimise, one_thread
from .folding import chunks_of, float_tensor
from .groups import noticed_channels
from .limits import limits as find_limits
from .models import (
    COLUMN_UNIT,
    ModelDefinition,
    TabulatedModel,
    column_from_internal,
    column_to_internal,
    model_definitions,
)
from .noticed import (
    STATISTICS,
    NoticedCounts,
    arrays_of,
    label_of,
    require_errors,
    require_response,
    response_key,
)
from .result import FitResult, FittedParameter, ModelFit, result_of_row

__all__ = [
    "CATALOGUE_MODELS",
    "STATISTICS",
    "FitResult",
    "FittedParameter",
    "ModelFit",
    "fit_counts",
    "fit_spectra",
]

CATALOGUE_MODELS = ("powlaw", "bb", "brems", "apec")
# Shape, column and normalisation.
N_PARAMETERS = 3

_ENDS = ("", "_lolim", "_hilim")
# Where minimisations are tried from: columns (1e22 cm⁻²), against evenly spaced shapes.
_START_COLUMNS = (0.0, 0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 40.0)
_START_SHAPES = 14
_STARTS = 2


def fit_spectra(
    spectra: XRaySpectrum | Sequence[XRaySpectrum],
    models: Sequence[str] = CATALOGUE_MODELS,
    *,
    statistic: str = "chi2datavar",
    energy_range: tuple[float, float] = (0.5, 7.0),
    group_counts: int = 16,
    keep_incomplete: bool | None = None,
    min_net_counts: float = 150.0,
) -> list[FitResult]:
    """Fit spectra with their own responses; the defaults are the Chandra Source Catalog's.

    Args:
        spectra: one or several, each with an RMF (and an ARF, unless the RMF includes the area).
        models: of `powlaw`, `bb`, `brems`, `apec`.
        statistic: `chi2datavar`, or `cstat` (W where there is a background).
        energy_range: keV; channels that lie in it partly count.
        group_counts: counts in a group, background included.
        keep_incomplete: keep the last group although it holds fewer counts; by default the
            C-statistic does, and χ² does not (see `groups.group_channels`).
        min_net_counts: a spectrum is fitted when it has more net counts than this.

    Returns:
        A result for each spectrum. A spectrum that cannot be fitted has a reason in each model.

    Raises:
        ValueError: an unknown model or statistic, or a spectrum without response (named).

    Examples:
        >>> [result] = fit_spectra(read_spectrum("acisf01575_001N001_r0085_pha3.fits.gz"))
        >>> result.columns()["powlaw_gamma"]
    """
    items = [spectra] if isinstance(spectra, XRaySpectrum) else list(spectra)
    by_response: dict[Any, list[int]] = {}
    for index, spectrum in enumerate(items):
        require_response(spectrum)
        require_errors(spectrum, statistic)
        by_response.setdefault(response_key(spectrum), []).append(index)
    results: dict[int, FitResult] = {}
    for indices in by_response.values():
        first = items[indices[0]]
        try:
            table = fit_counts(
                **arrays_of([items[index] for index in indices]),
                models=models,
                statistic=statistic,
                energy_range=energy_range,
                group_counts=group_counts,
                keep_incomplete=keep_incomplete,
                min_net_counts=min_net_counts,
            )
        except ValueError as error:
            raise ValueError(f"{label_of(first)}: {error}") from error
        noticed = noticed_channels(first.channel_edges, energy_range)
        ends = (float(first.channel_edges[noticed.start]), float(first.channel_edges[noticed.stop]))
        for row, index in enumerate(indices):
            results[index] = result_of_row(table, row, models, statistic, ends, group_counts)
    return [results[index] for index in range(len(items))]


def fit_counts(
    counts: ArrayLike,
    background_counts: ArrayLike | None = None,
    background_scale: ArrayLike = 0.0,
    exposure: ArrayLike = 1.0,
    *,
    models: Sequence[str] = CATALOGUE_MODELS,
    energy_range: tuple[float, float] = (0.5, 7.0),
    group_counts: int = 16,
    min_net_counts: float = 150.0,
    limits: bool = True,
    **settings: Any,
) -> dict[str, NDArray[Any]]:
    """Fit many spectra of one detector, as arrays; the defaults are the catalogue's.

    Args:
        counts, background_counts, background_scale, exposure, settings: see `NoticedCounts`, whose
            arguments they are.
        limits: find the 68 % limits (three quarters of the time).
        models and the rest: see `fit_spectra`.

    Returns:
        Arrays (B,): ``net_counts``, ``n_groups``, ``reason`` (why there is no fit, else None), and
        for each model the catalogue's columns (``powlaw_gamma``, ``powlaw_gamma_lolim``, …, with
        N_H in 1e20 cm⁻² and ``*_stat`` reduced), ``*_ampl`` or ``*_norm``, ``*_dof`` and
        ``*_converged``. Missing values are NaN; a model that did not converge has no parameters.

    Raises:
        ValueError: unknown names, or shapes that do not fit.
    """
    definitions = model_definitions(models)
    noticed = NoticedCounts(
        counts, background_counts, background_scale, exposure,
        energy_range=energy_range, group_counts=group_counts, **settings,
    )  # fmt: skip
    groups, net = noticed.groups, noticed.net
    reason = _reasons(net, groups.number, group_counts, min_net_counts, energy_range)
    table = {"net_counts": net, "n_groups": groups.number, "reason": reason}
    for definition in definitions:
        table |= _empty_columns(definition, len(net))
    wanted = np.array([i for i, why in enumerate(reason) if why is None], dtype=np.int64)
    if not wanted.size:
        return table

    folding = noticed.folding(wanted.size)
    tabulated = [TabulatedModel(definition, folding.edges) for definition in definitions]
    seen = [folding.seen(model) for model in tabulated]
    # Neighbours in the number of groups share a chunk: less padding.
    wanted = wanted[np.argsort(groups.number[wanted], kind="stable")]
    chunks = chunks_of(groups.number[wanted], max(below.shape[1] for _, below in seen))

    def fit_chunk(chunk: slice) -> None:
        rows = wanted[chunk]
        for model, basis in zip(tabulated, seen, strict=True):
            batch = noticed.batch(folding, rows, basis)
            _fit_model(table, rows, batch, model, limits)

    workers = min(torch.get_num_threads(), len(chunks))
    with (
        one_thread(),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        list(pool.map(fit_chunk, chunks))
    return table


def _reasons(
    net: NDArray[np.float64],
    n_groups: NDArray[np.int64],
    group_counts: int,
    min_net_counts: float,
    energy_range: tuple[float, float],
) -> NDArray[np.object_]:
    """Return why each spectrum cannot be fitted, None where it can."""
    reason = np.full(len(net), None, dtype=object)
    for row in np.flatnonzero(n_groups <= N_PARAMETERS):
        reason[row] = (
            f"{n_groups[row]} groups of {group_counts} counts or more leave no degree of "
            f"freedom for {N_PARAMETERS} parameters"
        )
    for row in np.flatnonzero(~(net > min_net_counts)):
        reason[row] = (
            f"{net[row]:.1f} net counts in {energy_range[0]:g}–{energy_range[1]:g} keV are not "
            f"more than {min_net_counts:g}"
        )
    reason[net <= 0] = "the background is as bright as the source: no net counts"
    return reason


def _fit_model(
    table: dict[str, NDArray[Any]],
    rows: NDArray[np.int64],
    batch: SpectraBatch,
    model: TabulatedModel,
    want_limits: bool,
) -> None:
    """Fit one model to the spectra of a batch and write its columns."""
    best = _best_of(minimise(batch, model, _starts(batch, model)))
    ends = torch.full((len(rows), 4), torch.nan, dtype=torch.float64)
    if want_limits:
        ends, best = find_limits(batch, model, best)
    definition, name = model.definition, model.definition.name
    fitted = (best.converged[:, 0] & torch.isfinite(best.value[:, 0])).numpy()
    dof = table["n_groups"][rows] - N_PARAMETERS
    limited = torch.cat([best.point[:, 0], ends], 1).T.numpy()
    shapes = definition.to_shape(limited[[0, 2, 3]])
    columns = COLUMN_UNIT * column_from_internal(limited[[1, 4, 5]])
    values_of = {
        **{f"{definition.shape_name}{end}": each for end, each in zip(_ENDS, shapes, strict=True)},
        **{f"nh{end}": each for end, each in zip(_ENDS, columns, strict=True)},
        definition.norm_name: best.norm[:, 0].numpy(),
        "stat": best.value[:, 0].numpy() / dof,
    }
    for column, values in values_of.items():
        table[f"{name}_{column}"][rows] = np.where(fitted, values, np.nan)
    table[f"{name}_dof"][rows] = dof
    table[f"{name}_converged"][rows] = fitted


def _starts(batch: SpectraBatch, model: TabulatedModel) -> Tensor:
    """Return (B, 2, 2) the two deepest valleys of the statistic on a coarse grid over the box."""
    definition = model.definition
    low, high = definition.to_internal(np.asarray(definition.bounds))
    # Searches that begin above 30 keV or below 0.06 keV rarely help.
    if definition.logarithmic:
        low, high = max(low, np.log(0.06)), min(high, np.log(30.0))
    shapes = torch.linspace(low, high, _START_SHAPES, dtype=torch.float64)
    columns = float_tensor(column_to_internal(np.asarray(_START_COLUMNS)))
    points = torch.cartesian_prod(shapes, columns)
    value = batch.scan(model, points).reshape(-1, 1, len(shapes), len(columns))
    deepest = -torch.nn.functional.max_pool2d(-value, 3, stride=1, padding=1)
    valleys = torch.where(value <= deepest, value, torch.inf).flatten(1)
    depth, index = valleys.topk(_STARTS, dim=1, largest=False)
    index = torch.where(torch.isfinite(depth), index, index[:, :1])
    return points[index]


def _best_of(minimum: Minimum) -> Minimum:
    """Return (B, 1) the lowest minimum of each spectrum."""
    value = torch.where(torch.isfinite(minimum.value), minimum.value, torch.inf)
    choice = value.argmin(dim=1)
    rows = torch.arange(len(choice))
    return minimum.take((rows[:, None], choice[:, None]))


def _empty_columns(definition: ModelDefinition, n: int) -> dict[str, NDArray[Any]]:
    """Return the columns (n,) of a model, to be filled in."""
    limited = [f"{name}{end}" for name in (definition.shape_name, "nh") for end in _ENDS]
    names = [
        f"{definition.name}_{each}" for each in (*limited, definition.norm_name, "stat", "dof")
    ]
    return {name: np.full(n, np.nan) for name in names} | (
        {f"{definition.name}_converged": np.zeros(n, dtype=bool)}
    )
