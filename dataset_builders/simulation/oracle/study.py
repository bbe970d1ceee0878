"""Ceiling for retrieval and floor for the variables, of rows of a simulated dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip.evaluation import (
    GroupBootstrap,
    curve_of_ranks,
    evaluate_ranks,
    score_ranks,
)

from ...info import SpecCLIPDatasetInfo
from ..catalogue import Universe
from ..prose import WRITERS, Summary
from .bank import Bank, draw_bank
from .dataset import KnownRows, recognise
from .observer import Observation, observe
from .posterior import FITS, GIVEN, estimate
from .prior import count_prior
from .text import TextTables, learn_mistakes, tabulate
from .truth import WITHOUT_TRUTH, known_truth

MEMBERS = 150_000
DRAWS = 200
# Names of rows by several writers, in `Ceiling.metrics`.
ALL, SEEN = "all", "seen writers"
DIRECTIONS = ("spectrum_to_text", "text_to_spectrum")
_HEADLINES = ("recall@1%", "recall@5%", "median_rank_fraction")


@dataclass(frozen=True)
class Ceiling:
    """Results of the ideal observer.

    Attributes:
        metrics: plain figures: `retrieval` (as `evaluate_retrieval`), `by_writer` (the same for
            the rows of each writer in the gallery of their texts), `curves` by direction (as
            `recall_curve`), `monte_carlo`, `variables`.
        ranks: by direction, the expected rank of each query, (q).
        truth: by variable, see `known_truth`; empty where it was not asked for.
        medians: by what is given and by variable, posterior medians, (n).
    """

    metrics: dict[str, Any]
    ranks: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    medians: Mapping[str, Mapping[str, np.ndarray]]


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
    variables: bool = True,
    fits: int = FITS,
    ks: Sequence[float] = (1, 5, 10, 25),
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Ceiling:
    """Let the ideal observer rank the texts of rows, and estimate their variables.

    Args:
        info: what made the dataset.
        table: rows, whose texts are the gallery.
        text_of_spectrum: number of each row's text, (n), to have the texts in an order of one's
            own; sources with the same text share it where None.
        groups: of each row, for the bootstrap; the column `group` where None.
        members: of the bank.
        variables: estimate the variables (about half of the time).
        fits: members to which the catalogue's models are fitted.
        ks, n_bootstrap: see `evaluate_retrieval`.
        seed: of the observer's draws.
        progress: show bars.

    Raises:
        DatasetFolderError: when this code does not make these rows.
    """
    known = recognise(info, table)
    texts = read_texts(known.universe, known.summaries)
    prior = count_prior(known.universe.knobs)
    bank = draw_bank(
        prior, texts, members, knobs=known.universe.knobs, seed=seed, progress=progress
    )
    spectra = known.spectra()
    seen = observe(
        prior,
        bank,
        spectra,
        known.text_of_spectrum,
        draws=DRAWS if variables else 0,
        seed=seed,
        progress=progress,
    )
    labels = np.asarray(table["group"].to_pylist() if groups is None else groups)
    owner = _distinct_texts(known) if text_of_spectrum is None else np.asarray(text_of_spectrum)
    _, first = np.unique(owner, return_index=True)
    column = known.text_of_spectrum[first]
    ranks = score_ranks(seen.scores[:, column], owner)
    half = score_ranks(seen.half_scores[:, column], owner)
    by_half = evaluate_ranks(half, owner, labels, ks, n_bootstrap=1, seed=0)
    settings = {"n_bootstrap": n_bootstrap, "seed": 0}
    by_writer = {}
    for name, rows in _rows_by_writer(known).items():
        texts_there, owner_there = np.unique(owner[rows], return_inverse=True)
        found = score_ranks(seen.scores[np.ix_(rows, column[texts_there])], owner_there)
        by_writer[name] = evaluate_ranks(found, owner_there, labels[rows], ks, **settings)
    retrieval = by_writer[ALL]
    curves = {
        direction: curve_of_ranks(ranks, owner, labels, direction=direction, **settings)
        for direction in DIRECTIONS
    }
    metrics: dict[str, Any] = {
        "retrieval": retrieval,
        "by_writer": by_writer,
        "curves": curves,
        "monte_carlo": _monte_carlo(
            bank, seen, retrieval["spectrum_to_text"], by_half["spectrum_to_text"]
        ),
    }
    truth: dict[str, np.ndarray] = {}
    medians: Mapping[str, Mapping[str, np.ndarray]] = {}
    if variables:
        truth = known_truth(known)
        medians = estimate(known, spectra, bank, seen, truth, fits=fits, seed=seed)
        metrics["variables"] = _variables(table, truth, medians, labels, n_bootstrap)
    expected = {direction: each.expected for direction, each in ranks.items()}
    return Ceiling(metrics, expected, truth, medians)


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
    bank: Bank, seen: Observation, full: Mapping[str, Any], half: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the Monte Carlo error of the sums over the bank."""
    return {
        "members": len(bank),
        "effective_per_text": float(np.median(bank.effective_numbers())),
        "effective_per_spectrum": float(np.median(seen.effective)),
        "gain_by_doubling": {
            name: full[name]["value"] - half[name]["value"] for name in _HEADLINES if name in full
        },
    }


def _variables(
    table: pa.Table,
    truth: Mapping[str, np.ndarray],
    medians: Mapping[str, Mapping[str, np.ndarray]],
    labels: np.ndarray,
    n_bootstrap: int,
) -> dict[str, Any]:
    """Return errors of posterior medians, against the truth and against the catalogue's values."""
    result: dict[str, Any] = {}
    for name in truth:
        if name in WITHOUT_TRUTH:
            result[name] = {"n": 0, "reason": WITHOUT_TRUTH[name]}
            continue
        catalogue = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        rows = np.isfinite(truth[name]) & np.isfinite(catalogue)
        for given in GIVEN:
            rows &= np.isfinite(medians[given][name])
        if not rows.any():
            result[name] = {"n": 0, "reason": "no row has it"}
            continue
        bootstrap = GroupBootstrap(labels[rows], n_bootstrap, 0)
        true, measured = truth[name][rows], catalogue[rows]
        result[name] = {
            "n": int(rows.sum()),
            "mae": {
                given: {
                    "truth": _error(medians[given][name][rows] - true, bootstrap),
                    "catalogue": _error(medians[given][name][rows] - measured, bootstrap),
                }
                for given in GIVEN
            },
            "catalogue_against_truth": _error(measured - true, bootstrap),
            "one_guess_against_truth": _error(np.median(true) - true, bootstrap),
        }
    return result


def _error(differences: np.ndarray, bootstrap: GroupBootstrap) -> dict[str, float]:
    """Return the mean absolute error and its 95 % interval."""
    values = np.abs(differences)
    low, high = bootstrap.interval(bootstrap.means(values))
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


__all__ = ["DRAWS", "MEMBERS", "Ceiling", "measure_ceiling", "read_texts"]
