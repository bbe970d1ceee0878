"""The `specclip fit` command: spectral fits, by default as in the Chandra Source Catalog."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..describe.measured import MODEL_TITLES, fit_lines
from .arguments import (
    add_parser,
    add_plot_option,
    comma_separated,
    numbered_path,
    positive_int,
    print_json,
)
from .file_arguments import Origin, SpectrumReader, add_file_arguments

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum
    from ..spectra.fitting.result import FitResult

DESCRIPTION = """\
Fit absorbed spectral models. The defaults follow the Chandra Source Catalog: power law, black body,
bremsstrahlung and thermal plasma (solar abundances); 0.5–7 keV; at least 16 counts per group;
background subtracted; χ² with data variance; phabs with Anders & Grevesse abundances. Confidence
limits are 68 % for one parameter; a limit outside the parameter bounds is omitted (null in JSON).

The components of a sum share one column density (--model apec+powlaw). Spectra with 20 to 150 net
counts, for which χ² is biased, are fitted with the C-statistic (W statistic with a background) in
groups of 5. The default band is 0.5–7 keV for Chandra, 0.3–10 for XMM and Swift, 3–79 for NuSTAR.

  specclip fit acisf01575_001N001_r0085_pha3.fits.gz
  specclip fit --model apec+powlaw --nh 2.5e20 --redshift 0.1 --plot fit.png source.pi
  specclip fit --band 2 10 -o fits.ecsv *.pha
  specclip fit --json *.pha | jq '.[] | {file, gamma: .powlaw_gamma}'
"""
MODELS = ("powlaw", "bb", "brems", "apec")
FLUX_BAND = (0.5, 7.0)
# Columns of a table beside those of the models.
COLUMNS: dict[str, type] = {
    "file": str,
    "row": int,
    "source_name": str,
    "obsid": int,
    "net_counts": float,
    "groups": int,
    "statistic": str,
    "energy_low": float,
    "energy_high": float,
    "redshift": float,
    "warnings": str,
    "notes": str,
}


def add_command(subparsers: Any) -> None:
    """Add the `fit` command."""
    parser = add_parser(subparsers, "fit", "spectral fits, as in the catalogue", DESCRIPTION, run)
    add_file_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write a table: .ecsv, .fits or .parquet"
    )
    add_plot_option(parser, "data, folded models and residuals")
    parser.add_argument(
        "--model",
        type=_model_names,
        default=MODELS,
        metavar="MODEL,…",
        help=f"some of {', '.join(MODEL_TITLES)}, or two with + between them (default "
        f"{','.join(MODELS)})",
    )
    parser.add_argument(
        "--nh",
        type=_column,
        metavar="N",
        help="fix the column density at N cm⁻² (such as 2.5e20)",
    )
    parser.add_argument(
        "--redshift", type=float, default=0.0, metavar="Z", help="of the source (default 0)"
    )
    parser.add_argument(
        "--statistic",
        choices=("auto", "chi2datavar", "cstat"),
        default="auto",
        help="cstat is the W statistic if there is a background (default: depends on the counts)",
    )
    parser.add_argument(
        "--group",
        type=positive_int,
        metavar="N",
        help="minimum counts per group (default 16, 5 with cstat)",
    )
    energies: dict[str, Any] = {"nargs": 2, "type": float, "metavar": ("LOW", "HIGH")}
    parser.add_argument(
        "--energy-range", **energies, help="fitted band, keV (default: depends on the instrument)"
    )
    parser.add_argument(
        "--band",
        **energies,
        action="append",
        default=[],
        help="additional band for fluxes besides 0.5–7, keV (repeat)",
    )
    parser.add_argument(
        "--min-counts",
        type=float,
        metavar="N",
        help="fit spectra with more net counts than this (default 150, 20 with cstat)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Fit the spectra of the files; return the exit status."""
    from ..spectra.fitting.spectrum_fit import fit_spectrum
    from .tables import check_format, write_table

    if arguments.output is not None:
        check_format(arguments.output)  # before the work, not after it
    reader = SpectrumReader(arguments)
    answers: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    units: dict[str, str] = {}
    for spectrum, origin in reader:
        try:
            result = fit_spectrum(
                spectrum,
                arguments.model,
                statistic=arguments.statistic,
                energy_range=tuple(arguments.energy_range) if arguments.energy_range else None,
                group_counts=arguments.group,
                min_net_counts=arguments.min_counts,
                nh=None if arguments.nh is None else arguments.nh / 1e20,
                redshift=arguments.redshift,
                bands=list(dict.fromkeys([FLUX_BAND, *map(tuple, arguments.band)])),
            )
        except ValueError as error:
            reader.report(error, origin.file)
            continue
        answers.append(_facts(result, spectrum, origin, arguments.redshift))
        rows.append(_row(answers[-1]))
        units |= result.units()
        if arguments.plot:
            _plot(spectrum, result, numbered_path(arguments.plot, len(answers)))
        if not arguments.json:
            print(_text(result, answers[-1]["notes"], origin))
    if rows and arguments.output is not None:
        names = dict.fromkeys(name for row in rows for name in row)  # no fit, no fluxes
        types = {name: COLUMNS.get(name) or _type(name) for name in names}
        rows = [{name: row.get(name) for name in names} for row in rows]
        write_table(rows, arguments.output, types, units)
    if arguments.json:
        print_json(answers)
    return reader.status


