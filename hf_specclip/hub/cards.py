"""Cards of models and datasets, written from measured results.

A card is a template of `model_cards/` filled from the run's `metrics.json` and the artifact's
configuration. An edited card is kept as long as it states no number that the template would not
write.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from ..errors import FileFormatError, SpecCLIPError
from ..formatting import format_metric, format_number
from ..models.variables_specclip import AXIS, SECTIONS
from ..storage import read_json, write_text

CARD_FILE = "README.md"
METRICS_FILE = "metrics.json"
MAX_METRICS_BYTES = 1 << 26  # a run's metrics take some hundred kilobytes
THIS_FOLDER = "."  # name of an artifact that has none on the Hub yet

# kind -> title, library, pipeline, and task type and task name of its results
_KINDS = {
    "model": ("SpecCLIP", "transformers", "feature-extraction",
              "retrieval", "retrieval between spectra and texts"),
    "moe": ("SpecCLIP mixture of experts", "transformers", "tabular-regression",
            "tabular-regression", "physical variables"),
    "spectrum": ("SpecCLIP spectral autoencoder", "transformers", None, "", ""),
    "outliers": ("SpecCLIP outlier detector", "hf_specclip", None,
                 "outlier-detection", "finding rare classes"),
}  # fmt: skip
MEASURED = tuple(_KINDS)
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LINK = re.compile(r"(?:https?://|arXiv:|doi:)\S+", re.IGNORECASE)


class PublishError(SpecCLIPError, ValueError):
    """An artifact that cannot be published, or a card that cannot be written; says what to do."""


def write_card(kind: str, folder: str | os.PathLike[str], metrics: Mapping[str, Any]) -> Path:
    """Write the card of an artifact beside it.

    Args:
        kind: one of `MEASURED`.
        folder: of the artifact.
        metrics: of the run; every number on the card is there or in the folder.

    Returns:
        The path of the card.

    Raises:
        PublishError: if a result that the card needs is missing.
    """
    path = Path(folder) / CARD_FILE
    write_text(path, fill_card(kind, Path(folder), without_paths(metrics)))
    return path


def write_cards(run_dir: Path, metrics: Mapping[str, Any]) -> list[Path]:
    """Write the cards of all artifacts of a run whose study was not skipped; return their paths."""
    studies = {"moe": "experts", "outliers": "outliers"}
    return [
        write_card(kind, run_dir / kind, metrics)
        for kind in MEASURED
        if (run_dir / kind).is_dir()
        and (kind not in studies or "skipped" not in metrics.get(studies[kind], {"skipped": ""}))
    ]


def make_card(
    kind: str, folder: Path, repo_id: str, metrics: str | os.PathLike[str] | None = None
) -> tuple[str, bytes]:
    """Return the card of an artifact under its name on the Hub, and the metrics it rests on.

    Args:
        kind: one of `MEASURED`.
        folder: of the artifact; an edited card in it is kept, and checked against the metrics.
        repo_id: `user/name`.
        metrics: `metrics.json` of the run; default: in the folder or the one above.

    Raises:
        PublishError: without metrics, or for a card that states other numbers.
    """
    figures = without_paths(read_metrics(folder, metrics))
    card = fill_card(kind, folder, figures, repo_id)
    path = folder / CARD_FILE
    if path.is_file():
        edited = path.read_text(encoding="utf-8")
        if edited != fill_card(kind, folder, figures):
            check_numbers(edited, card, path)
            card = edited
    return card, (json.dumps(figures, indent=2, ensure_ascii=False) + "\n").encode()


def read_metrics(folder: Path, metrics: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Read the `metrics.json` of the run that an artifact belongs to.

    Raises:
        PublishError: if there is none, or it is not a JSON object.
    """
    paths = [Path(metrics)] if metrics else [folder / METRICS_FILE, folder.parent / METRICS_FILE]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise PublishError(
            f"no measured results for the card in {' or '.join(map(str, paths))}: name the "
            f"{METRICS_FILE} of the run with --metrics"
        )
    try:
        return read_json(path, MAX_METRICS_BYTES)
    except FileFormatError as error:
        raise PublishError(str(error)) from error


def without_paths(value: Any) -> Any:
    """Return metrics in which a path of this machine is reduced to its last part."""
    if isinstance(value, Mapping):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"(?<!\S)(?:[/~]|[A-Za-z]:\\)\S*", lambda m: PurePath(m[0]).name, value)
    return value


def fill_card(kind: str, folder: Path, metrics: Mapping[str, Any], name: str = THIS_FOLDER) -> str:
    """Fill the template of a kind.

    Raises:
        PublishError: if a result that the template needs is missing.
    """
    from huggingface_hub import EvalResult, ModelCardData

    title, library, pipeline, task, task_name = _KINDS[kind]
    file = "detector.json" if kind == "outliers" else "config.json"
    try:
        config = json.loads((folder / file).read_text(encoding="utf-8"))
        simulated = " (simulated pairs)" if metrics["simulated"] else ""
        results = [
            EvalResult(
                task_type=task,
                task_name=task_name,
                dataset_type=metrics["dataset"],
                dataset_name=f"{metrics['dataset']}{simulated}",
                dataset_split="test",
                metric_type=metric,
                metric_value=figure["value"],
                metric_name=label + _interval(figure),
                metric_args={k: v for k, v in figure.items() if k != "value" and v is not None},
            )
            for label, metric, figure in _headline_results(kind, metrics, config)
            if figure["value"] is not None
        ]
        tags = ["astronomy", "x-ray", "chandra", "spectra", "specclip", f"specclip-{kind}"]
        data = ModelCardData(
            license="apache-2.0",
            library_name=library,
            pipeline_tag=pipeline,
            tags=tags + ["simulated-data"] * bool(simulated),
            model_name=f"{title} {metrics['preset']}" if results else None,
            eval_results=results or None,
        )
        return render(
            kind, data, name=name, config=config, n_parameters=_count_parameters(folder),
            default_axis=AXIS, default_sections=SECTIONS, **metrics,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, SpecCLIPError):
            raise
        raise PublishError(
            f"the card of {folder} lacks a result ({error!r}): measure the run with "
            "training/reproduce.py of this version"
        ) from error


