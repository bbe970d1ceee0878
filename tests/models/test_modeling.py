"""The models: shapes, what enters and leaves, precision, saving, and that they learn."""

import logging

import numpy as np
import pytest
import torch

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPModel,
    SpecCLIPSpectrumConfig,
)

KINDS = ("minmax", "physics")
LOSSES = ("infonce_text_to_spectrum", "infonce")


@pytest.fixture
def warnings(caplog, monkeypatch):
    """Warnings of the models; each `warning_once` may speak again."""
    from transformers.utils import logging as transformers_logging

    logger = logging.getLogger("hf_specclip.models.modeling_specclip_spectrum")
    transformers_logging.warning_once.cache_clear()
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logging.getLogger("hf_specclip"), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.fixture
def autoencoder(small_spectrum):
    def build(**changes):
        torch.manual_seed(0)
        config = SpecCLIPSpectrumConfig(**small_spectrum(**changes))
        return SpecCLIPForSpectrumPreTraining(config).eval()

    return build


def spectra_of(batch):
    return {name: value for name, value in batch.items() if name != "text_embeds"}


# Shapes and outputs


@pytest.mark.parametrize("kind", KINDS)
def test_dual_encoder(small_model, small_batch, kind):
    model, batch = small_model(spectrum={"input_kind": kind}), small_batch(6, kind)
    output = model(**batch, return_loss=True)
    assert output.loss.shape == ()
    assert output.spectrum_latent.shape == (6, 8)
    assert output.spectrum_embeds.shape == output.text_embeds.shape == (6, 5)
    for embeds in (output.spectrum_embeds, output.text_embeds):
        torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(6))
    cosines = output.spectrum_embeds @ output.text_embeds.t()
    torch.testing.assert_close(output.logits_per_spectrum, cosines * model.logit_scale.exp())
    torch.testing.assert_close(output.logits_per_text, output.logits_per_spectrum.t())


def test_one_side_alone(small_model, small_batch):
    model, batch = small_model(), small_batch()
    spectra, texts = model(**spectra_of(batch)), model(text_embeds=batch["text_embeds"])
    assert spectra.text_embeds is None
    assert texts.spectrum_embeds is None
    assert spectra.logits_per_spectrum is None
    with pytest.raises(ValueError, match="return_loss needs spectra and texts"):
        model(**spectra_of(batch), return_loss=True)
    with pytest.raises(ValueError, match="give spectrum_values"):
        model()


@pytest.mark.parametrize("kind", KINDS)
def test_spectra_do_not_see_each_other(small_model, small_batch, kind):
    model, batch = small_model(spectrum={"input_kind": kind}), small_batch(6, kind)
    together = model.get_spectrum_features(**spectra_of(batch)).pooler_output
    alone = [
        model.get_spectrum_features(**{n: v[[i]] for n, v in spectra_of(batch).items()})
        for i in range(6)
    ]
    torch.testing.assert_close(torch.cat([each.pooler_output for each in alone]), together)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shared", [False, True])
def test_loss_is_that_of_the_loss_file(small_model, small_batch, loss, shared):
    from hf_specclip.models.loss_specclip import info_nce_loss

    ids = torch.tensor([0, 1, 0, 2, 3, 1])
    model, batch = small_model(contrastive_loss=loss, multi_positive=shared), small_batch()
    output = model(**batch, text_ids=ids, return_loss=True)
    arguments = (output.spectrum_embeds, output.text_embeds, model.logit_scale.exp())
    used = ids if shared else None
    expected = {
        "infonce_text_to_spectrum": lambda: info_nce_loss(*arguments, used),
        "infonce": lambda: info_nce_loss(*arguments, used, "both"),
    }
    torch.testing.assert_close(output.loss, expected[loss]())
    again = model.contrastive_loss(output.spectrum_embeds, output.text_embeds, ids)
    assert torch.equal(again, output.loss)
    other = model(**batch, return_loss=True).loss
    assert torch.equal(output.loss, other) != shared


def test_the_scale_is_bounded_and_comes_back(small_model, small_batch):
    """A clamp has no gradient beyond the bound: the parameter would be stuck there."""
    model = small_model(logit_scale_init_value=50.0)
    assert model(**small_batch()).logits_per_spectrum.abs().max() <= 100.0 + 1e-3
    model.inverse_temperature().backward()
    assert model.logit_scale.grad.item() > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_every_parameter_gets_a_gradient(small_model, small_batch, loss):
    model = small_model(contrastive_loss=loss).train()
    batch = small_batch()
    batch["text_embeds"][0, :6] = 0  # an absent section
    model(**batch, return_loss=True).loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


