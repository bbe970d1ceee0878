"""Benchmark of the contrastive loss, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from hf_specclip.models.loss_specclip import info_nce_loss

from .peers import open_clip_loss
from .side_by_side import Comparison, compare

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def contrastive_loss(small: bool = False) -> Iterator[Comparison]:
    """Compare our loss with transformers' CLIP, open_clip (where installed) and one product."""
    ClipLoss = open_clip_loss()
    cases = ((64, 16, 2),) if small else ((1024, 512, 9), (4096, 512, 3), (8192, 512, 3))
    for n, width, repeats in cases:
        generator = torch.Generator().manual_seed(0)
        spectra = torch.randn(n, width, generator=generator, requires_grad=True)
        texts = torch.randn(n, width, generator=generator, requires_grad=True)
        scale = torch.tensor(14.3, requires_grad=True)

        def backward(
            loss: Loss, spectra: torch.Tensor = spectra, texts: torch.Tensor = texts
        ) -> Callable[[], object]:
            def run() -> None:
                torch.autograd.grad(loss(spectra, texts), (spectra, texts))

            return run

        def of_unit(loss: Loss) -> Loss:
            """Normalise the embeddings first, as our loss does itself."""
            return lambda s, t: loss(F.normalize(s, dim=-1), F.normalize(t, dim=-1))

        def ours(s: torch.Tensor, t: torch.Tensor, scale: torch.Tensor = scale) -> torch.Tensor:
            return info_nce_loss(s, t, scale, direction="both")

        rivals = {
            "info_nce_loss(both)": backward(ours),
            "transformers CLIP": backward(
                of_unit(lambda s, t, scale=scale: image_text_contrastive_loss(t @ s.t() * scale))
            ),
            "open_clip ClipLoss": ClipLoss
            and backward(of_unit(lambda s, t, scale=scale: ClipLoss()(s, t, scale))),
            "the product alone": backward(
                of_unit(lambda s, t, scale=scale: (t @ s.t() * scale).mean())
            ),
        }
        yield compare(f"contrastive loss, {n:,} pairs of {width}", (n, "pairs"), rivals, repeats)
