"""Fit result: values, limits, and the catalogue's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .models import MODELS, model_definitions

__all__ = ["FitResult", "FittedParameter", "ModelFit", "result_of_row"]


@dataclass(frozen=True)
class FittedParameter:
    """Best value and 68 % limits; a limit is None where a bound is met first.

    Attributes:
        value: in the catalogue's unit.
        low, high: where the statistic, minimised over the other parameters, has risen by 1.
        unit: "keV", "1e20 cm-2", or "" for numbers.
    """

    value: float
    low: float | None
    high: float | None
    unit: str = ""


@dataclass(frozen=True)
class ModelFit:
    """Fit of one model to one spectrum.

    Attributes:
        name: `powlaw`, `bb`, `brems` or `apec`.
        parameters: `gamma` or `kt` (keV), `nh` (1e20 cm⁻²) and `ampl` or `norm` (XSPEC's units, no
            limits); empty where there is no fit.
        statistic: its value at the best fit (χ², C or W), or None.
        dof: degrees of freedom, groups − 3, or None.
        converged: whether a minimum was found.
        reason: why there is no fit, or None.
    """

    name: str
    parameters: Mapping[str, FittedParameter] = field(default_factory=dict)
    statistic: float | None = None
    dof: int | None = None
    converged: bool = False
    reason: str | None = None

    @property
    def reduced(self) -> float | None:
        """Statistic over degrees of freedom: the catalogue's `*_stat`."""
        return None if self.statistic is None or not self.dof else self.statistic / self.dof


@dataclass(frozen=True)
class FitResult:
    """Fit results of one spectrum, one for each model.

    Attributes:
        net_counts: counts − scaled background in the fitted range.
        n_groups: groups fitted.
        statistic: `chi2datavar` or `cstat`.
        energy_range: keV, the outer edges of the channels noticed.
        models: by name, in the order asked for.
    """

    net_counts: float
    n_groups: int
    statistic: str
    energy_range: tuple[float, float]
    models: Mapping[str, ModelFit]

    def columns(self) -> dict[str, float | None]:
        """Return the catalogue's columns, None where it would have none.

        ``powlaw_gamma``, ``powlaw_gamma_lolim``, ``powlaw_gamma_hilim``, ``powlaw_nh``, …,
        ``powlaw_ampl``, ``powlaw_stat`` (reduced), and so on for each model.
        """
        columns: dict[str, float | None] = {}
        for name, fit in self.models.items():
            definition = MODELS[name]
            for short in (definition.shape_name, "nh"):
                for end, field_name in (("", "value"), ("_lolim", "low"), ("_hilim", "high")):
                    value = getattr(fit.parameters.get(short), field_name, None)
                    columns[f"{name}_{short}{end}"] = value
            norm = fit.parameters.get(definition.norm_name)
            columns[f"{name}_{definition.norm_name}"] = norm.value if norm else None
            columns[f"{name}_stat"] = fit.reduced
        return columns


def result_of_row(
    table: Mapping[str, NDArray[Any]],
    row: int,
    models: Sequence[str],
    statistic: str,
    energy_range: tuple[float, float],
) -> FitResult:
    """Return the result of one spectrum from the table of many.

    Args:
        table: as `fit_counts` returns it.
        row: of the spectrum.
        models: names of those fitted.
        statistic: `chi2datavar` or `cstat`.
        energy_range: keV, the outer edges of the channels noticed.
    """

    def number(column: str) -> float | None:
        value = float(table[column][row])
        return value if np.isfinite(value) else None

    fits = {}
    for definition in model_definitions(models):
        name, shape = definition.name, definition.shape_name
        if not table[f"{name}_converged"][row]:
            reason = table["reason"][row] or "the fit did not converge"
            fits[name] = ModelFit(name, reason=reason)
            continue
        parameters = {}
        for short, unit in ((shape, "keV" if shape == "kt" else ""), ("nh", "1e20 cm-2")):
            low, high = number(f"{name}_{short}_lolim"), number(f"{name}_{short}_hilim")
            parameters[short] = FittedParameter(
                float(table[f"{name}_{short}"][row]), low, high, unit
            )
        norm = float(table[f"{name}_{definition.norm_name}"][row])
        parameters[definition.norm_name] = FittedParameter(norm, None, None)
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
    )
