"""Disk cache of text embeddings: one SQLite file that processes may share.

SQLite in its rollback-journal mode commits a batch completely or not at all, is one file to copy,
and (unlike the write-ahead log) works on the network file systems of clusters.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...errors import SpecCLIPError
from .base import EmbeddingError, TextEmbedder, check_texts, check_vectors

# A new format must have another file name.
CACHE_FILE = "sentence_embeddings.sqlite"
_UNWRITABLE = re.compile("readonly|unable to open")
_TABLES = """
CREATE TABLE IF NOT EXISTS embedders
    (name TEXT PRIMARY KEY, dimension INTEGER NOT NULL, spec TEXT);
CREATE TABLE IF NOT EXISTS embeddings
    (key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL);
"""


class CacheError(SpecCLIPError, RuntimeError):
    """A cache file cannot be used; the message names it and says what to do."""


def default_cache_dir() -> Path:
    """Return the cache folder.

    `HF_SPECCLIP_CACHE`, else `$XDG_CACHE_HOME/hf_specclip`, else `~/.cache/hf_specclip`.
    """
    if folder := os.environ.get("HF_SPECCLIP_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf_specclip"


def recorded_embedder(
    name: str, cache_dir: str | os.PathLike[str] | None = None
) -> tuple[int | None, str | None]:
    """Return dimension and specification of an embedder that was used on this machine, else None.

    Raises:
        CacheError: the cache cannot be read.
    """
    if not (path := _cache_file(cache_dir)).exists():
        return None, None
    with _open(path) as connection:
        query = "SELECT dimension, spec FROM embedders WHERE name = ?"
        return connection.execute(query, (name,)).fetchone() or (None, None)


class CachedEmbedder:
    """Embedder with a disk cache shared by processes.

    Embeddings, new or cached, are rounded to float16. The key of an entry is the SHA-256 of the
    name of the embedder and the text, so different models, servers and dimensions are not mixed. A
    batch is stored when it is computed, so that an interrupted process loses at most one batch.
    Processes that embed the same texts lock batch by batch and share the results.

    Args:
        embedder: embedder of texts that are not in the cache.
        cache_dir: folder of the cache; by default `default_cache_dir()`.
        spec: argument of `get_embedder` for this embedder, recorded for `recorded_embedder`.

    Raises (`embed`):
        EmbeddingError: the embedder fails or returns invalid embeddings.
        CacheError: the file (`path`) is damaged or cannot be written.
    """

    def __init__(
        self,
        embedder: TextEmbedder,
        cache_dir: str | os.PathLike[str] | None = None,
        spec: str | None = None,
    ):
        self.embedder, self.path, self._spec = embedder, _cache_file(cache_dir), spec

    @property
    def name(self) -> str:
        """Name of the embedder."""
        return self.embedder.name

    @property
    def dimension(self) -> int:
        """Width of the embeddings."""
        # The recorded width saves loading a model or a request to a server.
        return recorded_embedder(self.name, self.path.parent)[0] or self.embedder.dimension

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty), from the cache where it has them; float32 (n, d)."""
        from tqdm.auto import tqdm

        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        keys = [_key(self.name, text) for text in texts]
        text_of = dict(zip(keys, texts, strict=True))
        found = self._read(text_of)
        # Sorted, so that processes with the same texts form the same batches.
        missing = sorted(text_of.keys() - found.keys())
        size = getattr(self.embedder, "batch_size", 256)
        batches = range(0, len(missing), size)
        for start in tqdm(batches, "Embedding", unit="batch", disable=not (progress and missing)):
            batch = missing[start : start + size]
            with self._lock(batch[0]):
                # Another process may have stored the batch in the meantime.
                found |= self._read(batch)
                if new := [key for key in batch if key not in found]:
                    done = f"{start} of {len(missing)}"
                    found |= self._store(new, self._compute([text_of[key] for key in new], done))
        values = np.frombuffer(b"".join(found[key] for key in keys), dtype="<f2")
        return values.reshape(len(texts), -1).astype(np.float32)

    def _compute(self, texts: list[str], done: str) -> np.ndarray:
        """Embed texts that are not in the cache; float16 (n, d)."""
        try:
            # Rounded before the check, since values may overflow float16.
            vectors = np.asarray(self.embedder.embed(texts)).astype("<f2")
            width = recorded_embedder(self.name, self.path.parent)[0]
            return check_vectors(vectors, len(texts), self.name, width).astype("<f2")
        except EmbeddingError as error:
            # Not chained, since the cause may contain the API key.
            raise EmbeddingError(
                f"{error} [{done} new texts are stored in {self.path}; rerun to continue]"
            ) from None

    def _read(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the stored embeddings, float16 (d,), by key; damaged entries are skipped."""
        if not self.path.exists():
            return {}
        found = {}
        query = "SELECT vector, checksum FROM embeddings WHERE key = ?"
        with _open(self.path) as connection:
            for key in keys:
                for vector, checksum in connection.execute(query, (key,)):
                    if checksum == _checksum(key, vector):
                        found[key] = vector
                    else:
                        warning = "%s: a damaged entry is computed again"
                        logging.getLogger(__name__).warning(warning, self.path)
        return found

    def _store(self, keys: list[bytes], vectors: np.ndarray) -> dict[bytes, bytes]:
        """Store embeddings, float16 (n, d), in one transaction; return them by key."""
        stored = {key: row.tobytes() for key, row in zip(keys, vectors, strict=True)}
        with _open(self.path) as connection:
            # IMMEDIATE takes the write lock at once, which avoids deadlocks of two writers.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO embedders VALUES (?1, ?2, ?3) "
                "ON CONFLICT (name) DO UPDATE SET spec = coalesce(?3, spec)",
                (self.name, vectors.shape[1], self._spec),
            )
            rows = [(key, vector, _checksum(key, vector)) for key, vector in stored.items()]
            connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
        return stored

    @contextlib.contextmanager
    def _lock(self, key: bytes) -> Iterator[None]:
        """Hold the lock file of the batch that starts with `key`; a crash releases it."""
        from filelock import FileLock

        with _explained(self.path):
            lock = FileLock(self.path.parent / ".locks" / f"{key[0] % 64:02d}.lock").acquire()
        with lock:
            yield


def _cache_file(cache_dir: str | os.PathLike[str] | None) -> Path:
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    return folder / CACHE_FILE


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to a cache file and create missing tables."""
    with _explained(path):
        # Another process commits within a minute.
        connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
        with contextlib.closing(connection):
            connection.executescript(_TABLES)
            yield connection


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise an error of the file or its folder as `CacheError`, with the way out."""
    try:
        yield
    except (OSError, NotImplementedError, sqlite3.DatabaseError) as error:
        away = "set HF_SPECCLIP_CACHE (or cache_dir) to another folder, that you may write to"
        if isinstance(error, sqlite3.OperationalError) and not _UNWRITABLE.search(str(error)):
            message = f"failed ({error}): make room, or wait for other processes, and run again"
        elif isinstance(error, sqlite3.OperationalError | OSError | NotImplementedError):
            message = f"cannot be written ({error}): {away}"
        else:
            message = f"is damaged ({error}): delete or move it away and run again, or {away}"
        raise CacheError(f"{path} {message}") from error


def _key(name: str, text: str) -> bytes:
    # With the length of the name, "a" + "bc" and "ab" + "c" have different keys.
    head = len(name.encode()).to_bytes(8, "big")
    return hashlib.sha256(head + f"{name}{text}".encode("utf-8", "surrogatepass")).digest()


def _checksum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=8).digest()
