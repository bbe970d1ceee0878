"""Inputs of the text side for a batch: whole texts, or random subsets of their sentences."""

from __future__ import annotations

import numpy as np
import torch

from hf_specclip.literature import SentenceSets
from specclip_training.data.pairs import Texts
from specclip_training.engine.draws import Draws
from specclip_training.engine.presets import AlignSettings

# Names of the tensors of the text side, among the inputs of a batch.
TEXT_INPUTS = (
    "text_embeds", "section_mask",
    "sentence_embeds", "sentence_numbers", "sentence_sections", "sentence_mask",
)  # fmt: skip
# Each augmentation has random numbers of its own (`Draws.uniform`).
_SECTIONS, _SUBSETS, _ORDER, _LABELS, _OTHERS = range(5)
# Sentences of another text that are added at most.
_MOST_ADDED = 6


def text_inputs(texts: Texts, rows: np.ndarray) -> dict[str, torch.Tensor]:
    """Make the inputs (B, …) of some rows (B,) of embedded texts."""
    if texts.sentences is not None:
        return _tensors(texts.sentences.batch(rows))
    return _tensors(
        {"text_embeds": texts.embeddings[rows], "section_mask": texts.section_mask[rows]}
    )


def augmented_inputs(
    texts: Texts, rows: np.ndarray, settings: AlignSettings, draws: Draws, known: np.ndarray
) -> dict[str, torch.Tensor]:
    """Make the inputs of some texts for a training step; see `text_inputs`.

    Where the model reads sections, `section_dropout` hides some. Where it reads sentences, a text
    first loses sections that way, then with the chance `sentence_dropout` all but 1 to n − 1 of the
    n sentences left, and with the chance `unlabelled` it is not told their sections. One section
    or sentence always stays. With the chance `other_sentences` a text is shown as one about many
    sources: each of its sentences counts as naming the source, and 1 to 6 of another text do not.

    Args:
        texts: embedded.
        rows: of the texts, (B,).
        settings: chances of each.
        draws: of the step.
        known: texts to take other sentences from, (k,).
    """
    if texts.sentences is not None:
        inputs = _subsets(texts.sentences, rows, settings, draws)
        if settings.other_sentences:
            inputs = _among_others(inputs, texts.sentences, known, settings.other_sentences, draws)
        return _tensors(inputs)
    mask = hide_sections(texts.section_mask[rows], settings.section_dropout, draws)
    return _tensors({"text_embeds": texts.embeddings[rows], "section_mask": mask})


def hide_sections(mask: np.ndarray, chance: float, draws: Draws) -> np.ndarray:
    """Hide each section of a text with a probability, but never all of them (section dropout).

    Args:
        mask: (n, sections) bool, True for sections present.
        chance: probability that a present section is hidden.
        draws: of the step.
    """
    if chance <= 0.0:
        return mask
    numbers = np.where(mask, draws.uniform(*mask.shape, use=_SECTIONS), -1.0)
    # The section of the largest number stays in any case.
    kept = (numbers >= chance) | (numbers == numbers.max(axis=1, keepdims=True))
    return kept & mask


def _subsets(
    texts: SentenceSets, rows: np.ndarray, settings: AlignSettings, draws: Draws
) -> dict[str, np.ndarray]:
    lengths = texts.lengths[rows]
    # As wide as the longest text of the dataset, so that the numbers of a row do not depend on the
    # other rows of its process.
    present = np.arange(texts.lengths.max(initial=0)) < lengths[:, None]
    entry = texts.offsets[rows][:, None] + np.arange(present.shape[1])
    sections = np.where(present, texts.sections[np.where(present, entry, 0)], 0).astype(np.int64)
    shown = np.zeros((len(rows), texts.sections.max(initial=0) + 1), dtype=bool)
    shown[np.nonzero(present)[0], sections[present]] = True
    shown = hide_sections(shown, settings.section_dropout, draws)
    keep = present & np.take_along_axis(shown, sections, axis=1)
    chances = draws.uniform(len(rows), 2, use=_SUBSETS)
    left = keep.sum(axis=1)
    size = 1 + np.floor(chances[:, 1] * (left - 1)).astype(np.int64)
    size = np.where(chances[:, 0] < settings.sentence_dropout, size, left)
    # Of each text the sentences of the largest numbers stay.
    numbers = np.where(keep, draws.uniform(*keep.shape, use=_ORDER), -1.0)
    place = np.argsort(np.argsort(-numbers, axis=1), axis=1)
    keep &= place < size[:, None]
    unlabelled = draws.uniform(len(rows), 1, use=_LABELS)[:, 0] < settings.unlabelled
    return texts.batch(rows, keep[present], unlabelled)


def _among_others(
    inputs: dict[str, np.ndarray],
    texts: SentenceSets,
    known: np.ndarray,
    chance: float,
    draws: Draws,
) -> dict[str, np.ndarray]:
    """Add up to `_MOST_ADDED` sentences of another text to some texts, and mark their own."""
    chances = draws.uniform(len(inputs["sentence_mask"]), 3, use=_OTHERS)
    chosen = chances[:, 0] < chance
    size = np.where(chosen, 1 + np.floor(chances[:, 1] * _MOST_ADDED), 0)
    rows = known[np.floor(chances[:, 2] * len(known)).astype(np.int64)]
    place = np.concatenate([np.arange(length) for length in texts.lengths[rows]])
    added = texts.batch(rows, place < np.repeat(size, texts.lengths[rows]))
    inputs["sentence_numbers"][chosen, :, -2:] = 1.0
    added["sentence_numbers"][..., -2:] = (0.0, 1.0)
    result = {key: np.concatenate([v, added[key]], axis=1) for key, v in inputs.items()}
    result["sentence_numbers"][~result["sentence_mask"]] = 0.0
    return result


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in arrays.items()}
