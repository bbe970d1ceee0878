"""Ceiling for retrieval, of rows of a simulated dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip.evaluation import evaluate_ranks, recall_curve, score_ranks

from ...info import SpecCLIPDatasetInfo
from ..catalogue import Universe
from ..prose import WRITERS, Summary
from .bank import Bank, draw_bank
from .dataset import KnownRows, recognise
from .observer import Observation, observe
from .prior import count_prior
from .text import TextTables, learn_mistakes, tabulate

MEMBERS = 150_000
# Names of rows by several writers, in `Ceiling.metrics`.
ALL, SEEN = "all", "seen writers"
DIRECTIONS = ("spectrum_to_text", "text_to_spectrum")
_HEADLINES = ("recall@1%", "recall@5%", "median_rank_fraction")


@dataclass(frozen=True)
class Ceiling:
    """Results of the ideal observer."""

    # Plain figures: `retrieval` (as `evaluate_retrieval`), `by_writer` (the same for the rows of
    # each writer in the gallery of their texts), `curves` by direction (as `recall_curve`),
    # `monte_carlo`
    metrics: dict[str, Any]
    ranks: dict[str, np.ndarray]  # by direction, the expected rank of each query, (q)


def read_texts(universe: Universe, summaries: Sequence[Summary]) -> TextTables:
    """Return the statements of summaries, as the observer reads them."""
    mistakes = learn_mistakes(universe.facts(np.arange(1))[0])
    return tabulate(
        [summary.statements for summary in summaries],
        mistakes,
        [summary.wrong for summary in summaries],
    )


def measure_ceiling(
    info: SpecCLIPDatasetInfo,
    table: pa.Table,
    *,
    text_of_spectrum: np.ndarray | None = None,
    groups: Sequence[Any] | np.ndarray | None = None,
    members: int = MEMBERS,
    ks: Sequence[float] = (1, 5, 10, 25),
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Ceiling:
    """Let the ideal observer rank the texts of rows.

    Args:
        info: description of the dataset.
        table: rows, whose texts are the gallery.
        text_of_spectrum: number of each row's text, (n); by default, the same for the same texts.
        groups: group of each row, for the bootstrap; by default the column `group`.
        members: number of members of the bank.
        ks, n_bootstrap: see `evaluate_retrieval`.
        seed: seed of the observer's draws.
        progress: show progress bars.

    Raises:
        DatasetFolderError: the recorded knobs do not give these rows.
    """
    known = recognise(info, table)
    texts = read_texts(known.universe, known.summaries)
    prior = count_prior(known.universe.knobs)
    bank = draw_bank(prior, texts, members, seed=seed, progress=progress)
    observation = observe(prior, bank, known.spectra(), progress=progress)
    labels = np.asarray(table["group"].to_pylist() if groups is None else groups)
    owner = _distinct_texts(known) if text_of_spectrum is None else np.asarray(text_of_spectrum)
    _, first = np.unique(owner, return_index=True)
    column = known.text_of_spectrum[first]
    ranks = score_ranks(observation.scores[:, column], owner)
    half = score_ranks(observation.half_scores[:, column], owner)
    by_half = evaluate_ranks(half, owner, labels, ks, n_bootstrap=1, seed=0)
    settings = {"n_bootstrap": n_bootstrap, "seed": 0}
    by_writer = {}
    for name, rows in _rows_by_writer(known).items():
        texts_there, owner_there = np.unique(owner[rows], return_inverse=True)
        its_ranks = score_ranks(observation.scores[np.ix_(rows, column[texts_there])], owner_there)
        by_writer[name] = evaluate_ranks(its_ranks, owner_there, labels[rows], ks, **settings)
    retrieval = by_writer[ALL]
    curves = {
        direction: recall_curve(ranks, owner, labels, direction=direction, **settings)
        for direction in DIRECTIONS
    }
    metrics = {
        "retrieval": retrieval,
        "by_writer": by_writer,
        "curves": curves,
        "monte_carlo": _monte_carlo(
            bank, observation, retrieval["spectrum_to_text"], by_half["spectrum_to_text"]
        ),
    }
    return Ceiling(metrics, {direction: each.expected for direction, each in ranks.items()})


def _distinct_texts(known: KnownRows) -> np.ndarray:
    """Return the number of each row's text among the distinct ones, (n)."""
    contents = [tuple(summary.sections.items()) for summary in known.summaries]
    numbers = {content: number for number, content in enumerate(dict.fromkeys(contents))}
    return np.array([numbers[content] for content in contents])[known.text_of_spectrum]


def _rows_by_writer(known: KnownRows) -> dict[str, np.ndarray]:
    """Return all rows, those whose writers may be trained on, and those of each single writer."""
    names = np.array([summary.writer for summary in known.summaries])[known.text_of_spectrum]
    unseen = [writer.name for writer in WRITERS if writer.unseen]
    rows = {ALL: np.arange(len(names)), SEEN: np.flatnonzero(~np.isin(names, unseen))}
    for writer in WRITERS:
        rows[writer.name] = np.flatnonzero(names == writer.name)
    return {name: some for name, some in rows.items() if len(some)}


def _monte_carlo(
    bank: Bank, observation: Observation, full: Mapping[str, Any], half: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the Monte Carlo error of the sums over the bank."""
    return {
        "members": len(bank),
        "effective_per_text": float(np.median(bank.effective_numbers())),
        "effective_per_spectrum": float(np.median(observation.effective)),
        "gain_by_doubling": {
            name: full[name]["value"] - half[name]["value"] for name in _HEADLINES if name in full
        },
    }
