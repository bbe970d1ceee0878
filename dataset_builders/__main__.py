"""`python -m specclip_datasets`: build a dataset in the contract's form."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .contract import SPLITS, ContractError
from .folder import DATA_FOLDER, DatasetFolderError, built_splits, check_may_write, write_dataset
from .open_dataset import load
from .simulation.builder import CONFIGS, simulate
from .simulation.compare import Marginals, comparison_table, compute_catalogue_marginals
from .simulation.knobs import Knobs
from .simulation.response_files import find_responses
from .sky.command import add_command as add_build_command
from .splits import SURVEY_LIMIT, describe_splits
from .tables import LocalTables, LocalTablesError
from .variety import describe_variety, measure_variety

EPILOG = """\
examples:
  specclip dataset simulate --config demo --output runs/simulated
  specclip dataset simulate --config custom --pairs 5000 --seed 3 --output runs/mine
  specclip dataset simulate --config custom --responses my_arfs --output runs/mine
  specclip dataset tables my_tables --output runs/mine

The output is a folder that `datasets.load_dataset(FOLDER)` opens with its four splits (train,
calibration, validation, test) and that training takes as --dataset. No split cuts a group:
sources that share an observation, a host or a paper stay together.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process where None.

    Returns:
        0, or 2 where the input is at fault (the message says what to do).
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ContractError, DatasetFolderError, LocalTablesError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="specclip dataset",
        description="Build pairs of X-ray spectra and summaries of the literature.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    simulating = commands.add_parser(
        "simulate",
        help="simulate a Chandra catalogue with literature (no network)",
        description="Simulate sources, Chandra spectra and papers. The truth is known, the same "
        "seed gives the same bytes, and nothing is fetched.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulating.add_argument(
        "--config",
        choices=sorted(CONFIGS),
        default="demo",
        help="demo: 2,000 pairs; paper: the paper's 11,447; large: 100,000; custom: 2,000, to be "
        "changed by --set",
    )
    simulating.add_argument("--pairs", type=int, help="number of pairs, instead of the config's")
    simulating.add_argument("--seed", type=int, help="seed of every draw (default 0)")
    simulating.add_argument(
        "--set",
        metavar="KNOB=VALUE",
        action="append",
        default=[],
        help="change one setting; repeat for more. Knobs: "
        + ", ".join(f"{name}={value}" for name, value in _settable().items()),
    )
    simulating.add_argument(
        "--responses",
        type=Path,
        metavar="PATH",
        help="fold through real ARF and RMF files in place of the tabulated ACIS epochs: a folder "
        "of them (x.arf beside x.rmf), or a text file with `ARF RMF` on each line; an observation "
        "gets one of them by lot. Areas are used as they are; --set response_vignetting=true takes "
        "them as on axis",
    )
    simulating.add_argument(
        "--processes",
        type=int,
        default=default_processes(),
        help="processes; the bytes do not depend on it (default: the cores, here %(default)s)",
    )
    _add_output(simulating)
    simulating.set_defaults(run=_simulate)

    comparing = commands.add_parser(
        "compare",
        help="print a dataset's distributions beside the real catalogue's",
        description="Percentiles of a dataset's rows (all splits) beside those of the Chandra "
        "Source Catalog, and how varied its summaries are.",
    )
    comparing.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the dataset")
    comparing.set_defaults(run=_compare)

    observing = commands.add_parser(
        "oracle",
        help="print what an ideal observer reaches on a simulated dataset",
        description="The ceiling for retrieval and the floor for the errors of the variables, on "
        "rows that `simulate` made with this version. Read `validation` to choose; `test` is for "
        "the end.",
    )
    observing.add_argument("dataset", metavar="DATASET", help="folder of the dataset")
    observing.add_argument("--split", default="validation", choices=SPLITS)
    observing.add_argument(
        "--members",
        type=int,
        help="sources that the observer sums over (more: less noise, more time)",
    )
    observing.add_argument(
        "--retrieval-only", action="store_true", help="leave the variables out: half of the time"
    )
    observing.add_argument("--seed", type=int, default=0, help="of the observer's draws")
    observing.add_argument("--output", type=Path, help="JSON file for all figures")
    observing.set_defaults(run=_oracle)

    marginals = commands.add_parser(
        "marginals",
        help="compute the catalogue's percentiles that `compare` shows, from its tables",
    )
    marginals.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the tables")
    marginals.add_argument("--output", type=Path, required=True, help="JSON file to write")
    marginals.set_defaults(run=_marginals)

    tables = commands.add_parser(
        "tables",
        help="turn local tables (detections.parquet, sources.parquet) into a dataset",
        description="Turn detections.parquet (PI counts and catalogue columns), sources.parquet "
        "(papers, hosts) and responses/ into the contract's rows. Summaries are sentences of the "
        "papers' abstracts: no key and no network are needed.",
    )
    tables.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the tables")
    tables.add_argument(
        "--survey-limit",
        type=int,
        default=SURVEY_LIMIT,
        help="a paper behind more sources is a survey: it links none and feeds no summary alone "
        "(default %(default)s)",
    )
    tables.add_argument(
        "--keep-survey-only",
        action="store_true",
        help="keep sources that only surveys are about; many will share one text",
    )
    tables.add_argument("--seed", type=int, default=0, help="seed of the splits (default 0)")
    _add_output(tables)
    tables.set_defaults(run=_tables)

    add_build_command(commands)
    return parser


