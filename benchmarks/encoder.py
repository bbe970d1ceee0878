"""Benchmarks of the spectrum encoder beside encoders of other sizes, in spectra a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from transformers import PatchTSTConfig, PatchTSTModel

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPSpectrumConfig, SpecCLIPSpectrumModel

from .side_by_side import Comparison, compare


def encoder(small: bool = False) -> Iterator[Comparison]:
    """Compare our encoders (default, and that of `best`) with peers, on 400 bins."""
    n, few = (16, 2) if small else (512, 16)
    rng = np.random.default_rng(0)
    columns = {
        "counts": rng.poisson(0.3, (n, 400)),
        "background_counts": rng.poisson(0.5, (n, 400)),
        "background_scale": np.full(n, 0.05, dtype=np.float32),
        "exposure": np.full(n, 3e4, dtype=np.float32),
    }
    extractor = SpecCLIPFeatureExtractor(input_kind="physics")
    inputs = extractor(columns, return_tensors="pt")

    def fitted_model(**settings: object) -> SpecCLIPSpectrumModel:
        model = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig(input_kind="physics", **settings))
        model.fit_statistics(inputs["spectrum_values"], inputs["spectrum_globals"])
        return model

    default = fitted_model()
    best = fitted_model(encoder="mlp", hidden_size=256, num_hidden_layers=2)
    # As large as AstroCLIP's SpecFormer (43 M) and as CLIP's ViT-B (86 M), on these bins.
    specformer = fitted_model(
        patch_size=10, hidden_size=768, num_hidden_layers=6, num_attention_heads=6,
        intermediate_size=3072, decoder_hidden_size=768,
    )  # fmt: skip
    vit = fitted_model(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        decoder_hidden_size=768,
    )
    patch_tst = PatchTSTModel(
        PatchTSTConfig(
            num_input_channels=1, context_length=400, patch_length=20, patch_stride=20,
            d_model=256, num_hidden_layers=4, num_attention_heads=4, ffn_dim=1024,
        )
    )  # fmt: skip
    counts = torch.from_numpy(columns["counts"]).float()[:, :, None]

    def encode(model: SpecCLIPSpectrumModel, rows: int) -> Callable[[], torch.Tensor]:
        first = {name: value[:rows] for name, value in inputs.items()}
        return lambda: model(**first).pooler_output

    runs: dict[str, tuple[torch.nn.Module, Callable[[], torch.Tensor], int]] = {
        "default encoder": (default, encode(default, n), n),
        "encoder of `best`": (best, encode(best, n), n),
        "PatchTST, 4 layers of 256": (
            patch_tst,
            lambda: patch_tst(past_values=counts[:few]).last_hidden_state,
            few,
        ),
        "SpecFormer's size (43 M)": (specformer, encode(specformer, few), few),
        "CLIP ViT-B's size (86 M)": (vit, encode(vit, few), few),
    }

    def infer(model: torch.nn.Module, call: Callable[[], torch.Tensor]) -> Callable[[], object]:
        def run() -> None:
            model.eval()
            with torch.inference_mode():
                call()

        return run

    sizes = {name: rows for name, (_, _, rows) in runs.items()}
    rivals = {name: infer(model, call) for name, (model, call, _) in runs.items()}
    yield compare("encoder, inference", (n, "spectra"), rivals, 1 if small else 3, sizes)
