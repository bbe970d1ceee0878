"""Commands on the simulation: `specclip dataset simulate`, `example`, `compare`, `oracle`."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from hf_specclip.cli.arguments import add_parser, comma_separated
from hf_specclip.describe.read_dataset import DATA_FOLDER
from hf_specclip.storage import write_json

from ..contract import SPLITS
from ..info import DatasetFolderError
from ..open_dataset import load
from ..splits import describe_splits
from .builder import CONFIGS, simulate
from .class_hardness import both_halves, read_types
from .columns import bands_of_rows, bands_of_table, columns_report, read_table
from .compare import Marginals, comparison_table
from .example import write_example
from .knobs import Knobs
from .prose import WRITERS
from .variety import SummaryTexts

_SIMULATE = """\
Simulate sources, Chandra spectra and papers with known true values. It is reproducible byte for
byte for a given seed, and needs no network.
"""
_EXAMPLE = """\
Write a simulated Chandra spectrum as a PHA file with its background, and ARF and RMF beside it;
print the true parameters.
"""
_ORACLE = """\
Measure the retrieval of an ideal observer, an upper limit for models, on a dataset of this version
of `simulate`. Use `validation` for choices, and `test` for the final evaluation.
"""
_COMPARE = """\
Compare the percentiles of a dataset's columns (all splits) with those of the Chandra Source
Catalog, and measure the variety of its summaries.
"""
_COLUMNS = """\
Compute the columns that follow from counts as the simulation does, and compare them with the
catalogue values of real rows.
"""
# Knobs that `--set` takes.
_DEFAULTS: dict[str, Any] = {item.name: item.default for item in fields(Knobs)}


def add_commands(commands: Any) -> None:
    """Add the commands on the simulation."""
    _add_simulate(commands)
    summary = "simulate one detection as a PHA file"
    add = add_parser(commands, "example", summary, _EXAMPLE, _example).add_argument
    add("--seed", type=int, default=0, help="random seed (default 0)")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the PHA file to write")
    summary = "print what an ideal observer reaches on a simulated dataset"
    add = add_parser(commands, "oracle", summary, _ORACLE, _oracle).add_argument
    add("dataset", metavar="DATASET", help="folder of the dataset")
    add("--split", default="validation", choices=SPLITS)
    members = "sources that the observer sums over (more: less noise, more time)"
    add("--members", type=int, help=members)
    add("--seed", type=int, default=0, help="seed of the observer's draws (default 0)")
    add("-o", "--output", type=Path, help="JSON file for all figures")
    summary = "compare a dataset's distributions with the real catalogue"
    add = add_parser(commands, "compare", summary, _COMPARE, _compare).add_argument
    add("folder", type=Path, metavar="FOLDER", help="folder of the dataset")
    types = "real detections (Parquet or CSV: name, main_type, hard_hm, hard_hs, hard_ms): compare "
    types += "the hardness ratios of each class"
    add("--types", type=Path, metavar="TABLE", help=types)
    summary = "check column definitions against real rows"
    add = add_parser(commands, "columns", summary, _COLUMNS, _columns).add_argument
    table = "dataset or folder of tables as other commands take it; or a CSV or Parquet file with "
    table += "source_name, exposure, background_scale, of each band (b, s, m, h) counts_b, "
    table += "background_b and area_b (cm²), and the catalogue's columns"
    add("table", type=Path, metavar="TABLE", help=table)


def _add_simulate(commands: Any) -> None:
    summary = "simulate a Chandra catalogue with literature (no network)"
    add = add_parser(commands, "simulate", summary, _SIMULATE, _simulate).add_argument
    config = "demo: 2,000 pairs; paper: the paper's 11,447; large: 210,000; custom: 2,000, changed "
    config += "with --set (default %(default)s)"
    add("--config", choices=sorted(CONFIGS), default="demo", help=config)
    add("--pairs", type=int, help="number of pairs (overrides --config)")
    add("--seed", type=int, help="random seed (default 0)")
    defaults = {name: "" if value == () else value for name, value in _DEFAULTS.items()}
    knobs = ", ".join(f"{name}={value}" for name, value in defaults.items())
    writers = ", ".join(writer.name + " (unseen)" * writer.unseen for writer in WRITERS)
    setting = f"change one setting; repeat for more. Settings: {knobs}. writers: comma-separated "
    setting += f"names, by default all of {writers}; unseen ones write for sources of validation "
    setting += "and test only"
    add("--set", metavar="KNOB=VALUE", action="append", default=[], help=setting)
    # More than eight would wait for the disk.
    cores = min(os.cpu_count() or 1, 8)
    processes = "number of processes; does not affect the output (default: all cores, at most 8; "
    processes += "here %(default)s)"
    add("--processes", type=int, default=cores, help=processes)
    add("-o", "--output", type=Path, required=True, help="output folder")
    add("--overwrite", action="store_true", help="replace an existing dataset")


def _simulate(options: argparse.Namespace) -> int:
    start = time.monotonic()
    knobs = replace(CONFIGS[options.config], **_changes(options))
    universe = simulate(
        options.output,
        knobs,
        config_name=options.config,
        processes=max(1, options.processes),
        overwrite=options.overwrite,
        progress=True,
    )
    print(describe_splits(universe.groups, universe.splits))
    print(f"{options.output}: {knobs.pairs} pairs in {time.monotonic() - start:.0f} s")
    return 0


def _example(options: argparse.Namespace) -> int:
    truth = write_example(options.output, options.seed)
    print(f"{options.output}: {truth}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    marginals, texts = Marginals(), SummaryTexts()
    files = sorted((options.folder / DATA_FOLDER).glob("*.parquet"))
    if not files:
        raise DatasetFolderError(f"{options.folder} holds no {DATA_FOLDER}/*.parquet")
    for batch in pyarrow.dataset.dataset(files).to_batches():
        table = pa.Table.from_batches([batch])
        marginals.add(table)
        texts.add(table)
    print(comparison_table(marginals.quantiles()))
    print()
    print(texts.describe())
    if options.types is not None:
        for text in both_halves(marginals.columns(), read_types(options.types)):
            print(f"\n{text}")
    return 0


def _columns(options: argparse.Namespace) -> int:
    if options.table.is_file():
        table = read_table(options.table)
        bands = bands_of_table(table)
    else:
        splits, _ = load(options.table)
        table = pa.concat_tables(splits[split].with_format("arrow")[:] for split in SPLITS)
        table = table.filter(pc.is_valid(table["effective_area"]))
        bands = bands_of_rows(table)
    print(columns_report(table, bands))
    return 0


def _oracle(options: argparse.Namespace) -> int:
    # Imported here: it brings torch, which no other command of this program waits for.
    from .oracle.report import describe_ceiling, to_text
    from .oracle.study import MEMBERS, measure_ceiling

    splits, info = load(options.dataset)
    rows = splits[options.split]
    if not len(rows):
        raise DatasetFolderError(f"{options.dataset} has no rows in {options.split}")
    start = time.monotonic()
    ceiling = measure_ceiling(
        info,
        rows.with_format("arrow")[:],
        members=MEMBERS if options.members is None else options.members,
        seed=options.seed,
        progress=True,
    )
    print(f"Simulated {info.name}, {options.split}: {len(rows):,} spectra\n")
    print(to_text(describe_ceiling(ceiling.metrics)))
    if options.output is not None:
        content = {"dataset": info.name, "split": options.split} | ceiling.metrics
        write_json(options.output, content)
    print(f"\n{time.monotonic() - start:.0f} s")
    return 0


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Read the settings that the arguments change.

    Raises:
        ValueError: for an unknown knob, or a value that it does not take.
    """
    changes: dict[str, Any] = {}
    for text in options.set:
        name, separator, value = text.partition("=")
        if not separator or name not in _DEFAULTS:
            raise ValueError(f"--set {text}: write KNOB=VALUE with one of {', '.join(_DEFAULTS)}")
        default = _DEFAULTS[name]
        try:
            changes[name] = tuple(comma_separated(value)) if default == () else type(default)(value)
        except ValueError:
            raise ValueError(f"--set {text}: {name} takes a value like {default}") from None
    for name in ("pairs", "seed"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    return changes
