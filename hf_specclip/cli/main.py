"""The command line: `specclip describe | classify | search | …`.

It reads arguments and prints; what it prints is computed by the library. Heavy imports live in the
commands that need them, so that `specclip --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..version import __version__
from . import app as app_cli
from . import classify as classify_cli
from . import dataset as dataset_cli
from . import describe as describe_cli
from . import fit as fit_cli
from . import index as index_cli
from . import outliers as outliers_cli
from . import publish as publish_cli
from . import report as report_cli
from . import search as search_cli
from .file_arguments import SpectrumReader, add_file_arguments, print_json

if TYPE_CHECKING:
    from ..spectra import XRaySpectrum

BATCH_SIZE = 256
# What `embed` says of each spectrum beside its vectors.
EMBED_COLUMNS = {
    "file": str,
    "row": int,
    "source_name": str,
    "obsid": int,
    "obi": int,
    "region_id": int,
    "ra": float,
    "dec": float,
    "exposure_s": float,
    "total_counts": int,
}

DESCRIPTION = """\
X-ray spectra and what the literature says about their sources, in one space.

  specclip describe acisf01575_001N001_r0085_pha3.fits.gz   what is it, and what is it like?
  specclip inspect  acisf01575_001N001_r0085_pha3.fits.gz   what is in this file?
  specclip fit      spectrum.pha                            the catalogue's spectral parameters
  specclip retrieve --model DIR spectrum.pha                which papers does it resemble?
  specclip classify --model DIR *.pha                       of which class?
  specclip search   "heavily absorbed pulsating ULX"        spectra and papers, by words
  specclip outliers --model DIR *.pha                       which are unlike the others?
  specclip report   --model DIR *.pha -o report.html        all of this as a page
  specclip embed    --model DIR *.pha -o embeddings.parquet vectors for your own analysis
  specclip dataset  simulate -o DIR                         build a dataset
  specclip publish  model DIR user/name                     put it on the Hugging Face Hub
  specclip app      --model DIR                             a page to drop spectra on
"""

INSPECT = """\
Read spectra (PHA I or II) with their responses and background and say what is in them.

The ARF, RMF and background are found through the file's own header and beside the file; the
catalogue's names (…_pha3 → …_arf3, …_rmf3) and gzipped files are understood.

  specclip inspect source.pi
  specclip inspect --json source.pi | jq '.[].exposure_s'
  specclip inspect --plot source.png source.pi
"""

EMBED = """\
Turn spectra into vectors: the unit vector in the space shared with the literature, and the
spectral encoder's latent. One row for each spectrum; a file that cannot be read is named on
standard error and left out, and the others are written all the same.

  specclip embed --model runs/demo/model *.pha -o embeddings.parquet
  specclip embed --model user/name source.pi -o embeddings.fits
"""

RETRIEVE = """\
Find the literature a spectrum resembles most, among the texts the model carries (its gallery).

The score is the cosine similarity in the shared space, −1 to 1: it ranks, it is not a probability.

  specclip retrieve --model runs/demo/model source.pi
  specclip retrieve --model runs/demo/model --top 3 --json source.pi
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 done, 1 a file failed, 2 wrong usage)."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == [dataset_cli.NAME]:
            return dataset_cli.run(argv[1:])
        arguments = _parser().parse_args(argv)
        return arguments.run(arguments)
    except BrokenPipeError:  # the reader of the pipe has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("specclip: stopped", file=sys.stderr)
        return 130
    except (OSError, ValueError, ImportError) as error:
        print(f"specclip: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("specclip", description=DESCRIPTION, formatter_class=form)
    parser.add_argument("--version", action="version", version=f"specclip {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser(
        "inspect", help="what is in a spectrum file", description=INSPECT, formatter_class=form
    )
    inspect.add_argument("--plot", metavar="IMAGE", help="also draw the spectrum (png, pdf, svg)")
    inspect.set_defaults(run=_inspect)

    embed = commands.add_parser(
        "embed", help="spectra to vectors", description=EMBED, formatter_class=form
    )
    embed.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        help="table to write: .parquet, .fits, .ecsv or .jsonl",
    )
    embed.set_defaults(run=_embed)

    retrieve = commands.add_parser(
        "retrieve",
        help="the literature a spectrum resembles",
        description=RETRIEVE,
        formatter_class=form,
    )
    retrieve.add_argument(
        "--top", type=_positive, default=5, metavar="K", help="texts to show (default 5)"
    )
    retrieve.set_defaults(run=_retrieve)

    for command in (embed, retrieve):
        command.add_argument(
            "--model", required=True, help="a model folder, or user/name on the Hub"
        )
    for command in (inspect, embed, retrieve):
        add_file_arguments(command)
    describe_cli.add_command(commands)
    classify_cli.add_command(commands)
    search_cli.add_command(commands)
    outliers_cli.add_command(commands)
    report_cli.add_command(commands)
    index_cli.add_command(commands)
    fit_cli.add_command(commands)
    app_cli.add_command(commands)
    publish_cli.add_command(commands)
    dataset_cli.add_command(commands)
    return parser


