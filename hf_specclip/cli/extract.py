"""The `specclip extract` command: spectrum and variability of a source, from an event file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formatting import format_number
from .arguments import add_json_option, add_parser, add_plot_option, keep_inputs, print_json
from .run_command import tell

if TYPE_CHECKING:
    from ..spectra.events.extract import Extraction

DESCRIPTION = """\
Extract the spectrum of a source from an event file of Chandra ACIS, XMM-Newton EPIC or Swift XRT,
and measure its variability as the Chandra Source Catalog does (Gregory–Loredo, Kolmogorov–Smirnov,
Kuiper; 0.5–7 keV).

  specclip extract evt2.fits --at 150.1163,2.2058 --radius 3 -o source.pha
  specclip extract evt2.fits --at 10:00:27.9,+02:12:21 --radius 3 --background annulus:5,20 \\
                             -o source.pha
  specclip extract evt2.fits --region src.reg --background bkg.reg -o source.pha --plot curve.png
  specclip describe source.pha                              shows the measured variability, too

Radii are in arcsec; a unit may follow (0.5arcmin). Usual radii: 2–3 for Chandra on axis (larger off
axis), 20–30 for XMM-Newton, 47 for Swift. Regions are circles and annuli of DS9 or CIAO (fk5, icrs
or physical; -circle(…) excludes). FILE is the cleaned event list of the archive: Chandra's level 2,
XMM's EVLI (PATTERN ≤ 4 or 12 and FLAG = 0 are kept), Swift's _cl.evt. Good time intervals are those
of the CCD with most of the source's events.

ARF and RMF are not made: use the observatory's software. Without an ARF, describe infers nothing.
Variability between observations (var_inter_prob_b) is not measured.
"""


def add_command(subparsers: Any) -> None:
    """Add the `extract` command."""
    parser = add_parser(
        subparsers, "extract", "spectrum and variability from an event file", DESCRIPTION, run
    )
    parser.add_argument("file", metavar="FILE", help="event file (may be gzipped)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--at", metavar="RA,DEC", help="position (ICRS): degrees or sexagesimal")
    source.add_argument("--region", type=Path, metavar="REG", help="region file of the source")
    parser.add_argument("--radius", metavar="R", help="of the circle around --at, arcsec")
    parser.add_argument(
        "--background",
        metavar="annulus:IN,OUT|REG",
        help="annulus around the source (arcsec), or a region file",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PHA", help="write the spectrum")
    add_plot_option(parser, "the light curve")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Extract, print and write; return the exit status."""
    from ..spectra.events.extract import extract_events
    from ..spectra.events.write import write_extraction

    inputs = [arguments.file, arguments.region, arguments.background]
    keep_inputs([arguments.output, arguments.plot], [each for each in inputs if each is not None])
    found = extract_events(
        arguments.file,
        at=arguments.at,
        radius=arguments.radius,
        region=arguments.region,
        background=arguments.background,
    )
    written = [] if arguments.output is None else write_extraction(found, arguments.output)
    if arguments.plot is not None:
        _plot(found, arguments.plot)
    if arguments.json:
        print_json(_values(found, written))
        return 0
    print(arguments.file)
    for label, text in _lines(found):
        print(f"  {label:<12} {text}")
    if written:
        print(f"wrote {', '.join(str(path) for path in written)}")
    return 0


def _lines(found: Extraction) -> Iterator[tuple[str, str]]:
    """Give the label and text of each line."""
    header, camera, measured = found.events.header, found.events.camera, found.variability
    names = (header.text(key) for key in ("TELESCOP", "INSTRUME", "OBS_ID", "DATE-OBS"))
    yield "observation", ", ".join(name for name in names if name)
    sexagesimal = found.position.to_string("hmsdms", sep=":", precision=1)
    ccd = "" if found.source.ccd is None else f", CCD {found.source.ccd}"
    yield "source", f"{found.source.region.text} at {sexagesimal}{ccd}"
    lost = [f"{count:,} {reason}" for reason, count in found.dropped.items() if count]
    left = f"; left out: {', '.join(lost)}" if lost else "; none left out"
    yield "events", f"{found.source.counts.sum():,} of {found.in_region:,} in the region{left}"
    yield "exposure", found.source.exposure_text
    if found.background is None:
        yield "background", "none (--background annulus:IN,OUT)"
    else:
        counts, ratio = int(found.background.counts.sum()), found.area_ratio or 1.0
        expected = counts * found.source.exposure / found.background.exposure / ratio
        yield (
            "background",
            f"{counts:,} events in the {found.background.region.text}, {ratio:.4g} times the area: "
            f"{expected:,.1f} of the source's are background",
        )
    yield "variability", f"{measured.counts:,} events at 0.5–7 keV in {measured.length:,.0f} s"
    if not measured.columns:
        yield "", "too few for a test: 10 are needed"
    for name, value in measured.columns.items():
        unit = " counts/s" if name in ("var_mean_b", "var_sigma_b") else ""
        yield "", f"{name:<12} {format_number(value)}{unit}"
    for note in found.notes:
        yield "note", note
    yield "missing", f"effective area (ARF) and redistribution (RMF): {camera.responses}"


def _values(found: Extraction, written: list[Path]) -> dict[str, Any]:
    """Return the same as values."""
    measured = found.variability
    spectra = {"source": found.source, "background": found.background}
    return {
        "file": found.events.file.path,
        "ra": found.position.ra.deg,
        "dec": found.position.dec.deg,
        **{
            name: None
            if each is None
            else {
                "region": each.region.text,
                "counts": int(each.counts.sum()),
                "ccd": each.ccd,
                "exposure_s": each.exposure,
            }
            for name, each in spectra.items()
        },
        "area_ratio": found.area_ratio,
        "left_out": found.dropped,
        "variability": {
            "counts": measured.counts,
            "length_s": measured.length,
            "live_s": measured.live,
            **measured.columns,
        },
        "notes": list(found.notes),
        "missing": f"ARF and RMF: {found.events.camera.responses}",
        "written": [str(path) for path in written],
    }


def _plot(found: Extraction, path: Path) -> None:
    from ..spectra.events.plot import plot_light_curve
    from ..spectra.plot import make_figure

    figure = make_figure(7, 4)
    plot_light_curve(found.variability, figure.subplots())
    figure.savefig(path, dpi=150)
    tell(f"drew {path}")
