"""Check of the catalogue's columns: those that follow from counts, measured again on real rows.

A table of real detections has counts in bands, areas and what the catalogue gives; the simulation's
own code measures the columns from these counts. The other columns do not follow from counts in
bands: `specclip dataset compare` shows their distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hf_specclip.models.variables_specclip import BANDS, VARIABLES
from hf_specclip.spectra import timing

from ..contract import BIN_CENTRES, N_BINS, list_matrix
from . import photometry
from .detections import bins_within
from .instrument import MAP_ENERGIES

# Net counts above which noise is small beside the differences that matter.
LEAST_NET_COUNTS = 300.0
# Largest median difference from the catalogue, and of the significance the largest relative one.
_TOLERANCE = 0.03
_ELSEWHERE = {
    **dict.fromkeys(("var_prob_b", "var_sigma_b"), "needs arrival times"),
    "var_index_b": "rows whose `var_prob_b` allows it",
}


def read_table(path: Path) -> pa.Table:
    """Read a Parquet or CSV file; lines of a CSV that start with # come first and are left out."""
    if path.suffix != ".csv":
        return pq.read_table(path)
    with path.open(encoding="utf-8") as file:
        comments = next((n for n, line in enumerate(file) if not line.startswith("#")), 0)
    return pa.csv.read_csv(path, read_options=pa.csv.ReadOptions(skip_rows=comments))


def bands_of_table(table: pa.Table) -> dict[str, photometry.Band]:
    """Return the bands of detections with columns `exposure` (s), `background_scale`, and
    `counts_b`, `background_b`, `area_b` for each band.
    """
    values = _numbers(table)
    return {
        band: photometry.Band(
            values[f"counts_{band}"],
            values[f"background_{band}"],
            values["background_scale"],
            1.0 / (values[f"area_{band}"] * values["exposure"]),
        )
        for band in BANDS
    }


def bands_of_rows(table: pa.Table) -> dict[str, photometry.Band]:
    """Return the bands of rows in the contract's columns, with the areas that they state."""
    counts, background, areas = (
        list_matrix(table[name], N_BINS)
        for name in ("counts", "background_counts", "effective_area")
    )
    exposure, scale = (table[name].to_numpy() for name in ("exposure", "background_scale"))
    bands = {}
    for band in BANDS:
        inside = bins_within(band)
        area = np.array([np.interp(MAP_ENERGIES[band], BIN_CENTRES, each) for each in areas])
        bands[band] = photometry.Band(
            counts[:, inside].sum(axis=1).astype(float),
            background[:, inside].sum(axis=1).astype(float),
            scale,
            1.0 / (exposure * area),
        )
    return bands


def check_columns(
    table: pa.Table, bands: Mapping[str, photometry.Band]
) -> dict[str, dict[str, Any]]:
    """Compare columns computed from counts with those of the catalogue.

    Args:
        table: n detections with `source_name` and the catalogue's columns.
        bands: their counts.

    Returns:
        For each variable: `rows`, `quantiles` (16, 50, 84 % of the differences, relative for the
        significance) and `passes`.
    """
    ours = photometry.catalogue_columns(bands)
    broad = bands["b"]
    behind = broad.scale * broad.background
    names = np.array(table["source_name"].to_pylist(), object)
    ours["var_inter_prob_b"] = timing.between_observations(
        names, broad.counts, behind, 1.0 / broad.flux_per_count
    )
    bright = broad.counts - behind > LEAST_NET_COUNTS
    catalogue, checked = _numbers(table), {}
    for name in VARIABLES:
        if name not in ours or name not in catalogue:
            continue
        difference = ours[name] - catalogue[name]
        if name == "flux_significance_b":
            difference = difference / catalogue[name]
        known = difference[bright & np.isfinite(difference)]
        if len(known):
            quantiles = np.percentile(known, (16.0, 50.0, 84.0))
            passes = bool(abs(quantiles[1]) <= _TOLERANCE)
            checked[name] = {"rows": len(known), "quantiles": quantiles, "passes": passes}
    return checked


def index_agreement(table: pa.Table) -> tuple[int, float]:
    """Return how many rows have `var_index_b`, and the share whose `var_prob_b` allows it."""
    values = _numbers(table)
    probability, index = values["var_prob_b"], values["var_index_b"]
    known = np.isfinite(probability) & np.isfinite(index)
    probability, index = probability[known], index[known]
    allowed = np.zeros(len(index), dtype=bool)
    # The odds and the light curve are unknown.
    for log_odds in (1.0, 3.0, 5.0, 15.0, 35.0):
        for quiet in (False, True):
            odds, calm = np.full(len(index), log_odds), np.full(len(index), quiet)
            allowed |= index == timing.variability_index(probability, odds, calm)
    return len(index), float(allowed.mean()) if len(index) else 0.0


def columns_report(table: pa.Table, bands: Mapping[str, photometry.Band]) -> str:
    """Format `check_columns` and `index_agreement` as a Markdown table of all variables."""
    checked = check_columns(table, bands)
    lines = [
        f"| variable | rows over {LEAST_NET_COUNTS:.0f} net counts | ours − catalogue "
        "(16 50 84 %) | verdict |",
        "|---|---:|---|---|",
    ]
    for name in VARIABLES:
        if name in checked:
            entry = checked[name]
            numbers = " ".join(f"{value:+.3f}" for value in entry["quantiles"])
            numbers += " (relative)" * (name == "flux_significance_b")
            verdict = "passes" if entry["passes"] else "differs"
            lines.append(f"| `{name}` | {entry['rows']:,} | {numbers} | {verdict} |")
        elif name == "var_index_b" and {name, "var_prob_b"} <= set(table.column_names):
            rows, share = index_agreement(table)
            verdict = "passes" if share >= 0.99 else "differs"
            lines.append(
                f"| `{name}` | {rows:,} | {share:.1%} as `var_prob_b` has it | {verdict} |"
            )
        else:
            reason = _ELSEWHERE.get(name, "a parameter of fits" if "var" not in name else "–")
            lines.append(f"| `{name}` | – | {reason}: see `specclip dataset compare` | – |")
    return "\n".join(lines)


def _numbers(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns that hold numbers, as float64, nan where null."""
    return {
        name: table[name].cast(pa.float64()).to_numpy()
        for name in table.column_names
        if pa.types.is_floating(table[name].type) or pa.types.is_integer(table[name].type)
    }
