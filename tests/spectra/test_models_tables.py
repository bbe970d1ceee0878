"""The tables of the spectral models: all there, cited, and of the expected shapes."""

import os
import re
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

TABLES = resources.files("hf_specclip.spectra") / "tables"
FILES = sorted(file.name for file in TABLES.iterdir() if file.name != "README.md")


def columns(name):
    header, *rows = (TABLES / name).read_text(encoding="ascii").splitlines()
    return header.split(","), rows


@pytest.mark.parametrize("name", FILES)
def test_every_table_has_its_source_in_the_readme(name):
    readme = (TABLES / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
    source = row.split("|")[3]
    # A paper with its year, or the calibration and the observations it was read off.
    assert re.search(r"\b(19|20)\d\d\b", source) or "Chandra" in source


def test_plasma_emissivity():
    with (TABLES / "plasma_emissivity.npz").open("rb") as file, np.load(file) as table:
        edges, kt = table["energy_edges_kev"], table["kt_kev"]
        assert edges.shape == (1191,)
        assert kt.shape == (32,)
        np.testing.assert_allclose(np.diff(edges), 0.01, atol=1e-5)
        assert (np.diff(kt) > 0.0).all()
        for name in ("base", "metals"):
            assert table[name].shape == (32, 1190)
            assert np.isfinite(table[name]).all()
            assert (table[name] >= 0.0).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("photoelectric_cross_section.csv", (611, 3)),
        ("free_free_gaunt.csv", (31, 37)),
        ("acis_effective_area.csv", (486, 7)),
        ("acis_resolution.csv", (15, 7)),
        ("acis_background.csv", (97, 3)),
    ],
)
def test_tables_of_numbers(name, shape):
    header, rows = columns(name)
    values = np.array([row.split(",") for row in rows], dtype=float)
    assert values.shape == shape == (len(rows), len(header))
    assert np.isfinite(values).all()
    assert (np.diff(values[:, 0]) > 0.0).all()
    assert (values[:, 1:] >= 0.0).all()


def test_models_load_neither_torch_nor_scipy():
    program = (
        "import sys; from hf_specclip.spectra import emission as models; e = [1.0, 2.0];"
        "models.absorbed(e, lambda e: models.power_law(e, 2), lambda e: models.phabs(e, 1));"
        "models.bremsstrahlung(e, 1.0);"
        "models.thermal_plasma(e, 1.0); models.disk_black_body(e, 1.0);"
        "print(sorted({'torch', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.strip() == "[]"
