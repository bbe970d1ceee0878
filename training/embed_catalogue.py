"""Embedding of every spectrum of a dataset, millions of them, as a resumable job.

    accelerate launch training/embed_catalogue.py --model runs/best/model --dataset DATASET \\
        --output runs/catalogue

writes `runs/catalogue/part-*.parquet`, and with `--index` the index that `CatalogueIndex` searches.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.cli.arguments import positive_int
from hf_specclip.describe.read_dataset import split_files
from hf_specclip.errors import FileFormatError
from hf_specclip.storage import atomic_file, remove_partial, write_json
from specclip_training.data.parquet_rows import ParquetRows, to_arrays
from specclip_training.data.streamed import AREA_COLUMNS, SPECTRUM_COLUMNS
from specclip_training.engine.checkpoint import CheckpointError, fingerprint, read_record
from specclip_training.engine.commands import call_job, text_parser

NAMES = ("source_name", "obsid", "obi", "region_id")
# Row groups of one file: about ten thousand rows, so that a kill costs seconds of work.
GROUPS_PER_FILE = 10
# pyarrow and datasets skip names that begin with an underscore.
JOB_FILE = "_job.json"


def embed_catalogue(
    accelerator: Accelerator,
    model: SpecCLIPModel,
    extractor: SpecCLIPFeatureExtractor,
    files: list[str],
    output: str | Path,
    *,
    batch_size: int = 512,
    progress: bool = True,
) -> list[Path]:
    """Embed the spectra of some Parquet files; all processes must call.

    A file of the results appears whole or not at all, and does not depend on the process that
    made it: a rerun makes the missing ones, on any number of processes.

    Args:
        accelerator: processes, devices and precision.
        model, extractor: see `SpecCLIPModel.get_spectrum_features`.
        files: Parquet files in the contract's columns.
        output: folder of the results (`part-000007-of-000100.parquet`); made where absent.
        batch_size: spectra of a batch on each process.
        progress: show a bar.

    Returns:
        The files: `source_name`, `obsid`, `obi`, `region_id` and `embedding` (unit length), rows
        in the order of the dataset.

    Raises:
        CheckpointError: when `output` holds the embeddings of another model or other rows.
        FileFormatError: when files cannot be read.
    """
    optional = AREA_COLUMNS if extractor.input_kind == "flux" else ()
    rows, folder = ParquetRows(files, [*NAMES, *SPECTRUM_COLUMNS], optional=optional), Path(output)
    n = max(1, -(-len(rows.sizes) // GROUPS_PER_FILE))
    groups = np.array_split(np.arange(len(rows.sizes)), n)
    model = model.to(accelerator.device).eval()
    if accelerator.is_main_process:
        identity = {"job": "embed_catalogue", "model": fingerprint(model.state_dict()),
                    "rows": rows.fingerprint, "units": n}  # fmt: skip
        _check_folder(folder, identity)
        remove_partial(folder)
    accelerator.wait_for_everyone()
    paths = [folder / f"part-{number:06d}-of-{n:06d}.parquet" for number in range(n)]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    hidden = not (progress and accelerator.is_main_process)
    for number in tqdm(mine, desc=folder.name, unit="file", disable=hidden):
        tables = [
            _embed_table(model, extractor, rows.table(int(group)), batch_size)
            for group in groups[number]
        ]
        with atomic_file(paths[number]) as partial:
            pq.write_table(pa.concat_tables(tables), partial, compression="zstd")
    accelerator.wait_for_everyone()
    return paths


def _embed_table(
    model: SpecCLIPModel, extractor: SpecCLIPFeatureExtractor, table: pa.Table, batch_size: int
) -> pa.Table:
    spectra, parts = to_arrays(table.drop_columns(list(NAMES))), []
    for start in range(0, len(table), batch_size):
        batch = {name: values[start : start + batch_size] for name, values in spectra.items()}
        inputs = extractor(batch, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            parts.append(model.get_spectrum_features(**inputs).pooler_output.float().cpu())
    vectors = torch.cat(parts).numpy()
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return table.select(NAMES).append_column("embedding", column)


def _check_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Mark a new folder as this job's, and refuse one of another."""
    folder.mkdir(parents=True, exist_ok=True)
    if read_record(folder / JOB_FILE, identity) is not None:
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    if foreign:
        raise CheckpointError(
            f"{folder} holds {foreign[0]}, which this command did not write: choose another "
            "--output"
        )
    write_json(folder / JOB_FILE, {"identity": identity})


def main(arguments: argparse.Namespace) -> Accelerator:
    """Run the command."""
    accelerator = Accelerator()
    files = split_files(arguments.dataset)
    wanted = arguments.split or list(files)
    unknown = sorted(set(wanted) - set(files))
    if unknown:
        raise FileFormatError(
            f"{arguments.dataset} has no split {', '.join(unknown)}: there are {', '.join(files)}"
        )
    model = SpecCLIPModel.from_pretrained(arguments.model)
    extractor = SpecCLIPFeatureExtractor.from_pretrained(arguments.model)
    chosen = [file for split in wanted for file in files[split]]
    paths = embed_catalogue(
        accelerator, model, extractor, chosen, arguments.output, batch_size=arguments.batch_size
    )
    if accelerator.is_main_process:
        print(f"{len(paths):,} files in {arguments.output}")
        if arguments.index:
            from hf_specclip.search.catalogue import CatalogueIndex

            index = CatalogueIndex.build(arguments.output)
            quality = "only exact search, without FAISS"
            if index.recall is not None:
                quality = f"approximate search finds {index.recall:.0%} of the closest ten"
            print(f"{len(index):,} vectors indexed in {arguments.output}; {quality}")
    return accelerator


def options() -> argparse.ArgumentParser:
    """Build the parser of the command."""
    command = text_parser(
        "Embed every spectrum of a dataset into a model's shared space.",
        """\
Writes DIR/part-*.parquet with names and unit vectors, readable as one table by pyarrow, pandas and
datasets. Rerunning computes missing parts, with any number of processes.

  accelerate launch training/embed_catalogue.py --model runs/best/model --dataset DATASET \\
      --output DIR --index
  from hf_specclip.search.catalogue import CatalogueIndex
  CatalogueIndex("DIR").search(vectors, top_k=10)""",
    )
    command.add_argument("--model", required=True, metavar="DIR|HUB_ID", help="a SpecCLIPModel")
    command.add_argument(
        "--dataset",
        required=True,
        metavar="FOLDER|HUB_ID",
        help="dataset of Parquet files; each row is read by one process",
    )
    command.add_argument(
        "--split", action="append", metavar="NAME", help="may be repeated (default: all splits)"
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder of the vectors"
    )
    command.add_argument(
        "--batch-size",
        type=positive_int,
        default=512,
        metavar="N",
        help="spectra at once (default: 512)",
    )
    command.add_argument(
        "--index",
        action="store_true",
        help="also build a search index (approximate search requires faiss-cpu)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call_job(main, options().parse_args()))
