"""Fit of one spectrum: band, statistic, sums of models, fluxes and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..spectrum import XRaySpectrum
from .engine import PoissonDeviance, one_thread
from .fit import CATALOGUE_MODELS, fit_spectra
from .groups import noticed_channels
from .models import COLUMN_UNIT, LARGEST_COLUMN, MODELS, column_from_internal, column_to_internal
from .noticed import NoticedCounts, arrays_of, label_of, require_response
from .profiles import (
    Coordinates,
    Quantity,
    SumOfComponents,
    band_fluxes,
    limits_of,
    minimise_from,
)
from .result import (
    FLUX_UNIT,
    BandFlux,
    FitResult,
    FittedParameter,
    ModelFit,
    component_names,
    components_of,
    parameter_units,
)

_CATALOGUE_BAND = (0.5, 7.0)
# The catalogue fits spectra with more net counts, by χ² in groups of 16. With fewer, or in smaller
# groups, the data's own errors mislead: the C-statistic in groups of 5.
CATALOGUE_COUNTS, _CHI2_GROUP = 150.0, 16
_LEAST_COUNTS, _LIKELIHOOD_GROUP = 20.0, 5
# A normalisation this small against that of all counts in it stands for none.
_NO_COUNTS = 1e-5


def fit_spectrum(
    spectrum: XRaySpectrum,
    models: Sequence[str] = CATALOGUE_MODELS,
    *,
    statistic: str = "auto",
    energy_range: tuple[float, float] | None = None,
    group_counts: int | None = None,
    min_net_counts: float | None = None,
    nh: Any = None,
    redshift: float = 0.0,
    bands: Sequence[tuple[float, float]] = (_CATALOGUE_BAND,),
) -> FitResult:
    """Fit one spectrum; without options, as the Chandra Source Catalog does where it can.

    Args:
        spectrum: with an RMF (and an ARF, unless the RMF includes the area).
        models: of `powlaw`, `bb`, `brems`, `apec`, `diskbb`, or two of them with a plus sign, which
            share one column.
        statistic: `chi2datavar`, `cstat` (W where there is a background), or `auto`: χ² where there
            are more than 150 net counts in groups of 16 or more, else `cstat`.
        energy_range: keV; the usual band of the instrument by default (`XRaySpectrum.camera`).
        group_counts: counts in a group, background included; 16 for χ² and 5 for `cstat` by
            default.
        min_net_counts: a spectrum is fitted when it has more net counts than this; 150 for χ² and
            20 for `cstat` by default.
        nh: 1e20 cm⁻², or an astropy quantity, held there. The gas is at redshift 0.
        redshift: of the source.
        bands: keV, of the fluxes. Without any, normalisations have no limits either, which takes a
            fraction of the time.

    Raises:
        ValueError: an unknown model or statistic, a spectrum without response (named), a negative
            column, a redshift of −1 or below, a band that does not rise.

    Examples:
        >>> result = fit_spectrum(read_spectrum("source.pi"), ["apec+powlaw"], nh=2.5)
        >>> result.models["apec+powlaw"].parameters["apec_kt"].value
    """
    require_response(spectrum)
    nh = nh.to_value("1e20 cm-2") if hasattr(nh, "to_value") else nh
    _check(nh, redshift, bands)
    for name in models:
        component_names(name)
    band = energy_range or spectrum.camera.band
    if statistic == "auto":
        statistic = choose_statistic(spectrum, band, group_counts)
    chi2 = statistic == "chi2datavar"
    settings: dict[str, Any] = {
        "statistic": statistic,
        "energy_range": band,
        "group_counts": group_counts or (_CHI2_GROUP if chi2 else _LIKELIHOOD_GROUP),
    }
    least = CATALOGUE_COUNTS if chi2 else _LEAST_COUNTS
    least = least if min_net_counts is None else min_net_counts
    plain = [name for name in models if name in MODELS and nh is None and not redshift]
    [base] = fit_spectra(spectrum, plain or CATALOGUE_MODELS[:1], min_net_counts=least, **settings)
    fits = {}
    shared: _SharedCounts | None = None
    for name in models:
        fit = base.models.get(name) if name in plain else None
        reason = next(iter(base.models.values())).reason
        if fit is None and reason is not None and "did not converge" not in reason:
            fit = ModelFit(name, reason=reason)
        # The batch fit is complete but for limits of normalisations and the expected C.
        if fit is None or (fit.converged and (bands or not chi2)):
            shared = shared or _SharedCounts(spectrum, settings)
            with one_thread():
                if fit is None or bands:
                    fit = shared.fit(name, fit, nh, redshift, bands)
                fit = replace(fit, expected=shared.expected(fit))
        fits[name] = _with_warnings(fit)
    return replace(base, models=fits)


def choose_statistic(
    spectrum: XRaySpectrum, band: tuple[float, float], group_counts: int | None
) -> str:
    """Return `chi2datavar` where its errors hold, else `cstat`."""
    if not spectrum.are_poisson:
        return "chi2datavar"
    channels = noticed_channels(spectrum.channel_edges, band)
    region, scale = spectrum.background_observed
    net = np.where(spectrum.good, spectrum.counts - scale * region, 0.0)[channels]
    full = group_counts is None or group_counts >= _CHI2_GROUP
    return "chi2datavar" if full and net.sum() > CATALOGUE_COUNTS else "cstat"


def _check(nh: float | None, redshift: float, bands: Sequence[tuple[float, float]]) -> None:
    if nh is not None and not 0 <= nh < np.inf:
        raise ValueError(f"nh must be a column of 0 or more in 1e20 cm⁻², not {nh:g}")
    if not -1 < redshift < np.inf:
        raise ValueError(f"redshift must be above -1, not {redshift:g}")
    for low, high in bands:
        if not 0 < low < high < np.inf:
            raise ValueError(f"a band must rise from an energy above 0 keV, not {low:g}–{high:g}")


class _SharedCounts:
    """Grouped counts of one spectrum, for one model after another."""

    def __init__(self, spectrum: XRaySpectrum, settings: dict[str, Any]) -> None:
        try:
            noticed = NoticedCounts(**arrays_of([spectrum]), **settings)
            folding = noticed.folding(1)
        except ValueError as error:
            raise ValueError(f"{label_of(spectrum)}: {error}") from error
        self.batch = noticed.batch(folding, np.array([0]), (folding.components, folding.below))
        self.edges = folding.edges
        self.n_groups = int(noticed.groups.number[0])
        self.spectrum, self.noticed = spectrum, noticed

    def fit(
        self,
        name: str,
        fitted: ModelFit | None,
        nh: float | None,
        redshift: float,
        bands: Sequence[tuple[float, float]],
    ) -> ModelFit:
        """Fit a model, or complete one that `fit_spectra` has fitted."""
        definitions = [MODELS[part].at_redshift(redshift) for part in component_names(name)]
        column = None if nh is None else nh / COLUMN_UNIT
        components = SumOfComponents(self.batch, self.edges, definitions, column)
        units = parameter_units(name)
        n_free = len(units) - (nh is not None)
        if fitted is None and self.n_groups <= n_free:
            reason = f"{self.n_groups} groups leave no degree of freedom for {n_free} parameters"
            return ModelFit(name, reason=reason)
        starts = components.starts() if fitted is None else [_coordinates(components, fitted)]
        best, floor = min(
            (minimise_from(components, start)[:2] for start in starts), key=lambda item: item[1]
        )
        if not np.isfinite(floor):
            return ModelFit(name, reason="the fit did not converge")

        def parameter(quantity: Quantity, restore: Any, unit: str) -> FittedParameter:
            value, low, high = (
                None if each is None else float(restore(each))
                for each in (quantity(best)[0], *limits_of(components, best, floor, quantity))
            )
            assert value is not None
            return FittedParameter(value, low, high, unit)

        known = {} if fitted is None else fitted.parameters
        parameters: dict[str, FittedParameter] = {}
        n = len(definitions)
        for k, (definition, shape, norm) in enumerate(components_of(name)):
            parameters[shape] = known.get(shape) or parameter(
                partial(components.coordinate, k), definition.to_shape, units[shape]
            )
            parameters[norm] = parameter(partial(components.norm, k), np.exp, units[norm])
            if fitted is not None:
                parameters[norm] = replace(parameters[norm], value=known[norm].value)
        if nh is None:
            parameters["nh"] = known.get("nh") or parameter(
                partial(components.coordinate, n),
                lambda value: COLUMN_UNIT * column_from_internal(value),
                units["nh"],
            )
        else:
            parameters["nh"] = FittedParameter(nh, None, None, units["nh"], fixed=True)
        return ModelFit(
            name,
            {short: parameters[short] for short in units},
            floor if fitted is None else fitted.statistic,
            self.n_groups - n_free,
            converged=True,
            redshift=redshift,
            fluxes=tuple(
                BandFlux(
                    (float(low), float(high)),
                    *(
                        parameter(each, np.exp, FLUX_UNIT)
                        for each in band_fluxes(components, low, high)
                    ),
                )
                for low, high in bands
            ),
            warnings=tuple(
                f"{part} has no counts: the other component alone fits as well"
                for k, part in enumerate(component_names(name))
                if n > 1 and best[n + 1 + k] < _NO_COUNTS * components.total
            ),
        )

    def expected(self, fit: ModelFit) -> tuple[float, float] | None:
        """Return mean and standard deviation of C or W if the model of a fit were right."""
        statistic, rmf = self.batch.statistic, self.spectrum.rmf
        if not isinstance(statistic, PoissonDeviance) or not fit.dof or rmf is None:
            return None
        rates = self.spectrum.fold(fit.photons(rmf.energy_edges))[self.noticed.channels]
        counts = self.noticed.groups.sum(self.spectrum.exposure * rates[None])
        mean, variance = statistic.expected(torch.from_numpy(counts[0]))
        # Each free parameter takes from them what it takes from those of χ².
        left = max(mean - (self.n_groups - fit.dof), 0.1 * mean)
        return left, float(np.sqrt(variance * left / mean))


def _coordinates(components: SumOfComponents, fit: ModelFit) -> Coordinates:
    """Return the point of a fit of one component."""
    [definition] = components.definitions
    shape = definition.to_internal(np.asarray(fit.parameters[definition.shape_name].value))
    column = column_to_internal(np.asarray(fit.parameters["nh"].value / COLUMN_UNIT))
    at = torch.tensor([[float(shape), float(column)]], dtype=torch.float64)
    _, sums, shift = components.unit(0, at)
    norm = fit.parameters[definition.norm_name].value
    counts = norm * float(sums[0, 0]) * float(np.exp(float(shift[0])))
    values = np.array([float(shape), float(column), counts])
    return np.clip(values, components.lower, components.upper)


def _with_warnings(fit: ModelFit) -> ModelFit:
    """Return a fit with its probability, and the parameters that met a bound named."""
    if fit.statistic is None or not fit.dof:
        return fit
    bounds = {shape: definition.bounds for definition, shape, _ in components_of(fit.name)}
    bounds["nh"] = (0.0, COLUMN_UNIT * LARGEST_COLUMN)
    warnings = list(fit.warnings)
    for short, (low, high) in bounds.items():
        parameter = fit.parameters[short]
        if parameter.fixed:
            continue
        reach: NDArray = 1e-3 * np.array([max(abs(low), 1e-3), high])
        for side, bound, near in (("lower", low, reach[0]), ("upper", high, reach[1])):
            if abs(parameter.value - bound) <= near:
                warnings.append(f"{short} is at its {side} bound, {bound:g}")
    # The gamma distribution of these moments: that of χ² where they are those of χ².
    mean, deviation = fit.expected or (float(fit.dof), np.sqrt(2.0 * fit.dof))
    scale = deviation**2 / mean
    at = torch.tensor([mean / scale, fit.statistic / scale], dtype=torch.float64)
    probability = float(torch.special.gammaincc(at[0], at[1]))
    return replace(fit, warnings=tuple(warnings), probability=probability)
