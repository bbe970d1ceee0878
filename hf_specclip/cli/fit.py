"""`specclip fit`: the Chandra Source Catalog's spectral parameters of any spectrum."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from .file_arguments import SpectrumReader, add_file_arguments, print_json

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from ..spectra.fitting.fit import FitResult, FittedParameter

DESCRIPTION = """\
Fit the four models of the Chandra Source Catalog to spectra, the catalogue's way: an absorbed power
law, black body, bremsstrahlung and thermal plasma (solar abundance), 0.5–7 keV, at least 16 counts
in a group, background subtracted, χ² with the variance of the data, phabs absorption with the
abundances of Anders & Grevesse. Limits are 68 % for one parameter; one is left out (null in JSON)
where the parameter's bound is met first.

A spectrum with 150 net counts or fewer is not fitted, as in the catalogue (--min-counts). With few
counts --statistic cstat is the better choice: it keeps the channels χ² has to leave out, needs no
errors from the data, and bears smaller groups (--group).

  specclip fit acisf01575_001N001_r0085_pha3.fits.gz
  specclip fit --statistic cstat --group 5 --min-counts 20 faint.pi
  specclip fit --json *.pha | jq '.[] | {file, gamma: .powlaw_gamma}'
"""
MODELS = ("powlaw", "bb", "brems", "apec")
TITLES = {
    "powlaw": "power law",
    "bb": "black body",
    "brems": "bremsstrahlung",
    "apec": "thermal plasma",
}
SYMBOLS = {"gamma": "Γ", "kt": "kT", "nh": "N_H"}


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `fit` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "fit",
        help="the catalogue's spectral parameters of a spectrum",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_file_arguments(parser)
    parser.add_argument(
        "--models",
        type=_models,
        default=MODELS,
        metavar="MODEL,…",
        help=f"some of {','.join(MODELS)} (default all)",
    )
    parser.add_argument(
        "--statistic",
        choices=("chi2datavar", "cstat"),
        default="chi2datavar",
        help="cstat is W where there is a background (default chi2datavar)",
    )
    parser.add_argument(
        "--group", type=_count, default=16, metavar="N", help="counts in a group (default 16)"
    )
    parser.add_argument(
        "--energy-range",
        nargs=2,
        type=float,
        default=(0.5, 7.0),
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
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Fit the spectra of the files; 1 where a file could not be read or fitted, else 0."""
    from ..spectra.fitting.fit import fit_spectra

    reader = SpectrumReader(arguments)
    status, found = 0, []
    for spectrum, place in reader:
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
            message = str(error)
            where = "" if place["file"] in message else f"{place['file']}: "
            print(f"specclip: {where}{message}", file=sys.stderr)
            status = 1
            continue
        found.append(_facts(result, spectrum, place))
        if not arguments.json:
            print(_text(result, found[-1]))
    if arguments.json:
        print_json(found)
    return max(status, reader.status)


def _facts(result: FitResult, spectrum: XRaySpectrum, place: dict[str, Any]) -> dict[str, Any]:
    """What is said of one spectrum: the catalogue's columns, and what they were found with."""
    facts: dict[str, Any] = {
        **place,
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


def _text(result: FitResult, facts: dict[str, Any]) -> str:
    title = facts["file"] + (f"  [row {facts['row']}]" if facts["row"] is not None else "")
    low, high = result.energy_range
    lines = [
        title,
        f"  {result.net_counts:,.1f} net counts in {result.n_groups} groups, "
        f"{low:.2f}–{high:.2f} keV",
    ]
    name_of = "χ²" if result.statistic == "chi2datavar" else "C"
    reasons = {fit.reason for fit in result.models.values()}
    if len(reasons) == 1 and None not in reasons:
        return "\n".join([*lines, f"  not fitted: {reasons.pop()}"])
    for name, fit in result.models.items():
        if fit.reason is not None:
            lines.append(f"  {TITLES[name]:<16}{fit.reason}")
            continue
        shown = [
            f"{SYMBOLS[short]} {_value(parameter)}"
            for short, parameter in fit.parameters.items()
            if short in SYMBOLS
        ]
        lines.append(
            f"  {TITLES[name]:<16}{'  '.join(f'{part:<38}' for part in shown)}"
            f"{name_of}/dof {fit.statistic:.1f}/{fit.dof}"
        )
    return "\n".join(lines)


def _value(parameter: FittedParameter) -> str:
    """Such as ``1.67 (1.56 – 1.80)`` with the unit."""
    unit = {"1e20 cm-2": " ×1e20 cm⁻²", "keV": " keV"}.get(parameter.unit, "")
    low, high = ("" if end is None else f"{end:.3g}" for end in (parameter.low, parameter.high))
    if low and high:
        ends = f" ({low} – {high})"
    else:
        ends = f" (from {low})" if low else f" (up to {high})" if high else ""
    return f"{parameter.value:.3g}{ends}{unit}"


def _models(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in MODELS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {','.join(MODELS)}")
    return names


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


__all__ = ["add_command", "run"]
