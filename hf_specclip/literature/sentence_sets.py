"""Texts as sets of sentences with embeddings, quantities and sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from .embedders.base import TextEmbedder
from .quantities import QUANTITY_WIDTH, quantity_numbers
from .sections import SECTIONS, section_mask
from .sentences import split_sentences
from .source_names import name_matcher

# Maximum number of sentences per text; later ones are dropped.
MAX_SENTENCES = 64
# Key of a text without sections, such as an abstract or a query.
UNSPECIFIED = "text"
# Numbers per sentence: its quantities and two flags: the sentence names the source of the text; the
# text does so in several sentences, so that the other sentences may be about other sources.
_FLAGS = 2
SENTENCE_NUMBERS = QUANTITY_WIDTH + _FLAGS
# Texts averaged and sentences embedded per block, to bound memory.
_TEXTS_PER_BLOCK, _SENTENCES_PER_BLOCK = 4096, 1 << 16


@dataclass
class SentenceSets:
    """Sentences of n texts, with each distinct sentence stored once.

    Attributes:
        vectors: (u, d) float16, embeddings of the distinct sentences.
        numbers: (u, Q) float32, encoded quantities (`quantity_numbers`).
        ids: (k,) int32, distinct sentence of each entry.
        sections: (k,) int8, section of each entry; `n_sections` if unspecified.
        offsets: (n + 1,) int64; text i has the entries `offsets[i]:offsets[i + 1]`.
        n_sections: number of sections.
        named: (k,) bool, True for an entry that names the source of its text; None if no entry
            does.
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
        """Width of `sentence_numbers` in `batch`."""
        return self.numbers.shape[1] + _FLAGS

    def leave_out_quantities(self) -> None:
        """Drop the quantities, but not the flags of sentences that name the source."""
        self.numbers = self.numbers[:, :0]

    def take(self, rows: Sequence[int] | np.ndarray) -> SentenceSets:
        """Select texts by indices or a mask."""
        rows = np.arange(len(self))[rows]
        entries = self._entries(rows)
        used, ids = np.unique(self.ids[entries], return_inverse=True)
        return SentenceSets(
            self.vectors[used],
            self.numbers[used],
            ids.astype(np.int32),
            self.sections[entries],
            np.append(0, np.cumsum(self.lengths[rows])),
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
            rows: (B,) indices of the texts.
            keep: mask over the concatenated entries of `rows`, to drop sentences.
            unlabelled: (B,) mask of texts whose sections are set to unspecified.

        Returns:
            `sentence_embeds` (B, S, d) float32, `sentence_numbers` (B, S, Q + 2) float32 (with the
            two flags of `SENTENCE_NUMBERS` last), `sentence_sections` (B, S) int64 and
            `sentence_mask` (B, S) bool; zeros where the mask is False.
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
        padded = {
            "sentence_embeds": self.vectors[ids].astype(np.float32),
            "sentence_numbers": numbers.astype(np.float32),
            "sentence_sections": sections,
            "sentence_mask": np.ones(len(ids), bool),
        }
        for key, value in padded.items():
            padded[key] = np.zeros((*shape, *value.shape[1:]), value.dtype)
            padded[key][owner, column] = value
        return padded

    def features(self) -> np.ndarray:
        """Average embeddings and numbers over the sentences of each text.

        Returns:
            (n, d + Q + 2) float32; zeros for a text without sentences.
        """
        means = []
        for start in range(0, max(1, len(self)), _TEXTS_PER_BLOCK):
            batch = self.batch(np.arange(start, min(start + _TEXTS_PER_BLOCK, len(self))))
            values = np.dstack([batch["sentence_embeds"], batch["sentence_numbers"]])
            means.append(values.sum(1) / np.maximum(batch["sentence_mask"].sum(1), 1)[:, None])
        return np.concatenate(means, dtype=np.float32)

    def _entries(self, rows: np.ndarray) -> np.ndarray:
        """Return the concatenated indices of the entries of texts."""
        length = self.lengths[rows]
        shift = self.offsets[rows] - (np.cumsum(length) - length)
        return np.arange(length.sum()) + np.repeat(shift, length)


def summary_sentences(
    summary: Mapping[str, str | None], sections: Sequence[str] = SECTIONS
) -> list[tuple[str, int]]:
    """Split a text into sentences, each with the index of its section.

    Args:
        summary: mapping from section, or `"text"` (index `len(sections)`), to text or None.

    Raises:
        TypeError: a section is neither a string nor None.
    """
    keys = tuple(dict.fromkeys((*sections, UNSPECIFIED)))
    section_mask([summary], keys)  # refuses a section that is no text
    return [
        (sentence, index)
        for index, key in enumerate(keys)
        for sentence in split_sentences(summary.get(key) or "")
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
        summaries: mappings from section, or `"text"` (no section), to text or None.
        names: names of the source of each text, to flag the sentences that contain one.

    Returns:
        Sets of at most `MAX_SENTENCES` sentences, with embeddings rounded to float16.

    Raises:
        TypeError: a section is neither a string nor None.
        EmbeddingError: the embedder fails; finished sentences are in its cache.

    Examples:
        >>> sets = embed_sentences([{"text": "A quasar. It is hard."}], get_embedder("offline"))
        >>> sets.lengths, sets.vectors.shape
        (array([2]), (2, 384))
    """
    texts = [summary_sentences(summary, sections) for summary in summaries]
    entries = [*chain(*texts)]
    sentences = list(dict.fromkeys(sentence for sentence, _ in entries))
    number = {sentence: n for n, sentence in enumerate(sentences)}
    named: list[bool] = []
    for text, text_names in zip(texts, names or [()] * len(texts), strict=True):
        is_named = name_matcher(text_names) if text_names else lambda sentence: False
        named += (is_named(sentence) for sentence, _ in text)
    vectors = np.zeros((len(sentences), embedder.dimension), np.float16)
    for start in range(0, len(sentences), _SENTENCES_PER_BLOCK):
        block = slice(start, start + _SENTENCES_PER_BLOCK)
        vectors[block] = embedder.embed(sentences[block], progress=progress)
    return SentenceSets(
        vectors,
        quantity_numbers(sentences),
        np.array([number[sentence] for sentence, _ in entries], np.int32),
        np.array([section for _, section in entries], np.int8),
        np.cumsum([0, *map(len, texts)], dtype=np.int64),
        len(sections),
        np.array(named, bool),
    )
