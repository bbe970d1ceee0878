"""Embedding of free text in the shared space, with the embedder a model was trained with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..literature import TextEmbedder, embed_summaries, get_embedder, section_mask
from .known_texts import KNOWN_FOLDER, KnownTexts

# What embedders call themselves, and how one asks for them.
_READERS = (
    (re.compile(r"(?:^|\+)words-\d+-1$"), "words"),
    (re.compile(r"(?:^|\+)terms-1$"), "terms"),
    (re.compile(r"(?:^|\+)quantities-2$"), "quantities"),
)
MAX_QUERY = 20_000


def embedder_named(name: str | None, cache_dir: Any = None) -> TextEmbedder:
    """Load the embedder of a name that a model or dataset recorded.

    Args:
        name: such as `terms-1+quantities-2` or `openai:text-embedding-ada-002`.
        cache_dir: of the embeddings.

    Raises:
        ValueError: where the name does not say how to get it, or what it gives is another one.
        ImportError, EmbeddingError: see `get_embedder`.
    """
    from ..literature.embedders.local import OFFLINE_MODEL

    if not name:
        raise ValueError(
            "the model does not record what embedded its texts: give embedder=, see "
            "hf_specclip.get_embedder"
        )
    left = name
    readers: list[str] = []
    while left and (found := next(((p, r) for p, r in _READERS if p.search(left)), None)):
        left = found[0].sub("", left)
        readers.insert(0, found[1])
    if left.startswith("openai:") and "@" not in left and "#" not in left:
        spec = left
    elif left.startswith(f"{OFFLINE_MODEL}@"):
        spec = "offline"
    elif not left:
        spec = ""
    else:
        raise ValueError(
            f"the model's texts were embedded by {name!r}, which cannot be found by its name: give "
            "embedder=, see hf_specclip.get_embedder"
        )
    embedder = get_embedder("+".join([*([spec] if spec else []), *readers]), cache_dir=cache_dir)
    if embedder.name != name:
        raise ValueError(
            f"the model's texts were embedded by {name!r}, here there is {embedder.name!r}: "
            "install the version the model was trained with, or give embedder="
        )
    return embedder


class TextQueries:
    """Embedding of text as points of a model's shared space.

    Args:
        model: a dual encoder.
        embedder: by default the one the model was trained with, got when it is first needed.
        folder: of the model, for its known texts, and for its tokenizer where it reads tokens; by
            default the one it was loaded from.
        known: the known texts, where they are no folder's yet.
    """

    def __init__(
        self,
        model: Any,
        embedder: TextEmbedder | None = None,
        folder: Any = None,
        known: KnownTexts | None = None,
    ):
        home = getattr(model, "name_or_path", "")
        if folder is None and home and Path(home).is_dir():
            folder = home
        self.model, self._embedder, self._folder = model, embedder, folder
        self._processor: Any = None
        self._known = known

    @property
    def sections(self) -> list[str]:
        """Names of the sections of the model's texts."""
        return list(self.model.config.text_config.sections)

    def embed(
        self, summaries: Sequence[Mapping[str, str | None]], *, partial: bool = False
    ) -> np.ndarray:
        """Embed summaries (section -> text) as unit vectors (n, D) float32.

        Args:
            summaries: what to embed.
            partial: they are a few words each, no whole summaries: what they do not mention, in
                sections as well as in words, is not known. The model's known texts stand in for
                them (`KnownTexts.stand_in`). Where it brings none, or none says anything of it,
                what is not mentioned gets the mean of the training texts, where a whole summary
                that lacks it would say that it is not so.

        Raises:
            ValueError: for a summary that says nothing, or is too long; else see `embedder_named`.
            FileFormatError: for damaged known texts.
        """
        import torch

        mask = section_mask(summaries, self.sections)
        for row, (summary, present) in enumerate(zip(summaries, mask, strict=True)):
            if not present.any():
                raise ValueError(f"text {row} is empty: there is nothing to look for")
            if sum(len(text or "") for text in summary.values()) > MAX_QUERY:
                raise ValueError(f"text {row} is longer than {MAX_QUERY:,} characters: shorten it")
        standing_in = None
        with torch.inference_mode():
            if self.model.config.text_config.text_encoder_config is not None:
                inputs = self._tokens(list(summaries)).to(self.model.device)
            else:
                if self._embedder is None:
                    self._embedder = embedder_named(self.model.config.text_config.embedder_name)
                vectors = embed_summaries(summaries, self._embedder, sections=self.sections)
                if partial and (known := self._known_texts()) is not None:
                    standing_in = known.stand_in(vectors)
                if partial:
                    usual = self._usual(vectors.shape[1])
                    vectors = np.where(vectors == 0, usual, vectors).astype(np.float32)
                    mask = np.ones_like(mask)
                inputs = {
                    "text_embeds": torch.from_numpy(vectors).to(self.model.device),
                    "section_mask": torch.from_numpy(mask).to(self.model.device),
                }
            points = self.model.get_text_features(**inputs).pooler_output.float().cpu().numpy()
        if standing_in is None:
            return points
        return np.where(np.isfinite(standing_in), standing_in, points)

    def embed_query(self, text: str, section: str = "identity") -> np.ndarray:
        """Embed a question in free words as a unit vector (D,).

        Args:
            text: such as `"heavily absorbed pulsating ULX"`.
            section: the part of a summary it stands for. What sources are called and how bright,
                hard or absorbed they are is said in `identity`; parameters of models, such as
                `"black body with kT = 0.1 keV"`, are better asked for as `spectrum`.
        """
        if section not in self.sections:
            known = ", ".join(self.sections)
            raise ValueError(f"section is {section!r}, it must be one of {known}")
        return self.embed([{section: text}], partial=True)[0]

    def embed_prompts(self, summaries: Sequence[Mapping[str, str | None]]) -> np.ndarray:
        """Embed summaries of a few words each, such as the names of classes."""
        return self.embed(summaries, partial=True)

    def _known_texts(self) -> KnownTexts | None:
        if self._known is None and self._folder is not None:
            if not (Path(self._folder) / KNOWN_FOLDER).is_dir():
                return None
            self._known = KnownTexts.from_pretrained(self._folder)
        return self._known

    def _usual(self, width: int) -> np.ndarray:
        """Return the mean of the training texts, all sections joined, (width,)."""
        # The members of an ensemble learned from the same texts.
        member = getattr(self.model, "members", [self.model])[0]
        mean = member.text_model.text_statistics.mean.flatten().float().cpu().numpy()
        if len(mean) != width:
            raise ValueError(
                f"the texts are embedded in {width} numbers, the model needs {len(mean)}: use the "
                "embedder it was trained with"
            )
        return mean

    def _tokens(self, summaries: list[Mapping[str, str | None]]) -> Any:
        from ..models.processing_specclip import SpecCLIPProcessor

        if self._processor is None:
            if self._folder is None:
                raise ValueError("this model reads tokens: give the folder of its tokenizer")
            self._processor = SpecCLIPProcessor.from_pretrained(Path(self._folder))
        return self._processor(text=summaries, return_tensors="pt")


__all__ = ["TextQueries", "embedder_named"]