def _inspect(arguments: argparse.Namespace) -> int:
    reader = SpectrumReader(arguments)
    found = []
    for spectrum, place in reader:
        found.append(_facts(spectrum, place))
        if arguments.plot:
            _plot(spectrum, Path(arguments.plot), len(found))
        if not arguments.json:
            print(_facts_text(found[-1]))
    if arguments.json:
        print_json(found)
    return reader.status


def _embed(arguments: argparse.Namespace) -> int:
    from .tables import check_format, write_table

    check_format(arguments.output)  # before the work, not after it
    model, extractor = _load(arguments.model)
    reader = SpectrumReader(arguments)
    table: list[dict[str, Any]] = []
    for batch in _batches(reader):
        embeddings, latents = _vectors(model, extractor, [spectrum for spectrum, _ in batch])
        for (spectrum, place), embedding, latent in zip(batch, embeddings, latents, strict=True):
            facts = _facts(spectrum, place)
            row = {name: facts[name] for name in EMBED_COLUMNS}
            table.append({**row, "embedding": embedding, "latent": latent})
    if table:
        write_table(table, arguments.output, EMBED_COLUMNS)
    written = {"output": str(arguments.output) if table else None, "spectra": len(table)}
    if arguments.json:
        print_json(written)
    elif table:
        print(f"{len(table)} spectra → {arguments.output}")
    return reader.status


def _retrieve(arguments: argparse.Namespace) -> int:
    from ..search.index import SpecCLIPIndex, paper_url

    model, extractor = _load(arguments.model)
    gallery = SpecCLIPIndex.from_pretrained(arguments.model)
    reader = SpectrumReader(arguments)
    answers = []
    for batch in _batches(reader):
        embeddings, _ = _vectors(model, extractor, [spectrum for spectrum, _ in batch])
        for (_, place), hits in zip(batch, gallery.search(embeddings, arguments.top), strict=True):
            literature = []
            for hit in hits:
                entry = hit.entry
                papers = [{**paper, "url": paper_url(paper)} for paper in entry.get("papers", [])]
                literature.append(
                    {
                        "rank": hit.rank,
                        "score": round(hit.score, 4),
                        "id": entry["id"],
                        "source_names": entry.get("source_names", []),
                        "papers": papers,
                        "summary": entry.get("summary", {}),
                    }
                )
            answers.append({**place, "gallery": len(gallery), "literature": literature})
            if not arguments.json:
                print(_literature_text(answers[-1]))
    if arguments.json:
        print_json(answers)
    return reader.status


def _batches(reader: SpectrumReader) -> Iterator[list[tuple[XRaySpectrum, dict[str, Any]]]]:
    batch = []
    for item in reader:
        batch.append(item)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


def _load(name: str) -> tuple[Any, Any]:
    from ..describe.load_model import load_dual_encoder

    return load_dual_encoder(name)


def _vectors(model: Any, extractor: Any, spectra: list[XRaySpectrum]) -> tuple[Any, Any]:
    """Unit vectors in the shared space (B, D) and latents (B, 64), as numpy arrays."""
    import torch

    inputs = extractor(spectra, return_tensors="pt")
    with torch.inference_mode():
        features = model.get_spectrum_features(**inputs)
        latents = model.spectrum_model(**inputs).pooler_output
    return features.pooler_output.float().numpy(), latents.float().numpy()


