"""Counts dealt over bins, and expected counts split over them."""

import subprocess
import sys

import numpy as np
import pytest

from hf_specclip.spectra.rebin import (
    background_seed,
    deal_counts,
    deal_counts_batch,
    detection_seed,
    energy_grid,
    overlap_fractions,
)

ACIS = 0.0146 * np.arange(1025)
BINS = energy_grid()


def test_energy_grid_is_the_contracts():
    assert BINS.shape == (401,)
    assert (BINS[0], BINS[-1]) == (0.5, 8.0)
    assert np.allclose(np.diff(BINS), 0.01875)


@pytest.mark.parametrize(
    ("n_bins", "energy_range"),
    [(0, (0.5, 8)), (2.5, (0.5, 8)), (4, (8, 0.5)), (4, (-1, 8)), (4, (0.5, np.nan))],
)
def test_energy_grid_refuses_nonsense(n_bins, energy_range):
    with pytest.raises(ValueError, match=r"n_bins|energy_range"):
        energy_grid(n_bins, energy_range)


def test_dealing_conserves_every_count():
    counts = np.random.default_rng(1).poisson(3, (50, 1024))
    wide = np.concatenate([[-1.0], BINS, [20.0]])
    dealt = deal_counts_batch(counts, ACIS, wide, np.arange(50))
    assert (dealt.sum(axis=1) == counts.sum(axis=1)).all()
    # Nothing from below the range may show up inside it, and the other way round.
    below = counts[:, ACIS[1:] <= 0.5].sum(axis=1)
    straddling = counts[:, (ACIS[:-1] < 0.5) & (ACIS[1:] > 0.5)].sum(axis=1)
    assert (dealt[:, 0] >= below).all()
    assert (dealt[:, 0] <= below + straddling).all()
    assert (deal_counts_batch(counts, ACIS, BINS, np.arange(50)) == dealt[:, 1:-1]).all()


def test_a_count_stays_within_its_channel():
    for channel in (40, 300, 512):
        counts = np.zeros(1024, dtype=int)
        counts[channel] = 500
        bins = np.flatnonzero(deal_counts(counts, ACIS, BINS, seed=channel))
        assert BINS[bins.min() + 1] > ACIS[channel]
        assert BINS[bins.max()] < ACIS[channel + 1]


def test_rows_do_not_depend_on_the_batch():
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.4, (40, 1024))
    counts[3, 200] = 50_000  # the binomial path
    seeds = [detection_seed(1575, 1, row) for row in range(40)]
    together = deal_counts_batch(counts, ACIS, BINS, seeds)
    order = rng.permutation(40)
    shuffled = deal_counts_batch(counts[order], ACIS, BINS, [seeds[row] for row in order])
    assert (shuffled == together[order]).all()
    for row in range(40):
        assert (deal_counts(counts[row], ACIS, BINS, seeds[row]) == together[row]).all()


def test_chunks_change_nothing(monkeypatch):
    counts = np.random.default_rng(3).poisson(2, (9, 1024))
    whole = deal_counts_batch(counts, ACIS, BINS, range(9))
    monkeypatch.setattr("hf_specclip.spectra.rebin._CHUNK", 1000)
    assert (deal_counts_batch(counts, ACIS, BINS, range(9)) == whole).all()


def test_draws_are_the_same_everywhere():
    """Values stored once: another machine, process or numpy must give them again."""
    seed = detection_seed(1575, 1, 85, "2CXO J004231.2+411938")
    assert seed == 6872237061841486104
    counts = np.arange(6)
    dealt = deal_counts(counts, np.arange(7.0), np.linspace(0, 6, 13), seed)
    assert dealt.tolist() == [0, 0, 0, 1, 1, 1, 2, 1, 1, 3, 4, 1]
    code = (
        "from hf_specclip.spectra import detection_seed as d;"
        "print(d(1575, 1, 85, '2CXO J004231.2+411938'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "77"},
    )  # fmt: skip
    assert int(done.stdout) == seed


def test_seeds_tell_detections_apart():
    seeds = {
        detection_seed(*parts)
        for parts in [(1, 2, 3), (12, 3, None), (1, 23, None), (1, 2, 3, "a"), (None, None, None)]
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert detection_seed("1", " 2", 3) == detection_seed(1, 2, 3)
    assert background_seed(5) != 5
    assert 0 <= background_seed(5) < 2**63


@pytest.mark.parametrize("number", [2_000, 200_000])
def test_dealing_is_a_multinomial_draw(number):
    """Mean and variance of what one channel gives to its two bins, one by one and by binomial."""
    edges, bins = np.array([0.0, 1.0]), np.array([0.0, 0.3, 1.0])
    first = deal_counts_batch(np.full((400, 1), number), edges, bins, np.arange(400))[:, 0]
    sigma = np.sqrt(number * 0.3 * 0.7)
    assert abs(first.mean() - 0.3 * number) < 5 * sigma / 20
    assert 0.8 < first.std() / sigma < 1.2


def test_neighbouring_seeds_and_channels_are_unrelated():
    bins = np.array([0.0, 0.5, 1.0])
    rows = deal_counts_batch(np.ones((4000, 1), int), np.array([0.0, 1.0]), bins, range(4000))[:, 0]
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.06
    halves = np.arange(0, 4000.5, 0.5)
    one = deal_counts(np.ones(4000, int), np.arange(4001.0), halves, 7)[::2]
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.06


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, -1], "negative"),
        ([1, 0.5], "whole"),
        ([1, np.nan], "whole"),
        ([1, 1e300], "whole"),
        ([[1, 1]], "shape"),
        ([1, 1, 1], "shape"),
    ],
)
def test_dealing_refuses_what_is_not_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        deal_counts(counts, [0, 1, 2], [0, 2], 0)


def test_dealing_refuses_edges_that_do_not_ascend():
    with pytest.raises(ValueError, match="channel_edges"):
        deal_counts([1, 1], [0, 1, 1], [0, 2], 0)
    with pytest.raises(ValueError, match="bin_edges"):
        deal_counts([1, 1], [0, 1, 2], [2, 0], 0)
    with pytest.raises(ValueError, match="as many seeds"):
        deal_counts_batch([[1, 1]], [0, 1, 2], [0, 2], [0, 1])


def test_empty_batch():
    assert deal_counts_batch(np.zeros((0, 1024), int), ACIS, BINS, []).shape == (0, 400)


def test_overlap_fractions_by_hand():
    fractions = overlap_fractions([0, 1, 3], [0.5, 1.5, 3.5])
    assert np.allclose(fractions, [[0.5, 0], [0.25, 0.75]])


def test_models_and_counts_take_the_same_path():
    """The mean of many dealt spectra is the exact overlap of their mean."""
    counts = np.tile(np.arange(1024) % 7, (600, 1))
    mean = deal_counts_batch(counts, ACIS, BINS, range(600)).mean(axis=0)
    exact = counts[0] @ overlap_fractions(ACIS, BINS)
    assert np.abs(mean - exact).max() < 5 * np.sqrt(exact.max() * 0.25 / 600) + 0.05
