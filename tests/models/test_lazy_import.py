"""Lazy import: the package alone loads nothing heavy, and its names load on first use."""

import subprocess
import sys

import pytest
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

import hf_specclip

HEAVY = ("torch", "transformers", "numpy", "astropy", "datasets")


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_and_listing_of_names_are_light():
    # The best of three: a busy machine is slow now and then, a heavy import always.
    code = f"""
import sys, time
start = time.perf_counter()
import hf_specclip
seconds = time.perf_counter() - start
dir(hf_specclip), hf_specclip.__all__, hf_specclip.__version__
heavy = [name for name in {HEAVY} if name in sys.modules]
assert not heavy, heavy
print(seconds)
"""
    assert min(float(run(code)) for _ in range(3)) < 0.1


TEXTS = """
import hf_specclip.literature as l, hf_specclip.evaluation as e
l.embed_summaries, l.CachedEmbedder, l.get_embedder, e.evaluate_retrieval
"""
SPECTRA = """
import hf_specclip.spectra as s
from hf_specclip.spectra import emission as models
s.XRaySpectrum, s.deal_counts, s.read_spectrum, s.plot_spectrum
edges = [1.0, 2.0]
models.absorbed(edges, lambda e: models.power_law(e, 2), lambda e: models.phabs(e, 1))
models.bremsstrahlung(edges, 1.0), models.thermal_plasma(edges, 1.0)
models.disk_black_body(edges, 1.0)
"""


@pytest.mark.parametrize(
    ("code", "heavy"),
    [(TEXTS, ("openai", "datasets", "pandas")), (SPECTRA, ("scipy",))],
    ids=["texts and figures", "spectra"],
)
def test_what_needs_no_networks_loads_none(code, heavy):
    heavy = ("torch", "transformers", "matplotlib", *heavy)
    loaded = run(f"{code}\nimport sys\nprint([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("name", hf_specclip.__all__)
def test_every_public_name_exists(name):
    assert name in dir(hf_specclip)
    assert getattr(hf_specclip, name) is not None


def test_the_auto_classes_know_the_models():
    config = hf_specclip.SpecCLIPConfig(
        spectrum_config={"num_hidden_layers": 1}, text_config={"embedding_dim": 4}
    )
    spectrum = config.spectrum_config
    assert type(AutoConfig.for_model("specclip")) is hf_specclip.SpecCLIPConfig
    for auto, given, kind in (
        (AutoModel, config, hf_specclip.SpecCLIPModel),
        (AutoModel, spectrum, hf_specclip.SpecCLIPSpectrumModel),
        (AutoModelForPreTraining, spectrum, hf_specclip.SpecCLIPForSpectrumPreTraining),
    ):
        assert type(auto.from_config(given)) is kind
