"""Cards: written from what was measured, and held against it.

A card is a template of `model_cards/` filled from `metrics.json` and from the saved thing itself.
One that somebody has edited is taken as it is, as long as no number stands in it that the template
would not have written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .card_values import VALUES, CardError, front_matter, pins_of, title_of
from .kinds import CARD_FILE, METRICS_FILE, Kind, read_json

# The wheel has the templates inside the package, a checkout beside it.
_TEMPLATES = ("../model_cards", "../../model_cards")
# A run's figures are some hundred kilobytes; a larger file is none of ours.
MAX_METRICS_BYTES = 1 << 26
MEASURED = ("model", "moe", "spectrum", "outliers")
HERE = "."  # how a card calls the folder it lies in, until that has a name on the Hub

_COMMON = (
    "dataset", "preset", "seed", "splits", "simulated", "text_model", "dataset_fingerprint",
    "command", "processes", "seconds", "versions", "compute",
)  # fmt: skip
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Where something is to be found is no result.
_IDENTIFIER = re.compile(r"(?:https?://|arXiv:|doi:)\S+", re.IGNORECASE)
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)


def card_of(
    kind: Kind, folder: Path, repo_id: str, metrics: str | os.PathLike[str] | None = None
) -> tuple[str, bytes | None]:
    """The card of a folder under its name on the Hub, and the figures that go with it.

    Args:
        kind: what the folder is.
        folder: where it lies. Its own card is kept when it was edited, and held against `metrics`.
        repo_id: its name.
        metrics: `metrics.json` of the run; by default that in the folder or in the one above.

    Raises:
        CardError: no metrics, or a card that says something else than they do.
    """
    own = folder / CARD_FILE
    text = own.read_text(encoding="utf-8") if own.is_file() else None
    if kind.name == "metric":
        if text is None:
            raise CardError(f"{folder} has no {CARD_FILE}, which says what the metric measures")
        return text.replace(f"path/to/{folder.name}", repo_id), None
    if kind.name == "dataset":
        return text or dataset_card(folder, repo_id), None
    figures = figures_of(kind.name, find_metrics(folder, metrics))
    named = fill(kind.name, folder, figures, repo_id)
    if text is not None and text != fill(kind.name, folder, figures):
        check_card(text, named, own)
        named = text
    return named, (json.dumps(figures, indent=2, ensure_ascii=False) + "\n").encode()


def write_card(kind: str, folder: str | os.PathLike[str], metrics: Mapping[str, Any]) -> Path:
    """Write `README.md` into a folder.

    Args:
        kind: `model`, `moe`, `spectrum` or `outliers`.
        folder: of the saved thing.
        metrics: what `training/reproduce.py` writes to `metrics.json`; every number on the card is
            there, or is read from the folder.

    Returns:
        The card's path.

    Raises:
        CardError: the metrics lack what the card needs.
    """
    path = Path(folder) / CARD_FILE
    card = fill(kind, Path(folder), figures_of(kind, metrics))
    partial = path.with_name(f".{CARD_FILE}.partial")
    partial.write_text(card, encoding="utf-8")
    partial.replace(path)
    return path


def find_metrics(folder: Path, metrics: str | os.PathLike[str] | None) -> dict[str, Any]:
    """The figures of the run that a folder belongs to.

    Raises:
        CardError: there are none, or they are no JSON object.
    """
    places = [Path(metrics)] if metrics else [folder / METRICS_FILE, folder.parent / METRICS_FILE]
    for place in places:
        if not place.is_file():
            continue
        if place.stat().st_size > MAX_METRICS_BYTES:
            raise CardError(f"{place} is larger than {MAX_METRICS_BYTES} bytes")
        try:
            found = json.loads(place.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CardError(f"{place} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise CardError(f"{place} is no JSON object")
        return found
    looked = " and ".join(str(place) for place in places)
    raise CardError(
        f"no measured results for the card (looked for {looked}): training/reproduce.py leaves "
        "them; name the file with --metrics"
    )


def figures_of(kind: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's figures that a card rests on, under the same names.

    Paths of the machine it was made on are reduced to their last part.
    """
    parts: dict[str, dict[str, Any]] = {
        "model": {"retrieval": None, "ceiling": {"retrieval": None}, "training": {"align": None}},
        "moe": {"experts": {"headline": None, "split": None, "gate": None, "select": None,
                            "missing_text": None, "coverage": None}},
        "spectrum": {"training": {"spectrum": None},
                     "latent_space": {"split": None, "correlations": {"spectrum": None}}},
        "outliers": {"outliers": dict.fromkeys(
            ("split", "rows", "reference", "reference_rows", "injection"))},
    }  # fmt: skip
    found = _project(metrics, {**dict.fromkeys(_COMMON), **parts[kind]})
    # A dataset is named, not placed: a local path means nothing to a reader.
    found["dataset"] = Path(str(found.get("dataset", ""))).name
    found["command"] = " ".join(_placeless(word) for word in str(found.get("command", "")).split())
    return found


