"""Worked examples of other domains, run as a user would, with fewer steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from build_once import build_once

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPIndex,
    SpecCLIPModel,
    SpecCLIPMoEForRegression,
    SpecCLIPProcessor,
)
from specclip_datasets import read_dataset

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]
EXAMPLES = TESTS.parent / "training" / "examples"
# Studies after retrieval; experts take half of the time, so one example has them.
STUDIES = {"hard_xrays": "none", "stellar_spectra": "experts"}
SETTINGS = {
    "pretrain.steps": 2, "align.steps": 40, "spectrum.hidden_size": 64,
    "evaluation.n_bootstrap": 200,
}  # fmt: skip
# One process for both: the imports take longer than either.
RUN = """
import runpy, sys
sys.path.insert(0, {tests!r})
import tiny_run
tiny_run.make_experts_quick()
for name, studies in {studies!r}.items():
    sys.argv = [name, f"{{name}}-run", "400", *{settings!r}, "--studies", studies]
    try:
        runpy.run_path(f"{examples}/{{name}}.py", run_name="__main__")
    except SystemExit as error:
        assert not error.code, (name, error.code)
"""


def run_examples(folder: Path) -> None:
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    code = RUN.format(tests=str(TESTS), studies=STUDIES, settings=settings, examples=EXAMPLES)
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The runs of both examples, by name."""
    folder = build_once(tmp_path_factory, "examples", run_examples)
    return {name: folder / f"{name}-run" for name in STUDIES}


@pytest.mark.parametrize("name", STUDIES)
def test_retrieval_beats_chance(runs, name):
    metrics = json.loads((runs[name] / "metrics.json").read_text())
    for direction in ("spectrum_to_text", "text_to_spectrum"):
        recall = metrics["retrieval"][direction]["recall@25%"]
        assert recall["low"] > recall["chance"], (direction, recall)
        rank = metrics["retrieval"][direction]["median_rank_fraction"]
        assert rank["high"] < rank["chance"], (direction, rank)


def test_the_experts_estimate_the_variables_of_the_domain(runs):
    moe = SpecCLIPMoEForRegression.from_pretrained(runs["stellar_spectra"] / "moe")
    assert moe.config.variables == ["teff", "feh", "reddening"]
    metrics = json.loads((runs["stellar_spectra"] / "metrics.json").read_text())
    gain = metrics["experts"]["gate"]["mean_gain_over_guess"]
    assert gain["low"] > 0, gain


def test_the_model_takes_counts_on_the_axis_of_the_domain_only(runs):
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
    with pytest.raises(ValueError, match=r"axis is wavelength in nm, so it cannot take"):
        extractor([Path("source.pi")])
    other = SpecCLIPFeatureExtractor("flux", n_bins=260, energy_range=(380.0, 900.0))
    with pytest.raises(ValueError, match="another model"):
        model.get_spectrum_features(**other(np.ones((1, 260), int), exposure=1.0,
                                            return_tensors="pt"))  # fmt: skip
