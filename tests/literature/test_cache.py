"""Cache of text embeddings: reuse, kills, separate models, damaged files."""

import signal
import sqlite3
import time

import numpy as np
import pytest
from embeddings_server import DIMENSION, true_vector
from worker import fork_worker

from hf_specclip.literature import (
    CachedEmbedder,
    CacheError,
    EmbeddingError,
    OpenAIEmbedder,
    default_cache_dir,
)
from hf_specclip.literature.embedders.cache import CACHE_FILE


class Counting:
    """An embedder that remembers what it was asked; vectors as of the test server."""

    def __init__(self, name="counting", dimension=DIMENSION):
        self.name, self.dimension, self.asked = name, dimension, []

    def embed(self, texts, *, progress=False):
        self.asked += texts
        return np.stack([true_vector(text, self.dimension) for text in texts])


def expected(texts, dimension=DIMENSION):
    return np.stack([true_vector(text, dimension) for text in texts]).astype(np.float16)


def test_a_text_is_computed_once_in_a_call_and_over_calls(tmp_path):
    inner = Counting()
    texts = ["a", "b", "a", "c", "b", "a"]
    cached = CachedEmbedder(inner, tmp_path)
    np.testing.assert_array_equal(cached.embed(texts), expected(texts))
    np.testing.assert_array_equal(cached.embed(["c", "d"]), expected(["c", "d"]))
    again = CachedEmbedder(Counting(), tmp_path)
    np.testing.assert_array_equal(again.embed(texts), expected(texts))
    assert sorted(inner.asked) == ["a", "b", "c", "d"]
    assert again.embedder.asked == []


def test_many_texts_and_odd_ones(tmp_path):
    texts = [f"text {i}" for i in range(3000)] + ["Γ\0null", "\udcff lone surrogate", "x" * 100_000]
    inner = Counting()
    inner.embed = lambda given, progress=False: np.ones((len(given), DIMENSION)) * len(given[0])
    cached = CachedEmbedder(inner, tmp_path)
    first = cached.embed(texts)
    assert first.shape == (3003, DIMENSION)
    np.testing.assert_array_equal(CachedEmbedder(Counting(), tmp_path).embed(texts), first)


def test_embedders_of_different_names_never_share(tmp_path):
    one, other = Counting("m@1"), Counting("m@2", dimension=5)
    CachedEmbedder(one, tmp_path).embed(["a"])
    np.testing.assert_array_equal(
        CachedEmbedder(other, tmp_path).embed(["a"]), expected(["a"], dimension=5)
    )
    assert other.asked == ["a"]
    # Name and text are apart: "m" + "1a" is not "m1" + "a".
    CachedEmbedder(Counting("m"), tmp_path).embed(["1a"])
    third = Counting("m1")
    CachedEmbedder(third, tmp_path).embed(["a"])
    assert third.asked == ["a"]


def test_stored_dimension_needs_no_embedder(tmp_path):
    CachedEmbedder(Counting(), tmp_path).embed(["a"])
    lazy = Counting()
    del lazy.dimension
    assert CachedEmbedder(lazy, tmp_path).dimension == DIMENSION


def test_bad_answers_are_not_stored(tmp_path):
    class Diverged(Counting):
        def embed(self, texts, *, progress=False):
            return super().embed(texts) * np.nan

    with pytest.raises(EmbeddingError, match="NaN or infinity for 2 of 2"):
        CachedEmbedder(Diverged(), tmp_path).embed(["a", "b"])
    np.testing.assert_array_equal(
        CachedEmbedder(Counting(), tmp_path).embed(["a"]), expected(["a"])
    )


