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
        "# The model that comes with hf_specclip",
        "",
        f"Trained on **{made['pairs']:,} simulated pairs** of a spectrum and a text, and on no "
        "real source. `specclip describe FILE` uses it where no model is named. "
        "`training/default_model.py bundle` made it of a run; `make default-model` makes a "
        "large one.",
        "",
        f"- Data: {made['dataset']}, version {made['dataset_version']}, seed "
        f"{made['knobs']['seed']} ({splits}); fingerprint `{made['fingerprint']}`.",
        f"- Recipe: preset `{made['preset']}`, seed {made['seed']}, {made['steps']['run']:,} "
        f"steps, the weights of step {made['steps']['best']:,}, best on `validation`. Texts by "
        f"`{made['text_model']}`, which only questions in words need.",
        "- Reduced from the run: weights in float16 (smallest cosine between a spectrum's points "
        f"before and after: {reduced['embedding_cosine']:.6f}); experts on the spectrum alone, "
        "without neighbours"
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
        f"On {measured['rows']:,} simulated rows of `validation`, which chose the weights, by the "
        "spectrum alone. Errors are mean absolute errors, relative to those of the median of the "
        f"training rows; {_about_intervals(real)}",
        "",
        "| variable | rows | error | relative | in 68 % | in 90 % |",
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
        f"Family of classes: right for {families['accuracy']:.0%} (balanced "
        f"{families['balanced_accuracy']:.0%}); it stands out for {families['stands_out']:.0%}, "
        f"and is right for {families['accuracy_where_it_stands_out']:.0%} of those. Median outlier "
        f"percentile: {measured['median_outlier_percentile']:.0f}.",
        "",
    ]
    return "\n".join(lines)


def _about_intervals(real: Mapping[str, Any] | None) -> str:
    """Say of which rows the shares in the intervals are."""
    if real is None:
        return "intervals should hold 68 and 90 %."
    made = real["calibration"]
    shares = " and ".join(
        f"{entry['value']:.1%} ({entry['low']:.1%} to {entry['high']:.1%}) for {level} %"
        for level in (68, 90)
        for entry in [real[f"coverage_{level}"]]
    )
    return (
        f"intervals are calibrated on {made['rows']:,} real detections of {made['groups']} groups "
        "(real rows, redrawn counts; `training/transfer.py --calibrate`; predictions have seen "
        f"none of them; those of variables without real values on simulated ones) and "
        f"measured on {real['rows']:,} of {real['groups']} other groups: they "
        f"hold {shares}, over ten variables."
    )
