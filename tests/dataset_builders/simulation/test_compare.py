"""Comparison with the catalogue, and variety of texts."""

import numpy as np
import pytest

from specclip_datasets.__main__ import main
from specclip_datasets.simulation.compare import (
    CATALOGUE_COLUMNS,
    QUANTITIES,
    Marginals,
    catalogue_marginals,
    comparison_table,
    quantiles_of,
)
from specclip_datasets.simulation.variety import measure_variety


def test_quantiles_leave_out_what_is_not_known():
    values = np.concatenate([np.linspace(0.0, 1.0, 101), np.full(99, np.nan)])
    found = quantiles_of({"hard_hs": values, "apec_kt": np.full(3, np.nan)})
    assert found["hard_hs"] == {"known": 0.505, "quantiles": [0.1, 0.25, 0.5, 0.75, 0.9]}
    assert found["apec_kt"] == {"known": 0.0, "quantiles": None}


def test_simulated_distributions_are_near_the_catalogues(rows):
    """Medians within a quarter of the catalogue's spread from 10 to 90 % (more for rough ones)."""
    marginals = Marginals()
    marginals.add(rows)
    here = marginals.quantiles()
    # The universe is one of spectra bright enough to be fitted.
    real = catalogue_marginals()["samples"]["fitted"]["marginals"]
    names = ("hard_hm", "hard_hs", "hard_ms", "var_prob_b", "theta")
    for name in names:
        low, *_, high = real[name]["quantiles"]
        assert here[name]["quantiles"][2] == pytest.approx(
            real[name]["quantiles"][2], abs=0.25 * (high - low)
        )
    for name in ("counts", "flux_significance_b", "var_sigma_b", "exposure"):
        ratio = here[name]["quantiles"][2] / real[name]["quantiles"][2]
        assert 0.6 < ratio < 1.7
    assert here["powlaw_gamma"]["quantiles"] is None


def test_table_has_a_line_for_each_quantity():
    table = comparison_table(quantiles_of({"hard_hs": np.linspace(-1.0, 1.0, 11)}))
    lines = table.splitlines()
    assert len(lines) == 2 + len(QUANTITIES)
    assert len({line.count("|") for line in lines}) == 1
    assert set(CATALOGUE_COLUMNS) < set(QUANTITIES)


def test_compare_prints_what_the_card_says(tmp_path, capsys):
    folder = tmp_path / "set"
    arguments = ["simulate", "--pairs", "40", "--set", "fits=0", "--output", str(folder)]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(["compare", str(folder)]) == 0
    printed = capsys.readouterr().out
    card = (folder / "README.md").read_text()
    for line in printed.splitlines():
        assert line in card
    assert "| talkative |" in printed
    assert main(["compare", str(tmp_path)]) == 2


def test_variety_tells_templates_from_prose():
    template = [f"The source {name} has {k} counts and is red." for k, name in enumerate("abcdefg")]
    prose = [
        "A pulsar spins.",
        "Gas cools in the halo of galaxies.",
        "No counterpart was seen at all.",
        "Flares recur each week, they say.",
    ]
    same, varied = measure_variety(template), measure_variety(prose)
    assert same["distinct_2"] < varied["distinct_2"]
    assert same["neighbour_50"] < 0.6 < varied["neighbour_50"]
    assert (varied["texts"], varied["words"]) == (4, 6)
    # Numbers and names of sources make no variety.
    stars = [f"2CXO J0123{k}.0+012345 has {k}.5 counts." for k in range(10, 20)]
    assert measure_variety(stars)["neighbour_50"] == 0.0
    assert measure_variety([])["texts"] == 0
    shared = ["The source is red. It has 5 counts.", "The source is red. It is big."]
    assert measure_variety(shared)["sentences"] == 0.75
