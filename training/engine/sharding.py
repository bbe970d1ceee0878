"""Weights that lie in parts on several processes (FSDP), and whole ones made of them.

Checkpoints, validation and what is saved know whole weights alone, so a run goes on with or without
sharding. A process holds the whole model once beside its part, for validation. FSDP cuts no
scalars, such as the logarithm of a temperature: where weights are cut, they are vectors of one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from specclip_training.engine.checkpoint import flatten_optimizer, restore_optimizer


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether `prepare` cuts models into parts.

    Raises:
        ValueError: for FSDP's first version, whose parts are no tensors of their own.
    """
    if accelerator.distributed_type != DistributedType.FSDP:
        return False
    if not accelerator.is_fsdp2:
        raise ValueError(
            "FSDP 1 is not supported: give fsdp_version: 2, as in "
            "training/configs/accelerate/fsdp.yaml"
        )
    return True


def sharded_copy(task: Any) -> Any:
    """The same task around a copy of its model, to be cut into parts; data are shared."""
    twin = copy.copy(task)
    twin.model = copy.deepcopy(task.model)
    for module in twin.model.modules():
        for name, scalar in list(module.named_parameters(recurse=False)):
            if scalar.dim() == 0:
                vector = scalar.detach().reshape(1)
                setattr(module, name, torch.nn.Parameter(vector, scalar.requires_grad))
    return twin


def whole(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors by name with parts put together; all processes must call where there are parts."""
    return {
        name: value.full_tensor() if _parted(value) else value for name, value in tensors.items()
    }


@torch.no_grad()
def load_full(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a model, in parts or not, whole weights.

    Raises:
        RuntimeError: for other names or shapes, as `load_state_dict`.
    """
    own = model.state_dict()
    model.load_state_dict(
        {name: like(value, own[name]) if name in own else value for name, value in tensors.items()}
    )


def gather_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """As `flatten_optimizer`, with parts put together; all processes must call."""
    return whole(flatten_optimizer(optimizer))


def load_full_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """As `restore_optimizer`, for parameters in parts or not."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    cut = {}
    for key, value in tensors.items():
        parameter = parameters[int(key.partition(".")[0])]
        # Moments have the shape of their parameter; a count of steps has none.
        is_moment = value.numel() == parameter.numel() and not key.endswith(".step")
        cut[key] = like(value, parameter) if is_moment else value
    restore_optimizer(optimizer, cut)


def _parted(value: torch.Tensor) -> bool:
    return hasattr(value, "full_tensor")


def like(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A whole tensor in parts as another one is; itself where that is whole.

    A scalar becomes a vector of one where the other is one, and the reverse.
    """
    if value.numel() == other.numel() == 1:
        value = value.reshape(other.shape)
    if not _parted(other):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(other.device), other.device_mesh, other.placements)


__all__ = [
    "gather_optimizer",
    "is_sharded",
    "like",
    "load_full",
    "load_full_optimizer",
    "sharded_copy",
    "whole",
]
