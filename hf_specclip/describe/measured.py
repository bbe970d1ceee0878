"""Own fit of a described spectrum, and its lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formatting import format_number, format_range

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from ..spectra.fitting.result import FitResult, FittedParameter

# The catalogue fits spectra with more net counts, by χ² in groups of 16.
_CATALOGUE_COUNTS = 150.0
# Below, the C-statistic in smaller groups, for more net counts than this.
_LEAST_COUNTS, _SMALL_GROUP = 20.0, 5

MODEL_TITLES = {
    "powlaw": "power law",
    "bb": "black body",
    "brems": "bremsstrahlung",
    "apec": "thermal plasma",
}
_SYMBOLS = {"gamma": "Γ", "kt": "kT", "nh": "N_H"}


def fit_as_catalogue(spectrum: XRaySpectrum) -> FitResult | None:
    """Fit the four models of the Chandra Source Catalog to a spectrum, as the catalogue does.

    Spectra with too few counts for that are fitted by the C-statistic.

    Returns:
        The result, None without RMF and ARF.
    """
    rmf = spectrum.rmf
    if rmf is None or (spectrum.arf is None and not rmf.includes_area):
        return None
    from ..spectra.fitting.fit import fit_spectra

    try:
        [result] = fit_spectra(spectrum)
        if result.net_counts > _CATALOGUE_COUNTS:
            return result
        [result] = fit_spectra(
            spectrum,
            statistic="cstat",
            group_counts=_SMALL_GROUP,
            min_net_counts=_LEAST_COUNTS,
        )
    except ValueError:  # a response that records nothing, or is too large
        return None
    return result


def fit_lines(result: FitResult) -> list[str]:
    """Write a fit as lines: one reason, or one line a model."""
    symbol = "χ²" if result.statistic == "chi2datavar" else "C"
    reasons = {fit.reason for fit in result.models.values()}
    if len(reasons) == 1 and None not in reasons:
        return [f"not fitted: {reasons.pop()}"]
    lines = []
    for name, fit in result.models.items():
        if fit.reason is not None:
            lines.append(f"{MODEL_TITLES[name]:<16}{fit.reason}")
            continue
        shown = [
            f"{_SYMBOLS[short]} {_parameter(parameter)}"
            for short, parameter in fit.parameters.items()
            if short in _SYMBOLS
        ]
        lines.append(
            f"{MODEL_TITLES[name]:<16}{'  '.join(f'{part:<38}' for part in shown)}"
            f"{symbol}/dof {fit.statistic:.1f}/{fit.dof}"
        )
    return lines


def _parameter(parameter: FittedParameter) -> str:
    """Write such as `1.67 (1.56 – 1.8)` with the unit."""
    unit = {"1e20 cm-2": " ×1e20 cm⁻²", "keV": " keV"}.get(parameter.unit, "")
    limits = ""
    if parameter.low is not None or parameter.high is not None:
        limits = f" ({format_range(parameter.low, parameter.high)})"
    return f"{format_number(parameter.value)}{limits}{unit}"


__all__ = ["MODEL_TITLES", "fit_as_catalogue", "fit_lines"]
