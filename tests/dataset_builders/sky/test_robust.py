"""Kills, failing services, expired keys: nothing is lost or asked for twice."""

import logging
import os
import time
import traceback
from collections import Counter

import pytest
from building import KEY, TOKEN, build, digest
from worker import fork_worker
from world import World

from hf_specclip.errors import SpecCLIPError
from specclip_datasets.sky.build import CATALOGUE_STAGES, STAGES
from specclip_datasets.sky.work.store import StoreError

# Requests that each stage may have under way, redirects included.
IN_FLIGHT = {
    "names": 2, "catalogue": 2, "objects": 1, "papers": 1, "full_texts": 3, "spectra": 2,
    "counts": 0, "summaries": 2, "embeddings": 1, "dataset": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A world, the dataset that one process made of it in peace, and the requests that took."""
    root = tmp_path_factory.mktemp("calm")
    with World(token=TOKEN) as world, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADS_DEV_KEY", TOKEN)
        patch.setenv("OPENAI_API_KEY", KEY)
        build(world, root / "work", whole=True).run(STAGES, root / "one")
        yield world, root / "one", world.requests()


def kill_in(world, work, output, stage, seconds):
    """Run a build and kill it so long after a stage has begun; None where it came to its end."""

    def run():
        made = build(world, work, whole=True)
        for name in STAGES:
            print(name)
            made.run([name], output, overwrite=True)
        print("done")

    worker = fork_worker(run)
    lines = []
    for line in worker.stdout:
        lines.append(line.strip())
        if lines[-1] in (stage, "done"):
            break
    if lines[-1] != "done":
        time.sleep(seconds)
        worker.kill()
    lines += worker.stdout.read().split()
    worker.join(120)
    assert lines, "it did not even begin"
    return None if lines[-1] == "done" else lines[-1]


@pytest.mark.slow
def test_a_build_that_was_killed_twenty_times_ends_with_the_same_bytes(calm, keys, tmp_path):
    world, calmly, requests = calm
    forget(world, 0.05)
    work, output = tmp_path / "work", tmp_path / "one"
    killed = [kill_in(world, work, output, stage, 0.12) for stage in STAGES * 2]
    # A stage of the second ten may be over before the kill.
    killed = [stage for stage in killed if stage]
    assert len(killed) >= 10
    for server in world.servers:
        server.delay = 0.0
    build(world, work, whole=True).run(STAGES, output, overwrite=True)
    assert digest(output) == digest(calmly)
    # Only what was under way at a kill is asked for twice.
    assert world.requests() - requests <= sum(IN_FLIGHT[stage] for stage in killed)


def test_two_processes_share_the_stages_and_both_are_killed(calm, keys, tmp_path):
    """The archive's stages in one process, those of papers and models in another."""
    world, calmly, requests = calm
    forget(world, 0.0)
    work, output = tmp_path / "work", tmp_path / "one"
    build(world, work, whole=True).run(CATALOGUE_STAGES, output)
    shares = (("spectra", "counts"), ("papers", "full_texts", "summaries", "embeddings"))

    def start(stages):
        return fork_worker(lambda: build(world, work, whole=True).run(stages, output))

    world.archive.delay = world.chat.delay = 0.1
    killed = [start(stages) for stages in shares]
    for worker, server in zip(killed, (world.archive, world.chat), strict=True):
        while not server.requests:
            time.sleep(0.005)
        if server is world.archive:
            with pytest.raises(StoreError, match="another process is running stage spectra in"):
                build(world, work, whole=True).run(["spectra"], output)
        worker.kill()
        worker.join(60)
    again = [start(stages) for stages in shares]
    for worker in again:
        worker.join(120)
    assert [worker.exitcode for worker in (*killed, *again)] == [-9, -9, 0, 0]
    world.archive.delay = world.chat.delay = 0.0
    build(world, work, whole=True).run(["dataset"], output)
    assert digest(output) == digest(calmly)
    assert world.requests() - requests <= IN_FLIGHT["spectra"] + IN_FLIGHT["summaries"]


def forget(world, delay):
    for server in world.servers:
        server.requests.clear()
        server.delay = delay


def test_a_tenth_of_failing_requests_changes_nothing(calm, keys, tmp_path):
    world, calmly, _ = calm
    forget(world, 0.0)
    for server in world.servers:
        server.failures.clear()
        server.rate, server.slow = 0.1, 0.05
    # And each kind of failure once for certain, at each server that is asked often enough.
    for server in (world.csc, world.simbad, world.archive, world.ads, world.arxiv):
        server.plan = [None, 429, 500, None, "drop", "truncate", None, "html", "slow"]
    # The client waits half a second and more before it asks a model again.
    world.chat.plan = [429, None, "truncate", None, "html", None, "slow"]
    world.vectors.plan = ["drop"]
    said = []
    for _ in range(10):
        try:
            build(world, tmp_path / "work", whole=True).run(STAGES, tmp_path / "one")
            break
        except SpecCLIPError as error:  # a stop is one with a message, and nothing is lost
            said.append(str(error))
    for server in world.servers:
        server.rate, server.plan = 0.0, []
    assert digest(tmp_path / "one") == digest(calmly), said
    total = sum((server.failures for server in world.servers), Counter())
    assert set(total) == {429, 500, "drop", "truncate", "html", "slow"}
    assert len(said) <= 3, said


def test_keys_that_expire_stop_it_and_fresh_ones_go_on(calm, tmp_path, monkeypatch, caplog, capfd):
    """And none of them is ever shown or kept."""
    world, calmly, requests = calm
    forget(world, 0.0)
    for name in ("openai", "httpx2", "httpcore2", "urllib3", "specclip_datasets"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fresh = {"ads": f"{TOKEN}-fresh", "chat": f"{KEY}-fresh", "vectors": f"{KEY}-fresh"}
    shown = []
    # ADS answers five times, the model three times; then they know the old key no more.
    respond = {name: getattr(world, name).respond for name in fresh}

    def expiring(name, left):
        server = getattr(world, name)

        def answer(request):
            if len(server.requests) > left:
                if name == "ads":
                    server.token = fresh[name]
                else:
                    server.key = fresh[name]
            return respond[name](request)

        server.respond = answer

    for name, left in (("ads", 5), ("chat", 3), ("vectors", 0)):
        expiring(name, left)
    ways = ["Check ADS_DEV_KEY", "check OPENAI_API_KEY"]
    with caplog.at_level(logging.DEBUG):
        for way, variable, value in zip(
            ways, ("ADS_DEV_KEY", "OPENAI_API_KEY"), (fresh["ads"], fresh["chat"]), strict=True
        ):
            with pytest.raises(SpecCLIPError, match=way) as caught:
                build(world, tmp_path / "work", whole=True).run(STAGES, tmp_path / "one")
            shown += traceback.format_exception(caught.value)
            monkeypatch.setenv(variable, value)
        build(world, tmp_path / "work", whole=True).run(STAGES, tmp_path / "one")
    for name in fresh:
        getattr(world, name).respond = respond[name]
    world.ads.token, world.chat.key, world.vectors.key = TOKEN, None, None
    assert digest(tmp_path / "one") == digest(calmly)
    # The first process asks ADS once in vain, the second the model with two threads.
    assert world.requests() <= requests + 1 + 2 + 1
    for text in ("".join(shown), caplog.text, *capfd.readouterr()):
        assert "MARKED" not in text
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"MARKED" not in path.read_bytes(), path
    assert os.environ["ADS_DEV_KEY"].startswith(TOKEN)
