"""Header keywords of the variability that `specclip extract` measures."""

from __future__ import annotations

from .fits_table import Table

VARIABILITY_KEYWORDS = {
    "var_prob_b": "VAR_PROB",
    "var_index_b": "VAR_INDX",
    "var_mean_b": "VAR_MEAN",
    "var_sigma_b": "VAR_SIGM",
    "ks_prob_b": "KS_PROB",
    "kp_prob_b": "KP_PROB",
    "counts": "VAR_CNTS",
    "length_s": "VAR_LEN",
}
"""Keywords by column of the Chandra Source Catalog, and of the events and their time."""


def measured_variability(table: Table) -> dict[str, float] | None:
    """Return the measured variability that the header states, None where it lacks any of it."""
    found = {name: table.header.get(key) for name, key in VARIABILITY_KEYWORDS.items()}
    numbers = [isinstance(value, int | float) and 0 <= value < 1e12 for value in found.values()]
    return found if all(numbers) else None
