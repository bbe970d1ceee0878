"""Text embedder of OpenAI, or of any server with its `/v1/embeddings`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from .base import EmbeddingError, check_texts, check_vectors

DEFAULT_MODEL = "text-embedding-ada-002"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
DIMENSIONS = {
    "text-embedding-ada-002": 1536,
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
}
# Inputs that the API takes in a request.
MAX_INPUTS = 2048
_SECRETS = re.compile(r"sk-[\w-]{6,}|(?i:bearer)\s+\S+")
# Advice for a refusal, by HTTP status.
_HINTS = {
    400: "The server refuses these texts: try a smaller batch_size, or shorter texts",
    401: "The key was refused: check OPENAI_API_KEY",
    403: "The key was refused: check OPENAI_API_KEY",
    404: "Check the model's name and base_url (it ends in /v1 as a rule)",
    413: "The server refuses these texts: try a smaller batch_size, or shorter texts",
    429: "The rate or the quota is used up even after retries: wait, or check the account's limits "
    "and billing, and run again",
}


class OpenAIEmbedder:
    """Embedder that asks OpenAI through its own client.

    The key comes from `api_key` or the environment variable OPENAI_API_KEY. It is sent to the
    server and nowhere else: not into `name`, `repr`, logs, errors, pickles or the cache. A server
    of your own (`base_url`) may need none.

    Args:
        model: name at the server.
        base_url: of an OpenAI-compatible server, ending in `/v1` as a rule; by default
            OPENAI_BASE_URL, else OpenAI.
        dimensions: shorten the vectors (text-embedding-3 and later only).
        api_key: by default OPENAI_API_KEY.
        batch_size: texts in a request, at most 2,048; a kill loses one request at most.
        timeout: seconds to wait for an answer.
        max_retries: by the client, after a lost connection or status 408, 409, 429 or 5xx; it
            waits as long as the server asks (`Retry-After`, up to two minutes), else with growing
            pauses.

    Raises:
        ImportError: when the package `openai` is absent.
        EmbeddingError: when OpenAI itself is asked and there is no key.
        ValueError: for a batch size out of range or a key that cannot be sent.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        dimensions: int | None = None,
        api_key: str | None = None,
        batch_size: int = 512,
        timeout: float = 60.0,
        max_retries: int = 5,
    ):
        try:
            import openai  # noqa: F401  # fail before an hour of other work
            from pydantic import SecretStr
        except ImportError as error:
            raise ImportError(
                'OpenAI embeddings need the package openai: pip install "hf-specclip[openai]"'
            ) from error
        if not 1 <= batch_size <= MAX_INPUTS:
            raise ValueError(f"batch_size must be 1 to {MAX_INPUTS}, not {batch_size}")
        self.model = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        self.batch_size = batch_size
        self.timeout = timeout
        self.max_retries = max_retries
        self._dimensions = dimensions
        self._width = dimensions
        if dimensions is None and self._is_openai:
            self._width = DIMENSIONS.get(model)
        self._key = SecretStr((api_key or "").strip())
        self._client: Any = None
        self._find_key()

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.name!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process takes the key from its own environment.
        return self.__dict__ | {"_client": None, "_key": None}

    @property
    def name(self) -> str:
        """Model, shortened dimension and server: all that changes the vectors."""
        name = f"openai:{self.model}"
        if self._dimensions is not None:
            name += f"#{self._dimensions}"
        if not self._is_openai:
            # User, password and query may be secrets.
            parts = urlsplit(self.base_url)
            port = f":{parts.port}" if parts.port else ""
            name += f"@{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        return name

    @property
    def dimension(self) -> int:
        """Width of the vectors; a server other than OpenAI is asked once, with one word."""
        if self._width is None:
            self._width = self.embed(["spectrum"]).shape[1]
        return self._width

    @property
    def _is_openai(self) -> bool:
        return self.base_url.rstrip("/") == DEFAULT_BASE_URL

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d).

        Raises:
            EmbeddingError: when the server refuses, cannot be reached or answers wrongly.
        """
        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        answers = []
        for start in range(0, len(texts), self.batch_size):
            vectors = self._request(texts[start : start + self.batch_size])
            self._width = self._width or vectors.shape[1]
            if vectors.shape[1] != self._width:
                raise EmbeddingError(
                    f"{self.name} answered with {vectors.shape[1]} dimensions where "
                    f"{self._width} were expected: check the model and the server"
                )
            answers.append(vectors)
        return np.concatenate(answers)

    def _request(self, texts: list[str]) -> np.ndarray:
        import openai

        options: dict[str, Any] = {}
        if self._dimensions is not None:
            options["dimensions"] = self._dimensions
        try:
            answer = self._connect().embeddings.create(model=self.model, input=texts, **options)
            return check_vectors(self._in_order(answer, len(texts)), len(texts), self.name)
        except EmbeddingError as error:
            message = str(error)
        except openai.OpenAIError as error:
            message = self._explain(error)
        except (ValueError, TypeError, AttributeError) as error:
            # The client raises these for an answer it cannot parse.
            message = (
                f"{self.name} sent an answer that is not in the form of OpenAI's embeddings "
                f"({error}); nothing of it was kept. Run again; if it stays, check base_url"
            )
        # Raised outside the handlers, so that the client's error, which holds the request and with
        # it the key, is not carried along.
        raise EmbeddingError(self._scrub(message))

    def _in_order(self, answer: Any, n: int) -> np.ndarray:
        data = sorted(answer.data or [], key=lambda item: item.index)
        if [item.index for item in data] != list(range(n)):
            raise EmbeddingError(
                f"{self.name} answered with {len(data)} vectors for {n} texts, or numbered them "
                "wrongly; nothing of this answer was kept. Run again; if it stays, use a smaller "
                "batch_size or check the server"
            )
        return np.array([item.embedding for item in data], dtype=np.float32)

    def _explain(self, error: Any) -> str:
        import openai

        detail = f"{self.name}: {str(error)[:500]}"
        if isinstance(error, openai.APITimeoutError):
            return f"{detail} No answer within {self.timeout:g} s: run again, or raise `timeout`"
        if isinstance(error, openai.APIConnectionError):
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            return f"{detail}{cause} Check the network and the address {self._address}, run again"
        status = getattr(error, "status_code", None) or 0
        if status >= 500:
            return f"{detail}. The server failed after {self.max_retries} retries: run again later"
        return f"{detail}. {_HINTS.get(status, 'Run again later')}"

    @property
    def _address(self) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    def _scrub(self, message: str) -> str:
        key = self._given_key()
        return _SECRETS.sub("***", message.replace(key, "***") if key else message)

    def _given_key(self) -> str:
        given = self._key.get_secret_value() if self._key else ""
        return given or os.environ.get("OPENAI_API_KEY", "").strip()

    def _find_key(self) -> str:
        key = self._given_key()
        if not key:
            if not self._is_openai:
                return "none"  # the client insists on a key
            raise EmbeddingError(
                "OpenAI's embeddings need a key: export OPENAI_API_KEY=… (from "
                'platform.openai.com), or use the embedder "offline", which needs none'
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError("OPENAI_API_KEY holds characters that no key has: set it again")
        return key

    def _connect(self) -> Any:
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                api_key=self._find_key(),
                base_url=self.base_url,
                timeout=self.timeout,
                max_retries=self.max_retries,
            )
        return self._client


__all__ = ["DEFAULT_MODEL", "DIMENSIONS", "OpenAIEmbedder"]
