"""`specclip index`: build an index of a dataset, add spectra to one, and say what is in it."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from .file_arguments import SpectrumReader, add_file_arguments, print_json
from .model_arguments import add_model_arguments, load_describer

DESCRIPTION = """\
The index a model searches: texts and spectra where the model puts them.

  specclip index info  runs/demo/model
  specclip index build --model runs/demo --dataset runs/sky -o runs/sky-index
  specclip index add   --model runs/demo runs/sky-index *.pha
  specclip search      --model runs/demo --index runs/sky-index "a soft, bright star"

An index is a folder of JSON lines and safetensors: data, never code.
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `index` to the commands; gives its parser."""
    form = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "index", help="build an index, add to it, look at it",
        description=DESCRIPTION, formatter_class=form,
    )  # fmt: skip
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    info = actions.add_parser("info", help="what is in an index")
    info.add_argument("folder", metavar="DIR", help="an index, a model folder, or user/name")
    info.add_argument("--json", action="store_true", help="print JSON instead of text")
    info.set_defaults(run=_info)

    build = actions.add_parser("build", help="an index of a dataset")
    add_model_arguments(build)
    build.add_argument(
        "--dataset", required=True, help="a folder in the data contract's form, or user/name"
    )
    build.add_argument("--dataset-revision", help="branch, tag or commit of the dataset")
    build.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="write it")
    build.add_argument("--seed", type=int, default=0, help="of the map (default 0)")
    build.add_argument("--json", action="store_true", help="print JSON instead of text")
    build.set_defaults(run=_build)

    add = actions.add_parser("add", help="put spectra into an index")
    add_model_arguments(add)
    add.add_argument("folder", metavar="DIR", help="the index")
    add_file_arguments(add)
    add.set_defaults(run=_add)
    return parser


def _info(arguments: argparse.Namespace) -> int:
    from ..search.files import ENTRIES_FILE

    folder = Path(arguments.folder)
    if (folder / ENTRIES_FILE).is_file():
        from ..search.index import SpecCLIPIndex

        index = SpecCLIPIndex.load(folder)
    else:
        from ..models.trained_run import find_run
        from ..search.index import GALLERY_FOLDER, SpecCLIPIndex

        index = SpecCLIPIndex.load(find_run(arguments.folder).model / GALLERY_FOLDER)
    found: dict[str, Any] = {
        "texts": len(index.papers),
        "spectra": len(index.spectra),
        "dimensions": index.dimension,
        "splits": dict(Counter(str(e.get("split")) for e in index.spectra.entries).most_common()),
        "classes": dict(Counter(str(e.get("class")) for e in index.spectra.entries).most_common()),
        "columns": sorted(index.spectra.columns),
        "about": index.about,
    }
    if arguments.json:
        print_json(found)
        return 0
    print(arguments.folder)
    for name in ("texts", "spectra", "dimensions"):
        print(f"  {name:<12}{found[name]:,}")
    for name in ("splits", "classes"):
        if told := ", ".join(f"{kind} {number:,}" for kind, number in found[name].items()):
            print(f"  {name:<12}{told}")
    print(f"  {'columns':<12}{', '.join(found['columns']) or 'none'}")
    for name, value in index.about.items():
        print(f"  {name:<12}{value}")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from ..describe.index_dataset import index_dataset

    describer = load_describer(arguments, ())
    index = index_dataset(
        describer,
        arguments.dataset,
        revision=arguments.dataset_revision,
        seed=arguments.seed,
        progress=True,
    )
    index.save(arguments.output)
    return _wrote(arguments, index, arguments.output)


def _add(arguments: argparse.Namespace) -> int:
    from ..describe.index_dataset import add_spectra
    from ..search.index import SpecCLIPIndex

    index = SpecCLIPIndex.load(arguments.folder)
    describer = load_describer(arguments, ())
    reader = SpectrumReader(arguments)
    spectra = []
    for spectrum, place in reader:
        row = "" if place["row"] is None else f"#{place['row']}"
        spectra.append((f"{Path(place['file']).name}{row}", spectrum))
    added, left = add_spectra(index, describer, spectra)
    if added:
        index.save(arguments.folder)
    for name in left:
        if not arguments.json:
            print(f"{name} is there already")
    return max(reader.status, _wrote(arguments, index, arguments.folder, added=added, left=left))


def _wrote(arguments: argparse.Namespace, index: Any, folder: Any, **more: Any) -> int:
    found = {"output": str(folder), "texts": len(index.papers), "spectra": len(index.spectra)}
    if arguments.json:
        print_json({**found, **more})
    else:
        print(f"{found['texts']:,} texts and {found['spectra']:,} spectra → {folder}")
    return 0


__all__ = ["add_command"]
