"""The `specclip fit` command: spectral fits as in the Chandra Source Catalog."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..describe.measured import fit_lines
from ..models.variables_specclip import BANDS
from .arguments import add_parser, choices_of, positive_int, print_json
from .file_arguments import Origin, SpectrumReader, add_file_arguments

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from ..spectra.fitting.fit import FitResult

DESCRIPTION = """\
Fit the four models of the Chandra Source Catalog to spectra, as the catalogue does: an absorbed
power law, black body, bremsstrahlung and thermal plasma (solar abundance), 0.5–7 keV, at least 16
counts in a group, background subtracted, χ² with the variance of the data, phabs absorption with
the abundances of Anders & Grevesse. Limits are 68 % for one parameter; a limit beyond the bounds of
the parameter is left out (null in JSON).

As in the catalogue, a spectrum with 150 net counts or fewer is not fitted (--min-counts). For few
counts choose --statistic cstat: it keeps the channels that χ² has to leave out, needs no errors
from the data, and allows smaller groups (--group).

  specclip fit acisf01575_001N001_r0085_pha3.fits.gz
  specclip fit --statistic cstat --group 5 --min-counts 20 faint.pi
  specclip fit --json *.pha | jq '.[] | {file, gamma: .powlaw_gamma}'
"""
MODELS = ("powlaw", "bb", "brems", "apec")


def add_command(subparsers: Any) -> None:
    """Add the `fit` command."""
    parser = add_parser(
        subparsers, "fit", "spectral fits as in the Chandra Source Catalog", DESCRIPTION, run
    )
    add_file_arguments(parser)
    parser.add_argument(
        "--models",
        type=choices_of(MODELS),
        default=MODELS,
        metavar="MODEL,…",
        help=f"some of {','.join(MODELS)} (default all)",
    )
    parser.add_argument(
        "--statistic",
        choices=("chi2datavar", "cstat"),
        default="chi2datavar",
        help="cstat is the W statistic if there is a background (default chi2datavar)",
    )
    parser.add_argument(
        "--group",
        type=positive_int,
        default=16,
        metavar="N",
        help="least counts in a group (default 16)",
    )
    parser.add_argument(
        "--energy-range",
        nargs=2,
        type=float,
        default=BANDS["b"],
        metavar=("LOW", "HIGH"),
        help="keV (default 0.5 7)",
    )
    parser.add_argument(
        "--min-counts",
        type=float,
        default=150.0,
        metavar="N",
        help="fit spectra with more net counts than this (default 150)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Fit the spectra of the files; return the exit status."""
    from ..spectra.fitting.fit import fit_spectra

    reader = SpectrumReader(arguments)
    answers = []
    for spectrum, origin in reader:
        try:
            [result] = fit_spectra(
                spectrum,
                arguments.models,
                statistic=arguments.statistic,
                energy_range=tuple(arguments.energy_range),
                group_counts=arguments.group,
                min_net_counts=arguments.min_counts,
            )
        except ValueError as error:
            reader.report(error, origin.file)
            continue
        answers.append(_facts(result, spectrum, origin))
        if not arguments.json:
            print(_text(result, origin))
    if arguments.json:
        print_json(answers)
    return reader.status


def _facts(result: FitResult, spectrum: XRaySpectrum, origin: Origin) -> dict[str, Any]:
    """Return the catalogue's columns of one spectrum, with the settings of the fit."""
    facts: dict[str, Any] = {
        **origin._asdict(),
        "source_name": spectrum.source_name,
        "obsid": spectrum.obsid,
        "net_counts": result.net_counts,
        "groups": result.n_groups,
        "statistic": result.statistic,
        "energy_range_kev": list(result.energy_range),
        **result.columns(),
    }
    for name, fit in result.models.items():
        facts[f"{name}_dof"] = fit.dof
        facts[f"{name}_reason"] = fit.reason
    return facts


def _text(result: FitResult, origin: Origin) -> str:
    low, high = result.energy_range
    lines = [
        f"{result.net_counts:,.1f} net counts in {result.n_groups} groups, "
        f"{low:.2f}–{high:.2f} keV",
        *fit_lines(result),
    ]
    return "\n".join([str(origin), *(f"  {line}" for line in lines)])
