"""Fit result: values, limits, fluxes, warnings, and the catalogue's columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import emission
from .models import COLUMN_UNIT, MODELS, NORM_UNITS, ModelDefinition, model_definitions

_ENDS = (("", "value"), ("_lolim", "low"), ("_hilim", "high"))
FLUX_UNIT = "erg cm-2 s-1"
# A statistic that a right model exceeds less often than this is named.
_IMPROBABLE = 1e-3


@dataclass(frozen=True)
class FittedParameter:
    """Best value and 68 % limits; a limit is None where a bound is met first.

    Attributes:
        value: in the catalogue's unit.
        low, high: where the statistic, minimised over the other parameters, has risen by 1.
        unit: of astropy, "" for numbers.
        fixed: held at this value.
    """

    value: float
    low: float | None
    high: float | None
    unit: str = ""
    fixed: bool = False


@dataclass(frozen=True)
class BandFlux:
    """Energy flux of a fitted model in a band, erg/cm²/s.

    Attributes:
        band: keV, observed.
        observed: at Earth.
        unabsorbed: without the gas in front.
    """

    band: tuple[float, float]
    observed: FittedParameter
    unabsorbed: FittedParameter


@dataclass(frozen=True)
class ModelFit:
    """Fit of one model to one spectrum.

    Attributes:
        name: such as `powlaw`, or `apec+powlaw` for a sum.
        parameters: `gamma` or `kt` (keV), `nh` (1e20 cm⁻²) and `ampl` or `norm` (XSPEC's units);
            those of a sum by its components, such as `apec_kt`, with one `nh`. Empty where there is
            no fit.
        statistic: its value at the best fit (χ², C or W), or None.
        dof: degrees of freedom, groups − free parameters, or None.
        converged: whether a minimum was found.
        reason: why there is no fit, or None.
        redshift: of the source.
        fluxes: in the bands asked for.
        warnings: sentences on what the values do not show.
        probability: of a statistic this high or higher if the model were right.
        expected: mean and standard deviation of C or W if the model were right; None with χ², whose
            are the degrees of freedom and the root of twice them.
    """

    name: str
    parameters: Mapping[str, FittedParameter] = field(default_factory=dict)
    statistic: float | None = None
    dof: int | None = None
    converged: bool = False
    reason: str | None = None
    redshift: float = 0.0
    fluxes: tuple[BandFlux, ...] = ()
    warnings: tuple[str, ...] = ()
    probability: float | None = None
    expected: tuple[float, float] | None = None

    @property
    def reduced(self) -> float | None:
        """Statistic over degrees of freedom: the catalogue's `*_stat`."""
        return None if self.statistic is None or not self.dof else self.statistic / self.dof

    def photons(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Return the fitted model as photons/cm²/s in each bin of (n + 1,) edges, keV."""

        at = {name: parameter.value for name, parameter in self.parameters.items()}

        def emitted(grid: NDArray) -> Any:
            return sum(
                definition.photons(grid, at[shape], norm=at[norm], redshift=self.redshift)
                for definition, shape, norm in components_of(self.name)
            )

        column = at["nh"] / COLUMN_UNIT
        positive = np.maximum(np.asarray(edges, dtype=np.float64), 1e-3)
        return emission.absorbed(positive, emitted, lambda grid: emission.phabs(grid, column))

    def columns(self) -> dict[str, float | None]:
        """Return values and limits under the catalogue's column names, None where there are none.

        ``powlaw_gamma``, ``powlaw_gamma_lolim``, ``powlaw_gamma_hilim``, …, ``powlaw_stat``
        (reduced), and for each band ``powlaw_flux_0.5_7kev`` and
        ``powlaw_unabsorbed_flux_0.5_7kev`` with their limits.
        """
        columns: dict[str, float | None] = {
            f"{self.name}_{short}{end}": getattr(parameter, field_name, None)
            for short, (parameter, _) in self._quantities().items()
            for end, field_name in _ENDS
        }
        return {**columns, f"{self.name}_stat": self.reduced}

    def units(self) -> dict[str, str]:
        """Return astropy's unit of each of the `columns` that has one."""
        return {
            f"{self.name}_{short}{end}": unit
            for short, (_, unit) in self._quantities().items()
            for end, _ in _ENDS
            if unit
        }

    def _quantities(self) -> dict[str, tuple[FittedParameter | None, str]]:
        """Return parameters and fluxes by the ends of their columns' names, with their units."""
        units = parameter_units(self.name)
        shown = {short: (self.parameters.get(short), unit) for short, unit in units.items()}
        for flux in self.fluxes:
            band = f"flux_{flux.band[0]:g}_{flux.band[1]:g}kev"
            shown[band] = flux.observed, FLUX_UNIT
            shown[f"unabsorbed_{band}"] = flux.unabsorbed, FLUX_UNIT
        return shown


@dataclass(frozen=True)
class FitResult:
    """Fit results of one spectrum, one for each model.

    Attributes:
        net_counts: counts − scaled background in the fitted range.
        n_groups: groups fitted.
        statistic: `chi2datavar` or `cstat`.
        energy_range: keV, the outer edges of the channels noticed.
        models: by name, in the order asked for.
        group_counts: least counts in a group.
    """

    net_counts: float
    n_groups: int
    statistic: str
    energy_range: tuple[float, float]
    models: Mapping[str, ModelFit]
    group_counts: int = 16

    def columns(self) -> dict[str, float | None]:
        """Return the columns of all models; see `ModelFit.columns`."""
        return {name: v for fit in self.models.values() for name, v in fit.columns().items()}

    def units(self) -> dict[str, str]:
        """Return astropy's unit of each column that has one."""
        return {name: unit for fit in self.models.values() for name, unit in fit.units().items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on the fit as a whole."""
        fitted = [fit for fit in self.models.values() if fit.probability is not None]
        best = max(fitted, key=lambda fit: fit.probability or 0.0, default=None)
        if best is None or best.probability is None or best.probability >= _IMPROBABLE:
            return ()
        value = f"is {best.statistic:.1f}"
        if best.expected is None:
            value = f"χ² {value} with {best.dof} degrees of freedom"
        else:
            value = f"C {value}, {best.expected[0]:.0f} ± {best.expected[1]:.0f} expected,"
        return (
            f"no model explains this spectrum: {value} at best ({best.name}, probability "
            f"{best.probability:.1g}), and the limits are too narrow",
        )


def component_names(name: str) -> list[str]:
    """Return the components of a model by name. Raises ValueError for more than two, or unknown."""
    parts = name.split("+")
    if len(parts) > 2:
        raise ValueError(f"model {name!r} has {len(parts)} components: give one or two")
    return [definition.name for definition in model_definitions(parts)]


def components_of(name: str) -> Iterator[tuple[ModelDefinition, str, str]]:
    """Give each component of a model with the names of its shape and normalisation."""
    parts = component_names(name)
    for number, part in enumerate(parts):
        definition = MODELS[part]
        prefix = "" if len(parts) == 1 else f"{part}_"
        if number and parts[0] == part:
            prefix = f"{part}2_"
        yield definition, f"{prefix}{definition.shape_name}", f"{prefix}{definition.norm_name}"


def parameter_units(name: str) -> dict[str, str]:
    """Return the parameters of a model, in order, with their units (astropy's)."""
    units: dict[str, str] = {}
    norms: dict[str, str] = {}
    for definition, shape, norm in components_of(name):
        units[shape] = "keV" if definition.shape_name == "kt" else ""
        norms[norm] = NORM_UNITS.get(definition.name, "")
    return {**units, "nh": "1e20 cm-2", **norms}


def result_of_row(
    table: Mapping[str, NDArray[Any]],
    row: int,
    models: Sequence[str],
    statistic: str,
    energy_range: tuple[float, float],
    group_counts: int = 16,
) -> FitResult:
    """Return the result of one spectrum from a row of the table of `fit_counts`."""

    def number(column: str) -> float | None:
        value = float(table[column][row]) if column in table else np.nan
        return value if np.isfinite(value) else None

    fits = {}
    for definition in model_definitions(models):
        name = definition.name
        if not table[f"{name}_converged"][row]:
            reason = table["reason"][row] or "the fit did not converge"
            fits[name] = ModelFit(name, reason=reason)
            continue
        parameters = {
            short: FittedParameter(
                float(table[f"{name}_{short}"][row]),
                number(f"{name}_{short}_lolim"),
                number(f"{name}_{short}_hilim"),
                unit,
            )
            for short, unit in parameter_units(name).items()
        }
        dof = int(table[f"{name}_dof"][row])
        fits[name] = ModelFit(
            name, parameters, float(table[f"{name}_stat"][row]) * dof, dof, converged=True
        )
    return FitResult(
        net_counts=float(table["net_counts"][row]),
        n_groups=int(table["n_groups"][row]),
        statistic=statistic,
        energy_range=energy_range,
        models=fits,
        group_counts=group_counts,
    )
