"""Names that models and datasets share: physical variables, sections of a summary, the axis.

They stand apart from the configuration so that whoever makes a dataset need not wait for
transformers.
"""

# The 20 variables a source is described by, named as in the Chandra Source Catalog, and their units
# ("" where dimensionless). `*_stat` is a reduced chi square; `*_nh` counts 1e20 hydrogen atoms.
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

# The three texts of a summary, in the order in which their embeddings are joined.
SECTIONS = ("identity", "spectrum", "context")

# What the counts of a spectrum lie along, and its unit.
AXIS = ("energy", "keV")

__all__ = ["AXIS", "SECTIONS", "VARIABLES"]
