"""From spectra to tensors: the numbers, the forms of input, and what is refused."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from hf_specclip import SpecCLIPFeatureExtractor
from hf_specclip.models.spectrum_input_specclip import CHANNELS, GLOBALS

EDGES = np.linspace(0.5, 8.0, 401)


def columns(n=5, seed=0, mean=0.3):
    generator = np.random.default_rng(seed)
    return {
        "counts": generator.poisson(mean, (n, 400)).astype(np.int32),
        "exposure": generator.uniform(1e3, 1e5, n).astype(np.float32),
        "background_counts": generator.poisson(0.5, (n, 400)).astype(np.int32),
        "background_scale": generator.uniform(0.01, 0.2, n).astype(np.float32),
    }


def rows(batch):
    return [
        {name: column[i] for name, column in batch.items()} for i in range(len(batch["counts"]))
    ]


class Rebinnable:
    """Shaped like an `XRaySpectrum`, as far as the feature extractor looks."""

    def __init__(self, row):
        self.row, self.asked = row, None

    def rebinned(self, n_bins=400, energy_range=(0.5, 8.0)):
        self.asked = (n_bins, energy_range)
        return {**self.row, "source_name": "2CXO J000000.0+000000", "effective_area": None}


def overlap(low, high, edges=EDGES):
    """(bins,) share of every bin inside a band."""
    inside = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
    return np.maximum(inside, 0.0) / np.diff(edges)


def hardness_by_hand(soft, medium, hard):
    """Three ratios and their errors from (net counts, variance) of three bands."""
    ratios, errors = [], []
    for x, y in ((hard, medium), (hard, soft), (medium, soft)):
        a, b = max(x[0], 0) + 0.5, max(y[0], 0) + 0.5
        ratios.append((a - b) / (a + b))
        errors.append(min(1, 2 * math.sqrt(b**2 * x[1] + a**2 * y[1]) / (a + b) ** 2))
    return ratios + errors


def physics_by_hand(counts, exposure, background, scale):
    """Compute the docstring of the feature extractor in float64."""

    def mean_around(values, half):
        window = np.ones(2 * half + 1)
        return np.convolve(values, window, "same") / np.convolve(np.ones(400), window, "same")

    def stabilised(n):
        return 2 * np.sqrt(n + 3 / 8) - 2 * math.sqrt(3 / 8)

    def net_and_variance(low, high):
        shares = overlap(low, high)
        n, b = shares @ counts, shares @ background
        return n - scale * b, n + scale**2 * b + 1, n, b

    net, variance, total, region = net_and_variance(0.5, 8.0)
    norm = math.sqrt(max(net, 0) ** 2 + variance)
    # 0.4 keV are 21.3 bins of 18.75 eV and 0.3 keV are 16: windows of 21 and 17 (an odd number).
    shape = mean_around(counts - scale * background, 8) * 400 / norm
    channels = [
        stabilised(counts),
        stabilised(scale * mean_around(background, 10)),
        np.copysign(np.log1p(abs(shape)), shape),
    ]
    bands = [net_and_variance(*band) for band in pairwise(np.geomspace(0.5, 8.0, 14))]
    wide = [net_and_variance(*band) for band in ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))]
    numbers = [
        math.log10((max(net, 0) + 1) / exposure),
        math.log10(total + 1),
        math.log10(max(net, 0) + 1),
        math.log10(scale * region + 1),
        math.asinh(net / math.sqrt(variance)),
        *(band[0] / norm for band in bands),
        *(math.sqrt(band[1]) / norm for band in bands),
        *hardness_by_hand(*(band[:2] for band in wide)),
    ]
    return np.array(channels), np.array(numbers)


def test_minmax_is_the_papers_input():
    batch = columns()
    values = SpecCLIPFeatureExtractor("minmax")(batch)["spectrum_values"]
    assert values.shape == (5, 1, 400)
    assert values.dtype == np.float32
    for i in range(5):
        rate = batch["counts"][i].astype(np.float64) / batch["exposure"][i]
        expected = (rate - rate.min()) / (rate.max() - rate.min())
        np.testing.assert_allclose(values[i, 0], expected, atol=1e-6)


@pytest.mark.parametrize("counts", [np.zeros((2, 400), int), np.full((2, 400), 3)])
def test_minmax_without_contrast_is_zero(counts):
    values = SpecCLIPFeatureExtractor("minmax")(counts)["spectrum_values"]
    assert not values.any()


@pytest.mark.parametrize("mean", [0.05, 0.5, 50.0])
def test_physics_is_what_the_docstring_says(mean):
    batch = columns(n=3, seed=4, mean=mean)
    features = SpecCLIPFeatureExtractor("physics")(batch)
    assert features["spectrum_values"].shape == (3, len(CHANNELS["physics"]), 400)
    assert features["spectrum_globals"].shape == (3, len(GLOBALS["physics"]))
    for i, row in enumerate(rows(batch)):
        names = ("counts", "exposure", "background_counts", "background_scale")
        channels, numbers = physics_by_hand(*(np.float64(row[name]) for name in names))
        np.testing.assert_allclose(features["spectrum_values"][i], channels, rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(features["spectrum_globals"][i], numbers, rtol=1e-4, atol=2e-5)


def test_physics_of_nothing_is_finite():
    extractor = SpecCLIPFeatureExtractor("physics")
    empty = extractor({"counts": np.zeros(400, int), "exposure": 1e4})
    region = {"background_counts": np.full(400, 1000), "background_scale": 2.0}
    # Fewer counts than the background predicts.
    below = extractor({"counts": np.zeros(400, int), "exposure": 1.0, **region})
    for features in (empty, below):
        assert np.isfinite(features["spectrum_values"]).all()
        assert np.isfinite(features["spectrum_globals"]).all()
    assert not empty["spectrum_values"].any()


def test_observing_metadata_never_enters():
    batch = columns()
    telling = {
        **batch,
        "theta": np.full(5, 7.5),
        "year": np.full(5, 2012.0),
        "detector": ["ACIS-I"] * 5,
        "effective_area": np.full((5, 400), 300.0),
    }
    extractor = SpecCLIPFeatureExtractor("physics")
    plain, told = extractor(batch), extractor(telling)
    for name in plain:
        np.testing.assert_array_equal(plain[name], told[name])


def test_all_forms_of_input_agree():
    batch = columns()
    counts, rest = batch["counts"], {k: v for k, v in batch.items() if k != "counts"}
    tensors = {name: torch.from_numpy(column) for name, column in batch.items()}
    lists = {name: column.tolist() for name, column in batch.items()}
    as_objects = np.empty(5, dtype=object)
    as_objects[:] = list(counts)
    extractor = SpecCLIPFeatureExtractor("physics")
    expected = extractor(batch)
    forms = {
        "list of dicts": extractor(rows(batch)),
        "array": extractor(counts, **rest),
        "tensor": extractor(torch.from_numpy(counts), **rest),
        "nested lists": extractor(counts.tolist(), **rest),
        "list of arrays": extractor(list(counts), **rest),
        "dict of tensors": extractor(tensors),
        "dict of lists": extractor(lists),
        "columns of a data frame": extractor({**batch, "counts": as_objects}),
        "whole floats": extractor({**batch, "counts": counts.astype(np.float64)}),
        "spectra": extractor([Rebinnable(row) for row in rows(batch)]),
    }
    for form, features in forms.items():
        assert set(features) == set(expected), form
        for name in expected:
            np.testing.assert_array_equal(features[name], expected[name], err_msg=form)


def test_single_spectra_become_batches_of_one():
    batch = columns()
    extractor = SpecCLIPFeatureExtractor("physics")
    expected = extractor(batch)
    row = rows(batch)[2]
    rest = {name: value for name, value in row.items() if name != "counts"}
    spectrum = Rebinnable(row)
    forms = [
        extractor(row),
        extractor(spectrum),
        extractor(row["counts"], **rest),
        extractor(row["counts"].tolist(), **rest),
    ]
    assert spectrum.asked == (400, (0.5, 8.0))
    for features in forms:
        for name in expected:
            assert features[name].shape == (1, *expected[name].shape[1:])
            np.testing.assert_allclose(features[name][0], expected[name][2], rtol=1e-5, atol=1e-6)


def test_background_may_be_absent():
    batch = columns()
    extractor = SpecCLIPFeatureExtractor("physics")
    zeros = {**batch, "background_counts": np.zeros((5, 400), int)}
    without = {name: batch[name] for name in ("counts", "exposure")}
    for absent in (
        without,
        {**without, "background_counts": None, "background_scale": None},
        {**without, "background_counts": [None] * 5, "background_scale": [None] * 5},
        {**zeros, "background_scale": np.zeros(5)},
        {**zeros, "background_scale": [None] * 5},
    ):
        for name, expected in extractor(zeros).items():
            np.testing.assert_array_equal(extractor(absent)[name], expected)
    some = rows(batch)
    some[3] = {**some[3], "background_counts": None, "background_scale": None}
    features, full = extractor(some), extractor(batch)
    np.testing.assert_array_equal(features["spectrum_values"][:3], full["spectrum_values"][:3])
    assert not features["spectrum_values"][3, 1].any()


@pytest.mark.parametrize("kind", ["minmax", "physics"])
def test_input_is_left_as_it_was(kind):
    batch = columns()
    for column in batch.values():
        column.setflags(write=False)
    before = copy.deepcopy(batch)
    features = SpecCLIPFeatureExtractor(kind)(batch, return_tensors="pt")
    features["spectrum_values"].zero_()  # does not share memory either
    floats = {**batch, "counts": batch["counts"].astype(np.float32)}
    SpecCLIPFeatureExtractor(kind)(floats, return_tensors="pt")["spectrum_values"].zero_()
    for name in before:
        np.testing.assert_array_equal(batch[name], before[name])
    np.testing.assert_array_equal(floats["counts"], before["counts"])


ONES = np.ones(400, int)


def bad(name, row, value, column=None):
    batch = columns()
    batch[name] = batch[name].astype(np.float64)
    if column is None:
        batch[name][row] = value
    else:
        batch[name][row, column] = value
    return batch


@pytest.mark.parametrize(
    ("spectra", "message"),
    [
        (bad("counts", 3, np.nan, 7), r"row 3: counts\[7\] = nan is not finite"),
        (bad("counts", 1, np.inf, 0), r"row 1: counts\[0\] = inf is not finite"),
        (bad("counts", 2, -1, 5), r"row 2: counts\[5\] = -1 is negative"),
        (bad("counts", 2, 0.5, 5), r"row 2: counts\[5\] = 0.5 is not an integer"),
        (bad("background_counts", 4, np.nan, 9), r"row 4: background_counts\[9\]"),
        (bad("exposure", 2, np.nan), "row 2: exposure is nan"),
        (bad("exposure", 0, 0.0), "row 0: exposure is 0, it must be finite and above 0"),
        (bad("background_scale", 1, -0.1), "row 1: background_scale is -0.1"),
        ({"counts": np.ones((2, 400), int)}, "needs the exposure"),
        ({"counts": np.ones((2, 400), int), "exposure": [1.0]}, "1 values of exposure for 2"),
        ({"counts": np.ones((2, 400), int), "exposure": [1.0, None]}, "row 1: no exposure"),
        ({"counts": np.ones((2, 512), int), "exposure": [1, 1]}, r"512 bins.*rebinned\(n_bins=400"),
        ({"counts": [[1, 2], [1]], "exposure": [1, 1]}, "rows of different lengths"),
        ({"counts": np.ones((2, 400), bool), "exposure": [1, 1]}, "of type bool"),
        ({"exposure": [1.0]}, "no 'counts' among"),
        ({"counts": [np.ones(400, int), None], "exposure": [1.0, 1.0]}, "row 1: no counts"),
        ([{"counts": np.ones(400, int), "exposure": 1.0}, {"exposure": 1.0}], "row 1: no 'counts'"),
        ([object()], "row 0: a object is not a spectrum"),
        ([], "no spectra given"),
        ({"counts": ONES, "exposure": 1.0, "background_counts": ONES}, "row 0: .*without backgr"),
    ],
)
def test_what_is_refused(spectra, message):
    with pytest.raises(ValueError, match=message):
        SpecCLIPFeatureExtractor("physics")(spectra)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_kind": "log"}, "input_kind is 'log'"),
        ({"n_bins": 0}, "n_bins"),
        ({"energy_range": (8.0, 0.5)}, "must be 0 ≤ low"),
        ({"energy_range": (1.0,)}, r"must be \(low, high\)"),
        ({"input_format": 99}, "saved with input format 99"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SpecCLIPFeatureExtractor(**settings)


@pytest.mark.parametrize("energy_range", [(0.0, 10.0), (3.0, 79.0), (9.0, 10.0)])
def test_other_energies_and_bins(energy_range):
    extractor = SpecCLIPFeatureExtractor("physics", n_bins=7, energy_range=energy_range)
    features = extractor(np.arange(14).reshape(2, 7), exposure=[1.0, 2.0])
    assert np.isfinite(features["spectrum_values"]).all()
    assert np.isfinite(features["spectrum_globals"]).all()
    # The 13 bands cover the range once.
    fractions = features["spectrum_globals"][:, 5:18].sum(axis=1)
    total = np.arange(14).reshape(2, 7).sum(axis=1)
    np.testing.assert_allclose(fractions, total / np.sqrt(total**2 + total + 1), rtol=1e-5)
