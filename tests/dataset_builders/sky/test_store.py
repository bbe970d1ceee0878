"""Store: work queue, cache, locks, kills."""

import os
import signal
import sqlite3
import threading
import time

import pytest
from worker import fork_worker

from specclip_datasets.sky.services.http_session import RejectedError, ServiceError
from specclip_datasets.sky.work.store import Absent, Store, StoreError


def test_item_states(store):
    store.add("spectra", {str(i): {"n": i} for i in range(5)})
    store.add("spectra", {"0": {"n": 0}, "5": {"n": 5}})
    error = ServiceError("HTTP 500")
    taken = []

    def do(items):
        taken.append([(item.id, item.payload["n"]) for item in items])
        yield {"0": ["file"], "1": Absent("no such file"), "2": error, "3": b"\0bytes"}

    store.process("spectra", do, batch_size=4, limit=4)
    assert taken == [[(str(i), i) for i in range(4)]]
    assert store.counts("spectra") == {"wanted": 2, "got": 2, "absent": 1, "failed": 1}
    by_id = {item.id: item for item in store.items("spectra")}
    assert (by_id["0"].result, by_id["3"].result) == (["file"], b"\0bytes")
    assert (by_id["1"].reason, by_id["2"].reason) == ("no such file", "HTTP 500")
    store.requeue("spectra")
    assert store.ids("spectra", "wanted") == {"2", "4", "5"}
    # Only a changed payload is queued again.
    store.add("spectra", {"0": {"n": "other"}, "3": {"n": 3}})
    assert store.ids("spectra") == {"3"}


def test_threads_process_each_item_once(store):
    store.add("s", {f"{i:03d}": i for i in range(60)})
    seen, lock = [], threading.Lock()

    def do(items):
        with lock:
            seen.extend(item.id for item in items)
        yield {item.id: 1 for item in items}

    store.process("s", do, batch_size=2, workers=4)
    assert sorted(seen) == [f"{i:03d}" for i in range(60)]
    assert store.sums("s") == [60.0]


def test_consecutive_service_failures_stop_the_stage_and_requeue(store):
    store.add("s", {f"{i}": {} for i in range(9)})

    def do(items):
        for item in items:
            kind = RejectedError if item.id == "1" else ServiceError
            yield {item.id: 1 if item.id in "02" else kind("down")}

    with pytest.raises(ServiceError, match="down"):
        store.process("s", do, batch_size=9)
    assert store.counts("s") == {"wanted": 6, "got": 2, "absent": 0, "failed": 1}


def test_slow_thread_does_not_fail_requeued_items(store, monkeypatch):
    store.add("s", {f"{i}": {} for i in range(3)})
    put, two = store.put, threading.Barrier(2)

    def slowly(stage, outcomes):
        time.sleep(0.1 * ("1" in outcomes))
        put(stage, outcomes)

    def do(items):
        two.wait()
        time.sleep(0.05 * (items[0].id == "2"))
        for item in items:
            yield {item.id: ServiceError("down")}

    monkeypatch.setattr(store, "put", slowly)
    with pytest.raises(ServiceError, match="down"):
        store.process("s", do, batch_size=2, workers=2)
    assert store.ids("s", "wanted") == set("012")


@pytest.fixture
def interrupts():
    """Enable SIGINT, which shells ignore in background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_interrupt_saves_requests_in_flight(store, caplog):
    store.add("s", {f"{i}": {} for i in range(9)})

    def do(items):
        for item in items:
            if item.id == "1":
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                time.sleep(0.1)
            yield {item.id: 1}

    with pytest.raises(KeyboardInterrupt):
        store.process("s", do, batch_size=9)
    assert store.ids("s") == {"0", "1"}
    assert "stopping after the requests in flight" in caplog.text


def test_responses_are_cached_until_cleared(store):
    asked = []

    def ask():
        asked.append(1)
        return {"rows": len(asked)}

    other = Store(store.path.parent)
    assert store.cached("ads", ["q", 1], ask) == other.cached("ads", ["q", 1], ask)
    store.add("s", {"a": {}})
    other.process_each("s", lambda item: 1, clear_cache="simbad")  # clears another cache
    assert store.cached("ads", ["q", 1], ask) == {"rows": 1}
    store.requeue("s", ["a"])
    store.process_each("s", lambda item: 1, clear_cache="ads")
    # Two processes use the response that was saved first.
    assert store.cached("ads", ["q", 1], lambda: other.cached("ads", ["q", 1], ask) and 0) == {
        "rows": 2
    }


def test_killed_process_keeps_commits_and_releases_locks(store):
    store.add("s", {f"{i}": {} for i in range(9)})

    def die():
        def do(items):
            yield {items[0].id: 1}
            yield {items[1].id: 1}
            os.kill(os.getpid(), 9)

        with store.lock_stages(["s"]):
            store.process("s", do, batch_size=3)

    worker = fork_worker(die)
    worker.join(60)
    assert worker.exitcode == -9
    assert store.ids("s") == {"0", "1"}
    with store.lock_stages(["s"]):  # the lock was released
        store.process("s", lambda items: ({item.id: 1} for item in items), batch_size=4)
    assert store.counts("s")["got"] == 9


def test_unusable_files_are_named_with_advice(store, tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "build.sqlite").write_bytes(b"not a database, but long enough" * 50)
    with pytest.raises(StoreError, match=r"build\.sqlite: .*move it away"):
        Store(tmp_path / "damaged")
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreError, match="has format 9"):
        Store(store.path.parent)