def _facts(
    result: FitResult, spectrum: XRaySpectrum, origin: Origin, redshift: float
) -> dict[str, Any]:
    """Return the catalogue's columns of one spectrum, with the settings of the fit."""
    from ..spectra.facts import notes_of, spectrum_facts

    facts: dict[str, Any] = {
        **origin._asdict(),
        "source_name": spectrum.source_name,
        "obsid": spectrum.obsid,
        "net_counts": result.net_counts,
        "groups": result.n_groups,
        "statistic": result.statistic,
        "energy_range_kev": list(result.energy_range),
        "redshift": redshift,
        "warnings": list(result.warnings),
        "notes": notes_of(spectrum_facts(spectrum)),
        **result.columns(),
    }
    for name, fit in result.models.items():
        facts[f"{name}_dof"] = fit.dof
        facts[f"{name}_probability"] = fit.probability
        expected = fit.expected or (None, None)
        facts[f"{name}_expected"], facts[f"{name}_expected_error"] = expected
        facts[f"{name}_reason"] = fit.reason
        facts[f"{name}_warnings"] = list(fit.warnings)
    return facts


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as a row of a table: lists become texts or columns of their own."""
    row = dict(facts)
    row["energy_low"], row["energy_high"] = row.pop("energy_range_kev")
    return {
        name: "; ".join(value) if isinstance(value, list) else value for name, value in row.items()
    }


def _type(name: str) -> type:
    if name.endswith(("_reason", "_warnings")):
        return str
    return int if name.endswith("_dof") else float


def _text(result: FitResult, notes: Sequence[str], origin: Origin) -> str:
    low, high = result.energy_range
    lines = [
        f"{result.net_counts:,.1f} net counts in {result.n_groups} groups, "
        f"{low:.2f}–{high:.2f} keV",
        *fit_lines(result),
        *(f"note: {note}" for note in notes),
    ]
    return "\n".join([str(origin), *(f"  {line}" for line in lines)])


def _plot(spectrum: XRaySpectrum, result: FitResult, path: Path) -> None:
    from ..spectra.plot import make_figure
    from ..spectra.plot_fit import draw_fit

    figure = make_figure(7.2, 5.6)
    draw_fit(spectrum, result, figure)
    figure.savefig(path, dpi=150)


def _model_names(text: str) -> tuple[str, ...]:
    """Parse names of models with commas between them, each of one or two components."""
    names = tuple(name.replace(" ", "") for name in comma_separated(text))
    for name in names:
        parts = name.split("+")
        if len(parts) > 2 or any(part not in MODEL_TITLES for part in parts):
            known = ", ".join(MODEL_TITLES)
            raise argparse.ArgumentTypeError(
                f"{name!r}: give {known}, or two of them with + between"
            )
    if not names:
        raise argparse.ArgumentTypeError("name a model")
    return names


def _column(text: str) -> float:
    """Parse a column density: a number of cm⁻², or a quantity such as `2.5e20 cm-2`."""
    from astropy.units import Quantity

    try:
        quantity = Quantity(text)
        value = float(quantity.value if quantity.unit == "" else quantity.to_value("cm-2"))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a column density in cm⁻²") from None
    if not (value == 0 or 1e16 <= value <= 1e25):
        raise argparse.ArgumentTypeError(
            f"{text} cm⁻² is not a plausible column density: give it in cm⁻², such as 2.5e20"
        )
    return value
