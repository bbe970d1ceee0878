"""Dataset card: README.md, with YAML that names the files of each split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from .contract import SPLITS, contract_columns, contract_features
from .domain import XRAY
from .info import CONFIGURATIONS, SpecCLIPDatasetInfo

_SIZES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000))


def dataset_card(info: SpecCLIPDatasetInfo, groups: Mapping[str, int], text_dim: int | None) -> str:
    """Write the text of a dataset's README.md.

    Args:
        info: description of the dataset, with `rows` filled.
        groups: number of groups of each split.
        text_dim: dimension of one section's embedding, or None.
    """
    return "\n".join([*_header(info), *_body(info, groups, text_dim)])


def _columns(info: SpecCLIPDatasetInfo, text_dim: int | None) -> list[str]:
    """Format the columns of a dataset as a Markdown table."""
    schema = contract_features(info.n_bins, text_dim, info.domain).arrow_schema
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for name, column in contract_columns(info.n_bins, text_dim, info.domain).items():
        data_type = str(schema.field(name).type).replace("|", "\\|").replace("element: ", "")
        null = "" if column.required else " or null"
        lines.append(f"| `{name}` | {data_type}{null} | {column.unit} | {column.meaning} |")
    return lines


def _header(info: SpecCLIPDatasetInfo) -> list[str]:
    total = sum(info.rows.values())
    size = next((name for name, limit in _SIZES if total < limit), "100K<n<1M")
    tags = ["astronomy", "specclip"]
    tags[1:1] = ["x-ray", "chandra", "spectra"] if _is_xray(info) else []
    tags += ["simulated"] if info.simulated else []
    lines = ["---", f"license: {info.license}", f"pretty_name: {json.dumps(info.name)}"]
    lines += ["task_categories:", "- feature-extraction", "tags:", *(f"- {tag}" for tag in tags)]
    lines += ["size_categories:", f"- {size}", "configs:"]
    # Named one by one: file-name inference knows no split called `calibration`.
    for name, rows in {"default": info.rows, **info.configurations}.items():
        folder = "data" if name == "default" else name
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in (split for split in SPLITS if rows.get(split, 0)):
            lines += [f"  - split: {split}", f"    path: {folder}/{split}-*.parquet"]
    return [*lines, "---", ""]


def _body(info: SpecCLIPDatasetInfo, groups: Mapping[str, int], text_dim: int | None) -> list[str]:
    lines = [f"# {info.name}", ""]
    if info.simulated:
        lines += [
            "> **Simulated.** Every source, spectrum, paper and name here is invented by "
            "`specclip dataset simulate`. None of the data are observations.",
            "",
        ]
    observation = "an X-ray spectrum" if _is_xray(info) else f"counts along {info.domain.axis}"
    lines += [
        f"{sum(info.rows.values()):,} pairs of {observation} ({info.n_bins} bins, "
        f"{info.energy_range[0]:g} to {info.energy_range[1]:g} {info.domain.axis_unit}) and what "
        "the literature says about its source.",
        "",
        "| split | rows | groups |",
        "|---|---|---|",
        *(f"| `{split}` | {info.rows.get(split, 0):,} | {groups[split]:,} |" for split in SPLITS),
        "",
        *_configurations(info),
        "A group is a connected component over source, shared observation, host and linking paper.",
        "No split cuts one. `validation` is for choices; `test` is read once.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'pairs = load_dataset("path/or/hub-id")  # train, calibration, validation, test',
        "```",
        "",
        "## How it was made",
        "",
        info.description.strip() or "No description was given.",
        "",
        f"Builder `{info.builder}` {info.builder_version}, seed {info.seed}. Text embeddings: "
        f"{info.text_model or 'none; they are computed where they are needed'}.",
        "",
    ]
    if info.knobs:
        lines += ["| knob | value |", "|---|---|"]
        lines += [f"| `{name}` | {json.dumps(value)} |" for name, value in info.knobs.items()]
        lines += [""]
    return [*lines, "## Columns", "", *_columns(info, text_dim), ""]


def _is_xray(info: SpecCLIPDatasetInfo) -> bool:
    """Return True for X-ray spectra, with or without positions."""
    return replace(info.domain, on_sky=XRAY.on_sky) == XRAY


def _configurations(info: SpecCLIPDatasetInfo) -> list[str]:
    """Format the table of configurations, empty where the pairs are the only one."""
    if not info.configurations:
        return []
    lines = ["| configuration | rows | content |", "|---|---|---|"]
    lines += [f"| `default` | {sum(info.rows.values()):,} | the pairs |"]
    for name, rows in info.configurations.items():
        lines += [f"| `{name}` | {sum(rows.values()):,} | {CONFIGURATIONS[name]} |"]
    return [*lines, ""]
