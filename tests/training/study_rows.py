"""Synthetic representations of a run for the studies, with a hardness and four classes in them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from stub_embedder import unit

from hf_specclip import VARIABLES
from specclip_datasets.contract import list_array
from specclip_training.studies.representations import SplitRepresentations

CLASSES = ("QSO", "Seyfert_1", "LMXB", "TDE")


def invented_run(folder: Path) -> SimpleNamespace:
    evaluation = SimpleNamespace(n_bootstrap=30)
    return SimpleNamespace(
        output=folder, seed=0, is_main=True, preset=SimpleNamespace(evaluation=evaluation)
    )


def invented_split(n: int, name: str, *, metadata: bool = True) -> SplitRepresentations:
    """Draw two detections a source; dimension 0 of the spectra is `hard_hs` and the exposure."""
    random = np.random.default_rng([n, len(name)])
    group = np.arange(n) // 2
    kind = random.choice(4, n // 2, p=[0.4, 0.3, 0.25, 0.05])[group]
    centres = np.random.default_rng(7).normal(size=(4, 8))
    spectrum = centres[kind] + 0.6 * random.normal(size=(n, 8))
    text = np.tile(centres[kind], 3)[:, :18] + 0.3 * random.normal(size=(n // 2, 18))[group]
    blank = np.full(n, np.nan)
    targets = dict.fromkeys(VARIABLES, blank) | {
        "hard_hs": spectrum[:, 0] + 0.2 * random.normal(size=n),
        "powlaw_gamma": np.where(np.arange(n) % 3, np.nan, random.normal(size=n)),
    }
    table = {
        "source_name": [f"2CXO J{name[:2]}{g:04d}" for g in group],
        "counts": list_array(random.poisson(0.3, (n, 400)).astype(np.int32)),
        "background_counts": list_array(random.poisson(0.1, (n, 400)).astype(np.int32)),
        "background_scale": np.full(n, 0.1, np.float32),
        "exposure": (10 ** (4 + 0.3 * spectrum[:, 0])).astype(np.float32),
    }
    if metadata:
        table["theta"] = random.uniform(0, 10, n).astype(np.float32)
        table["year"] = random.uniform(2000, 2020, n).astype(np.float32)
        table["detector"] = np.where(random.random(n) < 0.5, "ACIS-S", "ACIS-I").tolist()
    return SplitRepresentations(
        spectrum=spectrum.astype(np.float32),
        encoder=spectrum.astype(np.float32),
        text=text.astype(np.float32),
        has_text=np.ones(n, bool),
        shared_spectrum=unit(spectrum).astype(np.float32),
        shared_text=unit(text[:, :8]).astype(np.float32),
        features=(spectrum[:, :4] + random.normal(size=(n, 4))).astype(np.float32),
        targets=targets,
        lower=dict.fromkeys(VARIABLES, blank),
        upper=dict.fromkeys(VARIABLES, blank),
        groups=np.array([f"{name}-{g}" for g in group]),
        text_ids=group.astype(np.int64) + 10_000 * len(name),
        classes=np.array(CLASSES, dtype=object)[kind],
        table=pa.table(table),
    )


def invented(metadata: bool = True) -> dict[str, SplitRepresentations]:
    sizes = {"train": 400, "calibration": 20, "validation": 240, "test": 200}
    return {name: invented_split(n, name, metadata=metadata) for name, n in sizes.items()}