def _facts(spectrum: XRaySpectrum, place: dict[str, Any]) -> dict[str, Any]:
    """What `inspect` says."""
    from ..spectra.facts import spectrum_facts

    return {**place, **spectrum_facts(spectrum)}


def _facts_text(facts: dict[str, Any]) -> str:
    def line(label: str, text: str) -> str:
        return f"  {label:<14}{text}"

    title = facts["file"] + (f"  [row {facts['row']}]" if facts["row"] is not None else "")
    lines = [title]
    if facts["source_name"]:
        lines.append(line("source", facts["source_name"]))
    observation = [
        f"{label} {facts[name]}"
        for name, label in (("obsid", "ObsID"), ("obi", "OBI"), ("region_id", "region"))
        if facts[name] is not None
    ]
    if observation:
        lines.append(line("observation", ", ".join(observation)))
    detector, instrument = facts["detector"] or "", facts["instrument"] or ""
    named = detector if detector.startswith(instrument) else f"{instrument} {detector}"
    if facts["telescope"] or named:
        lines.append(line("instrument", f"{facts['telescope'] or ''} {named}".strip()))
    low, high = facts["energy_range_kev"]
    lines += [
        line("exposure", f"{facts['exposure_s']:,.1f} s"),
        line("channels", f"{facts['channels']}, {low:.3g}–{high:.4g} keV"),
        line(
            "counts", f"{facts['total_counts']:,} in all, {facts['counts_0.5_8kev']:,} at 0.5–8 keV"
        ),
    ]
    if facts["background_total_counts"] is None:
        lines.append(line("background", "none found"))
    else:
        lines.append(
            line(
                "background",
                f"{facts['background_total_counts']:,} counts in its region, "
                f"× {facts['background_scale']:.4g} in the aperture",
            )
        )
    lines.append(
        line(
            "net",
            f"{facts['net_counts_0.5_8kev']:,.1f} ± {facts['net_counts_error_0.5_8kev']:,.1f} "
            f"counts, {facts['net_rate_0.5_8kev_per_s']:.4g} ct/s at 0.5–8 keV",
        )
    )
    peak = facts["effective_area_max_cm2"]
    area = "" if peak is None else f" (up to {peak:,.0f} cm² at 0.5–8 keV)"
    lines.append(line("ARF", f"{facts['arf'] or 'none found'}{area}"))
    lines.append(line("RMF", facts["rmf"] or "none found"))
    lines += [line("note", note) for note in facts["notes"]]
    return "\n".join(lines)


def _literature_text(answer: dict[str, Any]) -> str:
    title = answer["file"] + (f"  [row {answer['row']}]" if answer["row"] is not None else "")
    lines = [f"{title}  (closest of {answer['gallery']:,} texts)"]
    for text in answer["literature"]:
        sources = text["source_names"]
        more = f" and {len(sources) - 2} more" if len(sources) > 2 else ""
        lines.append(f"\n {text['rank']:>2}. {text['score']:+.3f}  {', '.join(sources[:2])}{more}")
        said = next((words for words in text["summary"].values() if words), None)
        if said:
            lines.append(f"     {said if len(said) <= 240 else said[:239] + '…'}")
        for paper in text["papers"]:
            year = f" ({paper['year']})" if paper.get("year") else ""
            where = paper["url"] or paper["id"]
            lines.append(f"     · {paper.get('title') or 'untitled'}{year}  {where}")
    return "\n".join(lines)


def _plot(spectrum: XRaySpectrum, path: Path, number: int) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install hf-specclip[plot]") from error

    from ..spectra import plot_spectrum

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    plot_spectrum(spectrum, figure.subplots())
    if number > 1:  # one image for each spectrum
        path = path.with_name(f"{path.stem}_{number}{path.suffix}")
    figure.savefig(path, dpi=150)
    print(f"drew {path}", file=sys.stderr)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
