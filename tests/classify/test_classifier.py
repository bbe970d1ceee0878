"""Classifier trained on labels: probabilities, files, and its place in the bundled model."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hf_specclip import Describer
from hf_specclip.classify.classifier import SourceClassifier
from hf_specclip.classify.probe import SpecCLIPProbeError
from hf_specclip.errors import FileFormatError

INPUTS = {"embedding": 3, "latent": 2}


@pytest.fixture
def classifier():
    random = np.random.default_rng(0)
    shapes = {"hidden_weight": (4, 5), "hidden_bias": (4,), "weight": (2, 4), "bias": (2,)}
    weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
    mean, scale = random.normal(size=5), random.uniform(1, 2, 5)
    return SourceClassifier(("a", "b"), INPUTS, mean, scale, **weights, least_probability=0.6)


@pytest.fixture
def inputs():
    random = np.random.default_rng(1)
    return {name: random.normal(size=(6, width)) for name, width in INPUTS.items()}


def test_probabilities_survive_a_round_trip_and_need_the_same_representations(
    classifier, inputs, tmp_path
):
    shares = classifier.predict(inputs)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert np.ptp(shares[:, 0]) > 0.05
    classifier.save_pretrained(tmp_path)
    again = SourceClassifier.from_pretrained(tmp_path)
    np.testing.assert_allclose(again.predict(inputs), shares, atol=1e-6)
    assert (again.classes, again.least_probability) == (("a", "b"), 0.6)
    with pytest.raises(SpecCLIPProbeError, match="reads"):
        again.predict({**inputs, "latent": inputs["embedding"]})


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 99}, {"classes": ["a", "a"]}, {"classes": "ab"},
        {"classes": ["a", "b", "c"]}, {"inputs": {"latent": 5}}, {"inputs": {"text": 5}},
        {"inputs": []}, {"least_probability": 2}, {"least_probability": "high"},
    ],
)  # fmt: skip
def test_invalid_contents_are_refused(classifier, tmp_path, change):
    path = classifier.save_pretrained(tmp_path) / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    if change == {"inputs": {"latent": 5}}:  # as wide in all: refused where it is used
        with pytest.raises(SpecCLIPProbeError):
            SourceClassifier.from_pretrained(tmp_path).predict({"embedding": np.zeros((1, 5))})
        return
    with pytest.raises(FileFormatError, match=r"classifier\.json"):
        SourceClassifier.from_pretrained(tmp_path)


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(classifier, tmp_path, values):
    path = classifier.save_pretrained(tmp_path) / "classifier.safetensors"
    save_file(load_file(path) | {"bias": np.full(2, values, np.float32)}, path)
    with pytest.raises(FileFormatError, match="bias"):
        SourceClassifier.from_pretrained(tmp_path)


def test_named_classes_are_zero_shot_beside_it():
    describer = Describer.from_pretrained(parts=("classes",))
    assert isinstance(describer.classes, SourceClassifier)
    with pytest.raises(ValueError, match="two or more"):
        describer.classes_for([])
    assert describer.classes_for(None) is describer.classes
