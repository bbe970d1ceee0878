"""Rows of a simulated universe, made by several processes in batches that are files.

A batch is a fixed set of rows, made by one process with one thread, so the bytes do not depend on
the number of processes. An interrupted run resumes with the missing batches.
"""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from hf_specclip.storage import atomic_file

from ..contract import N_BINS, SPLITS, contract_features
from ..folder import TableStream
from ..info import DatasetFolderError
from .catalogue import Universe

# Rows made at once; part of the seeding of the bytes, so it is no setting.
BATCH = 500
LOCK_FILE = "lock"
# One thread per process, for reproducible sums; processes also use the cores better than threads.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


@contextmanager
def simulated_splits(
    universe: Universe,
    folder: str | Path,
    *,
    processes: int = 1,
    progress: bool = False,
) -> Iterator[Mapping[str, TableStream]]:
    """Make the rows of a universe while they are read.

    Args:
        universe: simulated catalogue.
        folder: folder of the batches; existing ones are not made again.
        processes: number of processes.
        progress: show a progress bar.

    Yields:
        Rows of each split, to be read once, in the order of `SPLITS`.

    Raises:
        DatasetFolderError: another run uses the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    batches = universe.batches(BATCH)
    paths = [folder / f"{batch.split}-{batch.number:06d}.arrow" for batch in batches]
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / LOCK_FILE, timeout=0))
        except Timeout:
            raise DatasetFolderError(f"another run is at work in {folder}: wait for it") from None
        missing = [number for number, path in enumerate(paths) if not path.is_file()]
        total = sum(len(batch.rows) for batch in batches)
        done = total - sum(len(batches[number].rows) for number in missing)
        bar = tqdm(total=total, initial=done, unit="row", desc="simulating", disable=not progress)
        stack.enter_context(bar)
        futures: dict[int, Future[int]] = {}
        if missing:
            pool = ProcessPoolExecutor(
                min(processes, len(missing)),
                mp_context=_context(universe.knobs.fits > 0),
                initializer=_start_worker,
                # As bytes: the first process then need not have read them for the next to start.
                initargs=(pickle.dumps(universe, pickle.HIGHEST_PROTOCOL),),
            )
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)

            def count(future: Future[int]) -> None:
                if not future.cancelled() and future.exception() is None:
                    bar.update(future.result())

            with _starting_processes():
                for number in missing:
                    futures[number] = pool.submit(_make_batch, batches[number].rows, paths[number])
                    futures[number].add_done_callback(count)

        def tables(split: str) -> Iterator[pa.Table]:
            for number, (batch, path) in enumerate(zip(batches, paths, strict=True)):
                if batch.split == split:
                    if number in futures:
                        futures.pop(number).result()
                    with pa.memory_map(str(path)) as file:
                        yield pa.ipc.open_file(file).read_all()

        schema = contract_features(N_BINS).arrow_schema
        yield {
            split: TableStream(int((universe.splits == split).sum()), schema, tables(split))
            for split in SPLITS
        }


def prepare_processes(fits: bool) -> None:
    """Start the server that processes are forked from, so that it imports modules meanwhile."""
    if _context(fits).get_start_method() == "forkserver":
        with _starting_processes():
            multiprocessing.forkserver.ensure_running()


def _context(fits: bool) -> multiprocessing.context.BaseContext:
    """Return the start method: a server that has imported the modules and has no threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(["torch"] if fits else [])])
    return context


@contextmanager
def _starting_processes() -> Iterator[None]:
    """Give processes that are started in the block one thread each, and keep Ctrl-C for its end."""
    multiprocessing.resource_tracker.ensure_running()  # its start would end the block
    before = {name: os.environ[name] for name in _ONE_THREAD if name in os.environ}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name in _ONE_THREAD:
            del os.environ[name]
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_universe: Universe | None = None


def _start_worker(universe: bytes) -> None:
    global _universe
    # The universe is permanent: garbage collection need not visit its many objects.
    gc.disable()
    _universe = pickle.loads(universe)  # from the parent process
    gc.freeze()
    gc.enable()
    # The process that started it says that the work is stopped.
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    assert _universe is not None
    if _universe.knobs.fits:
        import torch

        torch.set_num_threads(1)

    def follow(parent: multiprocessing.process.BaseProcess) -> None:
        parent.join()
        os._exit(1)

    # A parent that was killed cannot end its workers, and they would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=follow, args=(parent,), daemon=True).start()


def _make_batch(rows: np.ndarray, path: Path) -> int:
    assert _universe is not None
    table = _universe.rows(rows)
    with (
        atomic_file(path) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)
    return len(table)
