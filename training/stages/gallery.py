"""Parts saved beside a trained model: the index of its dataset, and its zero-shot classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip import VARIABLES, SpecCLIPIndex, ZeroShotClasses
from hf_specclip.literature import EmbeddingError, TextEmbedder, embedder_named, get_embedder
from hf_specclip.search.build import IDENTITY_COLUMNS, build_index
from hf_specclip.search.text_queries import TextQueries
from hf_specclip.search.vocabulary import Vocabulary
from specclip_training.data.pairs import PairData, SplitArrays

# Rows of `train` that a class needs: with fewer, no split can measure it.
MIN_ROWS = 5
# Splits whose rows no weight was fitted to; `test` stays unseen.
FITTED_ON = ("calibration", "validation")


def build_gallery(
    pairs: PairData,
    text_vectors: np.ndarray,
    spectrum_vectors: Mapping[str, np.ndarray],
    *,
    energy_range: Any,
    seed: int,
    with_map: bool,
    with_area: bool = False,
) -> SpecCLIPIndex:
    """Build the index of a dataset: every text and every spectrum, with its split.

    Args:
        pairs: the dataset.
        text_vectors: (m, D), of `pairs.texts`.
        spectrum_vectors: (n, D) by split.
        energy_range: lower and upper energy of the bins, keV.
        seed: seed of the map.
        with_map: lay the spectra out on a map.
        with_area: keep the effective areas, for a model that uses them.
    """
    return build_index(
        pairs.texts.entries,
        text_vectors,
        {name: _columns(split, with_area) for name, split in pairs.splits.items()},
        spectrum_vectors,
        {name: split.text_ids for name, split in pairs.splits.items()},
        energy_range=energy_range,
        about={
            "dataset": pairs.info.name if pairs.info.simulated else Path(pairs.name).name,
            "dataset_fingerprint": pairs.fingerprint,
            "simulated": pairs.info.simulated,
            "text_model": pairs.texts.model,
        },
        seed=seed,
        with_map=with_map,
    )


def fit_classes(
    model: Any,
    pairs: PairData,
    spectrum_vectors: Mapping[str, np.ndarray],
    embedder: str,
    cache_dir: str | Path | None = None,
) -> tuple[ZeroShotClasses | None, str]:
    """Make zero-shot classes, their temperature fitted to rows that no weight was fitted to.

    Args:
        model: the aligned model.
        pairs: its dataset.
        spectrum_vectors: (n, D) by split.
        embedder: embedder of the preset; used where it embedded the dataset's texts.
        cache_dir: cache of the embeddings.

    Returns:
        The classes and a line about them; None and the reason where there can be none.
    """
    rows_of = Counter(_classes(pairs.splits["train"]))
    labels = sorted(name for name, rows in rows_of.items() if name and rows >= MIN_ROWS)
    if len(labels) < 2:
        return None, "fewer than two classes with five rows of train"
    try:
        texts = _embedder(pairs, embedder, cache_dir)
        queries = TextQueries(model, texts)
        classes = ZeroShotClasses.from_prompts(labels, queries.embed, temperature=1.0)
    except (ValueError, ImportError, EmbeddingError) as error:
        return None, f"their names could not be embedded ({error})"
    truth, points = [], []
    for split in FITTED_ON:
        for row, name in enumerate(_classes(pairs.splits[split])):
            if name in labels:
                truth.append(name)
                points.append(spectrum_vectors[split][row])
    if not truth:
        return None, "no row of calibration or validation has one of the classes"
    classes.fit(np.stack(points), truth)
    classes.about |= {"fitted_on": list(FITTED_ON), "rows": len(truth)}
    return (
        classes,
        f"{len(labels)} classes by name, temperature {classes.temperature:.3g}, least probability "
        f"of a family {classes.least_probability:.2f}, from {len(truth):,} rows",
    )


def train_vocabulary(pairs: PairData) -> Vocabulary | None:
    """Collect the words of the texts of `train`; None where it has none."""
    rows, _ = pairs.texts_of("train")
    if not len(rows):
        return None
    sentences = pairs.texts.sentences
    vectors = None if sentences is None else sentences.take(rows).vectors
    return Vocabulary.from_texts((pairs.texts.entries[row]["summary"] for row in rows), vectors)


def _embedder(pairs: PairData, embedder: str, cache_dir: Any) -> TextEmbedder:
    if pairs.embedded_here:
        return get_embedder(embedder, cache_dir=cache_dir)
    return embedder_named(pairs.texts.model, cache_dir)


def _classes(split: SplitArrays) -> list[str | None]:
    if "source_class" not in split.table.column_names:
        return [None] * len(split)
    return split.table["source_class"].to_pylist()


def _columns(split: SplitArrays, with_area: bool) -> dict[str, Any]:
    names = {
        name: split.table[name].to_pylist()
        for name in IDENTITY_COLUMNS
        if name in split.table.column_names
    }
    variables = {
        name: split.table[name].to_numpy() for name in VARIABLES if name in split.table.column_names
    }
    spectra = split.spectra(slice(None))
    if not with_area:
        spectra.pop("effective_area", None)
    return {**spectra, **names, **variables}
