"""Vocabulary of the training texts of a model: document frequencies of words, and sentences.

Queries are checked against it, since a model cannot embed words outside its training texts well.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..models.checkpoint_specclip import refuse_links_out
from ..storage import atomic_folder, map_tensors, read_versioned, refuse_damage, write_json
from .nearest import unit_rows

VOCABULARY_FOLDER = "vocabulary"
WORDS_FILE, VECTORS_FILE = "words.json", "sentences.safetensors"
FORMAT, VERSION = "specclip-vocabulary", 1
MAX_WORDS, MAX_WORD, MAX_FILE_BYTES = 60_000, 40, 16 << 20
# Maximum number of embeddings of training sentences.
MAX_VECTORS = 6_000
# Minimum document frequency; rarer words are misprints and names.
_MIN_TEXTS = 2
_WORD = re.compile(r"[^\W\d_]{2,}")
# Minimum similarity (difflib) of a suggestion for a misspelt word.
_MIN_RATIO = 0.75


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, split at hyphens.

    Examples:
        >>> words_of("A low-mass X-ray binary, kT = 2 keV")
        ['low', 'mass', 'ray', 'binary', 'kt', 'kev']
    """
    return _WORD.findall(text.lower())


class Vocabulary:
    """Document frequencies of words, and embeddings of some training sentences.

    Args:
        words: word in lower case -> number of texts with the word.
        n_texts: number of texts.
        vectors: (n, d) embeddings of training sentences, normalised here; None for a model that
            does not read sentences.

    Raises:
        ValueError: counts out of range, too many words or vectors, or vectors of the wrong shape.
    """

    def __init__(self, words: Mapping[str, int], n_texts: int, vectors: np.ndarray | None = None):
        self.words, self.n_texts = dict(words), int(n_texts)
        if not 0 < len(self.words) <= MAX_WORDS:
            raise ValueError(f"{len(self.words):,} words")
        for word, count in self.words.items():
            if not (0 < len(word) <= MAX_WORD and 0 < count <= self.n_texts):
                raise ValueError(f"{word!r} in {count} of {self.n_texts} texts")
        if vectors is not None:
            if vectors.ndim != 2 or not 0 < len(vectors) <= MAX_VECTORS:
                raise ValueError(f"vectors of sentences of shape {vectors.shape}")
            vectors = unit_rows(np.asarray(vectors, np.float32), "sentence")
        self.vectors = vectors

    def __contains__(self, word: str) -> bool:
        return self.share(word) > 0

    def share(self, word: str) -> float:
        """Return the fraction of the texts with a word, singular or plural."""
        counts = (self.words.get(form, 0) for form in _forms(word.lower()))
        return max(counts) / max(1, self.n_texts)

    def suggest(self, word: str, n: int = 3) -> list[str]:
        """Suggest words of similar spelling, nearest first."""
        word = word.lower()
        candidates = [other for other in self.words if abs(len(other) - len(word)) <= 2]
        return get_close_matches(word, candidates, n, _MIN_RATIO) if len(word) > 3 else []

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str | Mapping[str, str | None]],
        vectors: np.ndarray | None = None,
        seed: int = 0,
    ) -> Vocabulary:
        """Count the words of texts, and sample embeddings of their sentences.

        Args:
            texts: prose, or summaries (section -> text).
            vectors: (n, d) embeddings of the distinct sentences.
            seed: seed of the sample.

        Raises:
            ValueError: the texts have no words.
        """
        counts: Counter[str] = Counter()
        n_texts = 0
        for text in texts:
            n_texts += 1
            sections = [text] if isinstance(text, str) else text.values()
            counts.update({word for section in sections for word in words_of(section or "")})
        minimum = min(_MIN_TEXTS, n_texts)
        words = {
            word: count
            for word, count in counts.most_common(MAX_WORDS)
            if count >= minimum and len(word) <= MAX_WORD
        }
        if vectors is not None:
            sample = np.random.default_rng(seed).permutation(len(vectors))[:MAX_VECTORS]
            vectors = vectors[np.sort(sample)]
        return cls(words, n_texts, vectors)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder `vocabulary/` inside `folder` atomically."""
        from safetensors.numpy import save_file

        target = Path(folder) / VOCABULARY_FOLDER
        content = {"format": FORMAT, "version": VERSION, "texts": self.n_texts, "words": self.words}
        with atomic_folder(target) as partial:
            write_json(partial / WORDS_FILE, content)
            if self.vectors is not None:
                vectors = self.vectors.astype(np.float16)
                save_file({"vectors": vectors}, str(partial / VECTORS_FILE))
        return target

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Vocabulary:
        """Read the vocabulary of a model folder.

        Raises:
            FileNotFoundError: the model has no vocabulary.
            FileFormatError: a file is damaged.
        """
        path = Path(folder) / VOCABULARY_FOLDER / WORDS_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; training writes it next to the model")
        with refuse_damage(path, "fetch the model again, or train it"):
            refuse_links_out(path.parent, FileFormatError)
            content = read_versioned(path, FORMAT, VERSION, MAX_FILE_BYTES, "update hf_specclip")
            words, vectors = content["words"], None
            if not all(type(count) is int for count in words.values()):
                raise ValueError("a count is not an integer")
            if (path.parent / VECTORS_FILE).is_file():
                vectors = map_tensors(path.parent / VECTORS_FILE, "vectors")["vectors"]
            return cls(words, content["texts"], vectors)


def _forms(word: str) -> tuple[str, ...]:
    """Return the word with its singular and plural."""
    endings = {"ies": "y", "es": "", "s": ""}
    singulars = (word.removesuffix(end) + new for end, new in endings.items()
                 if word.endswith(end) and len(word) > len(end) + 2)  # fmt: skip
    return word, f"{word}s", *singulars
