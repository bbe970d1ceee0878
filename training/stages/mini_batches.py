"""Gradient caching: encoders applied to a large batch some rows at a time (Gao et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.utils.checkpoint import checkpoint


def in_mini_batches(
    function: Callable[..., torch.Tensor], inputs: Mapping[str, torch.Tensor], size: int | None
) -> torch.Tensor:
    """Apply an encoder to a batch in mini-batches, with the gradients of the full batch.

    Memory grows with the mini-batch while the loss is still that of the whole batch. The backward
    pass runs the encoder again, mini-batch by mini-batch, with the same random numbers: gradients
    are exact, at the price of a second forward pass.

    Args:
        function: takes the inputs by name, gives `(rows, …)`; each row must depend on its own
            inputs alone.
        inputs: tensors `(n, …)` of as many rows.
        size: rows at once; `None` for all.

    Returns:
        `(n, …)`, as `function(**inputs)` would give.

    Raises:
        ValueError: inputs of different lengths, or a size below 1.

    Example:
        >>> from hf_specclip.models.loss_specclip import info_nce_loss
        >>> encoder, texts = torch.nn.Linear(400, 64), torch.randn(4096, 64)
        >>> spectra = in_mini_batches(encoder, {"input": torch.randn(4096, 400)}, size=512)
        >>> info_nce_loss(spectra, texts, logit_scale=1 / 0.07).backward()
    """
    lengths = {len(value) for value in inputs.values()}
    if len(lengths) != 1:
        raise ValueError(f"inputs have {sorted(lengths)} rows, they must have equally many")
    if size is not None and size < 1:
        raise ValueError(f"mini-batches of {size} rows: give 1 or more, or None for all at once")
    if size is None or lengths.pop() <= size:
        return function(**inputs)

    def encode(*values: torch.Tensor) -> torch.Tensor:
        return function(**dict(zip(inputs, values, strict=True)))

    mini_batches = zip(*(value.split(size) for value in inputs.values()), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([encode(*values) for values in mini_batches])
    # The tensors are arguments, not in the closure: checkpoint keeps the random numbers of the
    # devices of its arguments alone, and other dropout in the second pass is another gradient.
    return torch.cat([checkpoint(encode, *values, use_reentrant=False) for values in mini_batches])
