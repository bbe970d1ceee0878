"""Disk cache of text embeddings: one SQLite file that processes may share.

SQLite in its rollback-journal mode commits a batch completely or not at all, is one file to copy,
and (unlike the write-ahead log) works on the network file systems of clusters.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...errors import SpecCLIPError
from .base import EmbeddingError, TextEmbedder, check_texts, check_vectors

# A new format must have another file name.
CACHE_FILE = "sentence_embeddings.sqlite"
# Timeout for the commit of another process, s.
_BUSY_SECONDS = 60.0
# Texts between commits for an embedder without `batch_size`.
_DEFAULT_BATCH = 256
_LOCK_FILES = 64
_TABLES = """
CREATE TABLE IF NOT EXISTS embedders
    (name TEXT PRIMARY KEY, dimension INTEGER NOT NULL, spec TEXT);
CREATE TABLE IF NOT EXISTS embeddings
    (key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL);
"""

logger = logging.getLogger(__name__)


class CacheError(SpecCLIPError, RuntimeError):
    """A cache file cannot be used; the message names it and says what to do."""


def default_cache_dir() -> Path:
    """Return the cache folder.

    `HF_SPECCLIP_CACHE`, else `$XDG_CACHE_HOME/hf_specclip`, else `~/.cache/hf_specclip`.
    """
    if folder := os.environ.get("HF_SPECCLIP_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf_specclip"


def recorded_spec(name: str, cache_dir: str | os.PathLike[str] | None = None) -> str | None:
    """Return the specification of an embedder that was used on this machine, by its name.

    Raises:
        CacheError: the cache cannot be read.
    """
    return _recorded(_cache_file(cache_dir), name)[1]


class CachedEmbedder:
    """Embedder with a disk cache shared by processes.

    Embeddings, new or cached, are rounded to float16. The key of an entry is the SHA-256 of the
    name of the embedder and the text, so different models, servers and dimensions are not mixed. A
    batch is stored when it is computed, so that an interrupted process loses at most one batch.
    Processes that embed the same texts lock batch by batch and share the results.

    Args:
        embedder: embedder of texts that are not in the cache.
        cache_dir: folder of the cache; by default `default_cache_dir()`.
        spec: argument of `get_embedder` for this embedder, recorded for `recorded_spec`.

    Attributes:
        embedder: embedder of texts that are not in the cache.
        path: path of the cache file.

    Raises (`embed`):
        EmbeddingError: the embedder fails or returns invalid embeddings.
        CacheError: the file is damaged or cannot be written.
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
        return _recorded(self.path, self.name)[0] or self.embedder.dimension

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
        size = getattr(self.embedder, "batch_size", _DEFAULT_BATCH)
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
            width = _recorded(self.path, self.name)[0]
            return check_vectors(vectors, len(texts), self.name, width).astype("<f2")
        except EmbeddingError as error:
            # Not chained, since the cause may contain the API key.
            raise EmbeddingError(
                f"{error} [{done} new texts are stored in {self.path}; rerun to continue]"
            ) from None

    def _read(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the stored embeddings, float16 (d,), by key; damaged entries are skipped."""
        found = {}
        if self.path.exists():
            query = "SELECT vector, checksum FROM embeddings WHERE key = ?"
            with _open(self.path) as connection:
                for key in keys:
                    for vector, checksum in connection.execute(query, (key,)):
                        if checksum == _checksum(key, vector):
                            found[key] = vector
                        else:
                            logger.warning("%s: a damaged entry is computed again", self.path)
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
        """Hold one of the lock files, that of the batch that starts with `key`; a crash releases
        it."""
        from filelock import FileLock

        folder = self.path.parent / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(folder / f"{key[0] % _LOCK_FILES:02d}.lock")).acquire()
        except (OSError, NotImplementedError) as error:
            raise _unwritable(self.path, error) from error
        with lock:
            yield


def _cache_file(cache_dir: str | os.PathLike[str] | None) -> Path:
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    return folder / CACHE_FILE


def _recorded(path: Path, name: str) -> tuple[int | None, str | None]:
    """Return the recorded dimension and specification of an embedder, None if unknown."""
    if not path.exists():
        return None, None
    with _open(path) as connection:
        query = "SELECT dimension, spec FROM embedders WHERE name = ?"
        return connection.execute(query, (name,)).fetchone() or (None, None)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to a cache file and create missing tables."""
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            connection.executescript(_TABLES)
            yield connection
    except sqlite3.OperationalError as error:
        if "readonly" in str(error) or "unable to open" in str(error):
            raise _unwritable(path, error) from error
        raise CacheError(
            f"{path}: {error}. If the disk is full, make room; if another process holds the file, "
            "wait for it; then run again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise CacheError(
            f"{path} is damaged ({error}): delete or move it away and run again (its contents are "
            "recomputed), or set HF_SPECCLIP_CACHE to another folder"
        ) from error


def _unwritable(path: Path, error: Exception) -> CacheError:
    return CacheError(
        f"cannot write {path} ({error}): set HF_SPECCLIP_CACHE (or cache_dir) to a folder that you "
        "may write to"
    )


def _key(name: str, text: str) -> bytes:
    # With the length of the name, "a" + "bc" and "ab" + "c" have different keys.
    head = name.encode()
    body = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(len(head).to_bytes(8, "big") + head + body).digest()


def _checksum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=8).digest()
