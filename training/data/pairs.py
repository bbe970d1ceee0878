"""Datasets as arrays for training: spectra by row, each distinct text once.

The Hub, a folder and local tables all arrive in the columns of `specclip_datasets.contract`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hf_specclip.describe.index_dataset import TEXT_COLUMNS, DistinctTexts
from hf_specclip.errors import SpecCLIPError
from hf_specclip.literature import (
    SentenceSets,
    embed_sentences,
    embed_summaries,
    get_embedder,
    section_mask,
)
from hf_specclip.literature.embedders.get_embedder import probe_vector
from specclip_training.data.parquet_rows import to_arrays
from specclip_training.engine.draws import Draws, Order, Shuffled
from specclip_training.engine.presets import TextSettings

if TYPE_CHECKING:
    from specclip_datasets.info import SpecCLIPDatasetInfo
    from specclip_training.engine.commands import Run

# Augmentation with random numbers of its own (`Draws.row`).
_THINNING = 0
SPLITS = ("train", "calibration", "validation", "test")
# Columns that the feature extractor takes.
SPECTRUM = ("counts", "background_counts", "background_scale", "effective_area", "exposure")
FURTHER, _NAMES = "further_texts", ("source_name", "aliases")
# Required columns, with their meaning for the message where one is missing.
_NEEDED = {
    "counts": "counts per energy bin in the source aperture",
    "background_counts": "counts per energy bin in the background region (zeros where none)",
    "background_scale": "factor from background region to aperture (0 where none)",
    "exposure": "live time in seconds",
    "summary": "the texts: a struct of the sections",
    "group": "rows that no split may separate; see specclip_datasets.assign_groups",
    "source_name": "name of the source",
}


class TrainingDataError(SpecCLIPError, ValueError):
    """A dataset that cannot be trained on; the message names the column or split and the mend."""


@dataclass
class SplitArrays:
    """Rows of one split.

    Attributes:
        counts: (n, n_bins) int32.
        background_counts: (n, n_bins) int32.
        background_scale: (n,) float32.
        effective_area: (n, n_bins) float32, cm², nan where a row has none; None where
            the dataset has no such column.
        exposure: (n,) float32, s.
        text_ids: (n,) int64, row of each pair's text in `Texts`; equal texts have equal numbers.
        groups: (n,) str.
        table: all columns of the contract.
    """

    counts: np.ndarray
    background_counts: np.ndarray
    background_scale: np.ndarray
    effective_area: np.ndarray | None
    exposure: np.ndarray
    text_ids: np.ndarray
    groups: np.ndarray
    table: pa.Table

    def __len__(self) -> int:
        return len(self.exposure)

    def spectra(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        """Return the columns that the feature extractor takes, for some rows."""
        columns = {name: getattr(self, name) for name in SPECTRUM}
        # Writable, as torch warns of the read-only memory of a table.
        return {
            name: np.require(values[rows], requirements="W")
            for name, values in columns.items()
            if values is not None
        }

    def sample(self, n: int) -> dict[str, np.ndarray]:
        """Return them for about n rows (all, where there are fewer) from all over the split."""
        return self.spectra(slice(None, None, -(-len(self) // n)))

    def order(self, seed: int, stage: str) -> Order:
        """Return the order of the rows in a stage."""
        return Shuffled(seed, stage, len(self))


@dataclass
class Texts:
    """Distinct summaries of a dataset, all splits together.

    Attributes:
        section_mask: (m, sections) bool, True for sections that are not empty.
        entries: `id`, `source_names`, `aliases`, `papers`, `summary`, `split` and `writer` of each,
            as in a gallery.
        embeddings: (m, sections·d) float32, where the model reads sections; see `embed_texts`.
        sentences: sentences of each text, then of each further text, where the model reads
            sentences; see `embed_texts`.
        further: (k, 2) int64, rows of texts with those of further texts about their sources. Only
            training shows further texts, whose rows come after those of `entries`.
        further_entries: as `entries`, of the further texts until they are embedded.
        model: name of the embedder; None where the dataset does not say.
        probe: vector by which a server is recognised, see `literature.embedders.get_embedder`.
    """

    section_mask: np.ndarray
    entries: list[dict[str, Any]]
    embeddings: np.ndarray | None = None
    sentences: SentenceSets | None = None
    further: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    further_entries: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    probe: list[float] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return one vector for each text before alignment: (k, width) float32.

        It is the joined sections, or the mean of the sentences; zeros where there is no text.
        """
        if self.sentences is not None:
            return self.sentences.take(rows).features()
        vectors = self.embeddings[rows].reshape(*self.section_mask[rows].shape, -1)
        return (vectors * self.section_mask[rows][..., None]).reshape(len(rows), -1)

    def fingerprint(self) -> str:
        """Return a hash of the vectors that the model reads."""
        arrays = [self.embeddings]
        if self.sentences is not None:
            names = ("vectors", "numbers", "ids", "sections", "offsets", "named")
            arrays = [getattr(self.sentences, name) for name in names]
            arrays += [self.further] * bool(len(self.further))
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(f"{array.dtype}|{array.shape}|".encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]


