"""Benchmarks on an accelerator: `python -m benchmarks.gpu [--json FILE]`.

Training pairs a second and model FLOP utilisation (what the matrix products of the model need, by
what the device does in a product of its own), and the contrastive loss against its three products
alone and against other people's (their time over ours), at batches of 1k to 64k. Without an
accelerator it runs on the CPU, with `--small` in seconds; the device's name stands in every row.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.models.loss_specclip import info_nce_loss
from specclip_training.stages.mini_batches import in_mini_batches

from .peers import open_clip_loss

BATCHES = (1024, 4096, 16_384, 65_536)
# Rows that go through the encoders at once; a larger batch is made of these.
MINI_BATCH = 4096
TEXT_DIM = 384


def training(device: torch.device, batches: tuple[int, ...], peak: float) -> Iterator[dict]:
    """Time training steps of the default dual encoder with the symmetric loss.

    Args:
        device: device to train on.
        batches: pairs of a step.
        peak: FLOP/s of a matrix product on this device, in the precision of the autocast.
    """
    torch.manual_seed(0)
    config = SpecCLIPConfig(text_config={"embedding_dim": TEXT_DIM}, contrastive_loss="infonce")
    model = SpecCLIPModel(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for batch in batches:
        spectra = {
            "spectrum_values": torch.rand(batch, 1, 400, device=device),
            "input_signature": torch.full(
                (batch,), config.spectrum_config.input_signature, device=device
            ),
        }
        texts = {"text_embeds": torch.randn(batch, 3 * TEXT_DIM, device=device)}
        mini = MINI_BATCH if batch > MINI_BATCH else None

        def step(
            spectra: dict[str, torch.Tensor] = spectra,
            texts: dict[str, torch.Tensor] = texts,
            mini: int | None = mini,
        ) -> None:
            with torch.autocast(device.type, torch.bfloat16):
                pair = (
                    in_mini_batches(
                        lambda **x: model.get_spectrum_features(**x).pooler_output, spectra, mini
                    ),
                    in_mini_batches(
                        lambda **x: model.get_text_features(**x).pooler_output, texts, mini
                    ),
                )
                loss = model.contrastive_loss(*pair)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        with FlopCounterMode(display=False) as counter:
            step()
        # The second forward pass of mini-batches saves memory; it is not part of the model's FLOPs.
        useful = counter.get_total_flops() * (3 / 4 if mini else 1)
        seconds, memory = timed(device, step)
        yield {
            "task": "training step",
            "batch": batch,
            "pairs_per_second": batch / seconds,
            "model_flop_utilisation": useful / seconds / peak,
            "peak_mib": memory,
        }


def loss_kernel(device: torch.device, batches: tuple[int, ...], width: int = 512) -> Iterator[dict]:
    """Time the loss, forward and backward, beside the three products that it needs at least."""
    for batch in batches:
        spectra = torch.randn(batch, width, device=device, requires_grad=True)
        texts = torch.randn(batch, width, device=device, requires_grad=True)
        scale = torch.tensor(14.3, device=device)
        rows = max(1, min(batch, 2**26 // batch))
        block = torch.empty(rows, batch, device=device)
        fixed = spectra.detach(), texts.detach()

        def step(
            spectra: torch.Tensor = spectra,
            texts: torch.Tensor = texts,
            scale: torch.Tensor = scale,
        ) -> None:
            loss = info_nce_loss(spectra, texts, scale, direction="both")
            torch.autograd.grad(loss, (spectra, texts))

        def dense(
            loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
            spectra: torch.Tensor = spectra,
            texts: torch.Tensor = texts,
        ) -> None:
            unit = F.normalize(spectra, dim=-1), F.normalize(texts, dim=-1)
            torch.autograd.grad(loss(*unit), (spectra, texts))

        peers = {
            "transformers": lambda s, t, scale=scale: image_text_contrastive_loss(t @ s.t() * scale)
        }
        if ClipLoss := open_clip_loss():
            peers["open_clip"] = lambda s, t, scale=scale, loss=ClipLoss: loss()(s, t, scale)

        def products(
            spectra: torch.Tensor = fixed[0],
            texts: torch.Tensor = fixed[1],
            block: torch.Tensor = block,
            rows: int = rows,
        ) -> None:
            for start in range(0, len(texts), rows):
                some = texts[start : start + rows]
                product = torch.mm(some, spectra.t(), out=block[: len(some)])
                torch.mm(product, spectra)
                torch.mm(product.t(), some)

        ours, memory = timed(device, step)
        limit, _ = timed(device, products)
        rivals = {}
        for name, peer in peers.items():
            try:
                rivals[f"times_{name}"] = timed(device, lambda peer=peer: dense(peer))[0] / ours
            except torch.OutOfMemoryError:
                rivals[f"times_{name}"] = "out of memory"
                torch.cuda.empty_cache()
        yield {
            "task": f"contrastive loss, width {width}",
            "batch": batch,
            "pairs_per_second": batch / ours,
            "share_of_matmul_limit": limit / ours,
            **rivals,
            "peak_mib": memory,
        }


def product_rate(device: torch.device, n: int) -> float:
    """Measure the FLOP/s of a square matrix product in bfloat16."""
    square = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    seconds, _ = timed(device, lambda: torch.mm(square, square))
    return 2 * n**3 / seconds


def timed(device: torch.device, call: Callable[[], Any], repeats: int = 5) -> tuple[float, float]:
    """Return the median seconds of a call and the peak MiB on the device (0 on a CPU)."""
    call()
    wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        wait(device)
        seconds.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    return statistics.median(seconds), memory


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def main(arguments: list[str] | None = None) -> list[dict]:
    """Print the figures and, where asked, write them as JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="also write the rows here")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try that it runs")
    options = parser.parse_args(arguments)
    device = torch.device("cpu")
    if torch.accelerator.is_available():
        device = torch.device(torch.accelerator.current_accelerator() or "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    batches = (32, 64) if options.small else BATCHES
    peak = product_rate(device, 128 if options.small else 8192)
    print(f"{name or device.type}: {peak / 1e12:.3g} TFLOP/s in bfloat16 products")
    rows: list[dict] = []
    for benchmark in (training(device, batches, peak), loss_kernel(device, batches)):
        for row in benchmark:
            rows.append({"device": name or device.type, "torch": torch.__version__, **row})
            print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
                            for k, v in row.items()), flush=True)  # fmt: skip
    if options.json:
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main()
