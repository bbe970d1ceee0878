"""Training of the bundled classifier on simulated labels."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_specclip import Describer
from specclip_datasets.tables.reconstruct import band_sums
from specclip_training.studies import classifier
from specclip_training.studies.transfer import RealRows


@pytest.fixture(scope="module")
def table():
    path = Path(__file__).parents[1] / "describe" / "bundled_check.parquet"
    rows = pq.read_table(path)
    names = pa.array([f"s{number}" for number in range(len(rows))])
    return rows.append_column("group", names).append_column("source_name", names)


def test_power_laws_keep_the_ratios_of_their_rows_and_the_brightness_of_others(table):
    rows = RealRows.from_table(table)
    known, spectra = classifier._power_laws(rows, np.random.default_rng(0))
    sums = band_sums(spectra["counts"])
    measured = (sums[:, 2] - sums[:, 0]) / np.maximum(sums[:, 2] + sums[:, 0], 1)
    assert np.corrcoef(measured, rows.targets["hard_hs"][known])[0, 1] > 0.7
    rate = np.log(spectra["counts"].sum(axis=1) + 1) - np.log(spectra["exposure"])
    own = np.log(np.maximum(rows.net_counts, 1)) - np.log(rows.spectra["exposure"])
    assert abs(np.corrcoef(rate, own[known])[0, 1]) < 0.3


def test_labels_are_learned_and_the_seed_decides(table, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 200)
    monkeypatch.setattr(classifier, "HIDDEN", 16)
    describer = Describer.from_pretrained(parts=())
    train, held = table.slice(0, 100), table.slice(100)
    found = classifier.fit_classifier(describer, train, held)
    again = classifier.fit_classifier(describer, train, held)
    np.testing.assert_array_equal(found.weight, again.weight)
    inputs = describer.probe_inputs(
        train.select(["counts", "background_counts", "background_scale", "exposure",
                      "effective_area"]).to_pylist()
    )  # fmt: skip
    right = np.array(found.classes)[found.predict(inputs).argmax(axis=1)]
    labels = np.array(train["source_class"].to_pylist())
    commonest = np.unique(labels, return_counts=True)[1].max() / len(labels)
    assert (right == labels).mean() > commonest + 0.2
    assert 0 <= found.least_probability <= 1
