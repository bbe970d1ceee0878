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

CACHE_FILE = "text_embeddings.sqlite"
FORMAT_VERSION = 1
# Seconds to wait for the commit of another process, which takes milliseconds.
_BUSY_SECONDS = 60.0
# Values in one SQL statement; builds of SQLite allow 999 at the least.
_KEYS_AT_ONCE = 500
# Texts between commits for an embedder without `batches`.
_DEFAULT_BATCH = 256
_LOCK_FILES = 64

logger = logging.getLogger(__name__)


class CacheError(SpecCLIPError, RuntimeError):
    """A cache file that cannot be used; the message names it and says what to do."""


def default_cache_dir() -> Path:
    """Return the cache folder.

    `HF_SPECCLIP_CACHE`, else `$XDG_CACHE_HOME/hf_specclip`, else `~/.cache/hf_specclip`.
    """
    folder = os.environ.get("HF_SPECCLIP_CACHE")
    if folder:
        return Path(folder).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "hf_specclip"


class CachedEmbedder:
    """Embedder with a disk cache: no text is embedded twice, by any process.

    Entries are found by the SHA-256 of the embedder's name and the text, so that vectors of
    another model, server or dimension are never mixed in. A batch is stored as soon as it is
    computed, so a killed process loses one batch at most. Processes with the same texts take turns
    batch by batch, and each reads what the others have stored.

    Args:
        embedder: computes the missing vectors.
        cache_dir: folder of the cache; by default `default_cache_dir()`.

    Attributes:
        embedder: the embedder behind the cache.
        path: the cache file.
        computed: number of texts sent to the embedder.

    Raises (`embed`):
        EmbeddingError: when the embedder fails or answers badly.
        CacheError: when the file is damaged, from a newer version, or cannot be written.
    """

    def __init__(self, embedder: TextEmbedder, cache_dir: str | os.PathLike[str] | None = None):
        self.embedder = embedder
        folder = default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
        self.path = folder / CACHE_FILE
        self.computed = 0
        self._dimension: int | None = None

    def __repr__(self) -> str:
        return f"CachedEmbedder({self.embedder!r}, path={str(self.path)!r})"

    @property
    def name(self) -> str:
        """Name of the embedder."""
        return self.embedder.name

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        if self._dimension is None:
            # The stored width saves loading a model or paying for a request.
            self._dimension = self._stored_dimension() or self.embedder.dimension
        return self._dimension

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty), from the cache where it has them; float32 (n, d)."""
        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        name = self.name
        keys = {text: _key(name, text) for text in texts}
        vectors = self._read(keys.values())
        # By key: processes that miss the same texts form the same batches, whatever their order.
        missing = sorted((t for t, key in keys.items() if key not in vectors), key=keys.__getitem__)
        if missing:
            vectors |= self._compute(missing, keys, progress)
        return np.stack([vectors[keys[text]] for text in texts])

    def _compute(
        self, missing: list[str], keys: dict[str, bytes], progress: bool
    ) -> dict[bytes, np.ndarray]:
        from tqdm.auto import tqdm

        result: dict[bytes, np.ndarray] = {}
        done = 0
        with tqdm(total=len(missing), desc="Embedding", unit="text", disable=not progress) as bar:
            for batch in _batches(self.embedder, missing):
                # Under the lock, another process may have stored the batch by now.
                with self._turn(keys[batch[0]]):
                    stored = self._read([keys[text] for text in batch])
                    todo = [text for text in batch if keys[text] not in stored]
                    if todo:
                        vectors = self._ask(todo, done=done, total=len(missing))
                        computed = {keys[t]: v for t, v in zip(todo, vectors, strict=True)}
                        self._write(computed, vectors.shape[1])
                        stored |= computed
                result |= stored
                done += len(batch)
                bar.update(len(batch))
        return result

    def _ask(self, texts: list[str], done: int, total: int) -> np.ndarray:
        try:
            vectors = check_vectors(self.embedder.embed(texts), len(texts), self.name)
            expected = self._stored_dimension()
            if expected not in (None, vectors.shape[1]):
                raise EmbeddingError(
                    f"{self.name} answered with {vectors.shape[1]} dimensions, but gave {expected} "
                    "before: the server behind this name has changed its model"
                )
        except EmbeddingError as error:
            # Not chained: the cause may hold the key.
            raise EmbeddingError(
                f"{error} [{done} of {total} new texts are stored in {self.path}; a further run "
                "goes on from there]"
            ) from None
        self.computed += len(texts)
        return vectors

    @contextlib.contextmanager
    def _turn(self, key: bytes) -> Iterator[None]:
        """Hold the lock of the batch that begins with `key`; the system frees it at a crash.

        A few files serve all batches; two batches that share one wait for each other.
        """
        from filelock import FileLock

        folder = self.path.parent / ".locks"
        lock = FileLock(str(folder / f"{key[0] % _LOCK_FILES:02d}.lock"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise self._unwritable(error) from error
        except (OSError, NotImplementedError) as error:
            # On a file system without locks a text may be computed twice; entries stay right.
            logger.warning("no file lock in %s (%s): going on without", self.path.parent, error)
            yield
            return
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unwritable(error) from error
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and version != FORMAT_VERSION:
                raise CacheError(
                    f"{self.path} has format {version}, this version of hf_specclip writes "
                    f"{FORMAT_VERSION}: set HF_SPECCLIP_CACHE (or cache_dir) to another folder"
                )
            yield connection
        except sqlite3.OperationalError as error:
            if "readonly" in str(error) or "unable to open" in str(error):
                raise self._unwritable(error) from error
            raise CacheError(
                f"{self.path}: {error}. If the disk is full, make room; if another process holds "
                "the file, wait for it; then run again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise CacheError(
                f"{self.path} is damaged ({error}): delete or move it away and run again (what it "
                "held is computed anew), or set HF_SPECCLIP_CACHE to another folder"
            ) from error
        finally:
            connection.close()

    def _unwritable(self, error: Exception) -> CacheError:
        return CacheError(
            f"cannot write {self.path} ({error}): set HF_SPECCLIP_CACHE (or cache_dir) to a folder "
            "that you may write to"
        )

    def _stored_dimension(self) -> int | None:
        if not self.path.exists():
            return None
        with self._open() as connection:
            if not _has_tables(connection):
                return None
            row = connection.execute(
                "SELECT dimension FROM embedders WHERE name = ?", (self.name,)
            ).fetchone()
        return None if row is None else int(row[0])

    def _read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Return the stored entries; a damaged one counts as absent and is replaced."""
        wanted = list(dict.fromkeys(keys))
        dimension = self._stored_dimension()
        if dimension is None:
            return {}
        entries: dict[bytes, np.ndarray] = {}
        with self._open() as connection:
            for start in range(0, len(wanted), _KEYS_AT_ONCE):
                part = wanted[start : start + _KEYS_AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT key, vector, checksum FROM embeddings WHERE key IN ({marks})", part
                )
                for key, vector, checksum in rows:
                    if len(vector) == 4 * dimension and checksum == _checksum(key, vector):
                        entries[key] = np.frombuffer(vector, dtype="<f4").astype(np.float32)
                    else:
                        logger.warning("%s: a damaged entry is computed again", self.path)
        return entries

    def _write(self, entries: dict[bytes, np.ndarray], dimension: int) -> None:
        with self._open() as connection:
            # IMMEDIATE takes the write lock at once: two writers cannot wait for each other.
            connection.execute("BEGIN IMMEDIATE")
            if not _has_tables(connection):
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
                connection.execute(
                    "CREATE TABLE embedders (name TEXT PRIMARY KEY, dimension INTEGER NOT NULL)"
                )
                connection.execute(
                    "CREATE TABLE embeddings "
                    "(key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL)"
                )
            connection.execute(
                "INSERT OR IGNORE INTO embedders VALUES (?, ?)", (self.name, dimension)
            )
            rows = []
            for key, values in entries.items():
                vector = values.astype("<f4").tobytes()
                rows.append((key, vector, _checksum(key, vector)))
            connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")


def _key(name: str, text: str) -> bytes:
    # The length keeps name and text apart: "a" + "bc" is not "ab" + "c".
    head = name.encode()
    body = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(len(head).to_bytes(8, "big") + head + body).digest()


def _checksum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=8).digest()


def _has_tables(connection: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('embedders', 'embeddings')"
    return bool(connection.execute(query).fetchone()[0] == 2)


def _batches(embedder: TextEmbedder, texts: list[str]) -> Iterable[Sequence[str]]:
    if hasattr(embedder, "batches"):
        yield from embedder.batches(texts)
        return
    for start in range(0, len(texts), _DEFAULT_BATCH):
        yield texts[start : start + _DEFAULT_BATCH]


__all__ = ["CACHE_FILE", "CacheError", "CachedEmbedder", "default_cache_dir"]
