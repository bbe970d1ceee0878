"""Sentences on methods and scope: abstracts hold much that no spectrum shows."""

from __future__ import annotations

from ...reporter import Reporter

METHODS = (
    "Astrometry was tied to {survey} with a residual of {tenth:.1f} arcsec.",
    "A search of {survey} images within {tenth:.1f} arcsec yields {few} possible counterparts.",
    "The probability of a chance coincidence is put at {percent} per cent.",
    "Source properties were extracted with the standard pipeline and checked by eye.",
    "Simultaneous radio observations at {ghz} GHz gave an upper limit only.",
    "Photometry in {few} bands was used to model the spectral energy distribution.",
    "Spectroscopy with a {metres} m telescope was attempted under poor seeing.",
    "Archival plates going back {decades} decades show nothing unusual.",
    "A machine-learning classifier gives the adopted class a score of {score:.2f}.",
    "The authors caution that crowding may affect the photometry.",
    "Extinction was taken from dust maps and assumed to be foreground.",
    "Selection effects were treated with simulations of artificial sources.",
    "The sample is complete to about {percent} per cent at the flux limit.",
    "Follow-up with {survey} is under way.",
    "Results were compared with those from XMM-Newton, and agree within the errors.",
    "Swift monitored the position for {few} weeks.",
    "A Bayesian block analysis was run on the combined event list.",
    "No counterpart is listed in catalogues of gamma-ray sources.",
    "The mid-infrared colours place it away from the stellar locus.",
    "Distances come from {survey} where it has them and from the host otherwise.",
    "Earlier claims rest on a position that was wrong by {arcsec} arcsec.",
    "The referee's question about pile-up is answered in an appendix.",
    "Spectra were grouped, and models compared by likelihood ratios.",
    "Data from {few} epochs were stacked before detection.",
)
_SURVEYS = ("Gaia", "2MASS", "Pan-STARRS", "WISE", "SDSS", "Spitzer", "the VLA", "DECam", "UKIDSS")


def method(reporter: Reporter, template: str) -> str:
    """Write one of the sentences of `METHODS`, filled in with numbers that carry no information."""
    random = reporter.random
    return template.format(
        survey=_SURVEYS[random.randrange(len(_SURVEYS))],
        tenth=random.uniform(0.1, 1.5),
        few=random.randrange(2, 9),
        percent=random.randrange(1, 95),
        ghz=(1.4, 3, 5.5, 9)[random.randrange(4)],
        metres=(2.5, 4, 6.5, 8, 10)[random.randrange(5)],
        decades=random.randrange(2, 10),
        score=random.uniform(0.5, 0.99),
        arcsec=random.randrange(2, 40),
    )


__all__ = ["METHODS", "method"]
