"""Variety of a dataset's summaries: distinct n-grams and distances to the nearest neighbour."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hf_specclip.literature.sentences import split_sentences

# Summaries compared with each other; all pairs of more would take long and say the same.
SAMPLE = 500
_DISTINCT = tuple(f"distinct_{n}" for n in (1, 2, 3, 4))
_LEGEND = f"""\
Different summaries and the median of their words; the share of different sentences and n-grams in
{SAMPLE} of them, numbers and names masked; the Jaccard distance of word trigrams to the nearest
other summary (0 the same, 1 none shared), in the median and at 10 %.

| writer | summaries | words | sentences | 1-grams | 2-grams | 3-grams | 4-grams | nearest | 10 % |
|---|{"---:|" * 9}"""
_TOKEN = re.compile(r"[^\W\d_]+|#+|[^\w\s]")


def measure_variety(texts: Sequence[str]) -> dict[str, float]:
    """Measure distinct n-grams, distances to the nearest neighbour, and lengths of different texts.

    Numbers and names of sources, which differ in every text, are first replaced by `#`.

    Returns:
        `texts`: number of texts; `words`: median number of words; `sentences` and `distinct_1` to
        `distinct_4`: fractions of different sentences and n-grams in the sample; `neighbour_10` and
        `neighbour_50`: percentiles of the Jaccard distance of word trigrams to the nearest other
        text (0 the same words, 1 none in common).
    """
    words = [len(text.split()) for text in texts] or [0]
    measured: dict[str, float] = {"texts": len(texts)}
    random = np.random.Generator(np.random.Philox(key=[0, 0x7E87]))
    chosen = random.permutation(len(texts))[:SAMPLE]
    sample = [_TOKEN.findall(_masked(texts[int(index)])) for index in chosen]
    # Masked after they are split: where a sentence ends is seen by its capitals.
    sentences = [
        _masked(sentence) for index in chosen for sentence in split_sentences(texts[int(index)])
    ]
    measured["sentences"] = round(len(set(sentences)) / max(len(sentences), 1), 4)
    for n in (1, 2, 3, 4):
        grams = [gram for tokens in sample for gram in _grams(tokens, n)]
        measured[f"distinct_{n}"] = round(len(set(grams)) / max(len(grams), 1), 4)
    nearest = _nearest(
        [set(zip(tokens, tokens[1:], tokens[2:], strict=False)) for tokens in sample]
    )
    for percent in (10, 50):
        measured[f"neighbour_{percent}"] = round(float(np.percentile(nearest, percent)), 4)
    return measured | {"words": int(np.median(words))}


class SummaryTexts:
    """Different summaries of a dataset, by writer."""

    def __init__(self) -> None:
        self._by_writer: dict[str, set[str]] = {}

    def add(self, table: pa.Table) -> None:
        """Add the summaries of some rows of the contract's columns."""
        names = table["writer"].to_pylist() if "writer" in table.column_names else []
        names = names or [None] * len(table)
        for name, sections in zip(names, table["summary"].to_pylist(), strict=True):
            text = " ".join(filter(None, sections.values()))
            self._by_writer.setdefault(name or "", set()).add(text)

    def measure(self) -> dict[str, dict[str, float]]:
        """Return `measure_variety` of all texts (under `all`) and of each writer's."""
        everything = sorted(set().union(*self._by_writer.values()))
        of_writers = {
            name: measure_variety(sorted(texts))
            for name, texts in sorted(self._by_writer.items())
            if name and "+" not in name
        }
        return {"all": measure_variety(everything), **of_writers}

    def describe(self) -> str:
        """Describe the variety of all summaries and of each writer's in a table."""
        lines = [_LEGEND]
        for name, measured in self.measure().items():
            shares = [f"{measured[key]:.1%}" for key in ("sentences", *_DISTINCT)]
            distances = [f"{measured[f'neighbour_{percent}']:.2f}" for percent in (50, 10)]
            cells = [name, f"{measured['texts']:,}", f"{measured['words']}", *shares, *distances]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def _grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def _masked(text: str) -> str:
    text = re.sub(r"2CXO J[\d.+-]+X?", "#", text)
    return re.sub(r"\d[\d.,]*", "#", text.lower())


def _nearest(sets: Sequence[set[tuple[str, ...]]]) -> np.ndarray:
    """Return the Jaccard distance of each set to its nearest neighbour, (n)."""
    if len(sets) < 2:
        return np.ones(1)
    number = {gram: place for place, gram in enumerate(sorted(set().union(*sets)))}
    present = np.zeros((len(sets), len(number)), dtype=np.float32)
    for row, grams in enumerate(sets):
        present[row, [number[gram] for gram in grams]] = 1.0
    common = present @ present.T
    sizes = present.sum(axis=1)
    similarity = common / np.maximum(sizes[:, None] + sizes - common, 1.0)
    np.fill_diagonal(similarity, 0.0)
    return 1.0 - similarity.max(axis=1)
