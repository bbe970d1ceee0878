"""The contrastive loss, forward and backward: over one batch, and with mini-batches inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from hf_specclip import SpecCLIPSpectrumConfig, SpecCLIPSpectrumModel
from hf_specclip.loss_specclip import in_mini_batches, info_nce_loss

from .peers import installed, open_clip_loss
from .side_by_side import Comparison, compare

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def contrastive_loss(small: bool = False) -> Iterator[Comparison]:
    """Ours against transformers' CLIP, open_clip's (where installed) and the bare product."""
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
            """Ours brings embeddings to unit length itself; for the others it is done here."""
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


def cached_loss(small: bool = False) -> Iterator[Comparison]:
    """A batch through the default encoder at once, and mini-batch by mini-batch."""
    n, mini, large = (32, 8, 64) if small else (1024, 128, 16_384)
    model = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig()).train()
    values = torch.rand(large, 1, 400, generator=torch.Generator().manual_seed(0))
    signature = torch.full((large,), model.config.input_signature)
    texts = torch.randn(large, 64, generator=torch.Generator().manual_seed(1))

    def encode(spectrum_values: torch.Tensor, input_signature: torch.Tensor) -> torch.Tensor:
        return model(spectrum_values, input_signature=input_signature).pooler_output

    def step(rows: int, size: int | None) -> Callable[[], object]:
        inputs = {"spectrum_values": values[:rows], "input_signature": signature[:rows]}

        def run() -> None:
            model.zero_grad()
            spectra = in_mini_batches(encode, inputs, size)
            info_nce_loss(spectra, texts[:rows], 14.3, direction="both").backward()

        return run

    name = f"in mini-batches of {mini}, batch of"
    rivals = {
        f"{name} {n:,}": step(n, mini),
        f"plain, batch of {n:,}": step(n, None),
        f"sentence-transformers cached, batch of {n:,}": _cached_peer(
            encode, model, values[:n], signature[:n], texts[:n], mini
        ),
        f"{name} {large:,}": step(large, mini),
    }
    sizes = {f"{name} {large:,}": large}
    yield compare("training step, default encoder", (n, "pairs"), rivals, 1 if small else 3, sizes)


def _cached_peer(
    encode: Callable[..., torch.Tensor],
    model: torch.nn.Module,
    values: torch.Tensor,
    signature: torch.Tensor,
    texts: torch.Tensor,
    mini: int,
) -> Callable[[], object] | None:
    """sentence-transformers' cached loss over the same encoder; texts pass as they are."""
    library = installed("sentence_transformers")
    losses = installed("sentence_transformers.losses")
    if library is None or losses is None:
        return None

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            if "texts" in features:
                embedding = F.normalize(features["texts"], dim=-1)
            else:
                embedding = encode(features["values"], features["signature"])
            return {**features, "sentence_embedding": embedding}

    loss = losses.CachedMultipleNegativesRankingLoss(
        library.SentenceTransformer(modules=[Encoder()], device="cpu"),
        scale=14.3,
        mini_batch_size=mini,
    )
    features = [{"values": values, "signature": signature}, {"texts": texts.clone()}]

    def run() -> None:
        model.zero_grad()
        loss([dict(part) for part in features], None).backward()

    return run
