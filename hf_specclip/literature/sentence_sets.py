"""Texts as sets of sentences: vectors, stated quantities and sections of each sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from .embedders.base import TextEmbedder
from .quantities import QUANTITY_WIDTH, quantity_numbers
from .sections import SECTIONS, section_mask
from .sentences import split_sentences
from .source_names import names_any

# Sentences read of a text; later ones are dropped.
MAX_SENTENCES = 64
# Key of a text without sections, such as an abstract or a question.
UNSPECIFIED = "text"
# Numbers of a sentence: its quantities, 1 where it names the source that the text is of, and 1
# where the text names it in several sentences, so that the others may be about other sources.
_MARKS = 2
SENTENCE_NUMBERS = QUANTITY_WIDTH + _MARKS
# Texts averaged and sentences embedded at a time, to bound memory.
_CHUNK, _AT_ONCE = 4096, 1 << 16


@dataclass
class SentenceSets:
    """Set of sentences for each of n texts, each distinct sentence stored once.

    Attributes:
        vectors: (u, d) float16, of the distinct sentences.
        numbers: (u, Q) float32, their stated quantities (`quantity_numbers`).
        ids: (k,) int32, the distinct sentence of each entry.
        sections: (k,) int8, section of each entry; `n_sections` where it is unspecified.
        offsets: (n + 1,) int64; text i has the entries `offsets[i]:offsets[i + 1]`.
        n_sections: number of named sections.
        named: (k,) bool, True for an entry that names the source of its text; None for none.
    """

    vectors: np.ndarray
    numbers: np.ndarray
    ids: np.ndarray
    sections: np.ndarray
    offsets: np.ndarray
    n_sections: int = len(SECTIONS)
    named: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of sentences of each text, (n,) int64."""
        return np.diff(self.offsets)

    @property
    def numbers_dim(self) -> int:
        """Numbers of each sentence in `batch`: the two marks where quantities are left out."""
        return self.numbers.shape[1] + _MARKS

    def leave_out_quantities(self) -> None:
        """Drop the stated quantities and keep the marks of sentences that name the source."""
        self.numbers = self.numbers[:, :0]

    def take(self, rows: Sequence[int] | np.ndarray) -> SentenceSets:
        """Select texts by their numbers or a bool mask, with only the sentences they hold."""
        rows = np.arange(len(self))[rows]
        entries = self._entries(rows)
        used, ids = np.unique(self.ids[entries], return_inverse=True)
        return SentenceSets(
            self.vectors[used],
            self.numbers[used],
            ids.astype(np.int32),
            self.sections[entries],
            np.concatenate([[0], np.cumsum(self.lengths[rows])]),
            self.n_sections,
            None if self.named is None else self.named[entries],
        )

    def batch(
        self,
        rows: Sequence[int] | np.ndarray,
        keep: np.ndarray | None = None,
        unlabelled: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Pad the sentences of B texts to the longest (S, at least 1).

        Args:
            rows: (B,) numbers of the texts.
            keep: bool over the concatenated entries of `rows`; the others are left out.
            unlabelled: (B,) bool; the sections of these texts become unspecified.

        Returns:
            `sentence_embeds` (B, S, d) float32, `sentence_numbers` (B, S, Q + 2) float32 (the last
            two: 1 for a sentence that names the source, 1 for each of a text that does so in
            several), `sentence_sections` (B, S) int64 and `sentence_mask` (B, S) bool; zeros where
            the mask is False.
        """
        rows = np.asarray(rows, np.int64)
        entries, owner = self._entries(rows), np.repeat(np.arange(len(rows)), self.lengths[rows])
        named = np.zeros(len(entries), bool) if self.named is None else self.named[entries]
        several = (np.bincount(owner[named], minlength=len(rows)) > 1)[owner]
        if keep is not None:
            entries, owner, named, several = (v[keep] for v in (entries, owner, named, several))
        count = np.bincount(owner, minlength=len(rows))
        column = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        shape = (len(rows), max(1, int(count.max(initial=0))))
        ids, sections = self.ids[entries], self.sections[entries].astype(np.int64)
        if unlabelled is not None:
            sections[np.asarray(unlabelled, bool)[owner]] = self.n_sections
        numbers = np.column_stack([self.numbers[ids], named, several])
        values = {
            "sentence_embeds": self.vectors[ids].astype(np.float32),
            "sentence_numbers": numbers.astype(np.float32),
            "sentence_sections": sections,
            "sentence_mask": np.ones(len(ids), bool),
        }
        padded = {k: np.zeros((*shape, *v.shape[1:]), v.dtype) for k, v in values.items()}
        for key, value in values.items():
            padded[key][owner, column] = value
        return padded

    def features(self) -> np.ndarray:
        """Average vectors and numbers over the sentences of each text.

        Returns:
            (n, d + Q + 2) float32; zeros for a text without sentences.
        """
        width = self.vectors.shape[1]
        result = np.zeros((len(self), width + self.numbers_dim), np.float32)
        for start in range(0, len(self), _CHUNK):
            batch = self.batch(np.arange(start, min(start + _CHUNK, len(self))))
            count = np.maximum(batch["sentence_mask"].sum(1), 1)[:, None]
            rows = result[start : start + _CHUNK]
            rows[:, :width] = batch["sentence_embeds"].sum(1) / count
            rows[:, width:] = batch["sentence_numbers"].sum(1) / count
        return result

    def _entries(self, rows: np.ndarray) -> np.ndarray:
        """Return the entries of texts, concatenated."""
        length = self.lengths[rows]
        shift = self.offsets[rows] - (np.cumsum(length) - length)
        return np.arange(length.sum()) + np.repeat(shift, length)


def summary_sentences(
    summary: Mapping[str, str | None], sections: Sequence[str] = SECTIONS
) -> list[tuple[str, int]]:
    """Split a text into sentences, each with the index of its section.

    Args:
        summary: mapping from `sections`, or from `"text"` (index `len(sections)`), to text or None.
        sections: names of the sections.

    Raises:
        TypeError: for a section that is neither a string nor None.
    """
    keys = tuple(dict.fromkeys((*sections, UNSPECIFIED)))
    present = np.flatnonzero(section_mask([summary], keys)[0])
    return [
        (sentence, int(section))
        for section in present
        for sentence in split_sentences(summary[keys[section]] or "")
    ][:MAX_SENTENCES]


def embed_sentences(
    summaries: Sequence[Mapping[str, str | None]],
    embedder: TextEmbedder,
    *,
    sections: Sequence[str] = SECTIONS,
    names: Sequence[Sequence[str]] | None = None,
    progress: bool = False,
) -> SentenceSets:
    """Split texts into sentences and embed each distinct sentence once.

    Args:
        summaries: mappings from `sections`, or from `"text"` (no section), to text or None.
        embedder: see `get_embedder`.
        sections: names of the sections.
        names: of the source of each text, to mark the sentences that name it.
        progress: show a progress bar.

    Returns:
        Sets of at most `MAX_SENTENCES` sentences; vectors are rounded to float16.

    Raises:
        TypeError: for a section that is neither a string nor None.
        EmbeddingError: when the embedder fails; finished sentences are in its cache.

    Examples:
        >>> sets = embed_sentences([{"text": "A quasar. It is hard."}], get_embedder("offline"))
        >>> sets.lengths, sets.vectors.shape
        (array([2]), (2, 384))
    """
    number: dict[str, int] = {}
    entries = [
        [(number.setdefault(sentence, len(number)), section) for sentence, section in split]
        for split in (summary_sentences(summary, sections) for summary in summaries)
    ]
    sentences = list(number)
    named: list[bool] = []
    for split, own in zip(entries, names or [()] * len(entries), strict=True):
        named += (
            map(names_any(own), [sentences[n] for n, _ in split]) if own else [False] * len(split)
        )
    ids, labels = np.array([*chain(*entries)], np.int32).reshape(-1, 2).T
    vectors = np.zeros((len(sentences), embedder.dimension), np.float16)
    for start in range(0, len(sentences), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        vectors[some] = embedder.embed(sentences[some], progress=progress)
    return SentenceSets(
        vectors,
        quantity_numbers(sentences),
        np.ascontiguousarray(ids),
        labels.astype(np.int8),
        np.cumsum([0, *map(len, entries)], dtype=np.int64),
        len(sections),
        np.array(named, bool),
    )


__all__ = [
    "MAX_SENTENCES",
    "SENTENCE_NUMBERS",
    "SentenceSets",
    "embed_sentences",
    "summary_sentences",
]
