"""A tiny dataset and a tiny preset, for runs of the whole chain within seconds."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from accelerate import Accelerator

from specclip_datasets.contract import list_array
from specclip_datasets.folder import write_dataset
from specclip_datasets.info import SpecCLIPDatasetInfo
from specclip_training.engine.commands import Run
from specclip_training.engine.presets import Preset

TEXT_DIM = 6
SIZES = {"train": 60, "calibration": 4, "validation": 20, "test": 20}

TINY = """
name: tiny
spectrum: {patch_size: 50, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2,
  intermediate_size: 16, latent_dim: 8, decoder_hidden_size: 16, decoder_layers: 1, dropout: 0.1}
model: {shared_dim: 8, projection_hidden_size: 16, dropout: 0.1}
pretrain: {steps: 6, batch_size: 16, checkpoint_every: 2, validate_every: 3}
align: {steps: 12, batch_size: 16, checkpoint_every: 3, validate_every: 4}
evaluation: {n_bootstrap: 50}
"""
# As TINY, with sentences and everything that draws random numbers: thinning, masking, subsets of
# sentences, dropout.
RICH = [
    "text.reads=sentences", "model.text_hidden_size=16", "model.text_heads=2",
    "model.text_frequencies=2",
    "align.sentence_dropout=0.5", "align.unlabelled=0.3", "align.second_text=true",
    "align.text_loss=0.3",
    "spectrum.input_kind=flux", "spectrum.reconstruction_loss=poisson",
    "spectrum.mask_ratio=0.25", "pretrain.thinning=0.3", "align.thinning=0.3",
    "align.freeze_spectrum=false", "align.section_dropout=0.3", "align.criterion=mean_log_rank",
    "model.contrastive_loss=infonce", "align.optimizer=adamw", "align.schedule=cosine",
    "align.ema=0.8",
]  # fmt: skip


def rows(n: int, split: str, *, embedded: bool, seed: int = 0) -> pa.Table:
    """Pairs whose text knows how hard the spectrum is; two detections share a text and a group."""
    random = np.random.default_rng([seed, len(split), n])
    source = np.arange(n) // 2
    hard = random.normal(size=n // 2 + 1)[source]
    x = np.linspace(-1, 1, 400)
    rate = np.exp(0.5 * hard[:, None] * x) * random.uniform(0.2, 0.6, n)[:, None]
    table = {
        "source_name": [f"2CXO J{split[:3]}{i:04d}" for i in source],
        "obsid": np.arange(n, dtype=np.int32),
        "obi": np.zeros(n, dtype=np.int32),
        "region_id": np.ones(n, dtype=np.int32),
        "ra": random.uniform(0, 360, n),
        "dec": random.uniform(-90, 90, n),
        "group": [f"{split}-{i}" for i in source],
        "exposure": random.uniform(1e4, 5e4, n).astype(np.float32),
        "counts": list_array(random.poisson(rate).astype(np.int32)),
        "background_counts": list_array(random.poisson(0.5, (n, 400)).astype(np.int32)),
        "background_scale": np.full(n, 0.05, dtype=np.float32),
        # Here and there it is not known.
        "effective_area": pa.array(
            [None if i % 7 == 3 else np.linspace(50 + 5 * (i % 5), 600, 400) for i in range(n)],
            pa.list_(pa.float32(), 400),
        ),
        "papers": [[{"id": f"2020Test{i}", "id_type": "bibcode", "title": "T", "year": 2020}]
                   for i in source],
        "summary": [
            {"identity": f"{split} source {i}", "spectrum": f"hardness {h:.2f}",
             "context": None if i % 3 == 0 else f"field {i}"}
            for i, h in zip(source, hard, strict=True)
        ],
        # Of some sources in train.
        "further_texts": [
            [{"identity": None, "spectrum": f"hardness ratio of {h:.2f}", "context": f"near {i}"}]
            if i % 3 == 1 and split == "train" else []
            for i, h in zip(source, hard, strict=True)
        ],
    }  # fmt: skip
    if embedded:
        vectors = np.repeat(hard[:, None], 3 * TEXT_DIM, axis=1) + 0.1 * np.sin(
            np.outer(source + 1.0, np.arange(3 * TEXT_DIM) + 1.0)
        )
        table["text_embedding"] = list_array(vectors.astype(np.float32))
    return pa.table(table)


def make_run(output: Path, preset: Preset, **changes) -> Run:
    """Return a run of this process alone."""
    settings = {"dataset": "none", "seed": 0, "max_steps": None, "cache_dir": None, "command": ""}
    return Run(preset, output=output, accelerator=Accelerator(cpu=True), **settings | changes)


def make_dataset(folder: Path, *, embedded: bool = True, sizes: dict = SIZES) -> Path:
    info = SpecCLIPDatasetInfo(
        name="tiny", simulated=True, text_model="test-embedder" if embedded else None
    )
    splits = {name: rows(n, name, embedded=embedded) for name, n in sizes.items()}
    return write_dataset(folder, splits, info)
