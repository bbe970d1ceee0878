"""Retrieval of a finished model on any dataset, by writer.

accelerate launch training/retrieval.py --model runs/best --dataset DIR --split all
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_specclip.describe.load_model import load_dual_encoder
from hf_specclip.evaluation import GroupBootstrap
from hf_specclip.literature.embedders.identity import check_embedder
from hf_specclip.models.trained_run import find_run
from hf_specclip.storage import write_json
from specclip_training.data.pairs import (
    SPLITS,
    PairData,
    SplitArrays,
    TrainingDataError,
    embed_texts,
    load_pairs,
    require_texts,
)
from specclip_training.data.shard_job import call_job
from specclip_training.data.writers import unseen_writers
from specclip_training.engine.presets import EvaluationSettings
from specclip_training.reports.blocks import Paragraph, Section, Table, to_markdown
from specclip_training.reports.retrieval import TITLES, writers_section
from specclip_training.stages.embedding import EmbeddedPairs, embed_pairs
from specclip_training.stages.fine_tuning import text_settings
from specclip_training.studies.measure import measure_by_writer
from specclip_training.studies.pair_split import join_splits

EVERY = "all"


@torch.no_grad()
def measure_model(
    name: str,
    pairs: PairData,
    split: str,
    accelerator: Accelerator,
    *,
    embedder: str | None = None,
    cache_dir: Path | None = None,
    settings: EvaluationSettings | None = None,
) -> dict[str, Any]:
    """Measure retrieval of a finished model on a split of a dataset.

    Args:
        name: a run, a model folder, or `user/name` on the Hub.
        pairs: the dataset; its texts are embedded here.
        split: a split with rows, or `all` for all rows together.
        accelerator: device and processes.
        embedder: of the texts; the model's own where None.
        cache_dir: cache of embeddings.
        settings: percentages and draws of the bootstrap.

    Returns:
        `measure_by_writer`'s figures.

    Raises:
        TrainingDataError: for a split without rows, or texts by another embedder than the model's.
    """
    model, extractor = load_dual_encoder(find_run(name))
    texts = model.config.text_config
    require_texts(pairs)
    settings_of_texts = text_settings(model.config, embedder)
    with accelerator.main_process_first():
        try:
            embed_texts(
                pairs,
                settings_of_texts,
                cache_dir=cache_dir,
                progress=accelerator.is_main_process,
            )
            check_embedder(
                pairs.texts.model, texts.embedder_name, pairs.texts.probe, texts.embedder_probe
            )
        except ValueError as error:
            own = "" if pairs.embedded_here else f"; or drop text_embedding of {pairs.name}"
            raise TrainingDataError(f"{error}{own}") from error
    if split == EVERY:
        pairs.splits[EVERY] = join_splits(pairs)
    if not len(pairs.splits[split]):
        raise TrainingDataError(f"{pairs.name} has no rows in {split}")
    model.to(accelerator.device)
    settings = settings or EvaluationSettings()
    embedded = embed_pairs(model, extractor, pairs, split, accelerator)
    figures = measure_by_writer(embedded, pairs, split, settings)
    figures["all"]["over_sources"] = median_over_sources(
        embedded, pairs.splits[split], settings.n_bootstrap
    )
    return figures


def median_over_sources(
    embedded: EmbeddedPairs, rows: SplitArrays, n_bootstrap: int
) -> dict[str, Any]:
    """Measure the median rank of the right text, each source counted once.

    A source's rank is the median over its spectra, as a share of the gallery.

    Returns:
        `value`, `low`, `high` (95 %, over groups) and `n`, the number of sources.
    """
    ranks = embedded.ranks()["spectrum_to_text"]
    names = np.asarray(rows.table["source_name"].to_pylist())
    sources, first, owner = np.unique(names, return_index=True, return_inverse=True)
    values = [np.median(ranks.expected[owner == i]) / ranks.n_gallery for i in range(len(sources))]
    bootstrap = GroupBootstrap(rows.groups[first], n_bootstrap)
    low, high = bootstrap.interval(bootstrap.medians(np.array(values)))
    return {"value": float(np.median(values)), "low": low, "high": high, "n": len(sources)}


def main(arguments: argparse.Namespace) -> Accelerator:
    """Run the command."""
    accelerator = Accelerator()
    cache_dir = None if arguments.cache_dir is None else Path(arguments.cache_dir)
    with accelerator.main_process_first():
        pairs = load_pairs(arguments.dataset, cache_dir, needed=())
    figures = measure_model(
        arguments.model,
        pairs,
        arguments.split,
        accelerator,
        embedder=arguments.embedder,
        cache_dir=cache_dir,
        settings=EvaluationSettings(n_bootstrap=arguments.bootstrap),
    )
    if accelerator.is_main_process:
        simulated = "simulated " if pairs.info.simulated else ""
        about = (
            f"`{arguments.model}` on the {simulated}rows of `{pairs.name}` (split "
            f"{arguments.split}), 95 % bootstrap intervals over groups."
        )
        unseen = unseen_writers(pairs)
        over = figures["all"]["over_sources"]
        once = (
            f"Spectrum → text, each of {over['n']:,} sources counted once: median rank "
            f"{over['value']:.1%} ({over['low']:.1%} to {over['high']:.1%}) of the gallery."
        )
        sections = [
            Section("Data", [Paragraph(about), _groups(pairs, arguments.split), Paragraph(once)])
        ]
        sections += [writers_section(figures, {}, unseen, direction) for direction in TITLES]
        print(to_markdown("Retrieval", sections, Path()))
        if arguments.output:
            write_json(
                Path(arguments.output),
                {"dataset_fingerprint": pairs.fingerprint, "by_writer": figures},
            )
    return accelerator


def _groups(pairs: PairData, split: str) -> Table:
    rows = pairs.splits[split]
    counts = [len(rows), len(pairs.texts_of(split)[0]), len(set(rows.groups.tolist()))]
    return Table(["pairs", "distinct texts", "groups"], [[f"{count:,}" for count in counts]])


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = argparse.ArgumentParser(
        description="Measure retrieval of a finished model on any dataset, by writer.",
        epilog="""\
The dataset has the contract's columns; it need not be the one the model was trained on.

  accelerate launch training/retrieval.py --model runs/best --dataset DATASET --split all""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--model", required=True, metavar="RUN|HUB_ID", help="a finished model")
    command.add_argument("--dataset", required=True, metavar="FOLDER|HUB_ID", help="pairs")
    command.add_argument(
        "--split", choices=[*SPLITS, EVERY], default="test", help="default: %(default)s"
    )
    command.add_argument(
        "--embedder", metavar="NAME", help="embedder of the texts (default: the model's own)"
    )
    command.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="draws (default: %(default)s)"
    )
    command.add_argument("--output", metavar="FILE", help="also write the figures as JSON")
    command.add_argument("--cache-dir", metavar="DIR", help="cache of text embeddings")
    return command


if __name__ == "__main__":
    sys.exit(call_job(main, options().parse_args()))
