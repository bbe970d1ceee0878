"""Forecast of a dry run, beside the cost of the run itself."""

from dataclasses import replace

import pytest
from building import TOKEN, build
from world import World

from specclip_datasets.__main__ import main
from specclip_datasets.sky.build import STAGES
from specclip_datasets.sky.plan.dry_run import FIRST_STAGES, DryRun


@pytest.mark.parametrize("batches", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_forecast_is_within_a_tenth(keys, tmp_path, batches):
    n = 12
    with World(n, token=TOKEN) as world:
        world.vectors.dimension = 1536  # as Ada's, which cannot be told without asking
        options = {
            "model": True,
            "embedder": "openai",
            "embedder_url": world.vectors.base_url,
            "model_batches": batches,
        }
        dry = build(world, tmp_path / "work", **options)
        dry.run(FIRST_STAGES, tmp_path / "none")
        ahead = DryRun(dry)
        ahead.sample()
        assert ahead.forecast().summaries.questions == n
        assert not world.chat.requests
        # How long a model's answers are shows when it has given some.
        ahead.sample(questions=3)
        said = ahead.forecast()
        before = replace(dry.summariser.model.spent)
        paid = before.input_tokens * 0.15e-6 + before.output_tokens * 0.6e-6
        assert before.answers == len(world.chat.bodies) == 3
        assert not world.vectors.requests
        asked = len(world.ads.requests)
        assert asked <= 1
        retrieved = [r for r in world.archive.requests if r.path.endswith("/retrieve")]
        assert len(retrieved) == 1
        real = build(world, tmp_path / "work", **options)
        real.summariser.model.max_dollars = 100.0
        real.run(STAGES, tmp_path / "one")
        assert said.detections == said.rows == 2 * n
        assert said.known == said.sources == n
        files = (tmp_path / "work" / "spectra").rglob("*.gz")
        stored = sum(path.stat().st_size for path in files)
        assert said.stored + said.spectra_bytes == pytest.approx(stored, rel=0.1)
        retrieved = [r for r in world.archive.requests if r.path.endswith("/retrieve")]
        assert said.archive_requests == pytest.approx(len(retrieved) - 1, rel=0.1)
        assert said.ads_requests == pytest.approx(len(world.ads.requests) - asked, rel=0.1)
        spent = real.summariser.model.spent
        asked_for = said.summaries
        assert asked_for.questions == len(world.chat.bodies) - 3
        tokens_in = spent.input_tokens - before.input_tokens
        tokens_out = spent.output_tokens - before.output_tokens
        assert asked_for.input_tokens == pytest.approx(tokens_in, rel=0.1)
        assert asked_for.output_tokens == pytest.approx(tokens_out, rel=0.1)
        paid = 100.0 - real.summariser.model.money_left - paid
        assert asked_for.dollars == pytest.approx(paid, rel=0.1)
        embedded = sum(len(text) / 4 * times for text, times in world.vectors.asked.items())
        assert said.embedding_tokens == pytest.approx(embedded, rel=0.1)
        size = sum(path.stat().st_size for path in (tmp_path / "one").rglob("*.parquet"))
        assert said.dataset_bytes == pytest.approx(size, rel=0.1)
        # Afterwards nothing is left to do.
        left = DryRun(real).forecast()
        assert (left.archive_requests, left.ads_requests, left.spectra_bytes) == (0, 0, 0)
        assert left.summaries.questions == left.embedding_tokens == 0


def test_the_whole_catalogue_has_a_plan_without_the_network(tmp_path, capfd):
    arguments = ["build", "--everything", "--dry-run", "--output", str(tmp_path / "csc")]
    arguments += ["--kinds", "spectrum,arf", "--no-object-search", "--csc-tap=http://127.0.0.1:9"]
    assert main(arguments) == 0
    said = capfd.readouterr().out
    assert "The whole Chandra Source Catalog 2.1, before it was fetched" in said
    assert "1,304,376 of 407,806 sources" in said
    assert "summaries: extractive, no cost" in said
    assert "time: about" in said
