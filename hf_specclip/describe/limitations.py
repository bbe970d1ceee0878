"""Limitations of a model for spectra unlike its training data, and the results to withhold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ..formatting import format_number
from ..spectra.facts import ACIS_FRAME, PILE_UP_NOTED

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from ..spectra.instruments import Instrument

# Ranges of net counts, exposure (s) and maximum effective area (cm²) of the training spectra: 0.1
# and 99.9 % quantiles of 11,447 pairs, simulated like the Chandra Source Catalog 2.1.
TRAINED_COUNTS = (20, 60_000)
TRAINED_EXPOSURE = (1_500.0, 190_000.0)
TRAINED_AREA = (340.0, 750.0)
TRAINED_ENERGIES = (0.5, 7.0)
_MAX_BAD_KEV = 0.5
_FEW_COUNTS = 100
# Piled-up fraction of the events from which results are withheld.
_MAX_PILE_UP = 0.10
# Equivalent radius of the aperture, arcsec: smaller than the first near the optical axis, larger
# than the second for an extended or far off-axis source. BACKSCAL of CIAO is a fraction of
# 8192 × 8192 sky pixels of 0.492″.
_COMPACT_RADIUS, _LARGE_RADIUS = 5.0, 30.0
_SKY_ARCSEC2 = (8192 * 0.492) ** 2
_MAX_BACKSCAL = 1e-2

VARIABILITY = ("var_prob_b", "var_index_b", "var_sigma_b", "var_inter_prob_b")
NO_TIMES = "a spectrum contains no arrival times"
INFERRED = ("classes", "variables", "outlier")
EVERYTHING = ("literature", "similar", *INFERRED)


@dataclass(frozen=True)
class Limitation:
    """Property of a spectrum that a model was not trained for.

    Attributes:
        text: sentence for the user.
        withheld: sections of a description, or variables, that are withheld.
    """

    text: str
    withheld: tuple[str, ...] = ()


def find_limitations(
    spectrum: XRaySpectrum, facts: Mapping[str, Any], *, needs_area: bool = True
) -> tuple[Limitation, ...]:
    """List the properties of a spectrum beyond the range of the training spectra.

    Args:
        spectrum: the spectrum.
        facts: see `spectrum_facts`.
        needs_area: True if the model uses the effective area.
    """
    radius, camera = _aperture_radius(spectrum), spectrum.camera
    limitations = [*instrument_limitations(spectrum, needs_area=needs_area)]
    if spectrum.hduclas2 == "BKG":
        limitations.append(
            Limitation("the file is marked as a background spectrum (HDUCLAS2 = BKG)")
        )
    limitations += _energies(facts, spectrum)
    limitations += [*_counts_and_exposure(facts, camera), *_pile_up(facts, radius)]
    return (*limitations, *_extent(facts, radius))


def reasons_to_withhold(limitations: Sequence[Limitation]) -> dict[str, str]:
    """Return the reason for each withheld section or variable.

    Variability is always withheld, since spectra contain no arrival times.
    """
    reasons = {
        name: limitation.text
        for limitation in reversed(limitations)
        for name in limitation.withheld
    }
    return reasons | dict.fromkeys(VARIABILITY, NO_TIMES)


def instrument_limitations(
    spectrum: XRaySpectrum, *, needs_area: bool = True
) -> Iterator[Limitation]:
    """List the limitations due to the instrument, the effective area and the errors of a spectrum.

    Args:
        spectrum: the spectrum.
        needs_area: True if the model uses the effective area.
    """
    camera = spectrum.camera
    if not camera.resolves_energies:
        text = (
            f"{camera.name} has no energy resolution: this is not a spectrum; use an ACIS "
            "observation"
        )
        yield Limitation(text, EVERYTHING)
    elif camera.dispersed:
        text = (
            f"dispersed spectrum ({camera.name}): the model was trained on Chandra ACIS imaging "
            "spectra; fit it with its RMF and ARF (specclip fit)"
        )
        yield Limitation(text, INFERRED)
    elif not camera.imaging_ccd:
        text = (
            f"observed with {camera.name}: the model was trained on Chandra ACIS, which differs in "
            "effective area, resolution and catalogue; fit it with its RMF and ARF (specclip fit)"
        )
        yield Limitation(text, INFERRED)
    elif spectrum.path is not None and not camera.stated_camera:
        yield Limitation("the file does not state the instrument: Chandra ACIS is assumed")
    if needs_area and not spectrum.has_area:
        text = (
            "the effective area is unknown (no ARF), and all model results depend on it: place "
            "the ARF next to the spectrum or pass --arf"
        )
        yield Limitation(text, EVERYTHING)
    elif camera.grating and camera.imaging_ccd:
        text = f"observed with {camera.grating}, unlike the training spectra"
        if spectrum.has_area:
            text += ": zeroth order is assumed, and its effective area is corrected for"
        yield Limitation(text, () if spectrum.has_area else INFERRED)
    if not spectrum.are_poisson:
        net = spectrum.hduclas2 == "NET"
        why = "background already subtracted, HDUCLAS2 = NET" if net else "POISSERR = F"
        text = f"not Poisson counts ({why}): the model needs the original counts"
        yield Limitation(text, EVERYTHING)


def _energies(facts: Mapping[str, Any], spectrum: XRaySpectrum) -> Iterator[Limitation]:
    low, high = facts["energy_range_kev"]
    if low > TRAINED_ENERGIES[0] + 0.1 or high < TRAINED_ENERGIES[1] - 0.5:
        text = (
            f"the channels cover {low:.2g}–{high:.2g} keV, not "
            f"{TRAINED_ENERGIES[0]:g}–{TRAINED_ENERGIES[1]:g} keV"
        )
        yield Limitation(text, EVERYTHING)
    share = 1.0 - float(spectrum.good_share(np.array(TRAINED_ENERGIES))[0])
    lost = share * (TRAINED_ENERGIES[1] - TRAINED_ENERGIES[0])
    if lost > _MAX_BAD_KEV:
        text = f"bad channels (QUALITY) cover {lost:.2g} keV of the 0.5–7 keV that the model needs"
        yield Limitation(text, EVERYTHING)


def _counts_and_exposure(facts: Mapping[str, Any], camera: Instrument) -> Iterator[Limitation]:
    net, counts = facts["net_counts_0.5_8kev"], facts["counts_0.5_8kev"]
    low, high = TRAINED_COUNTS
    if net < low:
        text = f"{net:.0f} net counts: the model was trained on {low} or more"
        yield Limitation(text, INFERRED)
    elif counts < _FEW_COUNTS:
        yield Limitation(
            f"only {counts:.0f} counts at 0.5–8 keV: estimates are dominated by the prior"
        )
    elif net > high:
        yield Limitation(
            f"{net:,.0f} net counts: the model was trained on up to {high:,}; its intervals are "
            "too wide here, use the fit"
        )
    shortest, longest = TRAINED_EXPOSURE
    if not shortest <= facts["exposure_s"] <= longest:
        exposure = format_number(facts["exposure_s"] / 1000)
        yield Limitation(
            f"exposure of {exposure} ks: the model was trained on "
            f"{shortest / 1000:g}–{longest / 1000:g} ks"
        )
    area = facts["effective_area_max_cm2"]
    plain = camera.imaging_ccd and not camera.grating
    if area is not None and plain and not TRAINED_AREA[0] <= area <= TRAINED_AREA[1]:
        yield Limitation(
            f"maximum effective area of {area:,.0f} cm²: the model was trained on "
            f"{TRAINED_AREA[0]:g}–{TRAINED_AREA[1]:g} cm²"
        )


def _pile_up(facts: Mapping[str, Any], radius: float | None) -> Iterator[Limitation]:
    share, stated = facts["pile_up_share"], facts["frame_time_s"]
    if share is None or share < PILE_UP_NOTED:
        return
    per_frame = facts["counts_0.5_8kev"] / facts["exposure_s"] * (stated or ACIS_FRAME)
    frame = f"{stated:.2g} s" if stated else f"{ACIS_FRAME:g} s assumed"
    # Off axis, the counts are spread over many event islands.
    compact = radius is None or radius < _COMPACT_RADIUS
    yield Limitation(
        f"{per_frame:.2g} counts per frame ({frame}): about {100 * share:.0f} % of the events are "
        "piled up if the source is near the optical axis, which hardens the spectrum",
        INFERRED if share >= _MAX_PILE_UP and compact else (),
    )


def _aperture_radius(spectrum: XRaySpectrum) -> float | None:
    """Return the equivalent radius of a Chandra aperture, arcsec; None if unknown."""
    share = float(np.mean(spectrum.backscal))
    if not spectrum.camera.chandra or not 0 < share < _MAX_BACKSCAL:
        return None
    return sqrt(share * _SKY_ARCSEC2 / pi)


def _extent(facts: Mapping[str, Any], radius: float | None) -> Iterator[Limitation]:
    name = str(facts["source_name"] or "")
    if name.upper().startswith(("2CXO", "CXO")) and name.upper().endswith("X"):
        yield Limitation(
            "extended source in the catalogue: flux and variability are measured differently"
        )
    if radius is not None and radius > _LARGE_RADIUS:
        yield Limitation(
            f"large aperture (equivalent radius {radius:.0f}″): extended or far off-axis sources "
            "are rare in the training data"
        )
