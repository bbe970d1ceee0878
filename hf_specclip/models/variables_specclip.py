"""Names and tables shared by models and datasets: variables, sections, energy axis and bands.

The module imports nothing, so that building a dataset does not import transformers.
"""

# The 20 variables of the paper and their units ("" if dimensionless), named as in the Chandra
# Source Catalog. `*_stat` is a reduced chi square; `*_nh` is in 1e20 hydrogen atoms per cm².
VARIABLES = {
    "hard_hm": "",
    "hard_hs": "",
    "hard_ms": "",
    "powlaw_gamma": "",
    "powlaw_nh": "1e20 cm-2",
    "powlaw_stat": "",
    "bb_kt": "keV",
    "bb_nh": "1e20 cm-2",
    "bb_stat": "",
    "brems_kt": "keV",
    "brems_nh": "1e20 cm-2",
    "brems_stat": "",
    "apec_kt": "keV",
    "apec_nh": "1e20 cm-2",
    "apec_stat": "",
    "flux_significance_b": "",
    "var_prob_b": "",
    "var_index_b": "",
    "var_sigma_b": "ct/s",
    "var_inter_prob_b": "",
}

# Sections of a summary, in the order in which their embeddings are concatenated.
SECTIONS = ("identity", "spectrum", "context")

# Name and unit of the default axis of a spectrum.
AXIS = ("energy", "keV")

# Soft, medium, hard and broad band of the Chandra Source Catalog, keV.
BANDS = {"s": (0.5, 1.2), "m": (1.2, 2.0), "h": (2.0, 7.0), "b": (0.5, 7.0)}
HARDNESS_BANDS = (BANDS["s"], BANDS["m"], BANDS["h"])

# Widths of the running means of the shape and the background, keV. ACIS resolves 0.1 to 0.2 keV;
# the background varies slowly with energy and has few counts per bin.
WINDOWS = (0.3, 0.4)

__all__ = ["AXIS", "BANDS", "HARDNESS_BANDS", "SECTIONS", "VARIABLES", "WINDOWS"]
