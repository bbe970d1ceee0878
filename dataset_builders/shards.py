"""Rows made by several processes, kept on disk batch by batch until the dataset is written.

A batch is a fixed set of rows, made by one process with one thread: the bytes depend on neither how
many processes there are nor on which made what. Each batch becomes a file by an atomic rename, so
that what a kill leaves behind is whole, and the next run makes only what is missing.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from .contract import N_BINS, SPLITS, contract_features
from .folder import DatasetFolderError, TableStream
from .simulation.catalogue import Universe

# Rows made at once; part of what fixes the bytes, so it is no setting.
BATCH = 500
LOCK_FILE = "lock"
# One thread for each process: sums then come out the same to the last digit, and two processes use
# two cores better than threads do.
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@contextmanager
def simulated_splits(
    universe: Universe,
    folder: str | Path,
    *,
    splits: Sequence[str] = SPLITS,
    processes: int = 1,
    progress: bool = False,
) -> Iterator[Mapping[str, TableStream]]:
    """Make the rows of a universe while they are read.

    Args:
        universe: what there is.
        folder: where the batches lie; those it already holds are not made again.
        splits: those wanted.
        processes: how many make batches.
        progress: show a bar.

    Yields:
        The rows of each split, to be read once, in the order of `splits`.

    Raises:
        DatasetFolderError: when another run works in the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DatasetFolderError(f"another run is at work in {folder}: wait for it") from None
    batches = universe.batches(BATCH, splits)
    paths = [folder / f"{batch.split}-{batch.number:06d}.arrow" for batch in batches]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    done = sum(len(batch.rows) for batch in batches) - sum(len(batches[n].rows) for n in missing)
    pool: ProcessPoolExecutor | None = None
    futures: dict[int, Future[int]] = {}
    try:
        with tqdm(
            total=done + sum(len(batches[n].rows) for n in missing),
            initial=done,
            unit="row",
            desc="simulating",
            disable=not progress,
        ) as bar:

            def count(future: Future[int]) -> None:
                if not future.cancelled() and future.exception() is None:
                    bar.update(future.result())

            if missing:
                pool = ProcessPoolExecutor(
                    min(processes, len(missing)),
                    mp_context=_processes(universe.knobs.fits),
                    initializer=_start_worker,
                    # As bytes: the first process then need not have read them all for the next
                    # to be started.
                    initargs=(pickle.dumps(universe, pickle.HIGHEST_PROTOCOL),),
                )
                with _one_thread():
                    for number in missing:
                        future = pool.submit(_make_batch, batches[number].rows, paths[number])
                        future.add_done_callback(count)
                        futures[number] = future

            def tables(split: str) -> Iterator[pa.Table]:
                for number, batch in enumerate(batches):
                    if batch.split == split:
                        if number in futures:
                            futures.pop(number).result()
                        yield _read_batch(paths[number])

            schema = contract_features(N_BINS).arrow_schema
            yield {
                split: TableStream(int((universe.splits == split).sum()), schema, tables(split))
                for split in splits
            }
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        lock.release()


def prepare_processes(fits: bool) -> None:
    """Have what the processes are forked from import its modules while something else is done.

    Args:
        fits: whether they will fit spectra.
    """
    if _processes(fits).get_start_method() == "forkserver":
        with _one_thread():
            multiprocessing.forkserver.ensure_running()


def code_fingerprint() -> str:
    """A hash of the code that makes rows: batches that other code made belong to another set."""
    import hf_specclip

    digest = hashlib.blake2b(digest_size=8)
    package = Path(hf_specclip.__file__).parent
    for folder in (Path(__file__).parent, package / "spectra", package / "literature"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _processes(fits: bool) -> multiprocessing.context.BaseContext:
    """How to start processes: from a server that has imported what they need and has no threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(["torch"] if fits else [])])
    return context


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started meanwhile use one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_universe: Universe | None = None


def _start_worker(universe: bytes) -> None:
    global _universe
    # A hundred thousand papers and names that stay: no collection needs to look at them again.
    gc.disable()
    _universe = pickle.loads(universe)  # from the parent process
    gc.freeze()
    gc.enable()
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
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    partial.replace(path)
    return len(table)


def _read_batch(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()
