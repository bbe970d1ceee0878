"""Probes of one's own labels: figures that hold for planted truths, groups, and damaged files."""

import json

import numpy as np
import pytest

from hf_specclip.classify.fit_probe import fit_classes, fit_number
from hf_specclip.classify.probe import SpecCLIPProbe, SpecCLIPProbeError
from hf_specclip.errors import FileFormatError

MODEL = "0123456789abcdef"


def planted(n=90, width=8, gap=3.0, seed=0):
    """Three Gaussian classes, the first as large as the others together; a row is a group."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    centres = gap * np.eye(3, width)
    return {"embedding": rng.normal(size=(n, width)) + centres[truth]}, truth


@pytest.fixture(scope="module")
def probe():
    inputs, truth = planted()
    labels = [f"class {number}" for number in truth]
    return fit_classes(inputs, labels, range(len(labels)), MODEL, name="mine", n_bootstrap=200)


def test_planted_classes_are_found_with_honest_figures(probe):
    inputs, truth = planted(n=3000, seed=1)
    answers = probe.answers(inputs)
    right = np.array(
        [next(iter(a.probabilities)) == f"class {t}" for a, t in zip(answers, truth, strict=True)]
    )
    recall = np.mean([right[truth == label].mean() for label in range(3)])
    figure = probe.report["balanced_accuracy"]
    assert figure["low"] - 0.03 < recall < figure["high"] + 0.03
    assert recall > 0.9 > figure["guess"] == pytest.approx(1 / 3)
    assert np.mean([a.none_of_these for a in answers]) < 0.12
    assert all(sum(a.probabilities.values()) == pytest.approx(1) for a in answers[:5])
    # Confidence is the accuracy: a class of 3000 draws is right as often as it claims.
    claimed = np.mean([max(a.probabilities.values()) for a in answers])
    assert claimed == pytest.approx(right.mean(), abs=0.06)


def test_what_is_unlike_the_labelled_spectra_is_none_of_these(probe):
    assert all(a.none_of_these for a in probe.answers({"embedding": np.full((3, 8), -6.0)}))
    assert set(probe.report["left_out"]) == {"class 0", "class 1", "class 2"}


def test_labels_that_mean_nothing_are_guesses():
    inputs, truth = planted()
    labels = np.random.default_rng(2).permutation(truth).astype(str)
    report = fit_classes(inputs, labels, range(len(labels)), MODEL, n_bootstrap=200).report
    figure = report["balanced_accuracy"]
    assert figure["low"] < figure["guess"] + 0.05 < figure["high"] + 0.15


def test_spectra_of_a_group_do_not_vouch_for_each_other():
    """Four observations of each of 30 sources whose labels have no cause: chance, not 100 %."""
    rng = np.random.default_rng(3)
    source = np.repeat(np.arange(30), 4)
    points = rng.normal(size=(30, 6))[source] + 0.01 * rng.normal(size=(120, 6))
    labels = np.array(["a", "b"])[np.arange(30) % 2][source]
    grouped, alone = (
        fit_classes({"embedding": points}, labels, groups, MODEL, n_bootstrap=50).report
        for groups in (source, np.arange(120))
    )
    assert alone["balanced_accuracy"]["value"] > grouped["balanced_accuracy"]["value"] + 0.15
    assert grouped["n_groups"] == 30


def test_five_spectra_a_class_are_enough_and_fewer_are_left_out():
    inputs, _ = planted(n=14, gap=0.0)
    labels = ["soft"] * 5 + ["hard"] * 5 + ["rare"] * 4
    inputs["embedding"][:5, 0] += 6
    probe = fit_classes(inputs, labels, range(14), MODEL, n_bootstrap=50)
    assert probe.classes == ("hard", "soft")
    assert probe.report["dropped"] == {"rare": {"n": 4, "n_groups": 4}}
    assert probe.report["balanced_accuracy"]["value"] > 0.8
    with pytest.raises(SpecCLIPProbeError, match="column `group`"):
        fit_classes(inputs, labels, [0] * 14, MODEL)


def test_a_number_has_intervals_that_hold():
    rng = np.random.default_rng(4)
    inputs = {"embedding": rng.normal(size=(400, 5)), "features": rng.normal(size=(400, 3))}
    values = 2 * inputs["features"][:, 0] + inputs["embedding"][:, 1] + rng.normal(size=400)
    some = {name: rows[:300] for name, rows in inputs.items()}
    probe = fit_number(some, values[:300], range(300), MODEL, n_bootstrap=200)
    report = probe.report
    assert report["r_squared"]["low"] < 5 / 6 < report["r_squared"]["high"] + 0.03
    assert report["r_squared"]["guess"] < 0.02
    assert report["error"]["value"] < report["error"]["guess"] / 2
    assert report["held_68"] == pytest.approx(0.68, abs=0.08)
    answers = probe.answers({name: rows[300:] for name, rows in inputs.items()})
    held = [a.lower_90 <= v <= a.upper_90 for a, v in zip(answers, values[300:], strict=True)]
    assert 0.8 < np.mean(held) < 0.98
    luminosity = 10 ** (40 + values)
    probe = fit_number(inputs, luminosity, range(400), MODEL, n_bootstrap=50)
    assert probe.log10
    [answer] = probe.answers({name: rows[:1] for name, rows in inputs.items()})
    assert 0 < answer.lower_90 < answer.value < answer.upper_90
    with pytest.raises(SpecCLIPProbeError, match="20 finite"):
        fit_number({n: v[:9] for n, v in inputs.items()}, values[:9], range(9), MODEL)


def test_a_saved_probe_answers_alike_and_for_its_model_alone(probe, tmp_path):
    folder = probe.save_pretrained(tmp_path / "mine")
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]
    again = SpecCLIPProbe.from_pretrained(folder)
    inputs, _ = planted(n=5, seed=5)
    assert again.answers(inputs) == probe.answers(inputs)
    again.check_model(MODEL)
    with pytest.raises(SpecCLIPProbeError, match="fit the labels again"):
        again.check_model("f" * 16)
    with pytest.raises(SpecCLIPProbeError, match="the probe reads"):
        again.answers({"embedding": np.zeros((2, 9))})
    (tmp_path / "mine" / "notes.txt").touch()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(SpecCLIPProbeError, match="not a probe"):
        probe.save_pretrained(other)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 9}, {"classes": ["a"]}, {"classes": ["a", "a", "b"]},
        {"classes": [1, 2, 3]}, {"inputs": {"embedding": 9}}, {"inputs": {"other": 8}},
        {"inputs": {"embedding": -8}}, {"temperature": 0}, {"half_90": "wide"}, {"report": 3},
        {"fingerprint": None},
    ],
)  # fmt: skip
def test_invalid_contents_are_refused(probe, tmp_path, change):
    path = probe.save_pretrained(tmp_path / "mine") / "probe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileFormatError, match=r"probe\.json"):
        SpecCLIPProbe.from_pretrained(tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match="--fit"):
        SpecCLIPProbe.from_pretrained(tmp_path)
