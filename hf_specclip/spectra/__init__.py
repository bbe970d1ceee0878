"""X-ray spectra: OGIP files in, responses, rebinning, models and plots.

Everything is loaded on first use; importing this package costs nothing and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "EffectiveArea": "response",
    "FitResult": "fit_result",
    "RedistributionMatrix": "response",
    "SpectrumFileError": "errors",
    "XRaySpectrum": "spectrum",
    "background_seed": "rebin",
    "deal_counts": "rebin",
    "deal_counts_batch": "rebin",
    "detection_seed": "rebin",
    "energy_grid": "rebin",
    "fit_counts": "fit",
    "fit_spectra": "fit",
    "overlap_fractions": "rebin",
    "plot_spectrum": "plot",
    "read_arf": "ogip_response",
    "read_rmf": "ogip_response",
    "read_spectra": "ogip",
    "read_spectrum": "ogip",
    "rebin_model": "rebin",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from .errors import SpectrumFileError as SpectrumFileError
    from .fit import fit_counts as fit_counts
    from .fit import fit_spectra as fit_spectra
    from .fit_result import FitResult as FitResult
    from .ogip import read_spectra as read_spectra
    from .ogip import read_spectrum as read_spectrum
    from .ogip_response import read_arf as read_arf
    from .ogip_response import read_rmf as read_rmf
    from .plot import plot_spectrum as plot_spectrum
    from .rebin import background_seed as background_seed
    from .rebin import deal_counts as deal_counts
    from .rebin import deal_counts_batch as deal_counts_batch
    from .rebin import detection_seed as detection_seed
    from .rebin import energy_grid as energy_grid
    from .rebin import overlap_fractions as overlap_fractions
    from .rebin import rebin_model as rebin_model
    from .response import EffectiveArea as EffectiveArea
    from .response import RedistributionMatrix as RedistributionMatrix
    from .spectrum import XRaySpectrum as XRaySpectrum


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
