"""The `specclip embed` command: embeddings of spectra as a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import add_parser, print_json
from .file_arguments import SpectrumReader, add_file_arguments
from .model_arguments import add_model_arguments, load_describer

_BATCH_SIZE = 256
# Columns of the table beside the vectors.
COLUMNS = {
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
    "limitations": str,
}
DESCRIPTION = """\
Embed spectra: unit vectors in the shared space, and latents of the spectral encoder. The table has
one row per spectrum. Files that cannot be read, and spectra that the model cannot embed (such as
those of a detector without energy resolution), are reported on standard error and skipped. The
column "limitations" marks instruments that the model was not trained on.

  specclip embed --model runs/demo *.pha -o embeddings.parquet
  specclip embed --model user/name source.pi -o embeddings.fits
  specclip embed --jobs 4 spectra/ @more.txt "old/*.pi" -o embeddings.parquet
"""


def add_command(subparsers: Any) -> None:
    """Add the `embed` command."""
    parser = add_parser(subparsers, "embed", "embeddings of spectra", DESCRIPTION, run)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="FILE",
        help="table to write: .parquet, .fits or .ecsv",
    )
    add_model_arguments(parser)
    add_file_arguments(parser, _BATCH_SIZE)


def run(arguments: argparse.Namespace) -> int:
    """Write the embeddings of the files; return the exit status."""
    from ..spectra.facts import spectrum_facts
    from .tables import check_format, write_table

    check_format(arguments.output)  # before the work, not after it
    reader = SpectrumReader(arguments)
    describer = load_describer(arguments, ())
    rows: list[dict[str, Any]] = []
    for read in reader.batches(arguments.batch_size):
        batch = []
        for spectrum, origin in read:
            reasons = describer.reasons_to_withhold(spectrum)
            if "similar" in reasons:
                reader.report(ValueError(reasons["similar"]), origin.file)
            else:
                batch.append((spectrum, origin, reasons.get("variables", "")))
        if not batch:
            continue
        points, latents = describer.embed_with_latents([spectrum for spectrum, *_ in batch])
        for (spectrum, origin, limits), point, latent in zip(batch, points, latents, strict=True):
            facts = {**origin._asdict(), **spectrum_facts(spectrum), "limitations": limits}
            columns = {name: facts[name] for name in COLUMNS}
            rows.append({**columns, "embedding": point, "latent": latent})
    if rows:
        write_table(rows, arguments.output, COLUMNS)
    if arguments.json:
        print_json({"output": str(arguments.output) if rows else None, "spectra": len(rows)})
    elif rows:
        print(f"{len(rows)} spectra → {arguments.output}")
    return reader.status
