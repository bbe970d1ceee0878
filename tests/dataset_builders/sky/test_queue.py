"""The work queue: nothing is done twice, nothing is forgotten, whoever is killed."""

import os
import signal
import sqlite3
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from worker import start_worker

from specclip_datasets.sky.work.queue import QueueError, WorkQueue


@pytest.fixture
def path(tmp_path):
    return tmp_path / "work" / "queue.sqlite"


def script(path, body):
    """A process that has the queue open as `queue` and runs `body`."""
    head = f"""
        import os
        import time
        from specclip_datasets.sky.work.queue import WorkQueue
        queue = WorkQueue({str(path)!r})
    """
    return start_worker(textwrap.dedent(head) + textwrap.dedent(body))


def test_items_end_in_one_of_three_ways(path):
    queue = WorkQueue(path)
    assert queue.add("spectra", {str(i): {"n": i} for i in range(5)}) == 5
    assert queue.add("spectra", {"0": {"n": "other"}, "5": {"n": 5}}) == 1
    claimed = queue.claim("spectra", 4)
    assert [(item.id, item.payload, item.attempts) for item in claimed] == [
        (str(i), {"n": i}, 1) for i in range(4)
    ]
    queue.finish("spectra", {"0": ["file"]}, absent={"1": "no such file"}, failed={"2": "500"})
    queue.release("spectra", ["3"])
    assert queue.counts("spectra") == {
        "wanted": 3, "claimed": 0, "got": 1, "absent": 1, "failed": 1,
    }  # fmt: skip
    by_id = {item.id: item for item in queue.items("spectra")}
    assert by_id["0"].result == ["file"]
    assert (by_id["1"].why, by_id["2"].why) == ("no such file", "500")
    assert queue.retry("spectra") == 1
    assert [item.id for item in queue.claim("spectra", 9)] == ["2", "3", "4", "5"]
    assert {item.id: item.attempts for item in queue.items("spectra")}["2"] == 2
    assert queue.counts("other")["wanted"] == 0


def test_an_unclaimed_item_cannot_be_finished_and_the_commit_is_whole(path):
    queue = WorkQueue(path)
    queue.add("s", {"a": 1, "b": 2})
    queue.claim("s", 1)
    with pytest.raises(QueueError, match="'b' was not claimed"):
        queue.finish("s", {"a": 1, "b": 2})
    assert queue.counts("s")["claimed"] == 1
    other = WorkQueue(path)
    with pytest.raises(QueueError, match="'a' was not claimed"):
        other.finish("s", {"a": 1})


def test_many_processes_take_each_item_once(path):
    queue = WorkQueue(path)
    queue.add("s", {f"{i:04d}": i for i in range(120)})
    body = """
        while items := queue.claim("s", 3):
            print(*(item.id for item in items), flush=True)
            queue.finish("s", {item.id: os.getpid() for item in items})
    """
    workers = [script(path, body) for _ in range(3)]
    taken = [name for worker in workers for name in worker.communicate(timeout=60)[0].split()]
    assert sorted(taken) == [f"{i:04d}" for i in range(120)]
    assert queue.counts("s")["got"] == 120


def test_threads_of_one_process_take_each_item_once(path):
    queue = WorkQueue(path)
    queue.add("s", {f"{i:03d}": i for i in range(60)})

    def work():
        mine = []
        while items := queue.claim("s", 2):
            mine += [item.id for item in items]
            queue.finish("s", dict.fromkeys((item.id for item in items), 1))
        return mine

    queue.claim("s", 0)
    with ThreadPoolExecutor(4) as pool:
        taken = [name for part in pool.map(lambda _: work(), range(4)) for name in part]
    assert sorted(taken) == [f"{i:03d}" for i in range(60)]


def test_claims_of_a_killed_process_return_and_those_of_a_living_one_do_not(path):
    queue = WorkQueue(path)
    queue.add("s", {"a": 1, "b": 2, "c": 3})
    body = """
        print(queue.claim("s", 1)[0].id, flush=True)
        time.sleep(60)
    """
    dying, living = script(path, body), script(path, body)
    held = {dying.stdout.readline().strip(), living.stdout.readline().strip()}
    assert held == {"a", "b"}
    assert [item.id for item in queue.claim("s", 3)] == ["c"]
    os.kill(dying.pid, signal.SIGKILL)
    dying.wait()
    back = queue.claim("s", 3)
    assert len(back) == 1
    assert back[0].id in held
    assert back[0].attempts == 2
    living.kill()
    living.wait()
    assert {item.id for item in queue.claim("s", 3)} == held - {back[0].id}


def test_closing_gives_claims_back_and_leaves_no_lock(path):
    with WorkQueue(path) as queue:
        queue.add("s", {"a": 1})
        queue.claim("s")
    assert WorkQueue(path).counts("s")["wanted"] == 1
    assert list((path.parent / "queue.sqlite.workers").iterdir()) == []


def test_files_that_cannot_be_used_are_named_with_the_way_out(tmp_path):
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all, but long enough to be looked at" * 50)
    with pytest.raises(QueueError, match=r"broken\.sqlite: .*move it away"):
        WorkQueue(broken)
    newer = tmp_path / "newer.sqlite"
    WorkQueue(newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(QueueError, match="has format 9"):
        WorkQueue(newer)
