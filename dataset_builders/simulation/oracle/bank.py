"""Bank of sources over which the observer integrates.

A member costs a spectrum. Some are drawn as the population has them, more of those that agree with
what the texts state. A member's weight is the population's chance over that of having been drawn
(the balance heuristic of Veach & Guibas 1995), so that every member serves every text that allows
its stratum, a class in a kind of field.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..knobs import stream
from ..source_classes import CLASS_NAMES, FIELD_NAMES
from .prior import Prior
from .stratum import Target, aim_at_strata, draw_stratum
from .text import TextTables

# Of the bank: drawn from the population as it is, and from strata alike.
_PLAIN, _EVEN = 0.2, 0.1


@dataclass(frozen=True)
class Bank:
    """Bank of m sources, observed once each."""

    n_texts: int  # number of texts that it was drawn for
    first_of: np.ndarray  # first member of each stratum, and m, (s + 1)
    # ln of each member's share of the population, (m); the shares add up to about one
    log_prior: np.ndarray
    log_flux: np.ndarray  # ln of the mean photon flux, 0.5–7 keV, (m)
    log_usual: np.ndarray  # ln of the exposure that is usual for the field, s, (m)
    log_chance: np.ndarray  # ln of the chance to be seen, over that of all sources, (m)
    log_boost: np.ndarray  # ln of what flares add to it meanwhile, (m)
    scatter: np.ndarray  # standard deviation of ln(flux) between observations, (m)
    rates: torch.Tensor  # counts/s for 1 photon/cm²/s, `fold_all`, (6, b, m)
    texts: tuple[np.ndarray, ...]  # for each stratum, the texts that allow it
    # For each stratum, p(member | text), (t, members); over all strata a text's add up to one
    text_weights: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.log_prior)

    def members(self, stratum: int) -> slice:
        """Return the members of a stratum."""
        return slice(int(self.first_of[stratum]), int(self.first_of[stratum + 1]))

    def effective_numbers(self) -> np.ndarray:
        """Return for each text 1 / Σ p², the effective number of members; 0 without any."""
        squares = np.zeros(self.n_texts)
        for texts, weights in zip(self.texts, self.text_weights, strict=True):
            squares[texts] += np.einsum("tm,tm->t", weights, weights)
        return np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0.0)


def draw_bank(
    prior: Prior,
    texts: TextTables,
    size: int,
    *,
    seed: int = 0,
    progress: bool = False,
) -> Bank:
    """Draw a bank for some texts.

    Args:
        prior: prior of the sources.
        texts: statements of the texts, which guide the draws.
        size: approximate number of members.
        seed: seed of all draws.
        progress: show a progress bar.

    Raises:
        ValueError: a text allows no class and kind of field of the prior.
    """
    allowed = texts.allowed(prior.strata)
    lost = np.flatnonzero(~allowed.any(axis=1))
    if len(lost):
        names = [
            "|".join(name for name, there in zip(every, some[lost[0]], strict=True) if there)
            for every, some in ((CLASS_NAMES, texts.classes), (FIELD_NAMES, texts.kinds > 0.0))
        ]
        raise ValueError(
            f"text {lost[0]} allows classes {names[0]} in fields of kind {names[1]}: "
            "the population has none"
        )
    aim = aim_at_strata(prior, texts, allowed, seed)

    def draw(row: int) -> dict[str, Any]:
        plain = _PLAIN * prior.share[row] + _EVEN / len(prior.strata)
        pointed = (1.0 - _PLAIN - _EVEN) * aim[:, row].sum() / max(len(texts), 1)
        number = max(round(size * (plain + pointed)), 64)
        random = stream(seed, "oracle", row)
        share = plain / (plain + pointed)
        target = Target(prior, row, texts, allowed[:, row], aim[:, row], share)
        return draw_stratum(target, number, random)

    rows = range(len(prior.strata))
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as threads:
        bar = tqdm(
            threads.map(draw, rows),
            total=len(rows),
            desc="the observer's bank",
            unit="class",
            disable=not progress,
            delay=2,
            leave=False,
        )
        parts = list(bar)
    _normalise(len(texts), parts)
    first_of = np.concatenate([[0], np.cumsum([len(part["log_prior"]) for part in parts])])
    names = ("log_prior", "log_flux", "log_usual", "log_chance", "log_boost", "scatter")
    return Bank(
        n_texts=len(texts),
        first_of=first_of,
        rates=torch.from_numpy(np.concatenate([part["rates"] for part in parts], axis=2)),
        texts=tuple(part["texts"] for part in parts),
        text_weights=tuple(part["weights"] for part in parts),
        **{name: np.concatenate([part[name] for part in parts]) for name in names},
    )


def _normalise(n_texts: int, parts: list[dict[str, Any]]) -> None:
    """Scale the weights of all strata, in place, so that those of each text add up to one."""
    log_sum = np.full(n_texts, -np.inf)
    for part in parts:
        texts = part["texts"]
        log_sum[texts] = np.logaddexp(log_sum[texts], part["log_total"])
    for part in parts:
        factor = np.exp(part["log_total"] - log_sum[part["texts"]])
        part["weights"] *= factor[:, None].astype(np.float32)
