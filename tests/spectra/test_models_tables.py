"""Sources of the tables of the spectral models."""

import re
from importlib import resources

import pytest

TABLES = resources.files("hf_specclip.spectra") / "tables"
FILES = sorted(file.name for file in TABLES.iterdir() if file.name != "README.md")


@pytest.mark.parametrize("name", FILES)
def test_every_table_has_its_source_in_the_readme(name):
    readme = (TABLES / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
    source = row.split("|")[3]
    # A paper with its year, or the calibration and the observations it was read off.
    assert re.search(r"\b(19|20)\d\d\b", source) or "Chandra" in source