@dataclass
class PairData:
    """Dataset in memory, or opened for streaming (`data.streamed`).

    Attributes:
        name: value of `--dataset`.
        splits: the four splits by name.
        texts: distinct texts.
        info: description of the dataset.
        fingerprint: hash of spectra, texts and splits.
        embedded_here: True where this run embedded the texts, not the maker of the dataset.
        leaky: True where the splits cut groups, for a warning (`studies.pair_split`).
    """

    name: str
    splits: dict[str, SplitArrays]
    texts: Texts
    info: SpecCLIPDatasetInfo
    fingerprint: str
    embedded_here: bool = False
    leaky: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Number of rows of each split."""
        return {name: len(split) for name, split in self.splits.items()}

    def describe(self) -> str:
        """Return the number of rows of each split in one line."""
        return ", ".join(f"{name} {rows:,}" for name, rows in self.sizes.items()) + " rows"

    def texts_of(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct texts of a split.

        Returns:
            Their rows in `texts` (k,), and for each row of the split the index into those (n,).
        """
        return np.unique(self.splits[split].text_ids, return_inverse=True)


def load_pairs(
    dataset: str | Path,
    cache_dir: str | Path | None = None,
    needed: Sequence[str] = ("train", "validation"),
) -> PairData:
    """Read a dataset.

    Args:
        dataset: a Hub id, a folder in the contract's form, or a folder of local tables.
        cache_dir: cache of datasets built from local tables.
        needed: splits that must have rows.

    Raises:
        TrainingDataError: when a required column or split is missing, or a group is in two splits.
        specclip_datasets.contract.ContractError: when rows break the contract.
    """
    from specclip_datasets import load

    splits, info = load(dataset, cache_dir)
    tables = {name: splits[name].with_format("arrow")[:] for name in SPLITS if splits.get(name)}
    for name in needed:
        if name not in tables:
            raise TrainingDataError(
                f"{dataset} has no rows in {name}: training learns from `train` and chooses by "
                "`validation`. Split it over its groups (specclip_datasets.split_groups)"
            )
    if not tables:
        raise TrainingDataError(f"{dataset} has no rows")
    reference = next(iter(tables.values()))
    missing = [f"{c} ({why})" for c, why in _NEEDED.items() if c not in reference.column_names]
    if missing:
        raise TrainingDataError(f"{dataset} lacks {'; '.join(missing)}: add what is missing")
    sections, distinct = info.domain.sections, DistinctTexts(info.domain.sections)
    arrays = {}
    for name in SPLITS:
        table = tables.get(name, reference.slice(0, 0))
        numbers = [distinct.add(row, name) for row in _plain_rows(table, TEXT_COLUMNS)]
        arrays[name] = _arrays(table, np.array(numbers, np.int64))
    _refuse_cut_groups(arrays, dataset)
    own = len(distinct.entries)
    further = _further_texts(tables.get("train"), arrays["train"].text_ids, distinct)
    entries = distinct.entries[:own]
    texts = Texts(
        section_mask=section_mask([entry["summary"] for entry in entries], sections),
        entries=entries,
        further=further,
        further_entries=distinct.entries[own:],
        model=info.text_model,
    )
    return PairData(str(dataset), arrays, texts, info, fingerprint_of(arrays, distinct.entries))


