"""Words of the training texts of a model, with the number of texts that use each.

They tell what a question may be made of: a word that no text has says nothing to the model.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..literature.sentences import split_sentences
from ..storage import write_json

VOCABULARY_FOLDER, WORDS_FILE = "vocabulary", "words.json"
FORMAT, VERSION = "specclip-vocabulary", 1
MAX_WORDS, MAX_WORD, MAX_FILE_BYTES = 60_000, 40, 16 << 20
# Training sentences kept as examples of what texts say, and the longest of them.
MAX_EXAMPLES, MAX_EXAMPLE = 1_500, 200
# Texts that examples are drawn from.
_TEXTS_READ = 5_000
# A word that fewer texts use is a misprint or a name.
_FEWEST_TEXTS = 2
_WORD = re.compile(r"[^\W\d_]{2,}")
# Similarity (difflib) of a misspelt word to the word meant.
_CLOSE = 0.75


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case; words with hyphens are taken apart.

    Examples:
        >>> words_of("A low-mass X-ray binary, kT = 2 keV")
        ['low', 'mass', 'ray', 'binary', 'kt', 'kev']
    """
    return _WORD.findall(text.lower())


class Vocabulary:
    """Words of texts with document counts, and sentences as examples.

    Args:
        words: word in lower case -> number of texts that use it.
        n_texts: number of texts.
        examples: some of their sentences.

    Raises:
        ValueError: for counts that cannot be, or too many words.
    """

    def __init__(self, words: Mapping[str, int], n_texts: int, examples: Iterable[str] = ()):
        self.words, self.n_texts, self.examples = dict(words), int(n_texts), tuple(examples)
        if not 0 < len(self.words) <= MAX_WORDS or len(self.examples) > MAX_EXAMPLES:
            raise ValueError(f"{len(self.words):,} words, {len(self.examples):,} examples")
        for word, count in self.words.items():
            if not (0 < len(word) <= MAX_WORD and 0 < count <= self.n_texts):
                raise ValueError(f"{word!r} in {count} of {self.n_texts} texts")

    def __contains__(self, word: str) -> bool:
        return self.share(word) > 0

    def share(self, word: str) -> float:
        """Return the share of the texts that use a word, singular or plural; 0 if none does."""
        counts = (self.words.get(form, 0) for form in _forms(word.lower()))
        return max(counts) / max(1, self.n_texts)

    def suggest(self, word: str, n: int = 3) -> list[str]:
        """Return words spelt nearly like a word that no text uses, nearest first."""
        word = word.lower()
        near = [
            other
            for length in range(len(word) - 2, len(word) + 3)
            for other in self._by_length.get(length, ())
        ]
        return get_close_matches(word, near, n, _CLOSE) if len(word) > 3 else []

    @cached_property
    def _by_length(self) -> dict[int, list[str]]:
        lengths: dict[int, list[str]] = {}
        for word in self.words:
            lengths.setdefault(len(word), []).append(word)
        return lengths

    @classmethod
    def from_texts(
        cls, texts: Iterable[str | Mapping[str, str | None]], seed: int = 0
    ) -> Vocabulary:
        """Count the words of texts, and draw sentences of them.

        Args:
            texts: prose, or summaries (section -> text).
            seed: of the drawing of examples.

        Raises:
            ValueError: without words.
        """
        counts: Counter[str] = Counter()
        joined = [
            text if isinstance(text, str) else "\n".join(part for part in text.values() if part)
            for text in texts
        ]
        for text in joined:
            counts.update(set(words_of(text)))
        random = np.random.default_rng(seed)
        read = random.permutation(len(joined))[:_TEXTS_READ]
        sentences = dict.fromkeys(
            sentence
            for row in read
            for part in joined[row].split("\n")
            for sentence in split_sentences(part)
            if len(sentence) < MAX_EXAMPLE
        )
        fewest = min(_FEWEST_TEXTS, len(joined))
        words = {
            word: count
            for word, count in counts.most_common(MAX_WORDS)
            if count >= fewest and len(word) <= MAX_WORD
        }
        drawn = random.permutation(len(sentences))[:MAX_EXAMPLES]
        listed = list(sentences)
        return cls(words, len(joined), [listed[i] for i in drawn])

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder `vocabulary/` inside `folder`, atomically."""
        target = Path(folder) / VOCABULARY_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        path = target / WORDS_FILE
        write_json(
            path,
            {
                "format": FORMAT,
                "version": VERSION,
                "texts": self.n_texts,
                "words": self.words,
                "examples": list(self.examples),
            },
        )
        return target

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Vocabulary:
        """Read the vocabulary of a model folder.

        Raises:
            FileNotFoundError: where it has none.
            FileFormatError: for a damaged file.
        """
        path = Path(folder) / VOCABULARY_FOLDER / WORDS_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: training leaves it beside a model")
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT or content["version"] != VERSION:
                raise ValueError(f"not {FORMAT} version {VERSION}: update hf_specclip")
            words, examples = content["words"], content["examples"]
            if not all(type(count) is int for count in words.values()):
                raise ValueError("a count is no integer")
            if not all(isinstance(text, str) and len(text) < MAX_EXAMPLE for text in examples):
                raise ValueError("an example is no short sentence")
            return cls(words, content["texts"], examples)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FileFormatError(
                f"{path} cannot be used ({error}): fetch the model again, or train it"
            ) from error


def _forms(word: str) -> tuple[str, ...]:
    """Return the word with its singular and plural."""
    forms = [word, f"{word}s"]
    for ending, replacement in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            forms.append(word.removesuffix(ending) + replacement)
    return tuple(forms)


__all__ = ["VOCABULARY_FOLDER", "Vocabulary", "words_of"]
