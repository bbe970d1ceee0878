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


def test_texts_and_figures_need_no_networks():
    code = "import sys, hf_specclip.literature as l, hf_specclip.evaluation as e\n"
    code += "l.embed_summaries, l.CachedEmbedder, l.get_embedder, e.evaluate_retrieval\n"
    heavy = ("torch", "transformers", "openai", "matplotlib", "datasets", "pandas")
    assert run(f"{code}print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


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
