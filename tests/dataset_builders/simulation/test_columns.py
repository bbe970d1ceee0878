"""Columns measured from real counts, and hardness by class, against the catalogue's values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from specclip_datasets.__main__ import main
from specclip_datasets.simulation.class_hardness import class_table, read_types
from specclip_datasets.simulation.columns import bands_of_table, check_columns, read_table

REAL = Path(__file__).with_name("csc_columns.csv")
RATIOS = ("hard_hm", "hard_hs", "hard_ms")


def test_columns_mean_what_the_catalogue_means():
    table = read_table(REAL)
    checked = check_columns(table, bands_of_table(table))
    assert set(checked) == {*RATIOS, "flux_significance_b", "var_inter_prob_b"}
    assert all(entry["passes"] for entry in checked.values())


def test_areas_at_other_energies_are_noticed():
    table = read_table(REAL)
    bands = bands_of_table(table)
    soft = replace(bands["s"], flux_per_count=1.2 * bands["s"].flux_per_count)
    checked = check_columns(table, bands | {"s": soft})
    assert [checked[name]["passes"] for name in RATIOS] == [True, False, False]


def test_command_prints_every_variable(capsys):
    assert main(["columns", str(REAL)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 20
    assert sum(line.endswith("| passes |") for line in lines) == 6


def test_classes_pass_where_their_ratios_are_real(tmp_path):
    random = np.random.default_rng(0)
    values = {name: random.normal(-0.2, 0.1, 400) for name in RATIOS}
    types = {"name": [f"2CXO J{n}" for n in range(400)], "main_type": ["QSO"] * 400}
    pa.parquet.write_table(pa.table(types | values), tmp_path / "types.parquet")
    real = read_types(tmp_path / "types.parquet")
    assert 150 < real["half"].sum() < 250
    here = values | {
        "source_class": np.array(["QSO"] * 400, object),
        "counts": np.full(400, 500.0),
        "background": np.zeros(400),
    }
    assert class_table(here, real).endswith("| passes |")
    harder = here | {"hard_ms": here["hard_ms"] + 0.15, "hard_hs": 2 * here["hard_hs"] + 0.2}
    assert class_table(harder, real).endswith("| hard_hs range × 2.00; hard_ms median +0.15 |")
    with pytest.raises(ValueError, match="no column main_type"):
        read_types(REAL)
