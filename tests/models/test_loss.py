"""Losses against SciPy in float64, and their gradients."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import gammaln, logsumexp
from scipy.stats import poisson

from hf_specclip.models.loss_specclip import info_nce_loss, poisson_nll

IDS = {"distinct": None, "shared": [0, 1, 0, 2, 1, 0]}


def pair(n=6, d=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, d, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    ]


def text_ids(name):
    return None if IDS[name] is None else torch.tensor(IDS[name])


def info_nce_by_scipy(logits, name):
    """Mean over rows of −log p, averaged over the columns of the same text."""
    ids = np.array(IDS[name] or range(6))
    same = ids[:, None] == ids
    terms = (logsumexp(logits, axis=1, keepdims=True) - logits) * same / same.sum(axis=1)[:, None]
    return terms.sum(axis=1).mean()


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("scale", [1.0, 1 / 0.07, 100.0])
def test_info_nce_agrees_with_scipy(name, scale):
    spectra, texts = pair()
    rows = [each.detach().numpy() for each in (texts, spectra)]
    texts_by_spectra = scale * (1 - cdist(*rows, "cosine"))
    by_text = info_nce_by_scipy(texts_by_spectra, name)
    by_spectrum = info_nce_by_scipy(texts_by_spectra.T, name)
    expected = {
        "text_to_spectrum": by_text,
        "spectrum_to_text": by_spectrum,
        "both": (by_text + by_spectrum) / 2,
    }
    for direction, value in expected.items():
        loss = info_nce_loss(spectra, texts, scale, text_ids(name), direction)
        assert loss.item() == pytest.approx(value, rel=1e-10)


def test_poisson_agrees_with_scipy():
    generator = torch.Generator().manual_seed(0)
    log_rate = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    counts = torch.poisson(torch.full((3, 5), 2.0), generator=generator)
    exposure = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    background = torch.rand(3, 5, generator=generator, dtype=torch.float64)
    background[0] = 0.0
    mean = (exposure[:, None] * log_rate.exp() + background).numpy()
    number = counts.double().numpy()
    likelihood = poisson.logpmf(number, mean) + gammaln(number + 1)
    loss = poisson_nll(log_rate, counts, exposure, background)  # without the constant ln n!
    assert loss.item() == pytest.approx(-likelihood.mean(), rel=1e-10)
    plain = poisson_nll(log_rate, counts)
    assert plain.item() == pytest.approx(
        torch.nn.functional.poisson_nll_loss(log_rate, counts.double()).item()
    )


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("direction", ["text_to_spectrum", "spectrum_to_text", "both"])
def test_info_nce_gradients(name, direction):
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, t, s: info_nce_loss(x, t, s, text_ids(name), direction), (*pair(), scale)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype):
    spectra, texts = (x.detach().to(dtype) for x in pair())
    loss = info_nce_loss(spectra, texts, torch.tensor(14.0, dtype=dtype))
    assert loss.dtype == torch.float32
    assert loss == info_nce_loss(spectra.float(), texts.float(), 14.0)
    loss = poisson_nll(spectra, torch.ones(6, 4))
    assert loss.dtype == torch.float32
    assert loss == poisson_nll(spectra.float(), torch.ones(6, 4))


def test_autocast_does_not_narrow():
    spectra, texts = (x.detach().float() for x in pair())
    outside = info_nce_loss(spectra, texts, 14.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce_loss(spectra, texts, 14.0)
    assert inside.dtype == torch.float32
    assert inside == outside


def test_extreme_similarities_stay_finite():
    spectra = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    texts = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    loss = info_nce_loss(spectra, texts, 100.0, direction="both")
    assert torch.isfinite(loss)
    (gradient,) = torch.autograd.grad(loss, spectra)
    assert torch.isfinite(gradient).all()


def test_bad_arguments_are_refused():
    spectra, texts = pair()
    with pytest.raises(ValueError, match="same shape \\(n, d\\)"):
        info_nce_loss(spectra[:3], texts, 1.0)
    with pytest.raises(ValueError, match="text_ids are \\(2,\\)"):
        info_nce_loss(spectra, texts, 1.0, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="direction is 'up'"):
        info_nce_loss(spectra, texts, 1.0, direction="up")


@pytest.mark.parametrize("scale", [1.0, 39.0, 41.0, 100.0])
@pytest.mark.parametrize("direction", ["text_to_spectrum", "spectrum_to_text", "both"])
def test_float32_agrees_with_float64_at_every_temperature(scale, direction):
    spectra, texts = (x.detach() for x in pair(n=300, d=16))
    results, expected = [], []
    for dtype, tensors in ((torch.float32, results), (torch.float64, expected)):
        inputs = [x.to(dtype).requires_grad_() for x in (spectra, texts)]
        s = torch.tensor(scale, dtype=dtype, requires_grad=True)
        loss = info_nce_loss(*inputs, s, direction=direction)
        tensors += [loss.detach(), *torch.autograd.grad(loss, (*inputs, s))]
    for result, reference in zip(results, expected, strict=True):
        torch.testing.assert_close(result.double(), reference, rtol=2e-4, atol=2e-6)
