"""Forecasts against actual builds."""

import pytest
from building import TOKEN, build
from world import World

from specclip_datasets.__main__ import main
from specclip_datasets.sky.build import CATALOGUE_STAGES, STAGES
from specclip_datasets.sky.plan import forecast, sample


@pytest.mark.parametrize("batches", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_forecast_is_within_ten_per_cent(keys, tmp_path, batches):
    n = 12
    with World(n, token=TOKEN) as world:
        options = {
            "model": True,
            "embedder": "openai",
            "embedder_url": world.vectors.base_url,
            "model_batches": batches,
            "full_texts": True,
        }
        dry = build(world, tmp_path / "work", **options)
        dry.run(CATALOGUE_STAGES, tmp_path / "none")
        sample(dry)
        assert forecast(dry).summaries.requests == n
        assert not world.chat.requests
        # The output length is measured from sample requests.
        sample(dry, requests=3)
        output = forecast(dry)
        before = dry.summariser.model.usage.copy()
        paid = before["input_tokens"] * 0.15e-6 + before["output_tokens"] * 0.6e-6
        assert before["answers"] == len(world.chat.bodies) == 3
        assert not world.vectors.requests
        servers = {"ads": world.ads, "arxiv": world.arxiv, "archive": world.archive}
        asked = {name: len(server.requests) for name, server in servers.items()}
        assert asked["ads"] == asked["archive"] == 1
        assert 10 <= asked["arxiv"] <= 30
        others = len(world.csc.requests) + len(world.simbad.requests)
        real = build(world, tmp_path / "work", **options)
        real.summariser.model.max_dollars = 100.0
        real.run(STAGES, tmp_path / "one")
        assert output.detections == output.rows == 2 * n
        assert output.in_simbad == output.sources == n
        files = (tmp_path / "work" / "spectra").rglob("*.gz")
        stored = sum(path.stat().st_size for path in files)
        assert output.stored + output.spectra_bytes == pytest.approx(stored, rel=0.1)
        sent = {name: len(server.requests) - asked[name] for name, server in servers.items()}
        assert output.requests == {name: pytest.approx(n, rel=0.1) for name, n in sent.items()}
        assert others == len(world.csc.requests) + len(world.simbad.requests)
        spent = real.summariser.model.usage
        asked_for = output.summaries
        assert asked_for.requests == len(world.chat.bodies) - 3
        tokens_in = spent["input_tokens"] - before["input_tokens"]
        tokens_out = spent["output_tokens"] - before["output_tokens"]
        assert asked_for.input_tokens == pytest.approx(tokens_in, rel=0.1)
        assert asked_for.output_tokens == pytest.approx(tokens_out, rel=0.1)
        paid = 100.0 - real.summariser.model.budget_left - paid
        assert asked_for.dollars == pytest.approx(paid, rel=0.1)
        embedded = sum(len(text) / 4 * times for text, times in world.vectors.asked.items())
        assert output.embedding_tokens == pytest.approx(embedded, rel=0.1)
        left = forecast(real)
        assert (set(left.requests.values()), left.spectra_bytes) == ({0}, 0)
        assert left.summaries.requests == left.embedding_tokens == 0


def test_forecast_of_full_catalogue_needs_no_network(tmp_path, capfd):
    arguments = ["build", "--everything", "--dry-run", "--output", str(tmp_path / "csc")]
    arguments += ["--kinds", "spectrum,arf", "--no-object-search", "--csc-tap=http://127.0.0.1:9"]
    assert main(arguments) == 0
    output = capfd.readouterr().out
    assert "Full Chandra Source Catalog 2.1, before any download" in output
    assert "1,304,376 of 407,806 sources" in output
    assert "summaries: extractive, no cost" in output
    assert "time: about" in output
