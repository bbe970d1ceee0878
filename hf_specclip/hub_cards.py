"""Cards: written from what was measured, and held against it.

A card is a template of `model_cards/` filled from `metrics.json` and from the saved thing itself.
One that somebody has edited is taken as it is, as long as no number stands in it that the template
would not have written.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .hub_kinds import CARD_FILE, KINDS, METRICS_FILE, Kind, PublishError, read_json
from .variables_specclip import SECTIONS

# The wheel has the templates inside the package, a checkout beside it.
_TEMPLATES = ("model_cards", "../model_cards")
# A run's figures are some hundred kilobytes; a larger file is none of ours.
MAX_METRICS_BYTES = 1 << 26
MAX_HEADER_BYTES = 1 << 24
MEASURED = ("model", "moe", "spectrum", "outliers")
HERE = "."  # how a card calls the folder it lies in, until that has a name on the Hub

_COMMON = (
    "dataset", "preset", "seed", "splits", "simulated", "text_model", "dataset_fingerprint",
    "command", "processes", "seconds", "versions", "compute",
)  # fmt: skip
_DIRECTIONS = {"spectrum_to_text": "spectrum → text", "text_to_spectrum": "text → spectrum"}
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)


class CardError(PublishError):
    """A card that says what was not measured, or cannot be made; the message says the way out."""


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
            "pins": _pins(figures["versions"]),
            **_VALUES[kind](folder, figures),
        }
        values["card_data"] = _front_matter(kind, values)
    except (KeyError, TypeError, AttributeError) as error:
        raise CardError(
            f"the metrics lack {error} for the card of {folder}: measure it with "
            "training/reproduce.py of this version"
        ) from error
    return _render(kind, values)


def check_card(card: str, right: str, path: Path) -> None:
    """Refuse a card with a number that was not measured.

    Lines of the card as it would be written are free, and so are words. In other lines a number has
    to stand on that card, too; in tables, and beside a per cent sign, the line has to. The results
    in the front matter have to be the same.

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
    numbers = set(_NUMBER.findall(right))
    start = front[0].count("\n") if front else 0
    for place, line in enumerate(card.splitlines()[start:], start=start + 1):
        if line.strip() in lines:
            continue
        result = line.lstrip().startswith("|") or "%" in line
        strange = [n for n in _NUMBER.findall(line) if result or n not in numbers]
        if strange:
            raise CardError(
                f"{path} line {place} says {strange[0]}, which is not what metrics.json gives "
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


def _model_values(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    member = config if "spectrum_config" in config else config["members"][0]
    spectrum, text = member["spectrum_config"], member["text_config"]
    found = {
        key: [(title, name, row) for title, name, row in _retrieval(table)]
        for key, table in (
            ("results", figures["retrieval"]),
            ("ideal", (figures.get("ceiling") or {}).get("retrieval") or {}),
        )
    }
    return {
        "shared_dim": config.get("shared_dim") or config["members"][0]["shared_dim"],
        "n_bins": spectrum["n_bins"],
        "energy_range": spectrum["energy_range"],
        "axis_unit": (spectrum.get("axis") or ("energy", "keV"))[1],
        "sections": text.get("sections") or list(SECTIONS),
        "input_kind": spectrum["input_kind"],
        "numbers": _numbers_in(folder),
        "ideal": [
            (title, name, row) for title, name, row in found["ideal"] if name.startswith("recall")
        ],
        "results": found["results"],
        "evaluated": [
            _result("retrieval", f"{title}, {_title(name)}", name, row, figures)
            for title, name, row in found["results"]
        ],
    }


def _moe_values(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    config, experts = read_json(folder / "config.json"), figures["experts"]
    if "skipped" in experts or "gate" not in experts:
        raise KeyError("experts")
    headline = experts["headline"]
    measured = experts[headline]["variables"]
    rows = [
        {"name": name, **measured[name]["mae"], "n": measured[name]["n"],
         "spectra_alone": measured[name]["baseline"]}
        for name in config["variables"]
        if name in measured and measured[name].get("n")
    ]  # fmt: skip
    coverage = experts["coverage"][headline]["full"]
    return {
        "experts": [expert["name"] for expert in config["experts"]],
        "bank_rows": config["bank_rows"],
        "bank_texts": config["bank_texts"],
        "spectrum_input": config["spectrum_input"],
        "mode": headline,
        "variables": rows,
        "gain": experts[headline]["mean_gain"],
        "missing": {
            name: found["mean_gain"] for name, found in experts["missing_text"][headline].items()
        },
        "coverage": {level: found["overall"] for level, found in coverage.items()},
        "split": experts["split"],
        "numbers": _numbers_in(folder),
        "evaluated": [
            _result(
                "tabular-regression", f"{row['name']}, mean absolute error", "mae", row, figures
            )
            for row in rows
        ],
    }


def _spectrum_values(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    found = ((figures.get("latent_space") or {}).get("correlations") or {}).get("spectrum") or {}
    rows = [
        {"name": name, **row} for name, row in ((found.get("pearson") or {}).get("variables") or {})
        .items() if isinstance(row, Mapping) and row.get("value") is not None
    ]  # fmt: skip
    return {
        "n_bins": config["n_bins"],
        "energy_range": config["energy_range"],
        "input_kind": config["input_kind"],
        "latent_dim": config["latent_dim"],
        "loss": config["reconstruction_loss"],
        "numbers": _numbers_in(folder),
        "trained": (figures.get("training") or {}).get("spectrum") or {},
        "correlations": rows,
        "mean": (found.get("pearson") or {}).get("mean") or {},
        "evaluated": [],
    }


def _outlier_values(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    config, study = read_json(folder / "detector.json"), figures["outliers"]
    injection = study.get("injection") or {}
    rows = [
        (circumstance, kind, detector, found["n"], figure)
        for circumstance, kinds in injection.items() if isinstance(kinds, Mapping)
        for kind, found in kinds.items() if kind == "together" and isinstance(found, Mapping)
        for detector, measured in found["detectors"].items()
        for name, figure in measured.items() if name == "auc"
    ]  # fmt: skip
    return {
        "rows": config["rows"],
        "k": config["k"],
        "variables": config["variables"],
        "reference": study.get("reference"),
        "reference_rows": study.get("reference_rows"),
        "found": rows,
        "evaluated": [
            _result("outlier-detection", f"{detector}, {circumstance} classes, ROC-AUC", "roc_auc",
                    figure, figures)
            for circumstance, _, detector, _, figure in rows
        ],
    }  # fmt: skip


_VALUES = {
    "model": _model_values,
    "moe": _moe_values,
    "spectrum": _spectrum_values,
    "outliers": _outlier_values,
}
_TITLES = {
    "model": "SpecCLIP",
    "moe": "SpecCLIP mixture of experts",
    "spectrum": "SpecCLIP spectral autoencoder",
    "outliers": "SpecCLIP outlier detector",
}
_PIPELINES = {"model": "feature-extraction", "moe": "tabular-regression"}


def _front_matter(kind: str, values: Mapping[str, Any]) -> str:
    from huggingface_hub import ModelCardData

    tags = ["astronomy", "x-ray", "chandra", "spectra", "specclip", KINDS[kind].tag]
    tags += ["contrastive-learning"] if kind == "model" else []
    tags += ["simulated-data"] if values["simulated"] else []
    data = ModelCardData(
        license="apache-2.0",
        library_name="hf_specclip" if kind == "outliers" else "transformers",
        pipeline_tag=_PIPELINES.get(kind),
        tags=tags,
        model_name=f"{_TITLES[kind]} {values['preset']}" if values["evaluated"] else None,
        eval_results=values["evaluated"] or None,
    )
    return _yaml(data.to_dict())


def _result(
    task: str, title: str, metric: str, figure: Mapping[str, float], figures: Mapping[str, Any]
) -> Any:
    """One entry of the model-index: the value as it was measured, with its interval."""
    from huggingface_hub import EvalResult

    names = {
        "retrieval": "retrieval between spectra and texts",
        "tabular-regression": "physical variables",
        "outlier-detection": "finding rare classes",
    }
    kind = "simulated pairs" if figures["simulated"] else "pairs"
    more = {key: figure[key] for key in ("low", "high", "chance") if key in figure}
    words = f"95 % interval {figure['low']:.4g} to {figure['high']:.4g}"
    if "chance" in figure:
        words += f", chance {figure['chance']:.4g}"
    return EvalResult(
        task_type=task,
        task_name=names[task],
        dataset_type=figures["dataset"],
        dataset_name=f"{figures['dataset']} ({kind})",
        dataset_split="test",
        metric_type=metric,
        metric_value=figure["value"],
        metric_name=f"{title} ({words})",
        metric_args=more,
    )


def _retrieval(table: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    for direction, title in _DIRECTIONS.items():
        for name, figure in (table.get(direction) or {}).items():
            if isinstance(figure, Mapping):
                yield title, name, figure


def _title(name: str) -> str:
    if name.startswith("recall"):
        return name.replace("recall", "Recall")
    return "median rank" if name == "median_rank" else "median rank / gallery"


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


def _pins(versions: Mapping[str, str]) -> dict[str, str]:
    """`pip install` requirements of what it was made with; builds of torch differ by machine."""
    return {
        name.replace("_", "-"): str(version).split("+")[0]
        for name, version in versions.items()
        if name != "python"
    }


def _numbers_in(folder: Path) -> int:
    """How many numbers the weights hold, from the headers of the safetensors files."""
    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as file:
            first = file.read(8)
            size = struct.unpack("<Q", first)[0] if len(first) == 8 else MAX_HEADER_BYTES + 1
            if size > MAX_HEADER_BYTES:
                raise CardError(f"{path} is no safetensors file, or is damaged: save it again")
            try:
                header = json.loads(file.read(size))
                shapes = [t["shape"] for name, t in header.items() if name != "__metadata__"]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CardError(f"{path} is no safetensors file, or is damaged: {error}") from error
        for shape in shapes:
            product = 1
            for length in shape:
                product *= length
            total += product
    return total


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
        "title": _title,
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
