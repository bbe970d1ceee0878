"""Losses over two and four processes: values and gradients are those of one process."""

import os
from functools import partial

import pytest
import torch
import torch.distributed as dist
from forks import run_forked
from torch.nn.parallel import DistributedDataParallel

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.models import loss_specclip
from hf_specclip.models.loss_specclip import (
    info_nce_loss,
    poisson_nll,
)
from specclip_training.stages.mini_batches import in_mini_batches

# Rows of each process by the number of processes.
SPLITS = {
    4: {"even": (2, 2, 2, 2), "one has none": (4, 0, 3, 1)},
    2: {"uneven": (5, 3)},
}
CASES = [(n, split) for n, splits in SPLITS.items() for split in splits]
FUNCTIONS = ("text_to_spectrum", "spectrum_to_text", "both", "poisson")
# Rows of a mini-batch, and the largest scale for which both directions share one exponential.
WAYS = {"shared exponential": (None, 400.0), "mini-batches": (2, 400.0), "any scale": (3, 0.0)}
# Texts shared within a process and across them, wherever the batch is cut.
TEXT_IDS = torch.tensor([0, 1, 0, 2, 1, 3, 0, 2])


def build_model(config):
    torch.manual_seed(0)
    # In float64, where sums taken in another order still agree.
    return SpecCLIPModel(config).train().double()


class Small(torch.nn.Module):
    """Two linear encoders and each loss over them."""

    def __init__(self, loss):
        super().__init__()
        torch.manual_seed(1)
        self.loss = loss
        self.spectra, self.texts = torch.nn.Linear(40, 5), torch.nn.Linear(18, 5)
        self.scale = torch.nn.Parameter(torch.tensor(3.0))
        self.double()

    def forward(self, spectrum_values, text_embeds, text_ids, mini_batch, **_):
        spectra = in_mini_batches(
            lambda x: self.spectra(x.tanh()), {"x": spectrum_values[:, 0]}, mini_batch
        )
        texts = in_mini_batches(self.texts, {"input": text_embeds}, mini_batch)
        if self.loss == "poisson":
            return poisson_nll(spectra, text_embeds[:, :5].abs().round(), background=texts.exp())
        return info_nce_loss(spectra, texts, self.scale, text_ids, self.loss, True)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def process(folder, config, batch):
    torch.set_num_threads(1)
    rank, results = int(os.environ["RANK"]), {}
    for world, splits in SPLITS.items():
        if rank >= world:
            continue
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/store-{world}", rank=rank, world_size=world
        )
        try:
            results[world] = {}
            for name, sizes in splits.items():
                start = sum(sizes[:rank])
                part = {key: value[start : start + sizes[rank]] for key, value in batch.items()}
                # A mean over rows, which is then averaged over processes by their number of rows.
                weight = sizes[rank] * world / sum(sizes) if all(sizes) else None
                found = loss_results(part, weight)
                results[world][name] = found | (model_results(config, part) if all(sizes) else {})
        finally:
            dist.destroy_process_group()
    torch.save(results, f"{folder}/{rank}.pt")


def model_results(config, part):
    model = DistributedDataParallel(build_model(config))
    loss = model(**part, return_loss=True).loss
    loss.backward()
    with torch.no_grad():  # evaluation takes no part in collectives
        local = model.module(**part, return_loss=True).loss
    found = {"loss": loss.detach(), "gradients": gradients(model.module)}
    return {"model": found, "local": local}


def loss_results(part, weight):
    found = {}
    for way, (mini_batch, max_scale) in WAYS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(loss_specclip._MAX_SHARED_SCALE, torch.float64, max_scale)
            for loss in FUNCTIONS:
                if loss == "poisson" and weight is None:
                    continue
                model = DistributedDataParallel(Small(loss), find_unused_parameters=True)
                value = model(**part, mini_batch=mini_batch)
                if loss == "poisson":
                    value = value * weight
                value.backward()
                found[way, loss] = {"loss": value.detach(), "gradients": gradients(model.module)}
    return found


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    generator = torch.Generator().manual_seed(5)
    config = SpecCLIPConfig(
        spectrum_config={
            "n_bins": 40, "patch_size": 10, "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "latent_dim": 8, "dropout": 0.0,
        },
        text_config={"embedding_dim": 6}, shared_dim=5, projection_hidden_size=12, dropout=0.0,
        contrastive_loss="infonce",
    )  # fmt: skip
    batch = {
        "spectrum_values": torch.rand(8, 1, 40, generator=generator, dtype=torch.float64),
        "input_signature": torch.full((8,), config.spectrum_config.input_signature),
        "text_embeds": torch.randn(8, 18, generator=generator, dtype=torch.float64),
        "text_ids": TEXT_IDS,
    }
    assert run_forked(partial(process, folder, config, batch), processes=4) == [0] * 4
    results = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(4)]
    return config, batch, results


def assert_equal(found, loss, model):
    expected = gradients(model)
    torch.testing.assert_close(found["loss"], loss, rtol=0, atol=1e-9)
    assert set(found["gradients"]) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found["gradients"][name], gradient, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize(("world", "split"), [c for c in CASES if c[1] != "one has none"])
def test_loss_and_gradients_of_a_model_are_those_of_one_process(processes, world, split):
    config, batch, results = processes
    model = build_model(config)
    loss = model(**batch, return_loss=True).loss
    loss.backward()
    assert model.logit_scale.grad is not None
    for result in results[:world]:
        assert_equal(result[world][split]["model"], loss.detach(), model)


@pytest.mark.parametrize(("world", "split"), CASES)
@pytest.mark.parametrize("loss", FUNCTIONS)
def test_loss_and_gradients_of_a_function_are_those_of_one_process(processes, world, split, loss):
    _, batch, results = processes
    if loss == "poisson" and not all(SPLITS[world][split]):
        return  # a mean over no rows is not defined
    model = Small(loss)
    value = model(**batch, mini_batch=None)
    value.backward()
    for way in WAYS:
        found = [result[world][split][way, loss] for result in results[:world]]
        if loss == "poisson":  # each process has its rows' share
            total = torch.stack([f["loss"] for f in found]).mean()
            found = [{**f, "loss": total} for f in found]
        for one in found:
            assert_equal(one, value.detach(), model)


def test_without_gradients_each_process_uses_its_own_batch(processes):
    config, batch, results = processes
    with torch.no_grad():
        for part, result in zip((slice(0, 5), slice(5, 8)), results, strict=False):
            alone = {key: value[part] for key, value in batch.items()}
            expected = build_model(config)(**alone, return_loss=True).loss
            torch.testing.assert_close(result[2]["uneven"]["local"], expected)
