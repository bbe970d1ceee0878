"""Measurements of a described spectrum (spectral fits, variability), and their text output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..formatting import format_number, format_range

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from ..spectra.fitting.result import FitResult, FittedParameter, ModelFit

MODEL_TITLES = {
    "powlaw": "power law",
    "bb": "black body",
    "brems": "bremsstrahlung",
    "apec": "thermal plasma",
    "diskbb": "disc black body",
}
_SYMBOLS = {"gamma": "Γ", "kt": "kT", "nh": "N_H"}
_UNITS = {
    "1e20 cm-2": " ×1e20 cm⁻²",
    "keV": " keV",
    "erg cm-2 s-1": " erg/cm²/s",
    "ph keV-1 cm-2 s-1": " ph/keV/cm²/s",
}


def variability_lines(facts: Mapping[str, Any]) -> list[str]:
    """Format the variability measured by `specclip extract` and stored in a spectrum file."""
    measured = facts.get("variability")
    if not measured:
        return []
    lines = [
        f"variability of {measured['counts']:,.0f} events at 0.5–7 keV in "
        f"{measured['length_s']:,.0f} s, measured"
    ]
    names = [name for name in measured if name not in ("counts", "length_s")]
    for some in (names[:4], names[4:]):
        shown = (f"{name} {format_number(measured[name])}" for name in some)
        lines.append("  " + "  ".join(f"{each:<22}" for each in shown).rstrip())
    return lines


def fit_as_catalogue(spectrum: XRaySpectrum) -> FitResult | None:
    """Fit the four models of the Chandra Source Catalog to a spectrum, as in the catalogue.

    Spectra with too few counts for χ² are fitted by the C-statistic.

    Returns:
        The result, with the reason in each model that could not be fitted; None without RMF or ARF.
    """
    rmf = spectrum.rmf
    if rmf is None or (spectrum.arf is None and not rmf.includes_area):
        return None
    from ..spectra.fitting.fit import CATALOGUE_MODELS, FitResult, ModelFit
    from ..spectra.fitting.spectrum_fit import fit_spectrum

    try:
        return fit_spectrum(spectrum, bands=())
    except ValueError as error:  # no energy resolution, no errors, an empty response
        reason = str(error).removeprefix(f"{spectrum.path}: ")
        models = {name: ModelFit(name, reason=reason) for name in CATALOGUE_MODELS}
        return FitResult(float("nan"), 0, "chi2datavar", spectrum.camera.band, models)


def fit_lines(result: FitResult) -> list[str]:
    """Format a fit: one line per model, or the reason why there is none."""
    symbol = "χ²" if result.statistic == "chi2datavar" else "C"
    reasons = {fit.reason for fit in result.models.values()}
    if len(reasons) == 1 and None not in reasons:
        return [f"not fitted: {reasons.pop()}"]
    lines = []
    for name, fit in result.models.items():
        title = " + ".join(MODEL_TITLES[part] for part in name.split("+"))
        if fit.reason is not None:
            lines.append(f"{title:<15} {fit.reason}")
            continue
        shown = [
            f"{_symbol(short)} {_parameter(parameter)}"
            for short, parameter in fit.parameters.items()
            if short.rpartition("_")[2] in _SYMBOLS
        ]
        lines.append(
            f"{title:<15} {'  '.join(f'{part:<38}' for part in shown)}"
            f"{symbol}/dof {fit.statistic:.1f}/{fit.dof}"
            + (", {:.1f} ± {:.1f} expected".format(*fit.expected) if fit.expected else "")
        )
        if fit.fluxes:
            details = [*_flux_lines(fit), *(f"! {warning}" for warning in fit.warnings)]
            lines += [f"{'':<16}{line}" for line in details]
    return lines + [f"! {warning}" for warning in result.warnings]


def fit_values(result: FitResult | None) -> dict[str, str]:
    """Format fitted parameters by catalogue variable, without units: `1.67 (1.56 – 1.8)`."""
    values = {}
    for name, fit in ({} if result is None else result.models).items():
        for short, parameter in fit.parameters.items():
            values[f"{name}_{short}"] = _parameter(replace(parameter, unit=""))
        if fit.reduced is not None:
            values[f"{name}_stat"] = format_number(fit.reduced)
    return values


def _flux_lines(fit: ModelFit) -> list[str]:
    """Format normalisations and fluxes."""
    norms = [
        f"{short} {_parameter(parameter)}"
        for short, parameter in fit.parameters.items()
        if short.rpartition("_")[2] not in _SYMBOLS
    ]
    lines = ["  ".join(norms)]
    for flux in fit.fluxes:
        low, high = flux.band
        lines.append(
            f"flux {low:g}–{high:g} keV {_parameter(flux.observed)}, "
            f"unabsorbed {_parameter(flux.unabsorbed)}"
        )
    return lines


def _symbol(short: str) -> str:
    """Format the symbol of a parameter: `kT`, or `apec kT` for a component."""
    component, _, name = short.rpartition("_")
    return f"{component} {_SYMBOLS[name]}".strip()


def _parameter(parameter: FittedParameter) -> str:
    """Format a parameter with its unit, such as `0.6 (0.5 – 0.7) keV`."""
    unit = _UNITS.get(parameter.unit, "")
    limits = ""
    if parameter.low is not None or parameter.high is not None:
        limits = f" ({format_range(parameter.low, parameter.high)})"
    return f"{format_number(parameter.value)}{limits}{unit}{' (fixed)' if parameter.fixed else ''}"
