"""How well spectra and texts find each other, with chance and uncertainty beside every figure.

Importing this loads neither torch nor matplotlib; each name is fetched when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bootstrap import GroupBootstrap
    from .plots import plot_recall_curve
    from .regression import evaluate_coverage, evaluate_regression
    from .retrieval import (
        MatchRanks,
        curve_of_ranks,
        evaluate_ranks,
        evaluate_retrieval,
        match_ranks,
        recall_curve,
        score_ranks,
        unique_texts,
    )

_HOMES = {
    "GroupBootstrap": "bootstrap",
    "MatchRanks": "retrieval",
    "curve_of_ranks": "retrieval",
    "evaluate_coverage": "regression",
    "evaluate_ranks": "retrieval",
    "evaluate_regression": "regression",
    "evaluate_retrieval": "retrieval",
    "match_ranks": "retrieval",
    "plot_recall_curve": "plots",
    "recall_curve": "retrieval",
    "score_ranks": "retrieval",
    "unique_texts": "retrieval",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))


__all__ = [
    "GroupBootstrap",
    "MatchRanks",
    "curve_of_ranks",
    "evaluate_coverage",
    "evaluate_ranks",
    "evaluate_regression",
    "evaluate_retrieval",
    "match_ranks",
    "plot_recall_curve",
    "recall_curve",
    "score_ranks",
    "unique_texts",
]
