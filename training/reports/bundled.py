"""Card of the bundled model as Markdown, from its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_specclip.formatting import format_number


def card_text(card: Mapping[str, Any]) -> str:
    """Write the README of the bundled model; every number is of `card.json`."""
    made, measured = card["training"], card["validation"]
    families, reduced = measured["families"], card["reduced"]
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
        "training rows; intervals should hold 68 and 90 %.",
        "",
        "| variable | rows | error | relative | in 68 % | in 90 % |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in measured["variables"].items():
        lines.append(
            f"| `{name}` | {row['n']:,} | {format_number(row['error'])} | "
            f"{row['error'] / row['guess']:.2f} | {row['coverage_68']:.0%} | "
            f"{row['coverage_90']:.0%} |"
        )
    lines += [
        "",
        f"Family of classes: right for {families['accuracy']:.0%} (balanced "
        f"{families['balanced_accuracy']:.0%}); it stands out for {families['stands_out']:.0%}, "
        f"and is right for {families['accuracy_where_it_stands_out']:.0%} of those. Median outlier "
        f"percentile: {measured['median_outlier_percentile']:.0f}.",
        "",
    ]
    if real := card.get("real"):
        lines += [
            f"Of {real['rows']:,} real detections in {real['groups']} groups (real rows, redrawn "
            "counts; `training/transfer.py --record`), over ten variables, 68 % intervals hold "
            f"{real['68']:.0%} of the catalogue's values and 90 % intervals {real['90']:.0%}.",
            "",
        ]
    return "\n".join(lines)


__all__ = ["card_text"]
