"""Outlier detector: scores, percentiles, explanations, saving and loading, damaged files."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from stub_embedder import unit

from hf_specclip.errors import FileFormatError
from hf_specclip.outliers.detector import SpecCLIPOutlierDetector
from hf_specclip.outliers.explain import explain_outliers
from hf_specclip.outliers.isolation_forest import IsolationForestArrays
from hf_specclip.outliers.rows import DETECTORS, OutlierRows

CENTRES = np.random.default_rng(99).normal(size=(6, 16))


def population(n=400, seed=0, odd=0):
    """Five kinds of source, two detections each; the first `odd` rows are of a sixth kind."""
    random = np.random.default_rng(seed)
    group = np.arange(n) // 2
    kind = random.integers(0, 5, n // 2)[group]
    kind[:odd] = 5
    centre = CENTRES[kind]
    noise = 0.4 * random.normal(size=(n // 2, 16))[group]
    value = centre[:, 0] + 0.1 * random.normal(size=n)
    counts = random.poisson(np.tile([40.0, 30.0, 20.0], (n, 1))).astype(float)
    return OutlierRows(
        spectrum=unit(centre + 0.4 * random.normal(size=(n, 16))),
        text=unit(centre + noise),
        variables={"gamma": value, "kt": np.where(random.random(n) < 0.5, np.nan, value)},
        band_counts=counts,
        band_errors=np.sqrt(counts),
        names=[f"2CXO {seed}-{g}" for g in group],
        classes=[f"kind {k}" for k in kind],
        groups=[f"{seed}-{g}" for g in group],
    )


@pytest.fixture(scope="module")
def detector():
    return SpecCLIPOutlierDetector.fit(population(), n_trees=60, seed=1)


def test_sources_of_a_new_class_score_high(detector):
    rows = population(300, seed=1, odd=12)
    scores = detector.score(rows)
    odd = np.arange(300) < 12
    for name in ("isolation_forest", "spectrum_neighbours", "combined"):
        assert roc_auc_score(odd, scores.raw[name]) > 0.9, name
    assert scores.percentile()[odd].min() > 90


def test_percentiles_of_ordinary_sources_are_uniform(detector):
    scores = detector.score(population(600, seed=2))
    for name in DETECTORS:
        percentile = scores.percentile(name)
        assert 40 < percentile.mean() < 60, name
        assert (percentile > 95).mean() < 0.1, name


def test_a_text_that_belongs_to_another_source_disagrees(detector):
    rows = population(300, seed=3)
    text = np.array(rows.text)
    text[:20] = -text[:20]
    swapped = OutlierRows(spectrum=rows.spectrum, text=text, groups=rows.groups)
    scores = detector.score(swapped)
    assert roc_auc_score(np.arange(300) < 20, scores.raw["disagreement"]) > 0.95


def test_a_value_unlike_the_neighbours_departs(detector):
    rows = population(300, seed=3)
    values = {name: np.array(x) for name, x in rows.variables.items()}
    values["gamma"][:20] += 8.0
    departures = detector.variable_departures(
        OutlierRows(spectrum=rows.spectrum, variables={"gamma": values["gamma"]})
    )
    assert roc_auc_score(np.arange(300) < 20, departures[:, 0]) > 0.95
    assert np.isnan(departures[:, 1]).all()


def test_a_row_without_text_is_scored_by_its_spectrum_alone(detector):
    rows = population(60, seed=4)
    alone = detector.score(OutlierRows(spectrum=rows.spectrum))
    for name in ("isolation_forest", "disagreement"):
        assert np.isnan(alone.raw[name]).all()
    paired = detector.score(rows)
    name = "spectrum_neighbours"
    np.testing.assert_array_equal(alone.raw[name], paired.raw[name])
    np.testing.assert_allclose(alone.raw["combined"], -np.log(alone.tail[name]))
    text = np.array(rows.text)
    text[0] = np.nan
    mixed = detector.score(replace(rows, text=text))
    np.testing.assert_allclose(mixed.raw["combined"][1:], paired.raw["combined"][1:])
    assert mixed.raw["combined"][0] == alone.raw["combined"][0]


def test_own_group_is_never_a_neighbour(detector):
    train = population()
    near = detector.neighbours(train, n=5)
    groups = np.array(detector.reference.groups)
    own = np.array(train.groups)
    assert not (groups[near] == own[:, None]).any()
    for row in near:
        assert len(set(groups[row].tolist())) == 5
    # Scored as strangers, the rows it learned from would find themselves.
    known = detector.score(train).raw["spectrum_neighbours"]
    unnamed = detector.score(OutlierRows(spectrum=train.spectrum)).raw["spectrum_neighbours"]
    assert (unnamed < known - 1e-3).mean() > 0.95


def test_explanations_name_band_variable_and_neighbours(detector):
    rows = population(100, seed=5)
    counts = np.array(rows.band_counts)
    counts[0] = [10.0, 30.0, 160.0]
    values = {name: np.array(x) for name, x in rows.variables.items()}
    values["gamma"][0] += 6.0
    values["kt"][0] = np.nan
    changed = replace(rows, band_counts=counts, band_errors=np.sqrt(counts), variables=values)
    scores = detector.score(changed)
    (one,) = explain_outliers(detector, changed, scores, np.array([0]))
    assert one.band == "h"
    assert one.band_sigma > 5
    assert one.variable == "gamma"
    assert one.variable_z > 3
    assert one.variable_value == pytest.approx(values["gamma"][0])
    usual = [v for v, k in zip(rows.variables["gamma"], rows.classes, strict=True)
             if k == one.source_class]  # fmt: skip
    assert one.variable_usual == pytest.approx(np.median(usual), abs=0.4)
    assert [kind for _, kind in one.neighbours].count(rows.classes[0]) >= 4
    shapes = np.array(detector.reference.band_fluxes)[detector.neighbours(changed)[0]]
    hard = 200 * (shapes / shapes.sum(axis=1, keepdims=True))[:, 2]
    expected = (160 - hard.mean()) / np.sqrt(hard.mean() + hard.var(ddof=1))
    assert one.band_sigma == pytest.approx(expected, rel=1e-5)
    # Seen with half the area in that band, the same counts are twice the flux.
    areas = np.tile([1.0, 1.0, 0.5], (100, 1))
    (other,) = explain_outliers(detector, replace(changed, band_areas=areas), scores, np.array([0]))
    assert other.band_sigma > one.band_sigma


@pytest.mark.parametrize("options", [{}, {"max_features": 0.5}, {"max_samples": 5}])
def test_forest_scores_as_scikit_learn_does(options):
    random = np.random.default_rng(0)
    points = random.normal(size=(500, 7)).astype(np.float32)
    fitted = IsolationForest(n_estimators=30, random_state=0, **options).fit(points)
    forest = IsolationForestArrays.from_sklearn(fitted)
    fresh = 2 * random.normal(size=(300, 7)).astype(np.float32)
    np.testing.assert_allclose(forest.score(fresh), -fitted.score_samples(fresh), atol=1e-12)
    again = IsolationForestArrays.from_tensors(vars(forest), 7, forest.expected)
    np.testing.assert_array_equal(again.score(fresh), forest.score(fresh))


def test_saved_and_loaded_it_scores_the_same(detector, tmp_path):
    folder = detector.save_pretrained(tmp_path / "run" / "outliers")
    assert sorted(p.name for p in folder.iterdir()) == [
        "detector.json", "detector.safetensors", "reference.jsonl",
    ]  # fmt: skip
    rows = population(80, seed=6)
    for place in (folder, tmp_path / "run"):
        loaded = SpecCLIPOutlierDetector.from_pretrained(place)
        for name in DETECTORS:
            np.testing.assert_array_equal(
                loaded.score(rows).raw[name], detector.score(rows).raw[name]
            )
            np.testing.assert_array_equal(
                loaded.score(rows).tail[name], detector.score(rows).tail[name]
            )
    assert loaded.reference.names == detector.reference.names


def test_percentiles_can_be_taken_from_rows_no_training_saw():
    shifted = population(200, seed=8, odd=200)
    own = SpecCLIPOutlierDetector.fit(population(), n_trees=20)
    other = SpecCLIPOutlierDetector.fit(population(), shifted, n_trees=20)
    rows = population(100, seed=9, odd=100)
    assert own.score(rows).percentile().mean() > 95
    assert 35 < other.score(rows).percentile().mean() < 65


def edit(folder, name, change):
    tensors = load_file(folder / "detector.safetensors")
    tensors[name] = change(tensors[name].copy())
    tensors = {key: array for key, array in tensors.items() if array is not None}
    save_file(tensors, folder / "detector.safetensors")


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("forest.left", put((0, 0), 0), "after its parent"),
        ("forest.right", put((0, 0), 1 << 20), "after its parent"),
        ("forest.feature", put((0, 0), 99), "beyond 32"),
        ("forest.threshold", put((0, 0), np.nan), "finite"),
        ("reference.spectrum", put((0, 0), np.nan), "unit length"),
        ("variable_spread", put(0, 0.0), "above 0"),
        ("levels.combined", put(0, 1e9), "rise"),
        ("reference.text", lambda x: x[:-1], "it must be float32"),
        ("reference.text", put((0, 0), np.inf), "reference.text holds infinity"),
        ("reference.text", put((0, 0), np.nan), "NaN in a part of a row"),
        ("levels.combined", lambda x: x[:-1], "levels.combined is"),
        ("forest.length", lambda x: x[:-1], "forest.length is"),
        ("levels.combined", lambda x: None, "lacks the tensor levels.combined"),
        ("reference.variables", lambda x: x.astype(np.float32), "float64"),
    ],
)
def test_tampered_tensors_are_refused(detector, tmp_path, name, change, words):
    folder = detector.save_pretrained(tmp_path / "d")
    edit(folder, name, change)
    with pytest.raises(FileFormatError, match=words):
        SpecCLIPOutlierDetector.from_pretrained(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("version", 1, "update hf_specclip"),
        ("format", "other", "does not say"),
        ("rows", 1 << 40, "whole number"),
        ("rows", 390, "has 400 rows"),
        ("k", True, "whole number"),
        ("variables", "gamma", "list of names"),
        ("forest_expected", float("1e400"), "path length|JSON"),
    ],
)
def test_tampered_settings_are_refused(detector, tmp_path, key, value, words):
    folder = detector.save_pretrained(tmp_path / "d")
    config = json.loads((folder / "detector.json").read_text())
    (folder / "detector.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(FileFormatError, match=words):
        SpecCLIPOutlierDetector.from_pretrained(folder)


def test_damaged_and_absent_files_are_named(detector, tmp_path):
    folder = detector.save_pretrained(tmp_path / "d")
    for name, content, words in (
        ("detector.json", b"{", "not JSON"),
        ("reference.jsonl", b'{"name": 1}\n', "line 1 lacks"),
        ("reference.jsonl", b"[" * 100_000, "line 1 cannot be used"),
        ("detector.safetensors", b"\x80" * 64, "no readable tensors"),
    ):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=words):
            SpecCLIPOutlierDetector.from_pretrained(copy)
        (copy / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            SpecCLIPOutlierDetector.from_pretrained(copy)


def test_rows_that_do_not_fit_are_refused(detector):
    rows = population(20, seed=1)
    with pytest.raises(ValueError, match="16"):
        detector.score(OutlierRows(spectrum=rows.spectrum[:, :8]))
    with pytest.raises(ValueError, match="finite"):
        detector.score(OutlierRows(spectrum=np.full((3, 16), np.nan)))
    with pytest.raises(ValueError, match="text must be"):
        detector.score(OutlierRows(spectrum=rows.spectrum, text=rows.text[:5]))
    with pytest.raises(ValueError, match="needs more than 10 groups"):
        SpecCLIPOutlierDetector.fit(population(10))