def test_a_fixed_temperature(small_model, small_batch, tmp_path):
    model = small_model(learn_logit_scale=False)
    model(**small_batch(), return_loss=True).loss.backward()
    assert model.logit_scale.grad is None
    model.save_pretrained(tmp_path)
    assert not SpecCLIPModel.from_pretrained(tmp_path).logit_scale.requires_grad


# Autoencoder


@pytest.mark.parametrize("kind", KINDS)
def test_mae_is_the_papers_loss(autoencoder, small_batch, kind):
    model, batch = autoencoder(input_kind=kind), spectra_of(small_batch(4, kind))
    output = model(**batch)
    assert output.reconstruction.shape == batch["spectrum_values"].shape
    assert output.latent.shape == (4, 8)
    expected = np.abs(output.reconstruction.detach().numpy() - batch["spectrum_values"].numpy())
    assert output.loss.item() == pytest.approx(expected.mean(), rel=1e-5)


def test_poisson_is_a_likelihood(autoencoder, small_batch):
    model, batch = autoencoder(reconstruction_loss="poisson"), spectra_of(small_batch(4))
    counts = torch.poisson(torch.full((4, 40), 0.7))
    exposure, background = torch.rand(4) + 0.5, torch.rand(4, 40)
    output = model(
        **batch, target_counts=counts, target_exposure=exposure, target_background=background
    )
    assert output.reconstruction.shape == (4, 40)
    expected = exposure[:, None] * output.reconstruction.exp() + background
    law = torch.distributions.Poisson(expected)
    with_constant = (-law.log_prob(counts) - torch.lgamma(counts + 1)).mean()
    torch.testing.assert_close(output.loss, with_constant)
    assert model(**batch).loss is None


def test_masked_patches_are_hidden_and_none_is_masked_in_evaluation(autoencoder, small_batch):
    model = autoencoder(mask_ratio=0.5, dropout=0.0).spectrum_model
    batch = spectra_of(small_batch(2))
    mask = torch.tensor([[True, False, False, True]] * 2)
    changed = batch["spectrum_values"].clone()
    changed[:, :, :10] += 1
    changed[:, :, 30:] -= 1
    before = model(**batch, masked_patches=mask).pooler_output
    after = model(**{**batch, "spectrum_values": changed}, masked_patches=mask).pooler_output
    assert torch.equal(before, after)
    assert not torch.equal(before, model(**batch).pooler_output)
    assert torch.equal(model(**batch).pooler_output, model(**batch).pooler_output)


def test_poisson_starts_from_the_mean_rate(autoencoder, small_batch):
    model, batch = autoencoder(reconstruction_loss="poisson"), spectra_of(small_batch(200))
    counts = torch.poisson(torch.linspace(0, 3, 40).expand(200, 40))
    exposure = torch.full((200,), 1e4)
    model.fit_statistics(batch["spectrum_values"], target_counts=counts, target_exposure=exposure)
    expected = (counts.sum(dim=0) + 1 / 40) / exposure.sum()
    torch.testing.assert_close(model.log_rate_offset.exp(), expected)
    assert torch.isfinite(model.log_rate_offset).all()


def test_the_autoencoder_learns(autoencoder):
    """Better than what is right on average and for none: the mean spectrum."""
    model = autoencoder(input_kind="physics", reconstruction_loss="poisson", dropout=0.0).train()
    random = np.random.default_rng(0)
    shape = np.exp(random.uniform(-1, 1, (64, 1)) * np.linspace(-2, 2, 40))
    counts = random.poisson(10 * shape / shape.mean(axis=1, keepdims=True))
    extractor = SpecCLIPFeatureExtractor("physics", n_bins=40)
    inputs = extractor(counts, exposure=np.full(64, 1e3), return_tensors="pt")
    target = torch.from_numpy(counts)
    model.fit_statistics(inputs["spectrum_values"], inputs["spectrum_globals"], target)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(**inputs, target_counts=target).loss
        loss.backward()
        optimizer.step()
    mean = target.float().mean(dim=0)
    assert loss < (mean - target * mean.log()).mean()


