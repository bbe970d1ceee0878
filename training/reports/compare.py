"""The sections and figures of a comparison of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specclip_training.reports.blocks import Figure, Paragraph, Section, Table
from specclip_training.reports.retrieval import TITLES

from hf_specclip.evaluation import plot_recall_curve

# Methods that choose among or combine others: what a user would use.
_COMBINED = ("moe", "gate", "select")


def plot_curves(curves: Mapping[str, Mapping[str, Any]], path: Path, *, simulated: bool) -> Path:
    """Recall@k% of several models, the ideal observer and chance in one figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(curves.values()))
    word = "simulated " if simulated else ""
    title = f"Recall@k%, {word}{TITLES[first['direction']]}, {first['n_queries']:,} queries"
    plot_recall_curve(curves, path, title=title)
    return path


def comparison_sections(metrics: Mapping[str, Any], figures: Mapping[str, Path]) -> list[Section]:
    """What `comparison_study` found, for people."""
    word = "simulated " if metrics["simulated"] else ""
    first = metrics["reference"]
    about = Paragraph(
        f"{'**Simulated.** ' if metrics['simulated'] else ''}All runs are on the same data and "
        f"splits (`{metrics['dataset']}`, fingerprint `{metrics['dataset_fingerprint']}`), "
        f"measured on the {word}`test` split. A figure of several seeds is their median. Intervals "
        f"(95 %) come from resampling whole groups; a difference to `{first}` is taken on the same "
        "draws, query by query, and is told apart from none where its interval excludes 0."
    )
    runs = Table(
        ["preset", "runs", "seeds", "texts embedded by"],
        [
            [label, str(len(found["runs"])), ", ".join(map(str, found["seeds"])),
             ", ".join(found["text_model"])]
            for label, found in metrics["presets"].items()
        ],
    )  # fmt: skip
    sections = [Section("What is compared", [about, runs])]
    for direction, title in TITLES.items():
        found = metrics["retrieval"][direction]
        section = Section(f"Retrieval, {title}", [_retrieval(found, first)])
        if closed := _gaps(found, first):
            section.blocks.append(closed)
        if direction in figures:
            section.blocks.append(
                Figure(
                    figures[direction],
                    f"Recall@k% against k, {word}{title}: each preset with its 95 % band, chance"
                    + (", and the ideal observer." if "ideal" in found else "."),
                )
            )
        sections.append(section)
    if metrics["regression"]:
        sections.append(_regression(metrics["regression"], first))
    return sections


def _retrieval(found: Mapping[str, Any], first: str) -> Table:
    head = ["figure", *found["presets"]]
    others = list(found["differences"])
    head += [f"{label} − {first}" for label in others]
    ideal = found.get("ideal", {})
    head += (["ideal observer"] if ideal else []) + ["chance"]
    rows = []
    for name, reference in found["presets"][first].items():
        row = [name.replace("recall@", "Recall@").replace("_", " ")]
        for figures in found["presets"].values():
            row.append(_with_seeds(figures[name], name))
        row += [_bold(found["differences"][label][name], name) for label in others]
        if ideal:
            row.append(_number(ideal[name]["value"], name) if name in ideal else "")
        chance = reference["chance"]
        rows.append([*row, "" if chance is None else _number(chance, name)])
    return Table(head, rows)


def _gaps(found: Mapping[str, Any], first: str) -> Table | None:
    rows = []
    for label, figures in found["differences"].items():
        for name, figure in figures.get("gap_closed", {}).items():
            title = name.replace("recall@", "Recall@").replace("_", " ")
            rows.append([f"gap from {first} to ideal closed by {label}, {title}", _share(figure)])
        for name, figure in figures.get("share_of_ideal", {}).items():
            title = name.replace("recall@", "Recall@")
            rows.append([f"{label}, share of the ideal {title}", _share(figure)])
    return Table(["against the ideal observer", "share (95 % interval)"], rows) if rows else None


def _regression(found: Mapping[str, Any], first: str) -> Section:
    section = Section("Physical variables", [])
    for label, methods in found["gain"].items():
        names = list(next(iter(methods.values())))
        section.blocks += [
            Paragraph(
                f"Mean over {len(found['n_rows'])} variables of 1 − MAE / MAE of `{first}`: rows "
                f"are methods of `{label}`, columns those of `{first}`. Above 0, `{label}` errs "
                "less."
            ),
            Table(
                [f"{label} against {first}", *names],
                [[m, *(_share(others[n]["mean"]) for n in names)] for m, others in methods.items()],
            ),
        ]
        both = [name for name in methods if name in names]
        combined = [name for name in both if any(word in name for word in _COMBINED)]
        for method in combined or both:
            section.blocks.append(_by_variable(found, first, label, method))
    return section


def _by_variable(found: Mapping[str, Any], first: str, label: str, method: str) -> Table:
    rows = [
        [
            name,
            f"{count:,}",
            *(_mae(found["mae"][preset][method][name]) for preset in (first, label)),
            _share(found["gain"][label][method][method][name]),
        ]
        for name, count in found["n_rows"].items()
    ]
    return Table([f"MAE, {method}", "rows", first, label, f"gain of {label}"], rows)


def _with_seeds(figure: Mapping[str, Any], name: str) -> str:
    text = f"{_number(figure['value'], name)} ({_range(figure['low'], figure['high'], name)})"
    seeds: Sequence[float] = figure["seeds"]
    if len(seeds) > 1:
        text += f", seeds {_range(min(seeds), max(seeds), name)}"
    return text


def _bold(figure: Mapping[str, Any], name: str) -> str:
    text = f"{_number(figure['value'], name, sign='+')}"
    text += f" ({_range(figure['low'], figure['high'], name, sign='+')})"
    apart = figure["low"] > 0 or figure["high"] < 0
    return f"**{text}**" if apart else text


def _range(low: float, high: float, name: str, sign: str = "") -> str:
    return f"{_number(low, name, sign)} to {_number(high, name, sign)}"


def _number(value: float, name: str, sign: str = "") -> str:
    form = {"median_rank": ".1f", "mean_log_rank": ".3f"}.get(name, ".1%")
    return format(value, sign + form)


def _share(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.1%}"
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


def _mae(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.4g}"
    return f"{figure['value']:.4g} ({figure['low']:.4g} to {figure['high']:.4g})"


__all__ = ["comparison_sections", "plot_curves"]
