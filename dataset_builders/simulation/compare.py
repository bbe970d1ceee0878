"""Marginal distributions of a dataset beside those of the real catalogue.

The package ships quantiles of the catalogue (`csc_marginals.json`), no row of it. They come from
two tables of the Chandra Source Catalog 2.0 (Evans et al. 2010, ApJS 189, 37; 2024, ApJS 274, 22):
detections of sources with literature, all ACIS detections with more than 18 net counts, and those
with more than 150, which the catalogue fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa

from ..contract import LIMITED_VARIABLES, N_BINS, list_matrix
from .detections import bins_within

PERCENTILES = (10, 25, 50, 75, 90)
CATALOGUE_COLUMNS = (
    *LIMITED_VARIABLES, "powlaw_stat", "flux_significance_b", "var_prob_b", "var_index_b",
    "var_sigma_b", "var_inter_prob_b",
)  # fmt: skip
QUANTITIES = ("counts", "background", *CATALOGUE_COLUMNS, "exposure", "theta")
CITATION = "Chandra Source Catalog 2.0 (Evans et al. 2010, ApJS 189, 37; 2024, ApJS 274, 22)"


class Marginals:
    """Collector of marginal distributions while rows pass."""

    def __init__(self) -> None:
        self._parts: list[dict[str, np.ndarray]] = []

    def add(self, table: pa.Table) -> None:
        """Take rows in the contract's columns."""
        self._parts.append(_quantities(table))

    def columns(self) -> dict[str, np.ndarray]:
        """Return `QUANTITIES` and `source_class` of all rows taken, (n) each, nan where null.

        Counts are those of the aperture in 0.5–7 keV, background those expected among them.
        """
        return {
            name: np.concatenate([part[name] for part in self._parts])
            for name in (*QUANTITIES, "source_class")
        }

    def quantiles(self) -> dict[str, dict[str, Any]]:
        """Return quantiles of all rows taken, as `quantiles_of`."""
        columns = self.columns()
        return quantiles_of({name: columns[name] for name in QUANTITIES})


def _quantities(table: pa.Table) -> dict[str, np.ndarray]:
    broad = bins_within("b")

    def total(name: str) -> np.ndarray:
        return list_matrix(table[name], N_BINS)[:, broad].sum(axis=1).astype(float)

    scale = table["background_scale"].to_numpy()
    values = {"counts": total("counts"), "background": total("background_counts") * scale}
    for name in QUANTITIES[2:]:
        values[name] = table[name].cast(pa.float64()).to_numpy()
    return values | {"source_class": np.array(table["source_class"].to_pylist(), object)}


def quantiles_of(values: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return quantiles of quantities, arrays (n) by name with nan where missing.

    Returns:
        For each name `known` (fraction of rows with a value) and `quantiles` (at `PERCENTILES`, or
        None).
    """
    result = {}
    for name, column in values.items():
        known = column[np.isfinite(column)]
        result[name] = {
            "known": round(len(known) / max(len(column), 1), 4),
            # A column of 1e-5 e20 cm⁻² is none; rates have small numbers.
            "quantiles": [
                round(float(f"{q:.4g}"), 6 if name == "var_sigma_b" else 3)
                for q in np.percentile(known, PERCENTILES)
            ]
            if len(known)
            else None,
        }
    return result


def catalogue_marginals() -> dict[str, Any]:
    """Return the catalogue's quantiles, as shipped."""
    path = resources.files("specclip_datasets.simulation") / "csc_marginals.json"
    return json.loads(path.read_text(encoding="utf-8"))


def comparison_table(quantiles: Mapping[str, Mapping[str, Any]]) -> str:
    """Format the result of `quantiles_of` beside the catalogue's as a Markdown table."""
    samples = catalogue_marginals()["samples"]
    head = [f"quantity ({' '.join(map(str, PERCENTILES))} %)", "here"]
    head += [sample["title"] for sample in samples.values()]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in QUANTITIES:
        real = [_cell(sample["marginals"].get(name)) for sample in samples.values()]
        lines.append(f"| {' | '.join([f'`{name}`', _cell(quantiles.get(name)), *real])} |")
    return "\n".join(lines)


def _cell(entry: Mapping[str, Any] | None) -> str:
    if not entry or entry["quantiles"] is None:
        return "–"
    numbers = " ".join(f"{value:.3g}" for value in entry["quantiles"])
    return numbers if entry["known"] > 0.995 else f"{numbers} ({entry['known']:.0%} have it)"