def test_the_dual_encoder_learns(small_model, small_batch):
    model = small_model(dropout=0.0, spectrum={"dropout": 0.0}).train()
    batch = small_batch(8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(**batch, return_loss=True).loss.backward()
        optimizer.step()
    logits = model.eval()(**batch).logits_per_spectrum
    assert (logits.argmax(dim=1) == torch.arange(8)).all()


# Statistics and settings


@pytest.mark.parametrize("kind", KINDS)
def test_spectrum_statistics(small_model, small_batch, kind):
    model = small_model(spectrum={"input_kind": kind}).spectrum_model
    batch = small_batch(50, kind)
    values, numbers = batch["spectrum_values"], batch.get("spectrum_globals")
    assert not model.statistics_fitted
    model.fit_statistics(values, numbers)
    assert model.statistics_fitted
    normalised = model.value_statistics.normalise(values)
    varies = values.std(dim=(0, 2)) > 1e-6  # these spectra have no background
    torch.testing.assert_close(normalised.mean(dim=(0, 2)), torch.zeros(values.shape[1]), **NEAR)
    torch.testing.assert_close(
        normalised.std(dim=(0, 2), correction=0)[varies], torch.ones(int(varies.sum())), **NEAR
    )
    torch.testing.assert_close(model.value_statistics.restore(normalised), values)
    if numbers is not None:
        scaled = model.global_statistics.normalise(numbers)
        assert torch.isfinite(scaled).all()
        torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(numbers.shape[1]), **NEAR)


NEAR = {"rtol": 0, "atol": 1e-4}


def test_text_statistics_leave_absent_sections_out(small_model, small_batch):
    model = small_model().text_model
    texts = small_batch(50)["text_embeds"] * 3 + 2
    full = texts.view(50, 3, 6)[:30].clone()
    texts[30:, 6:12] = 0
    model.fit_statistics(texts)
    torch.testing.assert_close(model.text_statistics.mean[1], full[:, 1].mean(dim=0))
    torch.testing.assert_close(model.text_statistics.std[1], full[:, 1].std(dim=0, correction=0))
    assert model.statistics_fitted


def test_statistics_refuse_what_is_not_finite(small_model, small_batch):
    model, batch = small_model(), small_batch()
    for fit, values in (
        (model.spectrum_model.fit_statistics, batch["spectrum_values"]),
        (model.text_model.fit_statistics, batch["text_embeds"]),
    ):
        values[0, ..., 0] = torch.nan
        with pytest.raises(ValueError, match="NaN"):
            fit(values)
    with pytest.raises(ValueError, match="no spectra"):
        model.spectrum_model.fit_statistics(batch["spectrum_values"][:0])


@pytest.mark.parametrize(("kind", "words"), [("physics", "never fitted"), ("minmax", "signature")])
def test_what_is_missing_is_warned_of_once(small_model, small_batch, warnings, kind, words):
    model, batch = small_model(spectrum={"input_kind": kind}), small_batch(4, kind)
    model(**batch)  # a min-max model with signatures is silent
    if kind == "minmax":
        assert not warnings.records
        del batch["input_signature"]
    for _ in range(3):
        model(**batch)
    said = [record for record in warnings.records if words in record.getMessage()]
    assert len(said) == 1


@pytest.mark.parametrize("row", [0, 3])
def test_spectra_made_for_another_model_are_refused(small_model, small_batch, row):
    model, batch = small_model(), small_batch()
    other = SpecCLIPFeatureExtractor("minmax", n_bins=40, energy_range=(0.3, 10.0))
    batch["input_signature"][row] = other.input_signature
    with pytest.raises(ValueError, match=r"this one needs .*energy_range=\(0.5, 8.0\)"):
        model(**batch)


def test_other_shapes_are_refused(small_model, small_batch):
    model = small_model()
    with pytest.raises(ValueError, match=r"\(6, 3, 40\), this model needs \(batch, 1, 40\)"):
        model(**small_batch(6, "physics"))
    physics = small_model(spectrum={"input_kind": "physics"})
    batch = small_batch(6, "physics")
    del batch["spectrum_globals"]
    with pytest.raises(ValueError, match=r"no spectrum_globals given.*needs 37"):
        physics(**batch)


# Freezing


def test_a_frozen_encoder_stays_as_it_is(small_model, small_batch, tmp_path):
    model, batch = small_model(), small_batch()
    model.freeze_spectrum_encoder()
    model.train()
    assert not model.spectrum_model.training
    assert model.spectrum_projection.training
    first = model(**batch, return_loss=True)
    assert torch.equal(first.spectrum_latent, model(**batch).spectrum_latent)  # no dropout
    first.loss.backward()
    assert all(p.grad is None for p in model.spectrum_model.parameters())
    assert model.spectrum_projection.out.weight.grad is not None
    model.save_pretrained(tmp_path)
    loaded = SpecCLIPModel.from_pretrained(tmp_path).train()
    assert loaded.config.freeze_spectrum_encoder
    assert not loaded.spectrum_model.training
    assert not any(p.requires_grad for p in loaded.spectrum_model.parameters())


