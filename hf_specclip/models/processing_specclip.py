"""Processor of spectra and texts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .checkpoint_specclip import CheckedLoading, package_module
from .variables_specclip import SECTIONS


class SpecCLIPProcessor(CheckedLoading, ProcessorMixin):
    r"""
    Processor that combines a [`SpecCLIPFeatureExtractor`] and, for models that read tokens, a
    tokenizer.

    Args:
        feature_extractor (`SpecCLIPFeatureExtractor`): feature extractor of the spectra.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): tokenizer of the text encoder.
        sections (`list[str]`, defaults to `identity`, `spectrum` and `context`): names of the
            sections of a summary, in the order of the embeddings.
        reads (`str`, defaults to `"sections"`): `"sections"` or `"sentences"`, as in the
            [`SpecCLIPTextConfig`] of the model.

    Examples:

    ```python
    >>> import numpy as np
    >>> from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPProcessor

    >>> processor = SpecCLIPProcessor(SpecCLIPFeatureExtractor())
    >>> query = np.random.default_rng(0).normal(size=(2, 384))  # two embedded queries
    >>> inputs = processor(text_embeds=query, section="spectrum", return_tensors="pt")
    >>> tuple(inputs["text_embeds"].shape), inputs["section_mask"][0].tolist()
    ((2, 1152), [False, True, False])
    ```"""

    def __init__(
        self,
        feature_extractor: Any = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        sections: Sequence[str] = SECTIONS,
        reads: str = "sections",
    ):
        super().__init__(feature_extractor)
        if tokenizer is not None:
            self.check_argument_for_proper_class("tokenizer", tokenizer)
        self.tokenizer = tokenizer
        self.sections = list(sections)
        self.reads = reads

    def __call__(
        self,
        spectra: Any = None,
        text: Any = None,
        *,
        text_embeds: Any = None,
        sentences: Any = None,
        section: str | None = None,
        max_length: int = 256,
        return_tensors: str | None = "pt",
        **spectrum_arguments: Any,
    ) -> BatchFeature:
        """Convert spectra, texts or both to tensors.

        Args:
            spectra: see [`SpecCLIPFeatureExtractor`].
            text: a summary (mapping of sections to texts or None), a plain text, or a list of
                these; needs a tokenizer. A plain text is assigned to `section`, or to none for a
                model that reads sentences.
            text_embeds: embeddings of summaries (B, 3·d), with zeros for absent sections; or, with
                `section`, of plain texts (B, d) or (d,).
            sentences: `SentenceSets` of `hf_specclip.literature.embed_sentences`, for a model that
                reads sentences.
            section: section of plain texts; `"spectrum"` by default, else the first.
            max_length: maximum number of tokens per section or sentence.
            return_tensors: `"pt"` (the default) or `"np"`.
            **spectrum_arguments: `exposure` and other columns for an array of counts.

        Returns:
            `BatchFeature` with the tensors of the feature extractor and, for texts, `text_embeds`
            (B, 3·d) and `section_mask`, or `sentence_embeds` (B, S, d), `sentence_numbers`,
            `sentence_sections` and `sentence_mask`. With a tokenizer, `input_ids` and
            `attention_mask` (B, 3 or S, L) replace the embeddings.

        Raises:
            ValueError: no input, text without a tokenizer, an unknown section, or embeddings of the
                wrong shape or not finite.
        """
        texts = [values for values in (text, text_embeds, sentences) if values is not None]
        if spectra is None and not texts:
            raise ValueError("give spectra, text, text_embeds or sentences")
        if len(texts) > 1:
            raise ValueError("give one of text, text_embeds and sentences")
        if section is not None and section not in self.sections:
            raise ValueError(
                f"section is {section!r}, it must be one of {', '.join(self.sections)}"
            )
        data: dict[str, Any] = {}
        if spectra is not None:
            data.update(self.feature_extractor(spectra, **spectrum_arguments))
        if sentences is not None:
            data.update(sentences.batch(np.arange(len(sentences))))
        if text is not None:
            data.update(self._tokens(text, section, max_length))
        if text_embeds is not None:
            data.update(_embeddings(text_embeds, section, self.sections))
        return BatchFeature(data, tensor_type=return_tensors)

    def _tokens(self, text: Any, section: str | None, max_length: int) -> dict[str, np.ndarray]:
        if self.tokenizer is None:
            raise ValueError(
                "this processor has no tokenizer, its model takes embeddings: embed the text with "
                "the embedder the model was trained with (text_config.embedder_name) and pass "
                "text_embeds or sentences"
            )
        texts = [text] if isinstance(text, str | Mapping) else list(text)
        if section is None:
            default = "spectrum" if "spectrum" in self.sections else self.sections[0]
            section = "text" if self.reads == "sentences" else default
        summaries = [{section: item} if isinstance(item, str) else item for item in texts]
        for row, summary in enumerate(summaries):
            if unknown := set(summary) - {*self.sections, section}:
                raise ValueError(
                    f"row {row}: unknown section {min(unknown)!r}, there are "
                    f"{', '.join(self.sections)}"
                )
        if self.reads == "sentences":
            return self._sentence_tokens(summaries, max_length)
        rows = [[(s.get(name) or "").strip() for name in self.sections] for s in summaries]
        mask = np.array([[bool(section) for section in row] for row in rows])
        return {**self._encode(rows, max_length), "section_mask": mask}

    def _sentence_tokens(
        self, summaries: Sequence[Mapping[str, str | None]], max_length: int
    ) -> dict[str, np.ndarray]:
        literature = package_module("literature", "reading sentences")
        rows = [literature.summary_sentences(summary, self.sections) for summary in summaries]
        longest = max(1, max(map(len, rows), default=1))
        mask = np.zeros((len(rows), longest), dtype=bool)
        sections = np.full(mask.shape, len(self.sections), dtype=np.int64)
        numbers = np.zeros((*mask.shape, literature.SENTENCE_NUMBERS), dtype=np.float32)
        for row, sentences in enumerate(rows):
            if n := len(sentences):
                mask[row, :n] = True
                sections[row, :n] = [index for _, index in sentences]
                texts = [text for text, _ in sentences]
                numbers[row, :n, :-2] = literature.quantity_numbers(texts)
        padded = [[text for text, _ in row] + [""] * (longest - len(row)) for row in rows]
        return {
            **self._encode(padded, max_length),
            "sentence_numbers": numbers,
            "sentence_sections": sections,
            "sentence_mask": mask,
        }

    def _encode(self, rows: Sequence[Sequence[str]], max_length: int) -> dict[str, np.ndarray]:
        """Tokenize texts of equally many sequences to (texts, sequences, length)."""
        encoded = self.tokenizer(
            [sequence for row in rows for sequence in row],
            padding=True,
            truncation=True,
            max_length=max_length,
            return_tensors="np",
        )
        return {
            name: encoded[name].reshape(len(rows), len(rows[0]), -1)
            for name in ("input_ids", "attention_mask")
        }

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Return the attributes that `ProcessorMixin` loads, without the optional tokenizer."""
        return ["feature_extractor"]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors."""
        embeds, others = "text_embeds", ["section_mask"]
        if self.reads != "sections":
            embeds = "sentence_embeds"
            others = ["sentence_numbers", "sentence_sections", "sentence_mask"]
        texts = ["input_ids", "attention_mask"] if self.tokenizer is not None else [embeds]
        return [*self.feature_extractor.model_input_names, *texts, *others]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `processor_config.json`, without the tokenizer."""
        settings: dict[str, Any] = {
            "processor_class": type(self).__name__,
            "feature_extractor": self.feature_extractor.to_dict(),
            "has_tokenizer": self.tokenizer is not None,
            "sections": self.sections,
            "reads": self.reads,
        }
        auto_map = getattr(self, "auto_map", None)
        if auto_map is not None:
            settings["auto_map"] = auto_map
        return settings

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any
    ) -> Any:
        """Save the processor and its tokenizer to one folder; see `ProcessorMixin`."""
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(save_directory)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: Any, processor_dict: dict | None = None, **kwargs: Any
    ) -> list[Any]:
        arguments = super()._get_arguments_from_pretrained(
            pretrained_model_name_or_path, processor_dict, **kwargs
        )
        if (processor_dict or {}).get("has_tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
            arguments.append(tokenizer)
        return arguments


def _embeddings(
    text_embeds: Any, section: str | None, sections: Sequence[str]
) -> dict[str, np.ndarray]:
    if hasattr(text_embeds, "detach"):
        text_embeds = text_embeds.detach().cpu().float().numpy()
    embeds = np.array(text_embeds, dtype=np.float32, ndmin=2)
    if embeds.ndim != 2:
        raise ValueError(f"text_embeds are {embeds.shape}, they must be (batch, size)")
    if not np.isfinite(embeds).all():
        row = int(np.argmax(~np.isfinite(embeds).all(axis=1)))
        raise ValueError(f"row {row}: text_embeds hold NaN or infinity")
    n = len(sections)
    if section is not None:
        joined = np.zeros((len(embeds), n, embeds.shape[1]), dtype=np.float32)
        joined[:, sections.index(section)] = embeds
    elif embeds.shape[1] % n:
        raise ValueError(
            f"text_embeds have {embeds.shape[1]} dimensions, not a multiple of {n} sections: give "
            "section= for embeddings of plain texts"
        )
    else:
        joined = embeds.reshape(len(embeds), n, -1)
    mask = (joined != 0).any(axis=-1)
    return {"text_embeds": joined.reshape(len(embeds), -1), "section_mask": mask}


SpecCLIPProcessor.register_for_auto_class()

__all__ = ["SpecCLIPProcessor"]
