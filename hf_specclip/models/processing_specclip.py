"""Processor: spectra and texts to the tensors of the SpecCLIP models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .checkpoint_specclip import CheckedLoading
from .variables_specclip import SECTIONS


class SpecCLIPProcessor(CheckedLoading, ProcessorMixin):
    r"""
    Processor of a [`SpecCLIPFeatureExtractor`] and of embedded texts.

    Args:
        feature_extractor (`SpecCLIPFeatureExtractor`): for the spectra.
        sections (`list[str]`, defaults to `identity`, `spectrum` and `context`): of a summary, in
            the order of the embeddings.
        reads (`str`, defaults to `"sections"`): what the model reads, as in its
            [`SpecCLIPTextConfig`]: `"sections"` or `"sentences"`.

    Examples:

    ```python
    >>> import numpy as np
    >>> from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPProcessor

    >>> processor = SpecCLIPProcessor(SpecCLIPFeatureExtractor())
    >>> query = np.random.default_rng(0).normal(size=(2, 384))  # two embedded questions
    >>> inputs = processor(text_embeds=query, section="spectrum", return_tensors="pt")
    >>> tuple(inputs["text_embeds"].shape), inputs["section_mask"][0].tolist()
    ((2, 1152), [False, True, False])
    ```"""

    def __init__(
        self,
        feature_extractor: Any = None,
        sections: Sequence[str] = SECTIONS,
        reads: str = "sections",
    ):
        super().__init__(feature_extractor)
        self.sections = list(sections)
        self.reads = reads

    def __call__(
        self,
        spectra: Any = None,
        *,
        text_embeds: Any = None,
        sentences: Any = None,
        section: str | None = None,
        return_tensors: str | None = "pt",
        **spectrum_arguments: Any,
    ) -> BatchFeature:
        """Turn spectra, texts or both into tensors.

        Args:
            spectra: whatever [`SpecCLIPFeatureExtractor`] takes.
            text_embeds: of whole summaries (B, 3·d), in which zeros stand for an absent section;
                or, where `section` is given, of plain texts, (B, d) or (d,).
            sentences: embedded texts for a model that reads sentences: the `SentenceSets` of
                `hf_specclip.literature.embed_sentences`.
            section: the section plain texts fill.
            return_tensors: `"pt"` (the default) or `"np"`.
            **spectrum_arguments: `exposure` and others beside an array of counts.

        Returns:
            `BatchFeature`: of spectra, what the feature extractor gives; of texts `text_embeds`
            (B, 3·d) float32 with `section_mask`, or `sentence_embeds` (B, S, d),
            `sentence_numbers`, `sentence_sections` and `sentence_mask`.

        Raises:
            ValueError: nothing given, text that is not embedded, an unknown section, embeddings of
                another shape or not finite.
        """
        if "text" in spectrum_arguments:
            raise ValueError(
                "this processor takes embeddings: embed the text with the embedder the model was "
                "trained with (text_config.embedder_name) and pass text_embeds or sentences"
            )
        if spectra is None and text_embeds is None and sentences is None:
            raise ValueError("give spectra, text_embeds or sentences")
        if text_embeds is not None and sentences is not None:
            raise ValueError("give one of text_embeds and sentences")
        if section is not None and section not in self.sections:
            raise ValueError(
                f"section is {section!r}, it must be one of {', '.join(self.sections)}"
            )
        data: dict[str, Any] = {}
        if spectra is not None:
            data.update(self.feature_extractor(spectra, **spectrum_arguments))
        if sentences is not None:
            data.update(sentences.batch(np.arange(len(sentences))))
        if text_embeds is not None:
            data.update(_embeddings(text_embeds, section, self.sections))
        return BatchFeature(data, tensor_type=return_tensors)

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Return the parts that `ProcessorMixin` loads."""
        return ["feature_extractor"]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors."""
        sentences = ["sentence_numbers", "sentence_sections", "sentence_mask"]
        by_reads = {"sections": ("text_embeds", ["section_mask"])}
        embeds, others = by_reads.get(self.reads, ("sentence_embeds", sentences))
        return [*self.feature_extractor.model_input_names, embeds, *others]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `processor_config.json`."""
        settings: dict[str, Any] = {
            "processor_class": type(self).__name__,
            "feature_extractor": self.feature_extractor.to_dict(),
            "sections": self.sections,
            "reads": self.reads,
        }
        auto_map = getattr(self, "auto_map", None)
        if auto_map is not None:
            settings["auto_map"] = auto_map
        return settings


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
            f"text_embeds have {embeds.shape[1]} numbers, which are not {n} sections: give "
            "section= for embeddings of plain texts"
        )
    else:
        joined = embeds.reshape(len(embeds), n, -1)
    mask = (joined != 0).any(axis=-1)
    return {"text_embeds": joined.reshape(len(embeds), -1), "section_mask": mask}


SpecCLIPProcessor.register_for_auto_class()

__all__ = ["SpecCLIPProcessor"]
