"""Small data with known structure for the mixture of experts."""

import numpy as np

from specclip_training.studies.experts.data import ExpertData, FitSettings

NAMES = ["plain", "positive", "signed", "rare", "unknown"]
QUICK = FitSettings(
    text_components=6, network_hidden=(16,), network_epochs=4, neighbours=(5, 15),
    gate_steps=40,
)  # fmt: skip
WIDTHS = {"spectrum": 8, "text": 12, "shared_spectrum": 5, "shared_text": 5, "features": 7}


def make(n: int, seed: int) -> ExpertData:
    """Six hidden numbers of a source, seen through every view; two rows share a group and text."""
    random, fixed = np.random.default_rng([1, seed]), np.random.default_rng(2)
    group = np.arange(n) // 2
    hidden = random.normal(size=(n // 2 + 1, 4))[group]
    views = {}
    for name, width in WIDTHS.items():
        seen = hidden @ fixed.normal(size=(4, width))
        noise = random.normal(size=seen.shape)
        if "text" in name:
            noise = random.normal(size=(n // 2 + 1, width))[group]
        seen = seen + 0.7 * noise
        if name.startswith("shared"):
            seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        views[name] = seen.astype(np.float32)
    noisy = hidden + 0.2 * random.normal(size=hidden.shape)
    targets = np.stack(
        [noisy[:, 0], np.exp(2.5 * noisy[:, 1]), np.sinh(3 * noisy[:, 2]), 5 + noisy[:, 3],
         np.full(n, np.nan)], axis=1,
    )  # fmt: skip
    targets[random.random(n) < 0.5, 3] = np.nan
    return ExpertData(
        views=views,
        has_text=np.ones(n, bool),
        targets=targets,
        lower=targets - 0.2,
        upper=targets + 0.2,
        groups=np.array([f"{seed}-{g}" for g in group]),
        text_ids=group,
    )


def model_inputs(data: ExpertData, text: bool = True) -> dict:
    """Arguments of the forward pass."""
    inputs = data.tensors()
    if not text:
        inputs = {k: v for k, v in inputs.items() if "text" not in k}
    return inputs
