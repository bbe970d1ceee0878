"""What each kind of card says, from the figures of a run and from the saved thing itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..models.variables_specclip import AXIS, SECTIONS
from .kinds import KINDS, PublishError, read_json

_DIRECTIONS = {"spectrum_to_text": "spectrum → text", "text_to_spectrum": "text → spectrum"}


class CardError(PublishError):
    """A card that says what was not measured, or cannot be made; the message says the way out."""


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
        "axis_unit": (spectrum.get("axis") or AXIS)[1],
        "sections": text.get("sections") or list(SECTIONS),
        "input_kind": spectrum["input_kind"],
        "numbers": _numbers_in(folder),
        "ideal": [
            (title, name, row) for title, name, row in found["ideal"] if name.startswith("recall")
        ],
        "results": found["results"],
        "evaluated": [
            _result("retrieval", f"{title}, {title_of(name)}", name, row, figures)
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


VALUES = {
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


def front_matter(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the Hub reads of a card: licence, tags, and the results with their intervals."""
    from huggingface_hub import ModelCardData

    tags = ["astronomy", "x-ray", "chandra", "spectra", "specclip", KINDS[kind].tag]
    tags += ["contrastive-learning"] if kind == "model" else []
    tags += ["simulated-data"] if values["simulated"] else []
    evaluated = [result for result in values["evaluated"] if result.metric_value is not None]
    data = ModelCardData(
        license="apache-2.0",
        library_name="hf_specclip" if kind == "outliers" else "transformers",
        pipeline_tag=_PIPELINES.get(kind),
        tags=tags,
        model_name=f"{_TITLES[kind]} {values['preset']}" if evaluated else None,
        eval_results=evaluated or None,
    )
    return dict(data.to_dict())


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
    # Too few groups for an interval, or rows for a value, leave None.
    more = {key: figure[key] for key in ("low", "high", "chance") if figure.get(key) is not None}
    words = "no interval"
    if "low" in more and "high" in more:
        words = f"95 % interval {more['low']:.4g} to {more['high']:.4g}"
    if "chance" in more:
        words += f", chance {more['chance']:.4g}"
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


def title_of(name: str) -> str:
    """A figure of retrieval in words."""
    if name.startswith("recall"):
        return name.replace("recall", "Recall")
    return "median rank" if name == "median_rank" else "median rank / gallery"


def pins_of(versions: Mapping[str, str]) -> dict[str, str]:
    """`pip install` requirements of what it was made with; builds of torch differ by machine."""
    return {
        name.replace("_", "-"): str(version).split("+")[0]
        for name, version in versions.items()
        if name != "python"
    }


def _numbers_in(folder: Path) -> int:
    """How many numbers the weights hold."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(str(path), framework="numpy") as file:
                total += sum(
                    math.prod(file.get_slice(name).get_shape()) for name in list(file.keys())
                )
        except SafetensorError as error:
            raise CardError(f"{path} is damaged ({error}): save it again") from error
    return total


__all__ = ["VALUES", "CardError", "front_matter", "pins_of", "title_of"]
