"""The card of a trained model, filled from what was measured and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hf_specclip import SpecCLIPModel

from .checkpoint import write_text

TEMPLATE = Path(__file__).resolve().parents[1] / "model_cards" / "model.md"
# What the template takes from the metrics as it stands.
_NAMED = ("preset", "simulated", "splits", "seed", "text_model", "versions", "processes")
_DIRECTIONS = {
    "spectrum_to_text": "spectrum → text",
    "text_to_spectrum": "text → spectrum",
}


def write_model_card(folder: str | Path, metrics: Mapping[str, Any]) -> Path:
    """Write `README.md` beside a model.

    Args:
        folder: of the saved `SpecCLIPModel`.
        metrics: what `reproduce.py` writes to `metrics.json`; every number on the card is there,
            or is read from the model itself.

    Returns:
        The card's path.
    """
    folder = Path(folder)
    model = SpecCLIPModel.from_pretrained(folder)
    spectrum = model.config.spectrum_config
    # A dataset is named on the card, not placed: a local path means nothing to a reader.
    dataset = Path(metrics["dataset"]).name
    card = ModelCard.from_template(
        ModelCardData(
            license="apache-2.0",
            library_name="transformers",
            pipeline_tag="feature-extraction",
            tags=["astronomy", "x-ray", "chandra", "spectra", "contrastive-learning"]
            + (["simulated-data"] if metrics["simulated"] else []),
            model_name=f"SpecCLIP {metrics['preset']}",
            eval_results=_eval_results(metrics, dataset),
        ),
        template_path=str(TEMPLATE),
        **{name: metrics[name] for name in _NAMED},
        dataset=dataset,
        command=metrics["command"],
        shared_dim=model.config.shared_dim,
        n_bins=spectrum.n_bins,
        energy_range=spectrum.energy_range,
        axis_unit=spectrum.axis[1],
        sections=model.config.text_config.sections,
        input_kind=spectrum.input_kind,
        parameters=model.num_parameters(),
        total_seconds=sum(metrics["seconds"].values()),
        results=[
            {"direction": direction, "name": _title(name), **_as_text(name, figure)}
            for direction, name, figure in _figures(metrics)
        ],
    )
    write_text(folder / "README.md", card.content)
    return folder / "README.md"


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    for direction, title in _DIRECTIONS.items():
        for name, figure in metrics["retrieval"][direction].items():
            if isinstance(figure, Mapping):
                yield title, name, figure


def _eval_results(metrics: Mapping[str, Any], dataset: str) -> list[EvalResult]:
    kind = "simulated pairs" if metrics["simulated"] else "pairs"
    return [
        EvalResult(
            task_type="retrieval",
            task_name="retrieval between spectra and texts",
            dataset_type=dataset,
            dataset_name=f"{dataset} ({kind})",
            dataset_split="test",
            metric_type=name,
            metric_value=figure["value"],
            metric_name=f"{direction}, {_title(name)} (95 % interval {figure['low']:.4g} to "
            f"{figure['high']:.4g}, chance {figure['chance']:.4g})",
        )
        for direction, name, figure in _figures(metrics)
    ]


def _title(name: str) -> str:
    if name.startswith("recall"):
        return name.replace("recall", "Recall")
    return "median rank" if name == "median_rank" else "median rank / gallery"


def _as_text(name: str, figure: Mapping[str, float]) -> dict[str, str]:
    form = "{:.1f}" if name == "median_rank" else "{:.1%}"
    return {part: form.format(figure[part]) for part in ("value", "low", "high", "chance")}