# Precision and speed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision(small_model, small_batch, tmp_path, dtype, loss):
    model = small_model(contrastive_loss=loss, spectrum={"input_kind": "physics"})
    batch = small_batch(6, "physics")
    model.spectrum_model.fit_statistics(batch["spectrum_values"], batch["spectrum_globals"])
    expected = model(**batch, return_loss=True)
    model.save_pretrained(tmp_path)
    half = SpecCLIPModel.from_pretrained(tmp_path, dtype=dtype)
    assert half.spectrum_projection.out.weight.dtype == dtype
    output = half(**batch, return_loss=True)
    assert output.loss.dtype == torch.float32
    assert output.spectrum_embeds.dtype == torch.float32
    torch.testing.assert_close(output.loss, expected.loss, rtol=0.05, atol=0.1)
    torch.testing.assert_close(
        output.spectrum_embeds, expected.spectrum_embeds, rtol=0.1, atol=0.06
    )
    output.loss.backward()
    assert torch.isfinite(half.spectrum_projection.out.weight.grad).all()
    for name in ("logit_scale", "spectrum_model.value_statistics.mean"):
        before, after = model.state_dict()[name], half.state_dict()[name]
        assert after.dtype == torch.float32, name
        assert torch.equal(before, after), name


@pytest.mark.parametrize("kind", KINDS)
def test_sdpa_equals_eager(small_config, small_batch, tmp_path, kind):
    SpecCLIPModel(small_config(spectrum={"input_kind": kind})).save_pretrained(tmp_path)
    outputs = {}
    for name in ("sdpa", "eager"):
        model = SpecCLIPModel.from_pretrained(tmp_path, attn_implementation=name)
        assert model.spectrum_model.config._attn_implementation == name
        outputs[name] = model(**small_batch(6, kind), return_loss=True)
    torch.testing.assert_close(outputs["sdpa"].spectrum_latent, outputs["eager"].spectrum_latent)
    torch.testing.assert_close(outputs["sdpa"].loss, outputs["eager"].loss)


def test_gradient_checkpointing(small_model, small_batch):
    batch = small_batch()
    found = []
    for checkpointing in (False, True):
        model = small_model(dropout=0.0, spectrum={"dropout": 0.0}).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(**batch, return_loss=True).loss.backward()
        found.append(model.spectrum_model.embeddings.patch_embedding.weight.grad)
    torch.testing.assert_close(*found)


# Saving and loading


@pytest.mark.parametrize("cls", [SpecCLIPModel, SpecCLIPForSpectrumPreTraining])
def test_initial_weights(cls, small_config):
    config = small_config(spectrum={"input_kind": "physics"})
    config.spectrum_config.mask_ratio = 0.5
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(cls(config if cls is SpecCLIPModel else config.spectrum_config))
    for name, value in models[0].state_dict().items():
        assert torch.equal(value, models[1].state_dict()[name]), name  # not what was in memory
        assert torch.isfinite(value.float()).all(), name
        if name.endswith(("norm.weight", "std")):
            assert (value == 1).all(), name
        elif name.endswith((".bias", "mean", "fitted", "log_rate_offset")):
            assert not value.any(), name
        elif value.ndim:
            assert value.abs().max() > 0, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bias: None, r"lacks the tensor \S*latent_head.bias"),
        (lambda bias: bias[:-1].clone(), r"latent_head.bias of shape \(7,\), .* \(8,\)"),
        (lambda bias: bias / 0, r"holds NaN or infinity in \S*latent_head.bias"),
    ],
)
@pytest.mark.parametrize("cls", [SpecCLIPModel, SpecCLIPForSpectrumPreTraining])
def test_damaged_tensors_are_refused_by_name(cls, change, message, small_config, tmp_path):
    """Drawn at random instead, a tensor gives another answer in each run."""
    from safetensors.torch import load_file, save_file

    config = small_config()
    cls(config if cls is SpecCLIPModel else config.spectrum_config).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(key for key in tensors if key.endswith("latent_head.bias"))
    tensors[name] = change(tensors[name])
    tensors = {key: value for key, value in tensors.items() if value is not None}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=message):
        cls.from_pretrained(tmp_path)


@pytest.mark.slow
def test_torch_compile(small_model, small_batch):
    model, batch = small_model(spectrum={"input_kind": "physics"}), small_batch(6, "physics")
    expected = model(**batch, return_loss=True)
    expected.loss.backward()
    gradient = model.spectrum_model.latent_head.weight.grad.clone()
    model.zero_grad()
    # `aot_eager` traces and differentiates without a C++ compiler; fullgraph: nothing falls back.
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    output = compiled(**batch, return_loss=True)
    output.loss.backward()
    torch.testing.assert_close(output.loss, expected.loss)
    torch.testing.assert_close(output.spectrum_latent, expected.spectrum_latent)
    torch.testing.assert_close(model.spectrum_model.latent_head.weight.grad, gradient)
