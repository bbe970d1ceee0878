"""Scalars under FSDP: vectors of length 1 in training, scalars in checkpoints.

Sharded weights on two processes are in `test_loop.py` and `test_chain.py`.
"""

from types import SimpleNamespace

import pytest
import torch

from specclip_training.engine.sharding import (
    gather_optimizer,
    gather_tensors,
    load_full,
    load_full_optimizer,
    sharded_copy,
)


class Scaled(torch.nn.Module):
    """A line with a temperature, and an offset that is not learned."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.scale = torch.nn.Parameter(torch.tensor(0.5))
        self.offset = torch.nn.Parameter(torch.tensor(0.1), requires_grad=False)

    def forward(self, x):
        return self.line(x) * self.scale.exp() + self.offset


def train(model, optimizer, steps):
    x = torch.arange(12.0).reshape(4, 3) / 12
    for _ in range(steps):
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("first", ["scalars", "vectors of one"])
def test_a_run_goes_on_from_scalars_to_vectors_and_back(first):
    torch.manual_seed(0)
    task = SimpleNamespace(model=Scaled())
    reference, other = sharded_copy(task).model, sharded_copy(task).model
    one, two = (task.model, other) if first == "scalars" else (other, task.model)

    optimizers = {m: torch.optim.AdamW(m.parameters(), lr=0.1) for m in (reference, one, two)}
    train(reference, optimizers[reference], 6)
    train(one, optimizers[one], 3)
    load_full(two, gather_tensors(one.state_dict()))
    load_full_optimizer(optimizers[two], gather_optimizer(optimizers[one]))
    assert optimizers[two].state[two.scale]["step"].shape == ()
    train(two, optimizers[two], 3)
    for (name, value), expected in zip(two.named_parameters(), reference.parameters(), strict=True):
        assert torch.allclose(value.reshape(expected.shape), expected, atol=1e-6), name
