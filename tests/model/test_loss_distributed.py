"""Two real processes give the loss and the gradients of one with the whole batch."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.loss_specclip import gather_with_gradient

SPLITS = {"even": (4, 4), "uneven": (5, 3), "one alone": (7, 1)}
LOSSES = ("infonce_text_to_spectrum", "infonce", "sigmoid")
# Texts shared within a process and across the two, wherever the batch is cut.
TEXT_IDS = torch.tensor([0, 1, 0, 2, 1, 3, 0, 2])


def build(config, loss):
    config = copy.deepcopy(config)
    config.contrastive_loss = loss
    torch.manual_seed(0)
    # In float64, where sums taken in another order still agree.
    model = SpecCLIPModel(config).train().double()
    if loss == "sigmoid":
        model.logit_bias.data.fill_(-2.0)
    return model


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def process(rank, folder, config, batch):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    try:
        results = {"world_size": dist.get_world_size()}
        for name, sizes in SPLITS.items():
            start = sum(sizes[:rank])
            part = {key: value[start : start + sizes[rank]] for key, value in batch.items()}
            for loss in LOSSES:
                model = DistributedDataParallel(build(config, loss))
                output = model(**part, return_loss=True)
                output.loss.backward()
                found = {"loss": output.loss.detach(), "gradients": gradients(model.module)}
                results[name, loss] = found
                with torch.no_grad():  # evaluation takes no part in collectives
                    results["local", name, loss] = model.module(**part, return_loss=True).loss
        rows = torch.arange(6.0).view(3, 2)[: 3 * rank].requires_grad_()
        everything = gather_with_gradient(rows)
        (everything * torch.arange(1.0, 1 + len(everything))[:, None]).sum().backward()
        results["nothing in one"] = (everything.detach(), rows.grad)
        torch.save(results, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    generator = torch.Generator().manual_seed(5)
    config = SpecCLIPConfig(
        spectrum_config={
            "n_bins": 40,
            "patch_size": 10,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "latent_dim": 8,
            "dropout": 0.0,
        },
        text_config={"embedding_dim": 6},
        shared_dim=5,
        projection_hidden_size=12,
        dropout=0.0,
    )
    batch = {
        "spectrum_values": torch.rand(8, 1, 40, generator=generator, dtype=torch.float64),
        "input_signature": torch.full((8,), config.spectrum_config.input_signature),
        "text_embeds": torch.randn(8, 18, generator=generator, dtype=torch.float64),
        "text_ids": TEXT_IDS,
    }
    mp.spawn(process, args=(str(folder), config, batch), nprocs=2)
    results = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return config, batch, results


def test_there_are_two(two_processes):
    assert [result["world_size"] for result in two_processes[2]] == [2, 2]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradients_are_those_of_one_process(two_processes, split, loss):
    config, batch, results = two_processes
    model = build(config, loss)
    output = model(**batch, return_loss=True)
    output.loss.backward()
    expected = gradients(model)
    assert "logit_scale" in expected
    for result in results:
        found = result[split, loss]
        torch.testing.assert_close(found["loss"], output.loss.detach(), rtol=0, atol=1e-9)
        assert set(found["gradients"]) == set(expected)
        for name, gradient in expected.items():
            torch.testing.assert_close(
                found["gradients"][name], gradient, rtol=0, atol=1e-9, msg=name
            )


@pytest.mark.parametrize("loss", LOSSES)
def test_without_gradients_each_process_is_for_itself(two_processes, loss):
    config, batch, results = two_processes
    with torch.no_grad():
        for part, result in zip((slice(0, 5), slice(5, 8)), results, strict=True):
            alone = {key: value[part] for key, value in batch.items()}
            expected = build(config, loss)(**alone, return_loss=True).loss
            torch.testing.assert_close(result["local", "uneven", loss], expected)


def test_a_process_may_have_no_rows(two_processes):
    for rank, result in enumerate(two_processes[2]):
        everything, gradient = result["nothing in one"]
        torch.testing.assert_close(everything, torch.arange(6.0).view(3, 2))
        # Summed over the two losses: twice the factor of the row.
        expected = 2 * torch.arange(1.0, 4.0)[:, None].expand(3, 2) if rank else torch.zeros(0, 2)
        torch.testing.assert_close(gradient, expected)
