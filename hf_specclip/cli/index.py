"""The `specclip index` command: build an index of a dataset, add spectra, print its content."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from ..formatting import plain
from .arguments import add_json_option, add_parser, keep_inputs, print_json
from .file_arguments import SpectrumReader, add_file_arguments
from .model_arguments import add_embedder_option, add_model_arguments, load_describer
from .run_command import tell

DESCRIPTION = """\
Manage the index that a model searches: texts and spectra with their embeddings.

  specclip index info  runs/demo/model
  specclip index build --model runs/demo --dataset runs/sky -o runs/sky-index
  specclip index add   --model runs/demo runs/sky-index *.pha
  specclip search      --model runs/demo --index runs/sky-index "a soft, bright star"

An index is a folder of JSON lines and safetensors files, without code.
"""


def add_command(subparsers: Any) -> None:
    """Add the `index` command."""
    parser = add_parser(subparsers, "index", "build, extend or inspect an index", DESCRIPTION)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    info = add_parser(
        actions, "info", "content of an index", "Print the content of an index.", _info
    )
    info.add_argument("folder", metavar="DIR", help="an index, a model folder, or user/name")
    add_json_option(info)

    build = add_parser(
        actions, "build", "index of a dataset", "Build the index of a dataset.", _build
    )
    add_model_arguments(build)
    add_embedder_option(build)
    build.add_argument("--dataset", required=True, help="a dataset folder or user/name on the Hub")
    build.add_argument("--dataset-revision", help="branch, tag or commit of the dataset")
    build.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write"
    )
    build.add_argument("--seed", type=int, default=0, help="of the map (default 0)")
    add_json_option(build)

    add = add_parser(
        actions, "add", "add spectra to an index", "Add spectra to an index, in place.", _add
    )
    add_model_arguments(add)
    add.add_argument("folder", metavar="DIR", help="the index")
    add_file_arguments(add)


def _info(arguments: argparse.Namespace) -> int:
    from ..models.trained_run import find_run
    from ..search.files import ENTRIES_FILE
    from ..search.index import GALLERY_FOLDER, SpecCLIPIndex

    folder = Path(arguments.folder)
    if not (folder / ENTRIES_FILE).is_file():
        folder = find_run(arguments.folder).model / GALLERY_FOLDER
    index = SpecCLIPIndex.load(folder)
    spectra = index.spectra.entries
    content: dict[str, Any] = {
        "texts": len(index.papers),
        "spectra": len(index.spectra),
        "dimensions": index.dimension,
        "splits": dict(Counter(str(entry.get("split")) for entry in spectra).most_common()),
        "classes": dict(Counter(str(entry.get("class")) for entry in spectra).most_common()),
        "columns": sorted(index.spectra.columns),
        "about": index.about,
    }
    if arguments.json:
        print_json(content)
        return 0
    print(arguments.folder)
    for name in ("texts", "spectra", "dimensions"):
        print(f"  {name:<12}{content[name]:,}")
    for name in ("splits", "classes"):
        if counts := ", ".join(f"{label} {count:,}" for label, count in content[name].items()):
            print(f"  {name:<12}{counts}")
    print(f"  {'columns':<12}{', '.join(content['columns']) or 'none'}")
    for name, value in index.about.items():
        print(f"  {name:<12}{value}")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from ..describe.index_dataset import index_dataset

    keep_inputs([arguments.output], [arguments.dataset, arguments.model])
    index = index_dataset(
        load_describer(arguments, ("moe",)),
        arguments.dataset,
        revision=arguments.dataset_revision,
        seed=arguments.seed,
        progress=True,
    )
    index.save(arguments.output)
    _print_size(arguments, index, arguments.output)
    return 0


def _add(arguments: argparse.Namespace) -> int:
    from ..describe.index_dataset import add_spectra
    from ..search.index import SpecCLIPIndex
    from ..storage import exclusive

    describer = load_describer(arguments, ("moe",))
    reader = SpectrumReader(arguments)
    spectra = []
    for spectrum, origin in reader:
        reasons = describer.reasons_to_withhold(spectrum)
        if "similar" in reasons:
            reader.report(ValueError(reasons["similar"]), origin.file)
            continue
        if "variables" in reasons:
            tell(f"note: {origin}: {reasons['variables']}")
        row = "" if origin.row is None else f"#{origin.row}"
        spectra.append((plain(f"{Path(origin.file).name}{row}"), spectrum))
    # Another process may be adding to it: each reads what the one before has written.
    with exclusive(arguments.folder):
        index = SpecCLIPIndex.load(arguments.folder)
        added, skipped = add_spectra(index, describer, spectra)
        if added:
            index.save(arguments.folder)
    if not arguments.json:
        for name in skipped:
            print(f"{name} is in the index already")
    _print_size(arguments, index, arguments.folder, added=added, left=skipped)
    return reader.status


def _print_size(arguments: argparse.Namespace, index: Any, folder: Any, **facts: Any) -> None:
    texts, spectra = len(index.papers), len(index.spectra)
    if arguments.json:
        print_json({"output": str(folder), "texts": texts, "spectra": spectra, **facts})
    else:
        print(f"{texts:,} texts and {spectra:,} spectra → {folder}")
