"""Study of the posterior checks."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from specclip_training.posterior_checks import measure_intervals, simulate


def test_an_open_end_of_an_interval_holds_what_lies_beyond_it():
    open_above = {"value": 0.0, "lower_68": -0.1, "upper_68": 0.1, "lower_90": None,
                  "upper_90": None}  # fmt: skip
    experts = SimpleNamespace(
        config=SimpleNamespace(variables=["hard_hs"]), predict=lambda _, rows: rows,
        to_records=lambda rows: [{"hard_hs": open_above} for _ in rows],
    )  # fmt: skip
    spectrum = {name: [[100]] * 2 for name in ("counts", "background_counts", "effective_area")}
    spectrum |= {"exposure": [1.0] * 2, "background_scale": [0.0] * 2}
    rows = pa.table({**spectrum, "hard_hs": np.array([0.05, 9.0])})
    describer = SimpleNamespace(moe=experts, model=None)
    coverage = measure_intervals(describer, rows)["100"]
    assert (coverage["rows"], coverage["68"], coverage["90"]) == (2, 0.5, 1.0)


def test_the_ideal_test_knows_the_true_spectra():
    random = np.random.default_rng(0)
    ideal = {}
    for altered in ("clean", "line"):
        columns, _, ratios = simulate(np.full(60, 1.8), np.full(60, 5.0), 10_000, altered, random)
        assert np.mean([row["counts"].sum() for row in columns]) == pytest.approx(10_300, rel=0.01)
        ideal[altered] = ratios["line"]
    # Means of ± half the squared distance of the two spectra, which is its variance, too.
    assert ideal["line"].mean() == pytest.approx(-ideal["clean"].mean(), rel=0.3)
    assert ideal["clean"].var() == pytest.approx(-2 * ideal["clean"].mean(), rel=0.5)
