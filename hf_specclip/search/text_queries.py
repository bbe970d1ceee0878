"""Embedding of texts and queries in the shared space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..literature import (
    EmbeddingError,
    TextEmbedder,
    embed_sentences,
    embed_summaries,
    embedder_named,
    get_embedder,
    section_mask,
)
from ..literature.embedders.get_embedder import check_embedder, probe_vector
from ..literature.sentence_sets import SENTENCE_NUMBERS, UNSPECIFIED
from ..literature.source_classes import find_class
from .questions import Question
from .vocabulary import VOCABULARY_FOLDER, Vocabulary

MAX_QUERY = 20_000


class TextQueries:
    """Text encoder of a model, with the embedder of its training texts.

    Args:
        model: a dual encoder.
        embedder: embedder, or its specification (`get_embedder`); by default the one that the model
            was trained with, loaded on first use.
        folder: folder of the model, with its vocabulary and tokenizer; by default the one it was
            loaded from.

    Raises:
        ValueError: the model was trained with another embedder.
    """

    def __init__(self, model: Any, embedder: TextEmbedder | str | None = None, folder: Any = None):
        model_path = getattr(model, "name_or_path", "")
        if folder is None and model_path and Path(model_path).is_dir():
            folder = model_path
        if isinstance(embedder, str):
            embedder = get_embedder(embedder)
        self.model, self._given = model, embedder
        if embedder is not None:
            check_embedder(embedder.name, self._config.embedder_name)
        self._folder = None if folder is None else Path(folder)

    @property
    def sections(self) -> list[str]:
        """Names of the sections of the model's texts."""
        return list(self._config.sections)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """Vocabulary of the training texts; None for a model without `vocabulary/`."""
        if self._folder is None or not (self._folder / VOCABULARY_FOLDER).is_dir():
            return None
        return Vocabulary.from_pretrained(self._folder)

    def embed(
        self,
        summaries: Sequence[Mapping[str, str | None]],
        names: Sequence[Sequence[str]] | None = None,
    ) -> np.ndarray:
        """Embed summaries (section -> text) as unit vectors (n, D) float32.

        Args:
            summaries: the key `"text"` is for a text without sections, such as a query; a model
                that reads sections assigns it to the first.
            names: names of the sources of each summary; none by default, as for a query.

        Raises:
            ValueError: a summary is empty or too long; see also `embedder_named`.
        """
        import torch

        for row, summary in enumerate(summaries):
            if not any((text or "").strip() for text in summary.values()):
                raise ValueError(f"text {row} is empty")
            if sum(len(text or "") for text in summary.values()) > MAX_QUERY:
                raise ValueError(f"text {row} is longer than {MAX_QUERY:,} characters: shorten it")
        if self._config.reads == "sections":
            first = self.sections[0]
            summaries = [
                {first if key == UNSPECIFIED else key: text for key, text in summary.items()}
                for summary in summaries
            ]
        inputs = self.inputs(summaries, names)
        with torch.inference_mode():
            to = self.model.device
            tensors = {name: torch.as_tensor(values, device=to) for name, values in inputs.items()}
            features = self.model.get_text_features(**tensors)
        return features.pooler_output.float().cpu().numpy()

    def inputs(
        self,
        summaries: Sequence[Mapping[str, str | None]],
        names: Sequence[Sequence[str]] | None = None,
    ) -> Mapping[str, Any]:
        """Return the inputs of the text encoder for summaries (section -> text).

        Raises:
            ValueError: the width of the embeddings differs from the model; see also
                `embedder_named`.
        """
        if self._config.text_encoder_config is not None:
            return self._processor(text=list(summaries), return_tensors="pt")
        if self._config.reads == "sentences":
            sets = embed_sentences(summaries, self._embedder, sections=self.sections, names=names)
            if self._config.numbers_dim < SENTENCE_NUMBERS:
                sets.leave_out_quantities()
            width = sets.vectors.shape[1]
            inputs: Mapping[str, Any] = sets.batch(np.arange(len(sets)))
        else:
            vectors = embed_summaries(summaries, self._embedder, sections=self.sections)
            width = vectors.shape[1] // len(self.sections)
            mask = section_mask(summaries, self.sections)
            inputs = {"text_embeds": vectors, "section_mask": mask}
        if width != self._config.embedding_dim:
            raise ValueError(
                f"the text embeddings have {width} dimensions, the model needs "
                f"{self._config.embedding_dim}: use the embedder it was trained with"
            )
        return inputs

    def embed_question(self, question: Question) -> np.ndarray:
        """Embed a parsed query as a unit vector (D,).

        The full name of a single requested class is appended, so that "SGR" is read as a magnetar.
        A model that reads sections assigns a query of values to the section `spectrum`.
        """
        sentences = [question.content]
        if len(question.labels) == 1 and (requested := find_class(next(iter(question.labels)))):
            sentences.append(requested.names[0])
        text = ". ".join(sentences)
        reads_sections = self._config.reads == "sections"
        by_value = reads_sections and question.conditions and not question.kinds
        section = "spectrum" if by_value and "spectrum" in self.sections else UNSPECIFIED
        return self.embed([{section: text}])[0]

    def training_similarity(self, text: str) -> float:
        """Return the similarity of a text with the nearest training sentence.

        It is the cosine of the sentence encoder, scaled to 0 for the mean of two training sentences
        (which depends on the encoder) and 1 for identical ones; 1 without training sentences.
        """
        if self.vocabulary is None or self.vocabulary.vectors is None:
            return 1.0
        vectors = self.vocabulary.vectors
        [vector] = self._embedder.embed([text])
        nearest = (vectors @ vector).max() / max(np.linalg.norm(vector), 1e-12)
        mean = (vectors.mean(axis=0) ** 2).sum()  # mean cosine of two sentences
        return float((nearest - mean) / max(1 - mean, 1e-12))

    @property
    def _config(self) -> Any:
        # The members of an ensemble have the same text inputs.
        return self.model.config.text_config

    @cached_property
    def _embedder(self) -> TextEmbedder:
        recorded = self._config.embedder_name
        # Code saved with older weights lacks this setting.
        probe = getattr(self._config, "embedder_probe", None)
        embedder = self._given or embedder_named(recorded)
        if probe is not None:
            # Without the cache. Where a server does not answer, texts that need it fail later.
            with suppress(EmbeddingError):
                now = probe_vector(getattr(embedder, "embedder", embedder))
                check_embedder(embedder.name, recorded, now, probe)
        return embedder

    @cached_property
    def _processor(self) -> Any:
        from ..models.processing_specclip import SpecCLIPProcessor

        if self._folder is None:
            raise ValueError("this model reads tokens: give the folder of its tokenizer")
        return SpecCLIPProcessor.from_pretrained(self._folder)
