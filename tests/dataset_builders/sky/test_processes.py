"""Several processes on one build: the same bytes as by one, and every question asked once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from building import KEY, TOKEN, build, digest
from specclip_datasets.sky.build import STAGES
from world import World

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A world, what was made of it by one process, and how often each server was asked."""
    root = tmp_path_factory.mktemp("alone")
    with World(token=TOKEN) as world, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADS_DEV_KEY", TOKEN)
        patch.setenv("OPENAI_API_KEY", KEY)
        build(world, root / "work", whole=True).run(STAGES, root / "dataset")
        yield world, root / "dataset"


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def forget(world):
    for server in world.servers:
        server.requests.clear()
    for server in (world.archive, world.ads, world.arxiv, world.chat, world.vectors):
        server.asked.clear()


def command(world, folder, *more):
    names = folder / "names.txt"
    names.write_text("\n".join(world.names))
    words = ["build", "--names", str(names), "--output", str(folder / "dataset")]
    words += ["--kinds", "spectrum,arf", "--survey-limit", "5", "--full-texts", *world.arguments]
    words += ["--summariser", "openai", "--llm-url", world.chat.base_url]
    words += ["--embedder", "openai", "--embedder-url", world.vectors.base_url]
    return [*words, *more]


def assert_asked_once(world):
    """Nobody was asked twice for the same thing, whoever asked."""
    for asked in (world.archive.asked, world.ads.asked, world.arxiv.asked, world.chat.asked):
        assert asked
        assert set(asked.values()) == {1}
    assert set(world.vectors.asked.values()) == {1}


def same_rows(one, other):
    """The Parquet files alone: a card tells options and addresses."""
    for folder in ("data", "embedded", "spectra"):
        assert digest(one / folder) == digest(other / folder)


def test_two_processes_share_one_build(built, keys, tmp_path):
    world, alone = built
    forget(world)
    for server in world.servers:
        server.delay = 0.02
    words = command(world, tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "specclip_datasets", *words],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=240) for process in both]
    for server in world.servers:
        server.delay = 0.0
    assert [process.returncode for process in both] == [0, 0], said
    same_rows(alone, tmp_path / "dataset")
    assert_asked_once(world)


@pytest.mark.slow
def test_accelerate_starts_two_processes(built, keys, tmp_path):
    world, alone = built
    forget(world)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--module", "specclip_datasets"]
    done = subprocess.run(
        [*launch, *command(world, tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Of 12 names, 12 are sources") == 1  # one of them speaks
    workers = tmp_path / "dataset.work" / "queue.sqlite.workers"
    assert len(list(workers.glob("*.lock"))) == 2
    same_rows(alone, tmp_path / "dataset")
    assert_asked_once(world)
