"""Report of the study of the mixture of experts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hf_specclip.formatting import format_metric, format_with_interval
from hf_specclip.models.configuration_specclip_moe import PANELS
from specclip_training.reports.blocks import Paragraph, Section, Table
from specclip_training.studies.experts.measures import MODES
from specclip_training.studies.representations import REPRESENTATIONS

_TITLES = {
    "spectrum": "spectra",
    "text": "text",
    "shared_spectrum": "shared spectra",
    "shared_text": "shared text",
    "shared_both": "shared both",
    "everything": "everything",
}
_PANEL_TITLES = {
    "full": "text given",
    "retrieved": "text missing, replaced by retrieved texts",
}
# Errors in the unit of the catalogue.
_value = partial(format_metric, spec=".3g")
_value_with_interval = partial(format_with_interval, spec=".3g")


def expert_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Write the sections of the report.

    Args:
        metrics: of `measure_experts`, with `split`, `simulated` and `headline`.
    """
    word = "simulated " if metrics["simulated"] else ""
    gains = {
        "select over spectra": metrics["select"].get("mean_gain"),
        "gate over spectra": metrics["gate"].get("mean_gain"),
        "gate over select": metrics["gate_over_select"],
        "select over the median guess": metrics["select"].get("mean_gain_over_guess"),
        "gate over the median guess": metrics["gate"].get("mean_gain_over_guess"),
    }
    blocks = [
        Paragraph(
            f"Mean absolute errors on the {word}`{metrics['split']}` split, in catalogue units. "
            "k-NN (k = 3) on six representations, as in the paper; *select* uses for each variable "
            "the representation with the smallest error on `validation` (the paper's mixture of "
            "experts); *gate* combines stronger experts with weights by row, constant weights or a "
            "single expert, whichever has the smallest error (in part on `validation`). Text "
            "embeddings are those before alignment. Neighbours come from `train` and "
            "`calibration`."
        ),
        Table(
            ["mean over the variables of 1 − MAE ratio", "gain (95 % interval)"],
            [[name, format_with_interval(g)] for name, g in gains.items() if g],
        ),
        _error_table(metrics),
        Paragraph(_worse_variables(metrics)),
    ]
    return [
        Section("Physical variables", blocks),
        _coverage_section(metrics, word),
        _information_section(metrics, word),
        _missing_text_section(metrics),
    ]


def _error_table(metrics: Mapping[str, Any]) -> Table:
    head = ["variable", "n", "median guess", *(_TITLES[n] for n in REPRESENTATIONS), "select",
            "gate (95 % interval)", "gain over spectra (95 % interval)"]  # fmt: skip
    rows = []
    for name, entry in metrics["gate"]["variables"].items():
        if not entry["n"]:
            rows.append([name, "0", *["–"] * (len(head) - 2)])
            continue
        errors = [metrics["knn"][r]["variables"][name]["mae"]["value"] for r in REPRESENTATIONS]
        cells = [f"**{_value(e)}**" if e == min(errors) else _value(e) for e in errors]
        select = _value(metrics["select"]["variables"][name]["mae"]["value"])
        gate, gain = _value_with_interval(entry["mae"]), format_with_interval(entry.get("gain", {}))
        rows.append([name, f"{entry['n']:,}", _value(entry["guess"]), *cells, select, gate, gain])
    return Table(head, rows)


def _worse_variables(metrics: Mapping[str, Any]) -> str:
    """Name the variables that the gate predicts worse than the median guess."""
    worse = [
        name
        for name, entry in metrics["gate"]["variables"].items()
        if "gain_over_guess" in entry and entry["gain_over_guess"]["high"] < 0
    ]
    names = ", ".join(worse) or "none"
    return f"Variables that the gate predicts worse than the median guess (95 %): {names}."


def _coverage_section(metrics: Mapping[str, Any], word: str) -> Section:
    rows = []
    for mode in MODES:
        for panel in PANELS:
            for level, part in metrics["coverage"][mode][panel].items():
                entries = {"all": part["overall"], **(part["by"] if panel == "full" else {})}
                rows += [
                    [f"{mode}, {_PANEL_TITLES[panel]}", name, f"{level} %",
                     format_with_interval(e), f"{e['n']:,}", "yes" if e["holds"] else "no"]
                    for name, e in entries.items() if e
                ]  # fmt: skip
    failing = [
        f"{name} ({level} %: {entry['value']:.1%})"
        for level, part in metrics["coverage"][metrics["headline"]]["full"].items()
        for name, entry in part["variables"].items()
        if entry and not entry["holds"]
    ]
    blocks = [
        Paragraph(
            f"Coverage of the {word}catalogue values by the intervals, which are cross-conformal "
            "over the groups of `train` and `calibration` and scaled by the expected error of each "
            "row. *Holds*: within 3 percentage points of the nominal coverage, or the latter lies "
            "within the 95 % interval."
        ),
        Table(["mixture", "rows", "nominal", "measured (95 % interval)", "n", "holds"], rows),
        Paragraph(
            "Variables of the preset's mixture whose coverage does not hold: "
            + (", ".join(failing) or "none") + "."
        ),
    ]  # fmt: skip
    return Section("Intervals", blocks)


def _information_section(metrics: Mapping[str, Any], word: str) -> Section:
    panels = metrics["information"]
    nats = partial(format_with_interval, spec=".2f")
    rows = [[name, *(nats(panels[panel][name]) for panel in PANELS)] for name in panels[PANELS[0]]]
    text = (
        "Mean logarithm of the predicted density at the catalogue's value, relative to the density "
        f"of the {word}training rows, over the rank among these: 0 nats for the distribution of "
        "the population, 0.7 for half of its width. The predicted density is constant between the "
        "ends of the intervals of the gate."
    )
    head = ["nats (95 % interval)", *(_PANEL_TITLES[panel] for panel in PANELS)]
    return Section("Information gain over the population", [Paragraph(text), Table(head, rows)])


def _missing_text_section(metrics: Mapping[str, Any]) -> Section:
    rows = [
        [mode, _PANEL_TITLES[panel], format_with_interval(entry["mean_gain"]),
         format_with_interval(entry["price"], sign="+")]
        for mode, panels in metrics["missing_text"].items()
        for panel, entry in panels.items()
        if "mean_gain" in entry
    ]  # fmt: skip
    text = (
        "Errors for a spectrum alone. The last column is the increase of the error relative to the "
        "same mixture with the text, mean over the variables."
    )
    head = ["mixture", "input", "gain over spectra (95 % interval)",
            "increase of the error (95 % interval)"]  # fmt: skip
    return Section("Without the text", [Paragraph(text), Table(head, rows)])
