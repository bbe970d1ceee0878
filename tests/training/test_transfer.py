"""Measures on real rows, of estimates and answers that are known."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_specclip import Describer
from specclip_datasets.splits import hash_splits
from specclip_training.data.parquet_rows import to_arrays
from specclip_training.studies.bundled import CHECK
from specclip_training.studies.transfer import (
    JUDGED,
    Estimates,
    RealRows,
    calibrate_intervals,
    estimates_of,
    measure_variables,
)
from specclip_training.studies.transfer_classes import (
    is_judged,
    kind_of,
    measure_answers,
    measure_reconstruction,
    summed,
)


@pytest.fixture
def rows():
    random, n = np.random.default_rng(0), 600
    groups = np.array([f"g{i % 90}" for i in range(n)], dtype=object)
    spectra = {"counts": np.full((n, 400), 1), "background_counts": np.zeros((n, 400), int),
               "background_scale": np.zeros(n)}  # fmt: skip
    targets = {name: random.normal(size=n) for name in JUDGED}
    return RealRows(spectra, targets, groups, groups, groups)


def test_goals_are_met_by_the_truth_and_missed_by_a_bias(rows):
    test = np.flatnonzero(rows.is_test)
    truth = {name: rows.targets[name][test] for name in JUDGED}
    shifted = {name: values + 0.2 for name, values in truth.items()}
    ends = {level: tuple({n: v + step for n, v in truth.items()} for step in (-1, 1))
            for level in (68, 90)}  # fmt: skip
    measured = measure_variables(
        {"model": Estimates(truth, ends), "other": Estimates(shifted, {})}, rows, 20
    )
    goals = measured["goals"]
    assert goals["bias"]["met"]
    assert goals["mean_error"]["value"] == pytest.approx(0)
    assert goals["coverage_90"] == {"value": 1.0, "met": False}
    other = measured["methods"]["other"]["variables"]["hard_hm"]
    assert other["median_bias"] == pytest.approx(0.2)
    assert measured["rows"] == len(test)


def test_calibrated_intervals_hold_where_the_truth_scatters_more():
    describer = Describer.from_pretrained(parts=("moe",))
    table = pq.read_table(CHECK)
    columns = ["counts", "background_counts", "background_scale", "exposure", "effective_area"]
    spectra = {
        name: np.concatenate([v] * 4) for name, v in to_arrays(table.select(columns)).items()
    }
    groups = np.array([f"g{i}" for i in range(len(spectra["counts"]))], dtype=object)
    rows = RealRows(spectra, {}, groups, groups, groups)
    every = np.arange(len(rows))
    estimates = estimates_of(describer, rows.records(every))
    low, high = (ends["powlaw_gamma"] for ends in estimates.ends[90])
    # Errors three times as large as the intervals allow for.
    noise = np.random.default_rng(0).normal(size=len(rows)) * (high - low) / 2 / 1.645
    truth = estimates.value["powlaw_gamma"] + 3 * noise
    targets = {"powlaw_gamma": truth, "apec_kt": np.where(every < 20, 1.0, np.nan)}
    made = calibrate_intervals(describer, RealRows(spectra, targets, groups, groups, groups))
    assert made["rows"] == made["groups"] < len(rows)
    after = estimates_of(describer, rows.records(every))
    np.testing.assert_array_equal(after.value["powlaw_gamma"], estimates.value["powlaw_gamma"])
    test = rows.is_test
    low, high = (ends["powlaw_gamma"][test] for ends in after.ends[90])
    assert 0.75 < ((low <= truth[test]) & (truth[test] <= high)).mean() < 1
    for before, now in zip(estimates.ends[90], after.ends[90], strict=True):
        np.testing.assert_array_equal(before["apec_kt"], now["apec_kt"])


def test_reconstruction_from_ratios_is_measured_on_the_same_sources():
    table = pq.read_table(CHECK)
    # Two rows a source: the first of usable ones counts.
    names = [f"s{i // 2}" for i in range(len(table))]
    table = table.append_column("source_name", [names]).append_column("group", [names])
    star, nucleus = "star or young star", "active galactic nucleus"
    describer = Describer.from_pretrained(parts=("classes",))
    measured = measure_reconstruction(describer, table, [star, nucleus], 20)
    own, reconstructed = measured["own_spectra"], measured["reconstructed"]
    assert own["sources"] == reconstructed["sources"]
    assert set(own["sources"]) <= {star, nucleus}
    # Lines of hot plasma, by which stars are told, are not in a power law.
    assert reconstructed["right"][star] < own["right"][star]


def test_splits_by_hash_depend_on_the_name_alone():
    names = [f"g{i}" for i in range(4000)]
    splits = hash_splits(names)
    assert (splits[::-1] == hash_splits(names[::-1])).all()
    assert abs((splits == "test").mean() - 0.15) < 0.03
    assert 0.4 < np.mean([is_judged(name) for name in names]) < 0.6


def test_answers_are_balanced_over_the_classes():
    truth = np.array(["a"] * 8 + ["b"] * 2, dtype=object)
    scores = np.tile([0.9, 0.1], (10, 1))
    measured = measure_answers(scores, ["a", "b"], truth, 50)
    assert measured["accuracy"] == measured["majority"] == 0.8
    assert measured["balanced_accuracy"]["value"] == 0.5
    assert measured["right"] == {"a": 1.0, "b": 0.0}
    assert kind_of("Seyfert_1") == kind_of("QSO") == "AGN"
    np.testing.assert_allclose(summed(scores, ["x", "y"], ["k", "k"]), 1.0)
