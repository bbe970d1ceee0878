"""The worked examples of other domains, as a user runs them, only smaller."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from specclip_datasets import read_dataset

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPIndex,
    SpecCLIPModel,
    SpecCLIPMoEForRegression,
    SpecCLIPProcessor,
)

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "training" / "examples"
# And the studies that follow; experts take half of the time, so only one has them here.
NAMES = {"hard_xrays": "none", "stellar_spectra": "experts"}
# One process for both: the imports take longer than either.
RUN = """
import runpy, sys
for name, studies in NAMES.items():
    sys.argv = [name, f"{name}-run", "400", "--set", "pretrain.steps=20", "--set", "align.steps=60",
                "--studies", studies]
    try:
        runpy.run_path(f"{FOLDER}/{name}.py", run_name="__main__")
    except SystemExit as error:
        assert not error.code, (name, error.code)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    code = RUN.replace("NAMES", repr(NAMES)).replace("{FOLDER}", str(EXAMPLES))
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT),
             "ACCELERATE_USE_CPU": "1", "HF_DATASETS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=280,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return {name: folder / f"{name}-run" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_retrieval_beats_chance(runs, name):
    metrics = json.loads((runs[name] / "metrics.json").read_text())
    for direction in ("spectrum_to_text", "text_to_spectrum"):
        found = metrics["retrieval"][direction]["recall@25%"]
        assert found["low"] > found["chance"], (direction, found)
        rank = metrics["retrieval"][direction]["median_rank_fraction"]
        assert rank["high"] < rank["chance"], (direction, rank)


def test_the_variables_are_the_domains_own(runs):
    moe = SpecCLIPMoEForRegression.from_pretrained(runs["stellar_spectra"] / "moe")
    assert moe.config.variables == ["teff", "feh", "reddening"]
    metrics = json.loads((runs["stellar_spectra"] / "metrics.json").read_text())
    gain = metrics["experts"]["gate"]["mean_gain_over_guess"]
    assert gain["low"] > 0, gain


def test_what_was_trained_answers_for_counts_on_its_own_axis(runs):
    folder = runs["stellar_spectra"] / "model"
    model = SpecCLIPModel.from_pretrained(folder).eval()
    extractor = SpecCLIPFeatureExtractor.from_pretrained(folder)
    assert extractor.axis == ["wavelength", "nm"]
    assert model.config.text_config.sections == ["star", "population"]
    assert SpecCLIPProcessor.from_pretrained(folder).sections == ["star", "population"]
    splits, info = read_dataset(runs["stellar_spectra"] / "dataset")
    assert (info.domain.axis_unit, info.n_bins, info.energy_range) == ("nm", 260, (380.0, 900.0))
    row = splits["test"][0]
    inputs = extractor(
        {"counts": np.array(row["counts"]), "exposure": row["exposure"]}, return_tensors="pt"
    )
    query = model.get_spectrum_features(**inputs).pooler_output
    [hits] = SpecCLIPIndex.from_pretrained(folder).search(query, top_k=3)
    assert set(hits[0].entry["summary"]) == {"star", "population"}
    with pytest.raises(ValueError, match=r"axis is wavelength in nm, so it takes no PosixPath"):
        extractor([Path("source.pi")])
    other = SpecCLIPFeatureExtractor("flux", n_bins=260, energy_range=(380.0, 900.0))
    with pytest.raises(ValueError, match="another model"):
        model.get_spectrum_features(**other(np.ones((1, 260), int), exposure=1.0,
                                            return_tensors="pt"))  # fmt: skip
