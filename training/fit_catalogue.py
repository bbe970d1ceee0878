"""Fits of the spectra of many PHA files, as the Chandra Source Catalog does, as a resumable job.

    accelerate launch training/fit_catalogue.py --files FOLDER --output runs/fits

writes `runs/fits/part-*.parquet`, one table.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate import Accelerator

from hf_specclip.spectra import SpectrumFileError, XRaySpectrum, read_spectra
from hf_specclip.spectra.fitting.fit import CATALOGUE_MODELS, fit_spectra
from specclip_training.data.shard_job import call_job, run_units

PHA_FILES_PER_PART = 64
PATTERNS = ("*.pha", "*.pha.gz", "*.pi", "*.pi.gz", "*pha3.fits", "*pha3.fits.gz")


def fit_catalogue(
    accelerator: Accelerator,
    files: list[Path],
    output: str | Path,
    *,
    models: tuple[str, ...] = CATALOGUE_MODELS,
    limits: bool = True,
    progress: bool = True,
) -> list[Path]:
    """Fit every spectrum of some files.

    Args:
        accelerator: processes that share the files; one with a thread for each core is fastest.
        files: PHA files, their responses beside them.
        output: folder of the results; see `specclip_training.data.shard_job.run_units`.
        models, limits: see `hf_specclip.spectra.fitting.fit.fit_spectra`.
        progress: show a bar.

    Returns:
        The files: `file`, `row`, `net_counts`, `n_groups`, the catalogue's columns of each model,
        and `error`, the reason why a file or spectrum has none.

    Raises:
        CheckpointError: when `output` holds fits of other files or models.
    """
    units = [
        files[start : start + PHA_FILES_PER_PART]
        for start in range(0, len(files), PHA_FILES_PER_PART)
    ]
    listed = hashlib.sha256("\n".join(str(file) for file in files).encode()).hexdigest()[:16]
    identity = {
        "job": "fit_catalogue",
        "files": listed,
        "models": list(models),
        "limits": limits,
    }

    def fit_files(unit: list[Path]) -> pa.Table:
        return _fit_files(unit, models, limits)

    return run_units(accelerator, units, output, fit_files, identity=identity, progress=progress)


def pha_files(source: str | Path) -> list[Path]:
    """List the PHA files below a folder by name, or those that a text file names one a line.

    Raises:
        FileNotFoundError: when there is none.
    """
    source = Path(source)
    if source.is_dir():
        files = sorted({path for pattern in PATTERNS for path in source.rglob(pattern)})
        files = [path for path in files if not _is_background_name(path)]
    else:
        lines = source.read_text(encoding="utf-8").splitlines()
        files = [source.parent / line.strip() for line in lines if line.strip()]
    if not files:
        raise FileNotFoundError(f"{source} holds no PHA file ({', '.join(PATTERNS)})")
    return files


def _is_background_name(path: Path) -> bool:
    stem = path.name.removesuffix(".gz").rpartition(".")[0].lower()
    return stem.endswith(("_bg", "_bkg", "-bg", "-bkg"))


def _fit_files(files: list[Path], models: tuple[str, ...], limits: bool) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            spectra = read_spectra(file)
        except SpectrumFileError as error:
            rows.append({"file": str(file), "row": None, "error": str(error)})
            continue
        for number, spectrum in enumerate(spectra):
            fit = _fit(spectrum, models, limits)
            rows.append({"file": str(file), "row": number, **fit})
    return pa.Table.from_pylist(rows, schema=_schema(models))


def _fit(spectrum: XRaySpectrum, models: tuple[str, ...], limits: bool) -> dict[str, Any]:
    if spectrum.rmf is None:
        return {"error": "no RMF beside the file: a fit needs one"}
    try:
        [result] = fit_spectra(spectrum, models, limits=limits)
    except ValueError as error:  # a damaged response is noticed when it is used
        return {"error": str(error)}
    return {
        "net_counts": result.net_counts, "n_groups": result.n_groups, **result.columns()
    }  # fmt: skip


def _schema(models: tuple[str, ...]) -> pa.Schema:
    from hf_specclip.spectra.fitting.models import MODELS

    columns: list[tuple[str, pa.DataType]] = [
        ("file", pa.string()),
        ("row", pa.int32()),
        ("net_counts", pa.float64()),
        ("n_groups", pa.int32()),
    ]
    for model in models:
        definition = MODELS[model]
        for short in (definition.shape_name, "nh"):
            columns += [(f"{model}_{short}{end}", pa.float64()) for end in ("", "_lolim", "_hilim")]
        columns += [
            (f"{model}_{definition.norm_name}", pa.float64()),
            (f"{model}_stat", pa.float64()),
        ]
    return pa.schema([*columns, ("error", pa.string())])


def main(arguments: argparse.Namespace) -> Accelerator:
    """Run the command."""
    accelerator = Accelerator(cpu=True)
    paths = fit_catalogue(
        accelerator,
        pha_files(arguments.files),
        arguments.output,
        models=tuple(arguments.model or CATALOGUE_MODELS),
        limits=not arguments.no_limits,
    )
    if accelerator.is_main_process:
        print(f"{len(paths):,} files in {arguments.output}")
    return accelerator


def options() -> argparse.ArgumentParser:
    """Build the parser of the command."""
    command = argparse.ArgumentParser(
        description="Fit the spectra of many PHA files as the Chandra Source Catalog does.",
        epilog="""\
Writes DIR/part-*.parquet: the catalogue's columns with 68 % limits, and for a spectrum that could
not be fit the reason. A rerun makes what is missing, on any number of processes.

  accelerate launch training/fit_catalogue.py --files FOLDER --output DIR
  ACCELERATE_USE_CPU=1 accelerate launch --config_file training/configs/accelerate/ddp_cpu.yaml \\
      training/fit_catalogue.py --files list.txt --output DIR""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--files",
        required=True,
        metavar="FOLDER|LIST",
        help="folder of PHA files with their responses, or a text file with one name a line",
    )
    command.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    command.add_argument(
        "--model",
        action="append",
        choices=CATALOGUE_MODELS,
        help="may be repeated (default: all four)",
    )
    command.add_argument("--no-limits", action="store_true", help="leave the 68 %% limits out")
    return command


if __name__ == "__main__":
    sys.exit(call_job(main, options().parse_args()))