@pytest.mark.parametrize("damage", ["one bit", "short", "long", "swapped"])
def test_a_damaged_entry_is_computed_again(tmp_path, damage):
    texts = ["a", "b", "c"]
    CachedEmbedder(Counting(), tmp_path).embed(texts)
    with sqlite3.connect(tmp_path / CACHE_FILE) as file:
        rows = file.execute("SELECT key, vector, checksum FROM embeddings").fetchall()
        key, vector, checksum = rows[0]
        if damage == "one bit":
            vector = vector[:5] + bytes([vector[5] ^ 1]) + vector[6:]
        elif damage == "swapped":  # a whole entry under another text's key
            vector, checksum = rows[1][1:]
        else:
            vector = vector[:-4] if damage == "short" else vector + b"\0\0\0\0"
        file.execute(
            "UPDATE embeddings SET vector=?, checksum=? WHERE key=?", (vector, checksum, key)
        )
    inner = Counting()
    np.testing.assert_array_equal(CachedEmbedder(inner, tmp_path).embed(texts), expected(texts))
    assert len(inner.asked) == 1
    mended = Counting()
    CachedEmbedder(mended, tmp_path).embed(texts)
    assert mended.asked == []


@pytest.mark.parametrize("damage", ["no database", "cut", "scribbled"])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, damage):
    path = tmp_path / CACHE_FILE
    CachedEmbedder(Counting(), tmp_path).embed([f"text {i}" for i in range(500)])
    whole = path.read_bytes()
    broken = {
        "no database": b"this is not a database, it is a letter to a friend" * 100,
        "cut": whole[: len(whole) // 3],
        "scribbled": whole[:4096] + b"\xa5" * (len(whole) - 4096),
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(CacheError, match=r"is damaged .*delete or move it away") as caught:
        CachedEmbedder(Counting(), tmp_path).embed([f"text {i}" for i in range(500)])
    assert str(path) in str(caught.value)
    assert path.read_bytes() == broken  # left for its owner to judge
    path.unlink()
    CachedEmbedder(Counting(), tmp_path).embed(["a"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(CacheError, match="file") as caught:
        CachedEmbedder(Counting(), blocked / "cache").embed(["a"])
    assert "HF_SPECCLIP_CACHE" in str(caught.value)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_SPECCLIP_CACHE", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    assert CachedEmbedder(Counting()).path == tmp_path / "mine" / CACHE_FILE
    monkeypatch.delenv("HF_SPECCLIP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "hf_specclip"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "hf_specclip"


def embed_apart(server, folder, texts, output):
    """Embed texts over HTTP in a process of its own, and save the vectors."""

    def work():
        embedder = OpenAIEmbedder("tiny", base_url=server.base_url, batch_size=8)
        np.save(output, CachedEmbedder(embedder, folder).embed(texts))

    return fork_worker(work)


def test_killed_at_any_moment_it_goes_on_where_it_was(server, tmp_path):
    server.delay = 0.03
    texts = [f"text {i}" for i in range(120)]
    output = tmp_path / "vectors.npy"
    # Moments: how many requests the server has had, and a wait that reaches before, into and
    # after the answer and the commit.
    moments = [(1, 0.0), (2, 0.035), (3, 0.06)]
    for requests, wait in moments:
        before = len(server.requests)
        process = embed_apart(server, tmp_path, texts, output)
        while len(server.requests) < before + requests and process.is_alive():
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    process = embed_apart(server, tmp_path, texts, output)
    process.join()
    assert process.exitcode == 0
    np.testing.assert_array_equal(np.load(output), expected(texts))
    assert set(server.texts) == set(texts)
    # Each kill repeats at most the batch in flight.
    assert len(server.texts) - len(texts) <= 8 * len(moments)
    # The kills came in the middle.
    assert sum(len(body["input"]) for body in server.bodies[:6]) < len(texts)


def test_processes_that_start_together_pay_once(server, tmp_path):
    server.delay = 0.02
    texts = [f"text {i}" for i in range(64)]
    outputs = [tmp_path / f"{i}.npy" for i in range(3)]
    running = [embed_apart(server, tmp_path, texts, out) for out in outputs]
    for process in running:
        process.join()
        assert process.exitcode == 0
    for out in outputs:
        np.testing.assert_array_equal(np.load(out), expected(texts))
    assert sorted(server.texts) == sorted(texts)
