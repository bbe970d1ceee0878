"""Builds with kills, failing services and expired keys."""

import logging
import os
import time
from collections import Counter

import pytest
from building import KEY, TOKEN, build, built_world, digest
from faulty import shown_of
from worker import fork_worker

from hf_specclip.errors import SpecCLIPError
from specclip_datasets.sky.build import CATALOGUE_STAGES, STAGES
from specclip_datasets.sky.work.store import StoreError

# Maximum number of requests in flight by stage, including redirects.
IN_FLIGHT = {
    "names": 2, "catalogue": 2, "objects": 1, "papers": 1, "full_texts": 3, "spectra": 2,
    "counts": 0, "summaries": 2, "embeddings": 1, "dataset": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A world, a dataset built without faults, and the number of requests of that build."""
    root = tmp_path_factory.mktemp("reference")
    with built_world(root, whole=True) as world:
        yield world, root / "dataset", world.requests()


def kill_in(world, work, output, stage, seconds):
    """Kill a build some time after the start of a stage; return the stage, or None if complete."""

    def run():
        csc_build = build(world, work, whole=True)
        for name in STAGES:
            print(name)
            csc_build.run([name], output, overwrite=True)
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
    assert lines
    return None if lines[-1] == "done" else lines[-1]


@pytest.mark.slow
def test_build_killed_twenty_times_is_identical(reference, keys, tmp_path):
    world, expected, requests = reference
    forget(world, 0.05)
    work, output = tmp_path / "work", tmp_path / "dataset"
    killed = [kill_in(world, work, output, stage, 0.12) for stage in STAGES * 2]
    killed = [stage for stage in killed if stage]
    assert len(killed) >= 10
    for server in world.servers:
        server.delay = 0.0
    build(world, work, whole=True).run(STAGES, output, overwrite=True)
    assert digest(output) == digest(expected)
    # Only requests in flight at a kill are repeated.
    assert world.requests() - requests <= sum(IN_FLIGHT[stage] for stage in killed)


def test_two_killed_processes_share_a_work_folder(reference, keys, tmp_path):
    world, expected, requests = reference
    forget(world, 0.0)
    work, output = tmp_path / "work", tmp_path / "dataset"
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
    assert digest(output) == digest(expected)
    assert world.requests() - requests <= IN_FLIGHT["spectra"] + IN_FLIGHT["summaries"]


def forget(world, delay):
    for server in world.servers:
        server.requests.clear()
        server.delay = delay


def test_build_with_failing_requests_is_identical(reference, keys, tmp_path):
    world, expected, _ = reference
    forget(world, 0.0)
    for server in world.servers:
        server.failures.clear()
        server.rate, server.slow = 0.1, 0.05
    # In addition, each fault at least once.
    for server in (world.csc, world.simbad, world.archive, world.ads, world.arxiv):
        server.plan = [None, 429, 500, None, "drop", "truncate", None, "html", "slow"]
    # Fewer faults, as the OpenAI client waits half a second before a retry.
    world.chat.plan = [429, None, "truncate", None, "html", None, "slow"]
    world.vectors.plan = ["drop"]
    said = []
    for _ in range(10):
        try:
            build(world, tmp_path / "work", whole=True).run(STAGES, tmp_path / "dataset")
            break
        except SpecCLIPError as error:
            said.append(str(error))
    for server in world.servers:
        server.rate, server.plan = 0.0, []
    assert digest(tmp_path / "dataset") == digest(expected), said
    total = sum((server.failures for server in world.servers), Counter())
    assert set(total) == {429, 500, "drop", "truncate", "html", "slow"}
    assert len(said) <= 3, said


def test_expired_keys_stop_the_build_and_new_keys_resume_it(
    reference, tmp_path, monkeypatch, caplog, capfd
):
    world, expected, requests = reference
    forget(world, 0.0)
    for name in ("openai", "httpx2", "httpcore2", "urllib3", "specclip_datasets"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fresh = {"ads": f"{TOKEN}-fresh", "chat": f"{KEY}-fresh", "vectors": f"{KEY}-fresh"}
    shown = []
    # The keys expire after five requests to ADS and three to the model.
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
                build(world, tmp_path / "work", whole=True).run(STAGES, tmp_path / "dataset")
            shown += shown_of(caught.value)
            monkeypatch.setenv(variable, value)
        build(world, tmp_path / "work", whole=True).run(STAGES, tmp_path / "dataset")
    for name in fresh:
        getattr(world, name).respond = respond[name]
    world.ads.token, world.chat.key, world.vectors.key = TOKEN, None, None
    assert digest(tmp_path / "dataset") == digest(expected)
    # One rejected request to ADS, and two to the model (two threads).
    assert world.requests() <= requests + 1 + 2 + 1
    for text in ("".join(shown), caplog.text, *capfd.readouterr()):
        assert "MARKED" not in text
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"MARKED" not in path.read_bytes(), path
    assert os.environ["ADS_DEV_KEY"].startswith(TOKEN)
