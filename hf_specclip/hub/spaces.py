"""The files of Spaces: the page around a published model, and the `evaluate` module."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from ..version import __version__
from .cards import CardError, find_metrics, render
from .kinds import CARD_FILE, KINDS, PublishError, files_of

DISTRIBUTION = "hf-specclip"
MODULES = Path(__file__).resolve().parent / "evaluation" / "modules"
_APP = '''\
"""The page of hf_specclip around one model. A Space starts it with `python app.py`."""

from hf_specclip.app.page import build_app
from hf_specclip.describe.describer import Describer

page = build_app(Describer.from_pretrained({arguments}))

if __name__ == "__main__":
    page.launch()
'''
_CODE = (".py", ".csv", ".npz", ".json", ".md", ".typed", ".css", ".js")


def space_files(
    folder: Path,
    repo_id: str,
    model: str,
    endpoint: str,
    beside: Mapping[str, str],
    metrics: str | os.PathLike[str] | None = None,
) -> dict[str, Path | bytes]:
    """A Gradio Space that shows a published model, its card included.

    The package's own code goes along, so that the Space needs from the package index only what the
    package itself requires.

    Args:
        folder: of the run or of its model, for the card.
        repo_id: of the Space.
        model: what the page loads, `user/name`.
        endpoint: of the Hub, for links.
        beside: repositories of what goes with the model, by kind (`moe`, `outliers`).
        metrics: the `metrics.json` of the run, where it lies elsewhere.

    Raises:
        PublishError: the package's requirements are not known.
        CardError: the folder belongs to no measured run.
    """
    figures = find_metrics(folder, metrics)
    if "simulated" not in figures:
        raise CardError(f"the metrics of {folder} do not say whether the data were simulated")
    title = repo_id.split("/")[1].replace("-", " ").replace("_", " ")
    data: dict[str, Any] = {
        "title": title,
        "emoji": "🔭",
        "colorFrom": "blue",
        "colorTo": "yellow",
        "sdk": "gradio",
        "app_file": "app.py",
        "pinned": False,
        "license": "apache-2.0",
        "models": [model, *beside.values()],
        "tags": ["astronomy", "x-ray", "spectra", "specclip", KINDS["space"].tag],
        "short_description": "What the literature says about an X-ray spectrum",
    }
    with contextlib.suppress(PackageNotFoundError):  # without it the Hub takes its newest
        data["sdk_version"] = version("gradio")
    card = render(
        "space",
        data,
        title=title,
        model=model,
        model_url=f"{endpoint}/{model}",
        simulated=bool(figures["simulated"]),
        version=__version__,
    )
    arguments = [json.dumps(model), *(f"{kind}={json.dumps(n)}" for kind, n in beside.items())]
    package = Path(__file__).resolve().parent
    code = {
        f"{package.name}/{path.relative_to(package).as_posix()}": path
        for path in sorted(package.rglob("*"))
        if path.is_file() and path.suffix in _CODE and "__pycache__" not in path.parts
    }
    return {
        CARD_FILE: card.encode(),
        "app.py": _APP.format(arguments=", ".join(arguments)).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in requirements("app")).encode(),
        **code,
    }


def metric_files(folder: Path, repo_id: str) -> dict[str, Path | bytes]:
    """The `evaluate` module of a folder; the name of a module of this package does, too.

    `evaluate.load("user/name")` looks for `name.py`, so that the module gets the repository's name.

    Raises:
        PublishError: there is no such module.
    """
    folder = metric_folder(folder)
    files: dict[str, Path | bytes] = dict(files_of(KINDS["metric"], folder))
    own, wanted = f"{folder.name}.py", f"{repo_id.split('/')[1]}.py"
    if own not in files:
        raise PublishError(f"{folder} has no {own}: an evaluate module has the name of its folder")
    files[wanted] = files.pop(own)
    files.setdefault(
        "requirements.txt", f"{DISTRIBUTION}[evaluation]=={__version__}\ndatasets\n".encode()
    )
    return files


def metric_folder(folder: Path) -> Path:
    """Where a module lies: the folder itself, or that of the package's module of this name."""
    inside = MODULES / folder.name
    if not folder.is_dir() and len(folder.parts) == 1 and inside.is_dir():
        return inside
    return folder


def requirements(*extras: str) -> list[str]:
    """What the package and some of its extras require, one line each, without the package itself.

    Raises:
        PublishError: the package is not installed, only found on the path.
    """
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        raise PublishError(
            f"{DISTRIBUTION} is not installed: pip install . in its checkout"
        ) from None
    known = {marker for line in declared for marker in str(line.marker or "").split('"')[1::2]}
    found: dict[str, str] = {}
    wanted, seen = ["", *extras], set[str]()
    while wanted:
        extra = wanted.pop()
        if extra in seen:
            continue
        seen.add(extra)
        if extra and extra not in known:
            raise PublishError(f"{DISTRIBUTION} has no extra {extra!r}: install this version of it")
        for line in declared:
            if (line.marker is None) != (extra == "") or not (
                line.marker is None or line.marker.evaluate({"extra": extra})
            ):
                continue
            if line.name == DISTRIBUTION:
                wanted += line.extras
                continue
            bare = Requirement(str(line))
            bare.marker = None
            found[bare.name] = str(bare)
    return sorted(found.values())


__all__ = ["metric_files", "metric_folder", "requirements", "space_files"]
