"""Study of the posterior checks."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from hf_specclip.describe.description import Variable
from specclip_training.posterior_checks import measure_intervals


def test_an_open_end_of_an_interval_holds_what_lies_beyond_it():
    open_above = Variable("hard_hs", 0.0, -0.1, 0.1, None, None, unit="", log_scale=False)
    describer = SimpleNamespace(describe_many=lambda rows: [
        SimpleNamespace(variables=[open_above]) for _ in rows
    ])  # fmt: skip
    spectrum = {name: [[100]] * 2 for name in ("counts", "background_counts", "effective_area")}
    spectrum |= {"exposure": [1.0] * 2, "background_scale": [0.0] * 2}
    rows = pa.table({**spectrum, "hard_hs": np.array([0.05, 9.0])})
    coverage = measure_intervals(describer, rows)["coverage"]["100"]
    assert (coverage["rows"], coverage["68"], coverage["90"]) == (2, 0.5, 1.0)
