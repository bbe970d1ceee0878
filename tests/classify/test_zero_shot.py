"""Zero-shot classes: prompts, calibrated probabilities, and damaged or hostile files."""

import json

import numpy as np
import pytest
from stub_embedder import unit

from hf_specclip import ZeroShotClasses
from hf_specclip.classify.prompts import TEMPLATES, class_prompts
from hf_specclip.classify.zero_shot import calibration_error, fit_temperature
from hf_specclip.errors import FileFormatError
from hf_specclip.literature import SECTIONS, class_names


@pytest.fixture
def classes():
    vectors = np.random.default_rng(0).normal(size=(3, 5))
    return ZeroShotClasses(["a", "b", "c"], vectors, 0.3, {"rows": 7})


def test_probabilities_are_a_softmax_of_cosines(classes):
    points = np.random.default_rng(1).normal(size=(4, 5))
    cosines = unit(points) @ classes.embeddings.T
    expected = np.exp(cosines / 0.3)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classes.probabilities(points), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.4])
def test_the_fit_recovers_a_known_temperature(temperature):
    """Labels drawn from the model's own probabilities at a known temperature."""
    random = np.random.default_rng(3)
    similarities = random.uniform(-1, 1, (6000, 8))
    scaled = np.exp(similarities / temperature)
    shares = scaled / scaled.sum(axis=1, keepdims=True)
    truth = (shares.cumsum(axis=1) > random.random((6000, 1))).argmax(axis=1)
    found = fit_temperature(similarities, truth)
    assert found == pytest.approx(temperature, rel=0.08)
    # Probabilities that are right have no calibration error beyond that of their number.
    assert calibration_error(shares, truth) < 0.03
    assert calibration_error(np.where(shares == shares.max(1)[:, None], 1.0, 0.0), truth) > 0.05
    with pytest.raises(ValueError, match="no row"):
        fit_temperature(similarities[:0], truth[:0])


def test_prompts_fill_sections_and_name_the_class():
    for kind in ("LMXB", "seyfert1", "SNR", "WR*"):
        prompts = class_prompts(kind)
        assert len(prompts) >= len(class_names(kind))
        for prompt in prompts:
            assert set(prompt) <= set(SECTIONS)
            assert "{" not in "".join(prompt.values())
            words = prompt["identity"].lower()
            assert any(name.lower() in words for name in class_names(kind))
    assert class_names("Some_Odd*") == ("a Some Odd",)
    assert class_names("a white dwarf in outburst") == ("a white dwarf in outburst",)
    assert class_prompts("Some_Odd") == [{"identity": "The X-ray source is a Some Odd."}]
    with pytest.raises(ValueError, match="needs a name"):
        class_prompts(" ")
    with pytest.raises(ValueError, match="indistinguishable"):
        class_prompts("LMXB", [{"identity": "A source."}])


def test_templates_cannot_reach_into_objects():
    [prompt] = class_prompts("a star", [{"identity": "{name.__class__} {name}"}])
    assert prompt == {"identity": "{name.__class__} a star"}


def test_aliases_name_the_same_class_and_other_classes_differ():
    assert class_prompts("PSR") == class_prompts("Pulsar")
    labels = ("QSO", "AGN", "LMXB", "HMXB", "ULX", "CV*", "SNR", "Pulsar", "Magnetar")
    prompts = [json.dumps(class_prompts(label, TEMPLATES[:1])) for label in labels]
    assert len(set(prompts)) == len(labels)


def test_a_class_is_the_mean_of_its_prompts():
    def embed(summaries):
        return np.array([[len(s["identity"]), s["identity"].count("a"), 1.0] for s in summaries])

    found = ZeroShotClasses.from_prompts(["LMXB", "QSO"], embed, 0.1)
    for row, kind in enumerate(("LMXB", "QSO")):
        mean = unit(embed(class_prompts(kind))).mean(axis=0)
        np.testing.assert_allclose(found.embeddings[row], mean / np.linalg.norm(mean), rtol=1e-6)


def test_a_saved_folder_round_trip_is_exact(classes, tmp_path):
    classes.save_pretrained(tmp_path)
    assert {path.name for path in (tmp_path / "zero_shot").iterdir()} == {
        "zero_shot.json", "classes.safetensors"
    }  # fmt: skip
    again = ZeroShotClasses.from_pretrained(tmp_path)
    assert again.classes == classes.classes
    assert again.temperature == classes.temperature
    assert again.about == {"rows": 7}
    np.testing.assert_allclose(again.embeddings, classes.embeddings)
    with pytest.raises(FileNotFoundError, match=r"no zero_shot\.json"):
        ZeroShotClasses.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 99}, {"classes": []}, {"classes": ["a", "a", "c"]},
        {"classes": ["a"] * 20_000}, {"classes": "abc"}, {"classes": [1, 2, 3]},
        {"classes": ["x" * 500, "b", "c"]}, {"temperature": 0}, {"temperature": "hot"},
        {"temperature": -1.0}, {"least_probability": 2},
    ],
)  # fmt: skip
def test_invalid_contents_are_refused(classes, tmp_path, change):
    path = classes.save_pretrained(tmp_path) / "zero_shot.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileFormatError, match=r"zero_shot\.json"):
        ZeroShotClasses.from_pretrained(tmp_path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{", b"[]", b" " * (1 << 21)])
def test_a_damaged_file_is_named(classes, tmp_path, content):
    (classes.save_pretrained(tmp_path) / "zero_shot.json").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"zero_shot\.json"):
        ZeroShotClasses.from_pretrained(tmp_path)
