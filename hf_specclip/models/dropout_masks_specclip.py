"""Dropout that hides the same the second time, without drawing again.

Where a forward pass is run twice (`in_mini_batches`), both must hide the same. Drawing the same
random numbers anew does that, but on a CPU costs a third of the whole pass: a mask kept at a bit an
entry is read back twenty times as fast as it is drawn.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Functions that hide at random. Only inside them a look is taken at each operation, which costs
# some ten microseconds apiece.
_HIDING = (F.dropout, F.scaled_dot_product_attention)
# What is kept lies in few large pieces, which only take what was written to: a small array for each
# dropout would lie in the places of larger ones that come and go, so that those find none.
_PIECE_BYTES = 2**26


class KeptMasks:
    """
    The dropout of many forward passes on a CPU, each run twice.

    On a CPU dropout, that of attention too, is made of what `Tensor.bernoulli_` drew. Everything
    else is left as it is: on accelerators drawing is part of the kernel, and other random numbers
    come from the generator, whose state the second pass has after each mask as the first had it.
    """

    def __init__(self) -> None:
        self._piece = np.empty(0, np.uint8)

    def contexts(self) -> tuple["_InDropout", "_InDropout"]:
        """
        For the first pass and for the second of one call, as `context_fn` of
        `torch.utils.checkpoint.checkpoint` wants them. The second may be entered again.
        """
        kept: list[np.ndarray] = []
        return _InDropout(_KeepMasks(self, kept)), _InDropout(_PlayMasks(self, kept))

    def store(self, values: np.ndarray) -> np.ndarray:
        """A copy of bytes that lies with the others."""
        if len(values) > len(self._piece):
            self._piece = np.empty(max(_PIECE_BYTES, len(values)), np.uint8)
        place, self._piece = np.split(self._piece, [len(values)])
        place[:] = values
        return place


class _InDropout(TorchFunctionMode):
    """Lets what is done with masks be done in dropout."""

    def __init__(self, masks: "_KeepMasks"):
        super().__init__()
        self.masks = masks

    def __enter__(self) -> "_InDropout":
        self.masks.begin()
        super().__enter__()
        return self

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        with self.masks if func in _HIDING else contextlib.nullcontext():
            return func(*args, **(kwargs or {}))


class _KeepMasks(TorchDispatchMode):
    """Masks are drawn, and kept."""

    def __init__(self, masks: KeptMasks, kept: list[np.ndarray]):
        super().__init__()
        self.masks, self.kept = masks, kept

    def begin(self) -> None:
        """A pass begins."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.bernoulli_.float and not kwargs and args[0].device.type == "cpu":
            self._fill(*args)
            return args[0]
        return func(*args, **(kwargs or {}))

    def _fill(self, mask: torch.Tensor, p: float = 0.5) -> None:
        mask.bernoulli_(p)
        self.kept.append(self.masks.store(np.packbits((mask != 0).numpy())))
        self.kept.append(self.masks.store(torch.get_rng_state().numpy()))


class _PlayMasks(_KeepMasks):
    """Masks are those that were kept."""

    def begin(self) -> None:
        self._next = iter(self.kept)

    def _fill(self, mask: torch.Tensor, p: float = 0.5) -> None:
        bits = np.unpackbits(next(self._next), count=mask.numel())
        torch.set_rng_state(torch.from_numpy(next(self._next)))
        mask.copy_(torch.from_numpy(bits).view(mask.shape))
