"""Files of Spaces on the Hub: the page around a published model, and the `evaluate` module."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from ..version import __version__
from .cards import CARD_FILE, PublishError, read_metrics, render

DISTRIBUTION = "hf-specclip"
PACKAGE = Path(__file__).resolve().parents[1]
_APP = '''\
"""Page of hf_specclip around one model; a Space starts it with `python app.py`."""

from hf_specclip.app.page import build_app
from hf_specclip.describe.describer import Describer

page = build_app(Describer.from_pretrained({arguments}))

if __name__ == "__main__":
    page.launch()
'''
_CODE = (
    ".py", ".pyi", ".csv", ".npz", ".json", ".toml", ".md", ".typed", ".css", ".js", ".html",
    ".jinja",
)  # fmt: skip


def space_files(
    folder: Path,
    repo_id: str,
    model: str,
    heads: Mapping[str, str],
    metrics: str | os.PathLike[str] | None = None,
) -> dict[str, Path | bytes]:
    """Return the files of a Gradio Space that shows a published model.

    The code of the package goes along, because the package itself may not be on the package index.

    Args:
        folder: of the run, for its metrics.
        repo_id: of the Space.
        model: `user/name` of the model.
        heads: repositories of the experts and the detector, by kind.
        metrics: `metrics.json` of the run, if it lies elsewhere.

    Raises:
        PublishError: if the run was not measured, or the package is not installed.
    """
    from huggingface_hub import SpaceCardData

    results = read_metrics(folder, metrics)
    if "simulated" not in results:
        raise PublishError(f"the metrics of {folder} do not say whether the data were simulated")
    gradio = None
    title = repo_id.split("/")[1].replace("-", " ").replace("_", " ")
    with suppress(PackageNotFoundError):  # without it the Hub takes the newest
        gradio = version("gradio")
    data = SpaceCardData(
        title=title, emoji="🔭", colorFrom="blue", colorTo="yellow", sdk="gradio",
        sdk_version=gradio, app_file="app.py", license="apache-2.0",
        models=[model, *heads.values()], tags=["astronomy", "x-ray", "spectra", "specclip"],
        short_description="What the literature says about an X-ray spectrum",
    )  # fmt: skip
    card = render(
        "space", data, title=title, model=model, simulated=results["simulated"],
        version=__version__,
    )  # fmt: skip
    arguments = [json.dumps(model), *(f"{kind}={json.dumps(n)}" for kind, n in heads.items())]
    code = {
        f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}": path
        for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in _CODE and path.is_file()
    }
    return {
        CARD_FILE: card.encode(),
        "app.py": _APP.format(arguments=", ".join(arguments)).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in package_requirements("app")).encode(),
        **code,
    }


def metric_files(folder: Path, repo_id: str) -> dict[str, Path | bytes]:
    """Return the files of an `evaluate` module, from a folder or by the name of our own.

    `evaluate.load("user/name")` looks for `name.py`, so the module takes the repository's name.

    Raises:
        PublishError: if there is no such module.
    """
    if not folder.is_dir():
        folder = PACKAGE / "evaluation" / "modules" / folder.name
    module, card = folder / f"{folder.name}.py", folder / CARD_FILE
    if not (module.is_file() and card.is_file()):
        raise PublishError(f"{folder} has no {module.name} and {CARD_FILE}: it is not a metric")
    text = card.read_text(encoding="utf-8").replace(f"path/to/{folder.name}", repo_id)
    requirements = f"{DISTRIBUTION}[evaluation]=={__version__}\ndatasets\n"
    return {
        CARD_FILE: text.encode(),
        f"{repo_id.split('/')[1]}.py": module,
        "requirements.txt": requirements.encode(),
    }


def package_requirements(extra: str) -> list[str]:
    """Return the requirements of the package and of one of its extras, without the package.

    Raises:
        PublishError: if the package is not installed.
    """
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError as error:
        raise PublishError(
            f"{DISTRIBUTION} is not installed: pip install . in its checkout"
        ) from error
    found: set[str] = set()
    extras = [extra]
    for each in extras:  # grows: an extra may name others
        for line in declared:
            if line.marker is not None and not line.marker.evaluate({"extra": each}):
                continue
            if line.name == DISTRIBUTION:
                extras += line.extras - set(extras)
            else:
                found.add(f"{line.name}{line.specifier}")
    return sorted(found)
