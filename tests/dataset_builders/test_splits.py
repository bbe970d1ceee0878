"""Groups and splits: nothing that is connected is ever cut."""

import numpy as np
import pytest

from specclip_datasets.contract import SPLITS
from specclip_datasets.splits import (
    assign_groups,
    count_sources_of_papers,
    split_groups,
)


def random_catalogue(seed, n=400):
    """Rows with sources, observations, hosts and papers that overlap at random."""
    random = np.random.default_rng(seed)
    n_sources = int(random.integers(30, 200))
    host_of = [
        f"H{h}" if h < n_sources // 8 else None for h in random.integers(0, n_sources, n_sources)
    ]
    papers_of = [
        [f"P{p}" for p in random.integers(0, 3 * n_sources, random.integers(0, 3))]
        + (["survey"] if random.random() < 0.8 else [])
        for _ in range(n_sources)
    ]
    source = random.integers(0, n_sources, n)
    # Sources of a field share observations: neighbours in number.
    obsid = 1000 + (source // 2) * 5 + random.integers(0, 3, n)
    names = [f"S{s:04d}" for s in source]
    return names, obsid, [host_of[s] for s in source], [papers_of[s] for s in source]


@pytest.mark.parametrize("seed", range(12))
def test_no_split_cuts_a_source_observation_host_or_linking_paper(seed):
    names, obsids, hosts, papers = random_catalogue(seed)
    groups = assign_groups(names, obsids, hosts, papers, survey_limit=20)
    splits = split_groups(groups, seed=seed)
    sources_of = count_sources_of_papers(names, papers)
    # Otherwise there would be nothing to cut.
    assert len(set(groups)) > 5
    assert len(set(splits)) == 4
    where: dict = {}
    for row, split in enumerate(splits):
        keys = [("source", names[row]), ("obsid", obsids[row])]
        keys += [("host", hosts[row])] if hosts[row] is not None else []
        keys += [("paper", paper) for paper in papers[row] if sources_of[paper] <= 20]
        for key in keys:
            where.setdefault(key, set()).add(split)
    assert all(len(found) == 1 for found in where.values())


def test_a_survey_links_nothing_and_a_smaller_paper_does():
    names = [f"S{i}" for i in range(21)]
    alone = [None] * 21
    obsids = list(range(21))
    survey = assign_groups(names, obsids, alone, [["P"]] * 21, survey_limit=20)
    assert len(set(survey)) == 21
    paper = assign_groups(names[:20], obsids[:20], alone[:20], [["P"]] * 20, survey_limit=20)
    assert set(paper) == {"S0"}


@pytest.mark.parametrize(
    ("hosts", "papers", "own", "groups"),
    [
        # A chain over a host and a paper, of A, B and C.
        ([None, "M1", "M1", None], [["o"], ["o"], ["p"], ["p"]], None, "AAAA"),
        ([None, "M1", "M1", None], [[], [], ["p"], ["p"]], None, "ABBB"),
        (["X", None, None, None], [[], ["X"], [], []], None, "ABCD"),  # a host and a paper X
        (["NGC0253", "ngc 253", None, None], [[]] * 4, None, "AACD"),  # spellings of a host
        ([None] * 4, [[], ["p"], ["p"], []], ["x", "x", "y", "z"], "AAAD"),  # a catalogue's groups
    ],
)
def test_links_chain_over_different_kinds(hosts, papers, own, groups):
    found = assign_groups(list("ABCD"), [1, 2, 3, 4], hosts, papers, catalogue_groups=own)
    numbers = np.unique(found, return_inverse=True)[1]
    same = np.array(list(groups))
    np.testing.assert_array_equal(numbers[:, None] == numbers, same[:, None] == same)


def test_detections_of_a_source_and_sources_of_an_observation_are_one_group():
    nothing = [None] * 5, [[]] * 5
    assert list(assign_groups(list("ABCCD"), [1, 1, 2, 3, 3], *nothing)) == list("AACCC")


def test_papers_of_detections_of_one_source_count_once():
    assert count_sources_of_papers(["A"] * 30, [["P"]] * 30)["P"] == 1


@pytest.mark.parametrize("n", [200, 3000])
def test_shares_are_close_to_the_wanted_ones(n):
    random = np.random.default_rng(n)
    groups = np.repeat([f"G{i}" for i in range(n)], random.geometric(0.4, n))
    splits = split_groups(groups, seed=3)
    for split, wanted in zip(SPLITS, (0.69, 0.01, 0.15, 0.15), strict=True):
        assert np.mean(splits == split) == pytest.approx(wanted, abs=0.012)


def test_a_large_component_goes_to_train():
    groups = ["big"] * 60 + [f"G{i}" for i in range(940)]
    for seed in range(5):
        splits = split_groups(groups, seed=seed)
        assert set(splits[:60]) == {"train"}
        assert np.mean(splits == "train") == pytest.approx(0.69, abs=0.01)


def test_splits_depend_on_groups_and_not_on_the_order_of_rows():
    groups = np.repeat([f"G{i:03d}" for i in range(200)], 3)
    order = np.random.default_rng(0).permutation(len(groups))
    np.testing.assert_array_equal(split_groups(groups)[order], split_groups(groups[order]))


@pytest.mark.parametrize("n", [4, 5, 9])
def test_no_split_is_empty_where_there_are_groups_enough(n):
    splits = split_groups(np.repeat([f"G{i}" for i in range(n)], 40))
    assert set(splits) == set(SPLITS)


def test_shares_must_name_the_four_splits_and_add_up():
    with pytest.raises(ValueError, match="add up"):
        split_groups(["a"], fractions={"train": 1.0})
    shares = {"train": 0.5, "calibration": 0.1, "validation": 0.1, "test": 0.1}
    with pytest.raises(ValueError, match="add up"):
        split_groups(["a"], fractions=shares)
