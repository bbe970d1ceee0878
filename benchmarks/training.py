"""The contrastive loss and the encoder, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPSpectrumConfig, SpecCLIPSpectrumModel
from hf_specclip.loss_specclip import info_nce_loss

from .side_by_side import Comparison, compare


def contrastive_loss() -> Iterator[Comparison]:
    """Ours against transformers' CLIP, open_clip's (where installed) and the bare product."""
    try:
        from open_clip.loss import ClipLoss
    except ImportError:
        ClipLoss = None

    for n in (1024, 4096):
        generator = torch.Generator().manual_seed(0)
        spectra = torch.randn(n, 512, generator=generator, requires_grad=True)
        texts = torch.randn(n, 512, generator=generator, requires_grad=True)
        scale = torch.tensor(14.3, requires_grad=True)

        def backward(
            loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
            spectra: torch.Tensor = spectra,
            texts: torch.Tensor = texts,
        ) -> Callable[[], object]:
            def run() -> None:
                unit = F.normalize(spectra, dim=-1), F.normalize(texts, dim=-1)
                torch.autograd.grad(loss(*unit), (spectra, texts))

            return run

        def ours(s: torch.Tensor, t: torch.Tensor, scale: torch.Tensor = scale) -> torch.Tensor:
            return info_nce_loss(s, t, scale, direction="both")

        rivals = {
            "info_nce_loss(both)": backward(ours),
            "transformers CLIP": backward(
                lambda s, t, scale=scale: image_text_contrastive_loss(t @ s.t() * scale)
            ),
            "open_clip ClipLoss": ClipLoss
            and backward(lambda s, t, scale=scale: ClipLoss()(s, t, scale)),
            "the product alone": backward(lambda s, t, scale=scale: (t @ s.t() * scale).mean()),
        }
        yield compare(f"contrastive loss, {n:,} pairs, forward+backward", (n, "pairs"), rivals, 5)


def encoder() -> Iterator[Comparison]:
    """The default encoder, and what goes before it, in spectra a second."""
    n = 512
    rng = np.random.default_rng(0)
    columns = {
        "counts": rng.poisson(0.3, (n, 400)),
        "background_counts": rng.poisson(0.5, (n, 400)),
        "background_scale": np.full(n, 0.05, dtype=np.float32),
        "exposure": np.full(n, 3e4, dtype=np.float32),
    }
    extractor = SpecCLIPFeatureExtractor(input_kind="physics")
    inputs = extractor(columns, return_tensors="pt")
    model = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig(input_kind="physics"))
    model.fit_statistics(inputs["spectrum_values"], inputs["spectrum_globals"])

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            model(**inputs)

    def step() -> None:
        model.train()
        model(**inputs).pooler_output.square().mean().backward()

    yield compare(
        "default encoder, 400 bins",
        (n, "spectra"),
        {
            "inference": infer,
            "training step": step,
            "feature extraction": lambda: extractor(columns, return_tensors="pt"),
        },
        5,
    )
