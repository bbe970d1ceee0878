"""Benchmarks of the contrastive loss and of training in mini-batches, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import torch
import torch.nn.functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from hf_specclip import SpecCLIPSpectrumConfig, SpecCLIPSpectrumModel
from hf_specclip.models.loss_specclip import info_nce_loss
from specclip_training.stages.mini_batches import in_mini_batches

from .peers import installed, open_clip_loss
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


def cached_loss(small: bool = False) -> Iterator[Comparison]:
    """Compare training steps on a whole batch and in mini-batches."""
    n, mini, large = (32, 8, 64) if small else (1024, 128, 16_384)
    default = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig()).train()
    best = SpecCLIPSpectrumModel(
        SpecCLIPSpectrumConfig(
            input_kind="physics", encoder="mlp", hidden_size=256, num_hidden_layers=2
        )
    ).train()
    texts = torch.randn(large, 64, generator=torch.Generator().manual_seed(1))

    def inputs_of(model: SpecCLIPSpectrumModel) -> dict[str, torch.Tensor]:
        config, generator = model.config, torch.Generator().manual_seed(0)
        shape = (large, config.num_channels, config.n_bins)
        inputs = {
            "spectrum_values": torch.rand(shape, generator=generator),
            "input_signature": torch.full((large,), config.input_signature),
        }
        if config.num_globals:
            numbers = torch.rand(large, config.num_globals, generator=generator)
            inputs["spectrum_globals"] = numbers
        return inputs

    def step(
        model: SpecCLIPSpectrumModel, inputs: dict[str, torch.Tensor], rows: int, size: int | None
    ) -> Callable[[], object]:
        def encode(**part: torch.Tensor) -> torch.Tensor:
            return model(**part).pooler_output

        def run() -> None:
            model.zero_grad()
            part = {name: value[:rows] for name, value in inputs.items()}
            spectra = in_mini_batches(encode, part, size)
            info_nce_loss(spectra, texts[:rows], 14.3, direction="both").backward()

        return run

    inputs = inputs_of(default)
    rivals = {
        f"in mini-batches of {mini}": step(default, inputs, n, mini),
        "whole": step(default, inputs, n, None),
        "sentence-transformers' cached loss": _cached_peer(
            default, {name: value[:n] for name, value in inputs.items()}, texts[:n], mini
        ),
    }
    yield compare(f"training step of {n:,}, default encoder", (n, "pairs"), rivals, 2)
    # The whole large batch takes 12 GB. Where there is less, a smaller one shows its speed, but for
    # the loss, whose work grows with the square of the batch.
    enough = psutil.virtual_memory().available > 2**20 * large
    ours, smaller = f"in mini-batches of {mini}", f"whole, of {n:,}"
    yield compare(
        f"training step of {large:,}, default encoder",
        (large, "pairs"),
        {
            ours: step(default, inputs, large, mini),
            "whole": step(default, inputs, large, None) if enough else None,
            smaller: rivals["whole"],
        },
        1,
        {smaller: n},
    )
    inputs = inputs_of(best)
    yield compare(
        f"training step of {large:,}, encoder of `best`",
        (large, "pairs"),
        {
            f"in mini-batches of {8 * mini}": step(best, inputs, large, 8 * mini),
            "whole": step(best, inputs, large, None),
        },
        2,
    )


def _cached_peer(
    model: SpecCLIPSpectrumModel, inputs: dict[str, torch.Tensor], texts: torch.Tensor, mini: int
) -> Callable[[], object] | None:
    """Return a step of sentence-transformers' cached loss over the same encoder and texts."""
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
                embedding = self.model(**features).pooler_output
            return {**features, "sentence_embedding": embedding}

    loss = losses.CachedMultipleNegativesRankingLoss(
        library.SentenceTransformer(modules=[Encoder()], device="cpu"),
        scale=14.3,
        mini_batch_size=mini,
    )

    def run() -> None:
        model.zero_grad()
        loss([dict(inputs), {"texts": texts.clone()}], None).backward()

    return run