def default_processes() -> int:
    """As many as cores that this process may use; more than eight would wait for the disk."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    return min(cores, 8)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a dataset that is already there"
    )


def _simulate(options: argparse.Namespace) -> int:
    start = time.monotonic()
    knobs = replace(CONFIGS[options.config], **_changes(options))
    options.output.parent.mkdir(parents=True, exist_ok=True)
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


def _compare(options: argparse.Namespace) -> int:
    marginals, texts = Marginals(), set()
    files = sorted((options.folder / DATA_FOLDER).glob("*.parquet"))
    if not files:
        raise DatasetFolderError(f"{options.folder} holds no {DATA_FOLDER}/*.parquet")
    for path in files:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            marginals.add(table)
            texts.update(
                " ".join(filter(None, row.values())) for row in table["summary"].to_pylist()
            )
    print(comparison_table(marginals.quantiles()))
    print()
    print(describe_variety(measure_variety(sorted(texts))))
    return 0


def _oracle(options: argparse.Namespace) -> int:
    # Imported here: it brings torch, which no other command of this program waits for.
    from .simulation.oracle.report import describe_ceiling, to_text
    from .simulation.oracle.study import MEMBERS, measure_ceiling

    splits, info = load(options.dataset)
    rows = splits[options.split]
    if not len(rows):
        raise DatasetFolderError(f"{options.dataset} has no rows in {options.split}")
    start = time.monotonic()
    found = measure_ceiling(
        info,
        rows.with_format("arrow")[:],
        members=MEMBERS if options.members is None else options.members,
        variables=not options.retrieval_only,
        seed=options.seed,
        progress=True,
    )
    print(f"Simulated {info.name}, {options.split}: {len(rows):,} spectra\n")
    print(to_text(describe_ceiling(found.metrics)))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"dataset": info.name, "split": options.split} | found.metrics, indent=1)
        options.output.write_text(text + "\n", encoding="utf-8")
    print(f"\n{time.monotonic() - start:.0f} s")
    return 0


def _marginals(options: argparse.Namespace) -> int:
    found = compute_catalogue_marginals(options.folder)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    defaults = _settable()
    changes: dict[str, Any] = {}
    for text in options.set:
        name, separator, value = text.partition("=")
        if not separator or name not in defaults:
            raise ValueError(f"--set {text}: write KNOB=VALUE with one of {', '.join(defaults)}")
        try:
            kind = type(defaults[name])
            changes[name] = {"true": True, "false": False}[value] if kind is bool else kind(value)
        except (KeyError, ValueError):
            raise ValueError(
                f"--set {text}: {name} takes a value like {str(defaults[name]).lower()}"
            ) from None
    for name in ("pairs", "seed"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    if options.responses is not None:
        changes["responses"] = find_responses(options.responses)
    return changes


def _settable() -> dict[str, Any]:
    """The knobs that are single values, with their defaults; files have an option of their own."""
    return {item.name: item.default for item in fields(Knobs) if item.name != "responses"}


def _tables(options: argparse.Namespace) -> int:
    check_may_write(options.output, overwrite=options.overwrite)
    start = time.monotonic()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    # Beside the output: the rows pass through the same disk that they end on.
    with tempfile.TemporaryDirectory(
        dir=options.output.parent, prefix=".building-", ignore_cleanup_errors=True
    ) as scratch:
        builder = LocalTables(
            options.folder,
            survey_limit=options.survey_limit,
            keep_survey_only=options.keep_survey_only,
            seed=options.seed,
            cache_dir=scratch,
        )
        builder.download_and_prepare()
        print(builder.plan.counts)
        splits = built_splits(builder)
        groups = [group for part in splits.values() for group in part["group"]]
        names = [name for name, part in splits.items() for _ in range(len(part))]
        write_dataset(
            options.output,
            splits,
            builder.description(),
            overwrite=options.overwrite,
            progress=True,
        )
    print(describe_splits(groups, names))
    print(f"{options.output}: {len(names)} pairs in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
