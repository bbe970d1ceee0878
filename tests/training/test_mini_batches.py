"""Training in mini-batches: outputs and gradients of the whole batch, dropout included."""

import pytest
import torch

from specclip_training.stages.mini_batches import in_mini_batches

DEVICES = ["cpu"]
if torch.accelerator.is_available():
    DEVICES.append(str(torch.accelerator.current_accelerator()))


class Noisy(torch.nn.Module):
    """Random numbers of every sort: dropout of modules, functions and attention, and others."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 9), torch.nn.Linear(9, 4)
        self.module = torch.nn.Dropout(0.3)
        self.in_place = torch.nn.Dropout(0.2, inplace=True)

    def forward(self, input):
        hidden = self.module(self.first(input).tanh())
        hidden = hidden + torch.rand_like(hidden)
        hidden = torch.nn.functional.dropout(hidden, p=0.4, training=self.training)
        hidden = torch.nn.functional.alpha_dropout(hidden, 0.1, training=self.training)
        heads = hidden.view(len(hidden), 1, 3, 3)
        attended = torch.nn.functional.scaled_dot_product_attention(
            heads, heads, heads, dropout_p=0.25
        )
        hidden = attended.reshape(len(hidden), 9)
        return torch.nn.functional.dropout(self.in_place(self.second(hidden)), 0.0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("inner", [False, True], ids=["", "checkpoints inside"])
def test_the_second_pass_draws_the_numbers_of_the_first(inner, precision, device):
    """To the bit, as often as it is run, whatever else is drawn in between."""
    torch.manual_seed(0)
    noisy, inputs = Noisy().to(device), torch.randn(7, 6, device=device)

    def encoder(input):
        if inner:
            return torch.utils.checkpoint.checkpoint(noisy, input, use_reentrant=False)
        return noisy(input)

    def gradients(embeds, backwards=1):
        noisy.zero_grad()
        for left in reversed(range(backwards)):
            embeds.float().square().sum().backward(retain_graph=left > 0)
        return [parameter.grad.clone() / backwards for parameter in noisy.parameters()]

    with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bf16"):
        torch.manual_seed(1)
        whole = torch.cat([encoder(input=inputs[at : at + 3]) for at in (0, 3, 6)])
        drawn = torch.get_rng_state()
        torch.manual_seed(1)
        parts = in_mini_batches(encoder, {"input": inputs}, 3)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(parts, whole)
    expected = gradients(whole)
    torch.rand(5)  # another state than that of the first pass
    for ours, plain in zip(gradients(parts, backwards=2), expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-6)


def test_bad_sizes_are_refused():
    rows = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"inputs have \[2, 3\] rows"):
        in_mini_batches(torch.add, {"input": rows, "other": rows[:2]}, 1)
    with pytest.raises(ValueError, match="mini-batches of 0 rows"):
        in_mini_batches(torch.neg, {"input": rows}, 0)