def check_numbers(card: str, expected: str, path: Path) -> None:
    """Refuse an edited card with a number that was not measured.

    A line with a number must stand in the expected card; links, arXiv and DOI identifiers do not
    count, and words are free.

    Raises:
        PublishError: names the line and the number.
    """
    lines = {line.strip() for line in expected.splitlines()}
    for row, line in enumerate(card.splitlines(), start=1):
        numbers = _NUMBER.findall(_LINK.sub("", line))
        if numbers and line.strip() not in lines:
            raise PublishError(
                f"{path} line {row} says {numbers[0]}, which {METRICS_FILE} does not "
                f"({line.strip()[:60]!r}): remove it, or delete the file to have it written anew"
            )


def dataset_card(folder: Path, name: str) -> str:
    """Return the card of a dataset folder: its own, or one written from its description file.

    Raises:
        PublishError: for a folder without a card whose files are not named after their splits.
    """
    from huggingface_hub import DatasetCardData

    if (folder / CARD_FILE).is_file():
        return (folder / CARD_FILE).read_text(encoding="utf-8")
    path = folder / "specclip_dataset.json"
    info = read_json(path) if path.is_file() else {}
    splits = sorted({file.name.split("-")[0] for file in folder.glob("data/*-*.parquet")})
    if not splits:
        raise PublishError(f"{folder}/data has no SPLIT-*.parquet: name the files by their splits")
    data = DatasetCardData(
        license=info.get("license", "other"),
        pretty_name=info.get("name") or name.split("/")[-1],
        task_categories=["feature-extraction"],
        tags=["astronomy", "x-ray", "spectra", "specclip"]
        + ["simulated"] * bool(info.get("simulated")),
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": f"data/{s}-*.parquet"} for s in splits],
            }
        ],
    )
    return render("dataset", data, name=name, info=info, splits=splits)


def with_tag(card: str, tag: str) -> str:
    """Return a card with the tag that marks its repository on the Hub.

    Raises:
        PublishError: if the front matter is not YAML.
    """
    from huggingface_hub import RepoCard

    try:
        parsed = RepoCard(card)
    except Exception as error:  # of PyYAML, which the client does not wrap
        raise PublishError(f"the front matter of {CARD_FILE} is not YAML: {error}") from error
    tags = parsed.data.get("tags") or []
    if tag not in tags:
        parsed.data["tags"] = [*tags, tag]
        return str(parsed.content)
    return card


def render(template: str, data: Any, **values: Any) -> str:
    """Fill `model_cards/{template}.md`.

    Args:
        template: name of the template.
        data: `CardData` of huggingface_hub, the front matter.
        values: for the text. A name that is missing is an error, which
            `ModelCard.from_template` would leave blank.

    Raises:
        PublishError: for a missing value.
    """
    from jinja2 import TemplateError

    try:
        page = _environment().get_template(f"{template}.md")
        return str(page.render(card_data=data.to_yaml(), **values))
    except (TemplateError, TypeError, ValueError) as error:
        raise PublishError(
            f"the {template} card lacks a result ({error}): measure the run with "
            "training/reproduce.py of this version"
        ) from error


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).resolve()
    environment = Environment(
        # The wheel has the templates in the package, a checkout at its top.
        loader=FileSystemLoader([here.with_name("templates"), here.parents[2] / "model_cards"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the cards are Markdown, not HTML
    )
    environment.filters |= {
        "metric": format_metric,
        "short": format_number,
        "count": lambda value: f"{value:,}",
        "line": lambda text: " ".join(str(text).split()),
    }
    return environment


def _headline_results(
    kind: str, metrics: Mapping[str, Any], config: Mapping[str, Any]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield label, metric and figure of each result in the front matter."""
    if kind == "model":
        for direction in ("spectrum_to_text", "text_to_spectrum"):
            for metric, figure in metrics["retrieval"][direction].items():
                if isinstance(figure, Mapping):
                    yield f"{direction}, {metric}".replace("_", " "), metric, figure
    elif kind == "moe":
        variables = metrics["experts"][metrics["experts"]["headline"]]["variables"]
        for name in config["variables"]:
            if variables.get(name, {}).get("n"):
                yield f"{name}, mean absolute error", "mae", variables[name]["mae"]
    elif kind == "outliers":
        injection = metrics["outliers"].get("injection", {})
        for occurrence, classes in ({} if "skipped" in injection else injection).items():
            detectors = classes.get("together", {}).get("detectors", {})
            for detector, measured in detectors.items():
                if "auc" in measured:
                    label = f"{detector}, {occurrence} classes, ROC-AUC".replace("_", " ")
                    yield label, "roc_auc", measured["auc"]


def _interval(figure: Mapping[str, Any]) -> str:
    if figure.get("low") is None or figure.get("high") is None:
        return " (no interval)"
    return f" (95 % interval {figure['low']:.4g} to {figure['high']:.4g})"


def _count_parameters(folder: Path) -> int:
    """Return the number of values in the weight files of a folder."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(str(path), framework="numpy") as file:
                names = list(file.keys())
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
        except SafetensorError as error:
            raise PublishError(f"{path} is damaged ({error}): save it again") from error
    return total