def load_embedded_pairs(run: Run) -> PairData:
    """Read the dataset of a run and embed its texts, as two reported stages.

    Raises:
        TrainingDataError: see `load_run_pairs`.
    """
    pairs = load_run_pairs(run)
    with run.stage("text embeddings") as summary:
        with run.accelerator.main_process_first():
            settings = run.preset.text
            embed_texts(pairs, settings, cache_dir=run.cache_dir, progress=run.is_main)
        summary += describe_texts(pairs)
    return pairs


def load_run_pairs(run: Run) -> PairData:
    """Read the dataset of a run, as a reported stage.

    Raises:
        TrainingDataError: see `load_pairs`; also when no summary holds any text.
    """
    with run.stage("data") as summary:
        with run.accelerator.main_process_first():
            pairs = load_pairs(run.dataset, run.cache_dir)
        require_texts(pairs)
        summary.append(pairs.describe())
    return pairs


def require_texts(pairs: PairData) -> None:
    """Refuse a dataset whose texts are all empty.

    Raises:
        TrainingDataError: in that case.
    """
    if not pairs.texts.section_mask.any():
        raise TrainingDataError(f"{pairs.name} has no text in any summary: nothing to align")


def embed_texts(
    pairs: PairData,
    settings: TextSettings,
    *,
    cache_dir: str | Path | None = None,
    progress: bool = False,
) -> None:
    """Embed the texts of a dataset, as sections or as sentences.

    Sections have the dataset's own `text_embedding`, where it has the column. Further texts are
    embedded as sentences only.

    Args:
        pairs: filled in place.
        settings: embedder and form of the texts.
        cache_dir: cache of embeddings; the default cache where None.
        progress: show a bar.

    Raises:
        TrainingDataError: when `text_embedding` has nulls, or there is no such embedder.
    """
    texts, sections = pairs.texts, pairs.info.domain.sections
    as_sections = settings.reads == "sections"
    if as_sections and "text_embedding" in pairs.splits["train"].table.column_names:
        texts.embeddings = _embedding_of_texts(pairs)
        return
    try:
        source = get_embedder(settings.embedder, cache_dir=cache_dir)
    except ValueError as error:
        raise TrainingDataError(str(error)) from error
    options = {"sections": sections, "progress": progress}
    if as_sections:
        summaries = [entry["summary"] for entry in texts.entries]
        texts.embeddings = embed_summaries(summaries, source, **options)
    else:
        entries = texts.entries + texts.further_entries
        summaries = [entry["summary"] for entry in entries]
        names = [entry["source_names"] + entry["aliases"] for entry in entries]
        texts.sentences = embed_sentences(summaries, source, names=names, **options)
        texts.further_entries = []  # as objects they take much memory
        if not settings.quantities:
            texts.sentences.leave_out_quantities()
    texts.model, texts.probe = source.name, probe_vector(source)
    pairs.embedded_here = True


def describe_texts(pairs: PairData) -> list[str]:
    """Describe the embedded texts in a line, and a `text_embedding` that was not used."""
    texts = pairs.texts
    parts = f"{len(texts):,} texts"
    if texts.sentences is not None:
        further = len(texts.sentences) - len(texts)
        parts += f" and {further:,} further texts" * (further > 0)
        parts += f", {len(texts.sentences.vectors):,} distinct sentences"
    lines = [f"{parts} by {texts.model or 'an unnamed model'}"]
    columns = pairs.splits["train"].table.column_names
    if texts.sentences is not None and "text_embedding" in columns:
        lines.append("text_embedding of the dataset is ignored: the preset reads sentences")
    return lines


