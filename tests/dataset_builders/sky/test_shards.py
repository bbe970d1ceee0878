"""Several processes on one build, several machines with a shard each: the bytes do not tell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from building import KEY, TOKEN, build, digest
from specclip_datasets.__main__ import main
from specclip_datasets.sky.build import SHARD_STAGES, STAGES, BuildError
from specclip_datasets.sky.merge import MergeError, merge_shards
from specclip_datasets.sky.work.queue import WorkQueue
from specclip_datasets.sky.work.shard import Shard
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


def test_shards_of_two_machines_become_one_dataset(built, keys, tmp_path, capfd):
    world, alone = built
    forget(world)
    shards = [tmp_path / f"dataset.work-{number}-of-2" for number in (1, 2)]
    for number in (1, 2):
        assert main(command(world, tmp_path, "--shard", f"{number}/2")) == 0
    sizes = [WorkQueue(shard / "queue.sqlite").counts("spectra")["got"] for shard in shards]
    assert min(sizes) > 0
    assert sum(sizes) == 24
    merged = str(tmp_path / "merged")
    assert main(["merge", *map(str, shards), "--work", merged]) == 0
    assert "go on with the build command" in capfd.readouterr().out
    before = len(world.archive.requests) + len(world.csc.requests) + len(world.simbad.requests)
    for shard in shards:  # what the merged folder needs is in it
        shutil.rmtree(shard)
    assert main(command(world, tmp_path, "--work", merged)) == 0
    after = len(world.archive.requests) + len(world.csc.requests) + len(world.simbad.requests)
    assert before == after
    same_rows(alone, tmp_path / "dataset")
    # The survey is asked for by each shard: it is behind sources of both.
    assert max(world.ads.asked.values()) <= 2
    assert set(world.chat.asked.values()) == set(world.arxiv.asked.values()) == {1}


def test_what_are_not_the_shards_of_one_build_is_refused(built, keys, tmp_path):
    world, _ = built
    shards = []
    for number in (1, 2):
        made = build(world, tmp_path / str(number), shard=Shard(number, 2))
        made.run(("names", "catalogue"), tmp_path / "none")
        shards.append(tmp_path / str(number))
    with pytest.raises(BuildError, match="a shard ends with `counts`"):
        made.run(STAGES, tmp_path / "none")
    with pytest.raises(MergeError, match="of 2 shards, 2 are missing"):
        merge_shards(shards[:1], tmp_path / "merged")
    shutil.copytree(shards[0], tmp_path / "copy")
    with pytest.raises(MergeError, match="are both shard 1/2"):
        merge_shards([shards[0], tmp_path / "copy"], tmp_path / "merged")
    with pytest.raises(MergeError, match="is no work folder"):
        merge_shards([*shards, tmp_path], tmp_path / "merged")
    other = build(world, tmp_path / "other", world.names[:5], shard=Shard(2, 2))
    other.run(("names",), tmp_path / "none")
    with pytest.raises(MergeError, match=r"another build than .*: selection differ"):
        merge_shards([shards[0], tmp_path / "other"], tmp_path / "merged")
    whole = build(world, tmp_path / "whole")
    whole.run(("names",), tmp_path / "none")
    with pytest.raises(MergeError, match="is no shard"):
        merge_shards([tmp_path / "whole"], tmp_path / "merged")
    queue = WorkQueue(shards[0] / "queue.sqlite")
    queue.add("spectra", {"1.2.3": {}})
    with pytest.raises(MergeError, match=r"1 items of `spectra` are left.*--shard 1/2"):
        merge_shards(shards, tmp_path / "merged")


def test_a_cone_is_shared_among_shards_and_merged(built, keys, tmp_path):
    from building import FAST, QUICK
    from specclip_datasets.sky.build import Build, Options, Selection, Services

    world, _ = built
    selection = Selection(cone=(0.0, 90.0, 179.0))
    services = Services(**world.services, patience=QUICK, **FAST)
    kinds = ("spectrum", "arf")
    shards = []
    for number in (1, 2):
        shards.append(tmp_path / str(number))
        options = Options(kinds=kinds, shard=Shard(number, 2))
        Build(shards[-1], selection, services, options).run(SHARD_STAGES, tmp_path / "none")
    merge_shards(shards, tmp_path / "merged", spectra=True)
    asked = world.requests()
    made = Build(tmp_path / "merged", selection, services, Options(kinds=kinds))
    made.run(STAGES, tmp_path / "dataset")
    assert world.requests() == asked
    assert "Of 24 ACIS detections" in made.account()
    assert not made.archive().audit()
    begun = json.loads((tmp_path / "merged" / "begun.json").read_text())
    assert begun["shard"] is None
