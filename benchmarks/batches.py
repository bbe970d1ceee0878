"""Answers of the bundled model to many spectra that are read already."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hf_specclip.describe.describer import Describer
from hf_specclip.spectra import read_spectrum

from .side_by_side import Comparison, compare
from .spectra import write_sets

ONE_BY_ONE, DESCRIBED = "embed, one by one", "classes, variables, neighbours, outliers"


def batches(small: bool = False) -> Iterator[Comparison]:
    """Compare embedding in batches with one by one, and with all answers but the fit."""
    n, few, some = (6, 2, 2) if small else (10_000, 500, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        spectrum = read_spectrum(write_sets(Path(folder), 1)[0])
    rng = np.random.default_rng(0)
    mean = np.maximum(spectrum.counts, 0.2)
    spectra = [spectrum.replace(counts=rng.poisson(mean)) for _ in range(n)]
    describer = Describer.from_pretrained()

    def embed() -> None:
        for start in range(0, n, 256):
            describer.embed(spectra[start : start + 256])

    rivals = {
        "embed, batches of 256": embed,
        ONE_BY_ONE: lambda: [describer.embed([spectrum]) for spectrum in spectra[:few]],
        DESCRIBED: lambda: list(describer.describe_many(spectra[:some])),
    }
    sizes = {ONE_BY_ONE: few, DESCRIBED: some}
    yield compare("bundled model, after reading", (n, "spectra"), rivals, 1, sizes)
