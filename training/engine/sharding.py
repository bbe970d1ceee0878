"""Weights sharded over processes (FSDP 2), and full tensors made of them.

Checkpoints, validation and saved models hold full weights alone, so a run goes on with or without
sharding. A process holds the full model beside its shard, for validation. FSDP shards no scalars,
such as the logarithm of a temperature: where weights are sharded, scalars are vectors of length 1.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType


def is_sharded(accelerator: Accelerator) -> bool:
    """Return True if `prepare` shards models.

    Raises:
        ValueError: for FSDP's first version, whose shards are no tensors of their own.
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
    """Return the same task around a copy of its model, to be sharded; data are shared."""
    task = copy.copy(task)
    task.model = copy.deepcopy(task.model)
    for module in task.model.modules():
        for name, scalar in list(module.named_parameters(recurse=False)):
            if scalar.dim() == 0:
                vector = scalar.detach().reshape(1)
                setattr(module, name, torch.nn.Parameter(vector, scalar.requires_grad))
    return task


def gather_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors by name with shards put together; all processes must call."""
    return {
        name: value.full_tensor() if _is_shard(value) else value for name, value in tensors.items()
    }


def gather_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the state of an optimizer as full tensors; all processes must call.

    Settings (learning rates and the like) are left out: they follow from the preset and the step.
    """
    state = optimizer.state_dict()["state"].items()
    return gather_tensors({f"{i}.{name}": x for i, part in state for name, x in part.items()})


@torch.no_grad()
def load_full(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load full weights into a model, sharded or not.

    Raises:
        RuntimeError: for other names or shapes, as `load_state_dict`.
    """
    current = model.state_dict()
    model.load_state_dict(
        {
            name: shard_like(value, current[name]) if name in current else value
            for name, value in tensors.items()
        }
    )


def load_full_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Load what `gather_optimizer` gave, for parameters sharded or not."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        # Moments have the shape of their parameter; a count of steps has none.
        is_moment = value.numel() == parameter.numel() and name != "step"
        state[int(index)][name] = shard_like(value, parameter) if is_moment else value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": dict(state)})


def shard_like(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Shard a full tensor as another one is sharded; return it as it is where that is full.

    A scalar becomes a vector of length 1 where the other is one, and the reverse.
    """
    if value.numel() == other.numel() == 1:
        value = value.reshape(other.shape)
    if not _is_shard(other):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(other.device), other.device_mesh, other.placements)


def _is_shard(value: torch.Tensor) -> bool:
    return hasattr(value, "full_tensor")
