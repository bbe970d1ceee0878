"""Spectra reconstructed from facts of a catalogue."""

import numpy as np
import pytest

from specclip_datasets.tables.real_sources import class_label, host_name
from specclip_datasets.tables.reconstruct import (
    _energy_fluxes,
    band_sums,
    fold_model,
    hardness_of,
    match_hardness,
    reconstruct_fluxes,
    reconstruct_rows,
)

EPOCH = 4


def test_counts_in_bands_are_kept():
    counts, background = np.array([[30, 50, 20], [5, 90, 400]]), np.array([[9, 8, 20], [0, 3, 1]])
    rows = {
        "epoch": EPOCH,
        "counts": counts,
        "background": background,
        "scale": np.array([0.1, 0.0]),
        "model": np.array(["powlaw", "bands"], dtype=object),
        "shape": np.array([1.8, np.nan]),
        "nh": np.array([20.0, np.nan]),
    }
    made = reconstruct_rows(rows, np.random.default_rng(0))
    np.testing.assert_array_equal(band_sums(made["counts"]), counts)
    np.testing.assert_array_equal(band_sums(made["background_counts"]), background)


def test_the_matching_power_law_has_the_hardness_ratios():
    wanted = hardness_of(fold_model("powlaw", np.array([1.7, 2.6]), np.array([40.0, 300.0]), EPOCH),
                         EPOCH)  # fmt: skip
    made = hardness_of(fold_model("powlaw", *match_hardness(wanted, EPOCH), EPOCH), EPOCH)
    np.testing.assert_allclose(made, wanted, atol=0.03)


def test_fluxes_give_brightness_and_hardness():
    indices, columns, fluxes = _energy_fluxes()
    row = int(np.argmin(np.abs(indices - 1.8) + np.abs(columns - 20)))
    made = reconstruct_fluxes(fluxes[[row, row]] * np.array([[1e-5], [1e-3]]),
                              np.random.default_rng(0), epoch=EPOCH)  # fmt: skip
    rate = made["counts"].sum(axis=1) / made["exposure"]
    assert rate[1] / rate[0] == pytest.approx(100, rel=0.2)


def test_names_of_catalogues_become_usual_ones():
    assert [class_label(name) for name in ("cv_o", "LMXRB BURSTER", " UNIDENTIFIED", None)] == [
        "CV*", "LMXB", None, None
    ]  # fmt: skip
    assert [host_name(name) for name in ("NGC0253", "Terzan 9", None)] == [
        "NGC 253",
        "Terzan 9",
        None,
    ]
