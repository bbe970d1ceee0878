"""Growth of each cost over a factor of a hundred in size: the exponent p of time ∝ sizeᵖ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPSpectrumConfig, SpecCLIPSpectrumModel
from hf_specclip.evaluation.ranks import match_ranks
from hf_specclip.models.loss_specclip import info_nce_loss
from hf_specclip.search.index import SpecCLIPIndex
from hf_specclip.spectra.rebin import deal_counts_batch, energy_grid

from .retrieval import WIDTH, unit


def growth(small: bool = False) -> Iterator[dict[str, object]]:
    """Yield a row for each cost: sizes, processor seconds at each, and the fitted exponent."""
    rng = np.random.default_rng(0)
    channels, bins = 0.0146 * np.arange(1025), energy_grid()
    extractor = SpecCLIPFeatureExtractor(input_kind="physics")
    model = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig()).eval()
    plain = SpecCLIPFeatureExtractor()

    def rebin(n: int) -> Callable[[], object]:
        counts = rng.poisson(0.2, (n, 1024))
        return lambda: deal_counts_batch(counts, channels, bins, np.arange(n))

    def features(n: int) -> Callable[[], object]:
        counts = rng.poisson(0.2, (n, 400))
        columns = {"counts": counts, "exposure": np.full(n, 1e4, np.float32)}
        return lambda: extractor(columns, return_tensors="pt")

    def encode(n: int) -> Callable[[], object]:
        inputs = plain(rng.poisson(0.2, (n, 400)), return_tensors="pt")

        def run() -> None:
            with torch.inference_mode():
                for start in range(0, n, 512):
                    model(**{k: v[start : start + 512] for k, v in inputs.items()})

        return run

    def loss(n: int) -> Callable[[], object]:
        spectra = torch.randn(n, WIDTH, requires_grad=True)
        texts = torch.randn(n, WIDTH)
        return lambda: info_nce_loss(spectra, texts, 14.3, direction="both").backward()

    def search(n: int) -> Callable[[], object]:
        index = SpecCLIPIndex([{"id": str(i)} for i in range(n)], unit(rng.normal(size=(n, WIDTH))))
        queries = unit(rng.normal(size=(50, WIDTH)))
        return lambda: index.search(queries, 10)

    def ranks(n: int) -> Callable[[], object]:
        texts = unit(rng.normal(size=(n, WIDTH)))
        return lambda: match_ranks(texts, texts, np.arange(n))

    costs: dict[str, tuple[Callable[[int], Callable[[], object]], int, str]] = {
        "rebinning": (rebin, 100, "spectra"),
        "feature extraction": (features, 100, "spectra"),
        "encoder inference": (encode, 40, "spectra"),
        "contrastive loss": (loss, 80, "pairs in a batch"),
        "exact search, 50 queries": (search, 1_000, "vectors"),
        "ranks, both directions": (ranks, 80, "pairs"),
    }
    for task, (make, least, item) in costs.items():
        sizes = [least, least * 10, least * 100] if not small else [10, 20, 40]
        seconds = []
        for size in sizes:
            call = make(size)
            call()
            times = []
            for _ in range(3):
                start = time.process_time()
                call()
                times.append(time.process_time() - start)
            seconds.append(max(min(times), 1e-9))
        slope, _ = np.polyfit(np.log(sizes[-2:]), np.log(seconds[-2:]), 1)
        yield {
            "task": f"growth, {task}",
            "item": item,
            "sizes": sizes,
            "cpu_seconds": seconds,
            "exponent": float(slope),
        }