def fill(kind: str, folder: Path, figures: Mapping[str, Any], name: str = HERE) -> str:
    """A card from its template.

    Args:
        kind: `model`, `moe`, `spectrum` or `outliers`.
        folder: of the saved thing, for its sizes.
        figures: of `figures_of`.
        name: what readers load it by.

    Raises:
        CardError: the template asks for a figure that is not there.
    """
    try:
        values = {
            **{key: figures.get(key) for key in _COMMON},
            "name": name,
            "total_seconds": sum((figures.get("seconds") or {}).values()),
            "pins": pins_of(figures["versions"]),
            **VALUES[kind](folder, figures),
        }
        values["card_data"] = _yaml(front_matter(kind, values))
    except (KeyError, TypeError, AttributeError) as error:
        raise CardError(
            f"the metrics lack {error} for the card of {folder}: measure it with "
            "training/reproduce.py of this version"
        ) from error
    return _render(kind, values)


def check_card(card: str, right: str, path: Path) -> None:
    """Refuse a card with a number that was not measured.

    A line with a number has to stand on the card as it would be written; links, arXiv and DOI
    identifiers do not count, and words are free. The results in the front matter have to be the
    same.

    Args:
        card: as somebody edited it.
        right: as it is written from the metrics.
        path: where it lies, for the message.

    Raises:
        CardError: names the line and the number.
    """
    import yaml

    front, right_front = (_FRONT.match(text) for text in (card, right))
    try:
        given = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError as error:
        raise CardError(f"{path}: the front matter is not YAML: {error}") from error
    if not isinstance(given, dict):
        raise CardError(f"{path} has no front matter: delete it to have it written anew")
    made = yaml.safe_load(right_front[1]) if right_front else {}
    if given.get("model-index") != made.get("model-index"):
        raise CardError(
            f"{path}: the results in its front matter (model-index) are not those of metrics.json: "
            "delete the file to have it written anew"
        )
    lines = {line.strip() for line in right.splitlines()}
    start = front[0].count("\n") if front else 0
    for place, line in enumerate(card.splitlines()[start:], start=start + 1):
        if line.strip() in lines:
            continue
        strange = _NUMBER.findall(_IDENTIFIER.sub("", line))
        if strange:
            raise CardError(
                f"{path} line {place} says {strange[0]}, which metrics.json does not "
                f"({line.strip()[:60]!r}): take it out, or delete the file to have it written anew"
            )


def render(template: str, data: Mapping[str, Any], **values: Any) -> str:
    """A card from a template: `data` for the front matter, `values` for the rest."""
    return _render(template, {**values, "card_data": _yaml(data)})


def tagged(card: str, kind: Kind) -> str:
    """The card with the tag that marks the repository as one of its kind."""
    from huggingface_hub import RepoCard

    parsed = RepoCard(card, ignore_metadata_errors=False)
    tags = list(parsed.data.get("tags") or [])
    if kind.tag in tags:
        return card
    parsed.data["tags"] = [*tags, kind.tag]
    return str(parsed.content)


def dataset_card(folder: Path, name: str) -> str:
    """The card of a dataset that brings none, from what its description file says of it."""
    path = folder / "specclip_dataset.json"
    info = read_json(path) if path.is_file() else {}
    splits = sorted({file.name.split("-")[0] for file in folder.glob("data/*-*.parquet")})
    if not splits:
        raise CardError(f"{folder}/data has no SPLIT-*.parquet: name the files after their splits")
    data = {
        "license": info.get("license", "other"),
        "pretty_name": info.get("name") or name.split("/")[-1],
        "task_categories": ["feature-extraction"],
        "tags": ["astronomy", "x-ray", "spectra", "specclip"]
        + (["simulated"] if info.get("simulated") else []),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": f"data/{s}-*.parquet"} for s in splits],
            }
        ],
    }
    rows = info.get("rows") if isinstance(info.get("rows"), dict) else {}
    return render("dataset", data, name=name, info=info, splits=splits, rows=rows)


def _project(metrics: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, inner in wanted.items():
        if name not in metrics:
            continue
        value = metrics[name]
        found[name] = (
            _project(value, inner)
            if isinstance(inner, Mapping) and isinstance(value, Mapping)
            else value
        )
    return found


def _placeless(word: str) -> str:
    return (
        Path(word).name if word.startswith(("/", "~")) or re.match(r"[A-Za-z]:\\", word) else word
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).resolve().parent
    environment = Environment(
        loader=FileSystemLoader([str(here / place) for place in _TEMPLATES]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the cards are Markdown, not HTML
    )
    environment.filters |= {
        "figure": _figure,
        "percent": lambda value: "–" if value is None else f"{value:.1%}",
        "short": lambda value: "–" if value is None else f"{value:.3g}",
        "count": lambda value: f"{value:,}",
        "title": title_of,
        "line": lambda text: " ".join(str(text).split()),
    }
    return environment


def _render(kind: str, values: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        return str(_environment().get_template(f"{kind}.md").render(**values))
    except (TemplateError, TypeError, ValueError) as error:
        raise CardError(
            f"the card of a {kind} could not be written ({error}): measure it with "
            "training/reproduce.py of this version"
        ) from error


def _figure(value: float | None, name: str) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if name == "median_rank" else f"{value:.1%}"


def _yaml(data: Mapping[str, Any]) -> str:
    import yaml

    return str(
        yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=10_000)
    ).strip()


__all__ = ["CardError", "card_of", "check_card", "find_metrics", "render", "tagged", "write_card"]
