"""Ranks and recall against brute force, by hand, and on inputs that have no right answer."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from hf_specclip.evaluation import (
    evaluate_ranks,
    evaluate_retrieval,
    match_ranks,
    recall_curve,
    score_ranks,
    unique_texts,
)
from hf_specclip.evaluation.retrieval import DIRECTIONS


def shared_space(n=60, m=40, dimension=5, seed=0, noise=1.0):
    """Spectra near their texts; texts with one spectrum, several, or none."""
    rng = np.random.default_rng(seed)
    texts = rng.normal(size=(m, dimension)).astype(np.float32)
    owner = rng.integers(0, m, size=n)
    spectra = texts[owner] + noise * rng.normal(size=(n, dimension))
    return spectra.astype(np.float32), texts, owner


def plain_ranks(scores, is_right):
    """Rank of the best right answer of each row that has one, by sorting: no ties allowed."""
    ranks = []
    for row, right in zip(scores, is_right, strict=True):
        if right.any():
            order = np.argsort(-row)
            ranks.append(1 + int(np.flatnonzero(right[order])[0]))
    return np.array(ranks)


def test_ranks_equal_brute_force_in_both_directions():
    spectra, texts, owner = shared_space()
    scores = 1 - cdist(spectra, texts, "cosine")
    is_right = owner[:, None] == np.arange(len(texts))
    ranks = match_ranks(spectra, texts, owner, chunk_size=7)
    forward, backward = ranks["spectrum_to_text"], ranks["text_to_spectrum"]
    np.testing.assert_array_equal(forward.expected, plain_ranks(scores, is_right))
    np.testing.assert_array_equal(backward.expected, plain_ranks(scores.T, is_right.T))
    np.testing.assert_array_equal(backward.query, np.flatnonzero(is_right.any(axis=0)))
    assert len(backward) < len(texts)  # some texts have no spectrum: distractors, not queries
    assert (forward.n_gallery, backward.n_gallery) == (len(texts), len(spectra))


def test_recall_by_hand():
    # Four spectra, three texts on a line of angles; text 2 has no spectrum.
    def at(*degrees):
        return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])

    spectra, texts = at(10, 50, 60, 80), at(0, 90, 45)
    owner = [0, 0, 1, 1]
    # Distances to the texts at 0, 90 and 45 degrees:
    #   10: 10 80 35 -> own text first. 50: 50 40 5 -> third. 60: 60 30 15 -> second. 80: first.
    result = evaluate_retrieval(spectra, texts, owner, ["a", "a", "b", "b"], ks=(33, 50, 100))
    forward = result["spectrum_to_text"]
    assert (forward["n_queries"], forward["n_gallery"]) == (4, 3)
    assert forward["recall@33%"]["value"] == 2 / 4  # the first one of three
    assert forward["recall@50%"]["value"] == 3 / 4  # the first two
    assert forward["recall@100%"]["value"] == 1
    assert forward["median_rank"]["value"] == 1.5
    assert forward["median_rank_fraction"]["value"] == 0.5
    assert forward["recall@33%"]["chance"] == pytest.approx(1 / 3)
    assert forward["median_rank"]["chance"] == 2
    backward = result["text_to_spectrum"]
    # Text 0 finds 10 first; text 90 finds 80 first: the best of two right answers among four.
    assert (backward["n_queries"], backward["n_gallery"]) == (2, 4)
    assert backward["recall@33%"]["value"] == 1
    # Chance with two right of four and the first two shown: 1 - C(2,2)/C(4,2).
    assert backward["recall@50%"]["chance"] == pytest.approx(1 - 1 / 6)
    # Best of two among four: P(rank 1) is exactly one half, so the median lies between 1 and 2.
    assert backward["median_rank"]["chance"] == 1.5


def test_a_hit_is_a_rank_within_the_rounded_up_count():
    n = 1000
    spectra = texts = np.stack([np.cos(np.linspace(0, 3, n)), np.sin(np.linspace(0, 3, n))], axis=1)
    result = evaluate_retrieval(
        spectra, texts, np.arange(n), np.arange(n), ks=(0.05, 1.1, 10), n_bootstrap=2
    )
    # 1.1 % of 1000 is 11, although 1.1 * 1000 / 100 is a little more in floating point.
    chances = [result["spectrum_to_text"][f"recall@{k}%"]["chance"] for k in (0.05, 1.1, 10)]
    assert chances == pytest.approx([1 / 1000, 11 / 1000, 100 / 1000], abs=1e-15)


def test_ties_count_as_the_mean_over_every_way_of_breaking_them():
    # Scores of one query: one better, four tied of which two are right, one worse.
    spectra = np.array([[1, 0], [0.8, 0.6], [0.8, 0.6], [0.8, 0.6], [0.8, 0.6], [0, 1]])
    owner = np.array([1, 0, 0, 1, 1, 0])  # text 0 is the query at (1, 0); row 5 is right but last
    texts = np.array([[1.0, 0.0], [-1.0, 0.0]])
    found = match_ranks(spectra, texts, owner)["text_to_spectrum"]
    assert (found.greater[0], found.tied[0], found.tied_right[0], found.right[0]) == (1, 4, 2, 3)
    best = [1 + min(places) + 1 for places in itertools.combinations(range(4), 2)]
    assert found.expected[0] == pytest.approx(np.mean(best))
    for top in range(1, 7):
        assert found.hits(top)[0] == pytest.approx(np.mean([rank <= top for rank in best]))


@pytest.mark.parametrize("value", [1.0, 0.0, 1e-30, 3e30])
def test_collapsed_embeddings_get_exactly_chance(value):
    n, m = 90, 50
    owner = np.random.default_rng(1).integers(0, m, size=n)
    spectra = np.full((n, 8), value, np.float32)
    texts = np.full((m, 8), value, np.float32)
    result = evaluate_retrieval(spectra, texts, owner, owner, ks=(1, 5, 10, 25, 60), n_bootstrap=20)
    for direction in DIRECTIONS:
        for name, figure in result[direction].items():
            if name.startswith("recall"):
                assert figure["value"] == pytest.approx(figure["chance"], abs=1e-12)
    forward = result["spectrum_to_text"]
    assert forward["median_rank"]["value"] == forward["median_rank"]["chance"] == (m + 1) / 2


@pytest.mark.parametrize("chunk_size", [1, 3, 17, 64])
def test_chunks_change_nothing_even_among_ties(chunk_size):
    spectra, texts, owner = shared_space(n=50, m=30, dimension=33, seed=5)
    texts[7], texts[21] = texts[3] * 2, texts[3]  # the same direction: scores must tie exactly
    spectra[11:20] = spectra[10]
    whole = match_ranks(spectra, texts, owner, chunk_size=1000)
    parts = match_ranks(spectra, texts, owner, chunk_size=chunk_size)
    for direction in DIRECTIONS:
        for field in ("query", "greater", "tied", "tied_right", "right"):
            np.testing.assert_array_equal(
                getattr(parts[direction], field), getattr(whole[direction], field)
            )
    assert (whole["spectrum_to_text"].tied[np.isin(owner, [3, 7, 21])] == 3).all()


def test_memory_is_bounded_by_the_chunk():
    import tracemalloc

    rng = np.random.default_rng(0)
    n = 4_000
    spectra = rng.normal(size=(n, 4)).astype(np.float32)
    tracemalloc.start()
    match_ranks(spectra, spectra, np.arange(n), chunk_size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6  # one full score matrix would be 1.3e8 bytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spectrum_embeds": np.full((3, 2), np.nan)}, "spectrum_embeds row 0 holds NaN"),
        ({"text_embeds": np.array([[1.0, 0], [0, np.inf]])}, "text_embeds row 1 holds NaN"),
        ({"spectrum_embeds": np.empty((0, 2))}, "spectrum_embeds must have shape"),
        ({"text_embeds": np.empty((0, 2))}, "text_embeds must have shape"),
        ({"text_embeds": np.ones((2, 3))}, "shared space of one model"),
        ({"text_of_spectrum": [0, 1]}, "must be 3 integers"),
        ({"text_of_spectrum": [0.0, 1.0, 1.0]}, "must be 3 integers"),
        ({"text_of_spectrum": [0, 1, 2]}, "runs from 0 to 2, but there are 2 texts"),
        ({"text_of_spectrum": [0, 1, -1]}, "runs from -1"),
        ({"groups": ["a"]}, "need as many groups"),
        ({"ks": (0,)}, "percentage"),
        ({"ks": (101,)}, "percentage"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"n_bootstrap": 0}, "n_bootstrap"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change, message):
    good = {
        "spectrum_embeds": np.eye(3, 2) + 0.1,
        "text_embeds": np.eye(2),
        "text_of_spectrum": [0, 1, 1],
        "groups": ["a", "b", "b"],
    }
    with pytest.raises(ValueError, match=message):
        evaluate_retrieval(**(good | change))


def test_intervals_equal_a_plain_bootstrap():
    spectra, texts, owner = shared_space(n=80, m=50, seed=2)
    groups = owner % 9
    result = evaluate_retrieval(spectra, texts, owner, groups, ks=(10,), n_bootstrap=300, seed=4)
    ranks = match_ranks(spectra, texts, owner)["spectrum_to_text"].expected
    rng = np.random.default_rng(4)
    recalls, medians = [], []
    for drawn in rng.integers(9, size=(300, 9)):
        sample = np.concatenate([ranks[groups == g] for g in np.unique(groups)[drawn]])
        recalls.append(np.mean(sample <= 5))
        medians.append(np.median(sample))
    for name, draws in (("recall@10%", recalls), ("median_rank", medians)):
        figure = result["spectrum_to_text"][name]
        low, high = np.quantile(draws, [0.025, 0.975])
        assert (figure["low"], figure["high"]) == pytest.approx((low, high))
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_one_group_claims_nothing():
    spectra, texts, owner = shared_space()
    with pytest.warns(UserWarning, match="one group"):
        result = evaluate_retrieval(spectra, texts, owner, ["field"] * len(owner))
    figures = result["spectrum_to_text"]
    assert (figures["recall@5%"]["low"], figures["recall@5%"]["high"]) == (0, 1)
    assert (figures["median_rank"]["low"], figures["median_rank"]["high"]) == (1, len(texts))


def test_tensors_are_taken_as_they_come():
    import torch

    spectra, texts, owner = shared_space()
    tensors = [torch.tensor(x, requires_grad=True) for x in (spectra, texts)]
    from_tensors = evaluate_retrieval(*tensors, torch.tensor(owner), owner, n_bootstrap=5)
    assert from_tensors == evaluate_retrieval(spectra, texts, owner, owner, n_bootstrap=5)
    half = match_ranks(tensors[0].bfloat16(), tensors[1].bfloat16(), owner)
    assert len(half["spectrum_to_text"]) == len(spectra)


def test_curve_agrees_with_the_figures():
    spectra, texts, owner = shared_space(n=200, m=100)
    ranks = match_ranks(spectra, texts, owner)
    for direction in DIRECTIONS:
        curve = recall_curve(ranks, owner, owner, direction=direction, n_bootstrap=50)
        ks = (curve["k"][0], curve["k"][20])
        figures = evaluate_ranks(ranks, owner, owner, ks, n_bootstrap=50)[direction]
        for place, k in zip((0, 20), ks, strict=True):
            figure = figures[f"recall@{k:g}%"]
            for name in ("low", "high", "chance"):
                assert curve[name][place] == pytest.approx(figure[name])
            assert curve["recall"][place] == pytest.approx(figure["value"])
        assert curve["recall"] == sorted(curve["recall"])
        assert (curve["k"][-1], curve["recall"][-1], curve["chance"][-1]) == (100, 1, 1)
    with pytest.raises(ValueError, match="direction"):
        recall_curve(ranks, owner, direction="sideways")


def test_shared_texts_stand_once():
    embeds = np.arange(10.0).reshape(5, 2)
    unique, owner = unique_texts(embeds, ["b", "a", "b", "c", "a"])
    np.testing.assert_array_equal(unique, embeds[[0, 1, 3]])
    assert owner.tolist() == [0, 1, 0, 2, 1]
    with pytest.raises(ValueError, match="5 text embeddings and 4 text ids"):
        unique_texts(embeds, ["a"] * 4)


def test_scores_of_cosines_give_the_ranks_of_the_embeddings():
    random = np.random.default_rng(5)
    spectra, texts = random.normal(size=(40, 6)), random.normal(size=(17, 6))
    owner = random.integers(17, size=40)
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (spectra, texts)]
    by_scores = score_ranks(unit[0] @ unit[1].T, owner)
    by_cosine = match_ranks(spectra, texts, owner)
    for direction, found in by_cosine.items():
        for name, values in vars(found).items():
            np.testing.assert_array_equal(getattr(by_scores[direction], name), values)
    groups = owner % 5
    assert evaluate_ranks(by_scores, owner, groups) == evaluate_retrieval(
        spectra, texts, owner, groups
    )


def test_scores_that_are_no_matrix_or_nan_are_refused():
    with pytest.raises(ValueError, match="shape"):
        score_ranks(np.zeros(4), [0])
    with pytest.raises(ValueError, match="NaN"):
        score_ranks(np.full((2, 2), np.nan), [0, 1])
    with pytest.raises(ValueError, match="2 texts"):
        score_ranks(np.zeros((2, 2)), [0, 2])
