"""A checkpoint of this release loads, and answers what it answered when it was made."""

import pytest
import torch
from make_stored import answers
from safetensors.torch import load_file

from hf_specclip.hub import publish
from hf_specclip.hub_cards import find_metrics, write_card

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_specclip":
            raise ImportError("hf_specclip is blocked")
sys.meta_path.insert(0, Blocked())

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForPreTraining

trust = {"trust_remote_code": True}
rows = load_file(sys.argv[1])
model = AutoModel.from_pretrained("ada/model", **trust).eval()
given = AutoFeatureExtractor.from_pretrained("ada/model", **trust)(rows, return_tensors="pt")
autoencoder = AutoModelForPreTraining.from_pretrained("ada/spectrum", **trust).eval()
extractor = AutoFeatureExtractor.from_pretrained("ada/spectrum", **trust)
moe = AutoModel.from_pretrained("ada/moe", **trust).eval()
with torch.no_grad():
    decoded = autoencoder(**extractor(rows, return_tensors="pt"))
    found = moe.predict(model, rows)
    answers = {
        "spectrum_embeds": model.get_spectrum_features(**given).pooler_output,
        "spectrum_latent": model.spectrum_model(**given).pooler_output,
        "reconstruction": decoded.reconstruction,
        "latent": decoded.latent,
        "predictions": found.predictions,
        "lower_68": found.lower_68,
        "upper_90": found.upper_90,
    }
assert type(model).__module__.startswith("transformers_modules")
save_file({name: value.contiguous() for name, value in answers.items()}, sys.argv[2])
"""


def assert_as_recorded(found, stored_run):
    expected = load_file(stored_run / "answers.safetensors")
    assert len(found) >= 7
    for name, value in found.items():
        # A product of matrices may be summed in another order by another machine.
        assert torch.allclose(value, expected[name], rtol=1e-5, atol=1e-6), name


def test_this_release_answers_as_recorded(stored_run):
    found = answers(stored_run, load_file(stored_run / "rows.safetensors"))
    assert set(found) == set(load_file(stored_run / "answers.safetensors"))
    assert_as_recorded(found, stored_run)


def test_its_own_code_answers_as_recorded(local_hub, stored_run, stranger, tmp_path):
    """From the Hub, in a process where the package cannot be imported."""
    for kind in ("model", "spectrum", "moe"):
        publish(kind, stored_run / kind, f"ada/{kind}")
    stranger(BLOCKED, stored_run / "rows.safetensors", tmp_path / "found.safetensors", token=None)
    assert_as_recorded(load_file(tmp_path / "found.safetensors"), stored_run)


@pytest.mark.parametrize("kind", ["model", "moe", "spectrum", "outliers"])
def test_its_figures_still_make_a_card(stored_run, kind):
    path = write_card(kind, stored_run / kind, find_metrics(stored_run / kind, None))
    assert "Trained on simulated data" in path.read_text(encoding="utf-8")
