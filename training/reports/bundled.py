"""Card of the bundled model as Markdown, from its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_specclip.formatting import format_number


def card_text(card: Mapping[str, Any]) -> str:
    """Write the README of the bundled model; every number is of `card.json`."""
    made, measured = card["training"], card["validation"]
    families, reduced, real = measured["families"], card["reduced"], card.get("real")
    splits = ", ".join(f"{name} {rows:,}" for name, rows in made["splits"].items())
    lines = [
        "# Bundled model of hf_specclip",
        "",
        f"Trained on **{made['pairs']:,} simulated spectrum–text pairs**; no real sources were "
        "used in training. It is the default model of `specclip describe FILE`. Exported from a "
        "run by `training/default_model.py bundle`; `make default-model` trains a large one.",
        "",
        f"- Data: {made['dataset']}, version {made['dataset_version']}, seed "
        f"{made['knobs']['seed']} ({splits}); fingerprint `{made['fingerprint']}`.",
        f"- Recipe: preset `{made['preset']}`, seed {made['seed']}, {made['steps']['run']:,} "
        f"steps, weights of step {made['steps']['best']:,} (best on `validation`). Text embedder: "
        f"`{made['text_model']}`, only needed for text search.",
        "- Changes relative to the run: weights in float16 (smallest cosine similarity between "
        f"the embeddings of a spectrum before and after: {reduced['embedding_cosine']:.6f}); "
        "experts use the spectrum alone, without neighbours"
        + (
            f" (mean relative error {measured['relative_error']:.3f}, before "
            f"{reduced['relative_error_before']:.3f})"
            if "relative_error_before" in reduced
            else ""
        )
        + ".",
        f"- Gallery: {card['gallery']['spectra']:,} spectra of real sources, from "
        f"{card['gallery']['citation']}; {card['gallery']['caveat']}.",
        "",
        f"Evaluated on {measured['rows']:,} simulated rows of `validation`, which also selected "
        "the weights, from the spectrum alone. Relative errors are mean absolute errors divided "
        f"by those of the median of the training rows. {_about_intervals(real)}",
        "",
        "| variable | rows | MAE | relative | coverage of 68 % | coverage of 90 % |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in measured["variables"].items():
        held = real["variables"].get(name, {}) if real else row
        shares = (held.get(f"coverage_{level}") for level in (68, 90))
        lines.append(
            f"| `{name}` | {row['n']:,} | {format_number(row['error'])} | "
            f"{row['error'] / row['guess']:.2f} | "
            + " | ".join("–" if share is None else f"{share:.0%}" for share in shares)
            + " |"
        )
    lines += [
        "",
        "Classes come from a classifier trained on the labels of simulated sources, regardless of "
        "their brightness; class names given by the user are classified zero-shot. Accuracy for "
        f"class families: {families['accuracy']:.0%} (balanced "
        f"{families['balanced_accuracy']:.0%}). One family stands out for "
        f"{families['stands_out']:.0%} of the rows, with an accuracy of "
        f"{families['accuracy_where_it_stands_out']:.0%}. Median outlier percentile: "
        f"{measured['median_outlier_percentile']:.0f}.",
        "",
    ]
    return "\n".join(lines)


def _about_intervals(real: Mapping[str, Any] | None) -> str:
    """Describe the calibration of the intervals and the rows that coverage is measured on."""
    if real is None:
        return "The nominal coverage of the intervals is 68 and 90 %."
    made = real["calibration"]
    shares = " and ".join(
        f"{entry['value']:.1%} ({entry['low']:.1%} to {entry['high']:.1%}) for the {level} % "
        "intervals"
        for level in (68, 90)
        for entry in [real[f"coverage_{level}"]]
    )
    return (
        f"Intervals are calibrated on {made['rows']:,} real detections of {made['groups']} groups "
        "(real rows, redrawn counts; `training/transfer.py --calibrate`), or on simulated rows "
        "for variables without real values; the predictions themselves use no real rows. On "
        f"{real['rows']:,} real detections of {real['groups']} other groups, coverage over ten "
        f"variables is {shares}."
    )