def thin(spectra: Mapping[str, np.ndarray], smallest: float, draws: Draws) -> dict[str, np.ndarray]:
    """Thin spectra as if they had been observed for a shorter time (Poisson thinning).

    Each photon of a spectrum, of source and background alike, is kept with probability p, and the
    exposure is multiplied by p. A thinned Poisson count is a Poisson count, so this is exact. p is
    drawn evenly in the logarithm between `smallest` and 1, by the draws of the step.
    """
    if smallest >= 1.0:
        return dict(spectra)
    thinned = ("counts", "background_counts", "exposure")
    result = {**spectra, **{name: np.array(spectra[name]) for name in thinned}}
    for row in range(len(result["exposure"])):
        random = draws.row(row, use=_THINNING)
        share = smallest ** random.random()
        for name in thinned[:2]:
            result[name][row] = random.binomial(result[name][row], share)
        result["exposure"][row] *= share
    return result


def _plain_rows(table: pa.Table, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of some columns; some rows at a time, since as objects they take many times
    the memory."""
    for batch in table.select([c for c in names if c in table.column_names]).to_batches(4096):
        yield from batch.to_pylist()


def _further_texts(
    table: pa.Table | None, text_ids: np.ndarray, distinct: DistinctTexts
) -> np.ndarray:
    """Add the further texts of `train`, and return `Texts.further`."""
    if table is None or FURTHER not in table.column_names:
        return np.zeros((0, 2), np.int64)
    pairs = set()
    for own, row in zip(text_ids.tolist(), _plain_rows(table, (*_NAMES, FURTHER)), strict=True):
        for text in row[FURTHER] or ():
            if any(text.values()):
                pairs.add((own, distinct.add({**row, "summary": text}, "train")))
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _arrays(table: pa.Table, text_ids: np.ndarray) -> SplitArrays:
    if FURTHER in table.column_names:
        table = table.drop_columns([FURTHER])
    table = table.combine_chunks()  # so that its arrays are views, not copies
    columns = to_arrays(table.select([name for name in SPECTRUM if name in table.column_names]))
    return SplitArrays(
        counts=columns["counts"],
        background_counts=columns["background_counts"],
        background_scale=columns["background_scale"].astype(np.float32),
        effective_area=columns.get("effective_area"),
        exposure=columns["exposure"].astype(np.float32),
        text_ids=text_ids,
        groups=np.array(table["group"].to_pylist(), dtype=str),
        table=table,
    )


def _embedding_column(table: pa.Table) -> np.ndarray:
    return to_arrays(table.select(["text_embedding"]))["text_embedding"]


def _embedding_of_texts(pairs: PairData) -> np.ndarray:
    """Return the dataset's `text_embedding` of each distinct text."""
    width = pairs.splits["train"].table.schema.field("text_embedding").type.list_size
    result = np.zeros((len(pairs.texts), width), np.float32)
    for name, split in pairs.splits.items():
        nulls = split.table["text_embedding"].null_count
        if nulls:
            raise TrainingDataError(
                f"{pairs.name}: text_embedding is null in {nulls} rows of {name}: fill them, or "
                "drop the column to have all texts embedded here"
            )
        # In reverse, so that the first row of a text counts.
        result[split.text_ids[::-1]] = _embedding_column(split.table)[::-1]
    return result


def _refuse_cut_groups(arrays: dict[str, SplitArrays], dataset: Any) -> None:
    split_of: dict[str, str] = {}
    for name, split in arrays.items():
        for group in np.unique(split.groups).tolist():
            other = split_of.setdefault(group, name)
            if other != name:
                raise TrainingDataError(
                    f"{dataset}: group {group!r} is in {other} and in {name}, so the test would "
                    "measure memory of the field. Split over groups "
                    "(specclip_datasets.split_groups)"
                )


def fingerprint_of(arrays: dict[str, SplitArrays], entries: list[dict]) -> str:
    """Return the hash of spectra, texts and splits (`PairData.fingerprint`)."""
    digest = hashlib.sha256()
    for name, split in arrays.items():
        digest.update(f"{name}|{len(split)}|".encode())
        for values in (*(getattr(split, column) for column in SPECTRUM), split.text_ids):
            if values is not None:
                digest.update(np.ascontiguousarray(values))
        digest.update("\n".join(split.groups).encode())
        if "text_embedding" in split.table.column_names:
            digest.update(_embedding_column(split.table).tobytes())
    for entry in entries:
        digest.update(entry["id"].encode())
    return digest.hexdigest()[:16]
