"""The `specclip inspect` command: content of spectrum files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..describe.measured import variability_lines
from ..formatting import format_number
from .arguments import add_parser, add_plot_option, numbered_path, print_json
from .file_arguments import SpectrumReader, add_file_arguments
from .run_command import tell

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

DESCRIPTION = """\
Read spectra (PHA I or II) with their responses and background, and print their content.

ARF, RMF and background are located from the header or in the same folder; the file names of the
Chandra Source Catalog (…_pha3 → …_arf3, …_rmf3) and gzipped files are supported.

Position, date and grating are taken from the header. Links to SIMBAD, NED, ADS and the Chandra
Source Catalog at this position are printed; no request is sent.

  specclip inspect source.pi
  specclip inspect --json source.pi | jq '.[].exposure_s'
  specclip inspect --plot source.png source.pi
"""


def add_command(subparsers: Any) -> None:
    """Add the `inspect` command."""
    parser = add_parser(subparsers, "inspect", "content of spectrum files", DESCRIPTION, run)
    add_plot_option(parser, "the spectrum")
    add_file_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the content of the files; return the exit status."""
    from ..describe.neighbours import position_links
    from ..spectra.facts import spectrum_facts

    reader = SpectrumReader(arguments, need_energies=False)
    answers = []
    for spectrum, origin in reader:
        facts = spectrum_facts(spectrum)
        facts["links"] = position_links(facts)
        answers.append({**origin._asdict(), **facts})
        if arguments.plot:
            try:
                _plot(spectrum, numbered_path(arguments.plot, len(answers)))
            except ValueError as error:  # unknown energies, or no counts to draw
                reader.report(error, origin.file)
        if not arguments.json:
            print(origin)
            for label, text in _lines(facts):
                print(f"  {label:<13} {text}")
    if arguments.json:
        print_json(answers)
    return reader.status


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the label and text of each line."""
    from ..spectra.facts import notes_of

    if facts["source_name"]:
        yield "source", facts["source_name"]
    observation = [
        f"{label} {facts[name]}"
        for name, label in (("obsid", "ObsID"), ("obi", "OBI"), ("region_id", "region"))
        if facts[name] is not None
    ]
    if observation:
        yield "observation", ", ".join(observation)
    detector, instrument = facts["detector"] or "", facts["instrument"] or ""
    camera = detector if detector.startswith(instrument) else f"{instrument} {detector}"
    parts = [facts["telescope"], camera.strip(), facts["grating"], facts["order"]]
    if any(parts):
        yield "instrument", " ".join(part for part in parts if part)
    for label, prefix in (("position", ""), ("target", "target_")):
        if facts[f"{prefix}ra"] is not None and facts[f"{prefix}dec"] is not None:
            yield label, _position(facts[f"{prefix}ra"], facts[f"{prefix}dec"])
    if facts["date"]:
        yield "date", facts["date"]
    yield "exposure", f"{facts['exposure_s']:,.1f} s"
    bad = f", {facts['bad_channels']:,} bad (QUALITY) left out" if facts["bad_channels"] else ""
    yield "channels", f"{facts['channels']:,}{bad}, {_energies(facts)}"
    known = facts["energy_range_kev"] is not None
    band = f", {_count(facts['counts_0.5_8kev'])} at 0.5–8 keV" if known else ""
    yield "counts", f"{_count(facts['total_counts'])} in all{band}"
    if facts["background_total_counts"] is None:
        yield "background", "none found"
    else:
        scale = facts["background_scale"]
        factor = "" if scale is None else f", × {scale:.4g} in the aperture"
        counts = _count(facts["background_total_counts"])
        yield "background", f"{counts} counts in its region{factor}"
    if known:
        yield (
            "net",
            f"{facts['net_counts_0.5_8kev']:,.1f} ± {facts['net_counts_error_0.5_8kev']:,.1f} "
            f"counts, {facts['net_rate_0.5_8kev_per_s']:.4g} ct/s at 0.5–8 keV",
        )
    peak = facts["effective_area_max_cm2"]
    area = "" if peak is None else f" (up to {format_number(peak)} cm² at 0.5–8 keV)"
    yield "ARF", f"{facts['arf'] or 'none found'}{area}"
    yield "RMF", facts["rmf"] or "none found"
    for number, line in enumerate(variability_lines(facts)):
        yield "" if number else "variability", line.removeprefix("variability of ")
    for name, link in facts["links"].items():
        yield name.replace("Chandra Source Catalog", "CSC"), link
    for note in notes_of(facts):
        yield "note", note


def _count(value: float) -> str:
    """Write whole numbers as they are, others with one decimal."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _position(ra: float, dec: float) -> str:
    """Write degrees (ICRS), and hours, minutes and seconds."""
    from astropy.coordinates import SkyCoord

    sexagesimal = SkyCoord(ra, dec, unit="deg").to_string("hmsdms", sep=":", precision=1)
    return f"{ra:.5f} {dec:+.5f} deg ({sexagesimal})"


def _energies(facts: dict[str, Any]) -> str:
    """Write the energies of the channels and their origin."""
    if facts["energy_range_kev"] is None:
        return f"energies unknown without an RMF ({facts['energy_from']})"
    low, high = facts["energy_range_kev"]
    origin = facts["energy_from"]
    return f"{low:.3g}–{high:.4g} keV" + (f" by {origin}" if origin else "")


def _plot(spectrum: XRaySpectrum, path: Path) -> None:
    from ..spectra.plot import make_figure, plot_spectrum

    figure = make_figure(7, 4.5)
    plot_spectrum(spectrum, figure.subplots())
    figure.savefig(path, dpi=150)
    tell(f"drew {path}")
