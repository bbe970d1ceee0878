"""Text embedder of OpenAI, or of a compatible server with `/v1/embeddings`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
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
# Maximum number of inputs per request.
MAX_INPUTS = 2048
# Timeout (s), and number of retries after a lost connection or status 408, 409, 429 or 5xx, with
# the delay of `Retry-After` (up to two minutes) or exponential backoff.
TIMEOUT, MAX_RETRIES = 60.0, 5
_SECRETS = re.compile(r"sk-[\w-]{6,}|(?i:bearer)\s+\S+")
# Advice for a refusal, by HTTP status.
_HINTS = {
    400: "The server refuses these texts: try a smaller batch_size, or shorter texts",
    401: "The key was refused: check OPENAI_API_KEY",
    403: "The key was refused: check OPENAI_API_KEY",
    404: "Check the model's name and base_url (it ends in /v1 as a rule)",
    413: "The server refuses this text: give shorter ones",
    429: "The rate or the quota is used up even after retries: wait, or check the account's limits "
    "and billing, and run again",
}


class OpenAIEmbedder:
    """Embedder that uses the client of OpenAI.

    The API key is read from the environment variable OPENAI_API_KEY. It is sent to the server only,
    and never part of `name`, `repr`, logs, errors, pickles or the cache. Other servers (`base_url`)
    may not need a key.

    Args:
        model: name at the server.
        base_url: of an OpenAI-compatible server, ending in `/v1` as a rule; by default
            OPENAI_BASE_URL, else OpenAI.
        batch_size: texts in a request, at most 2,048, and halved where the server answers that
            they are too many (413); a kill loses one request at most.

    Raises:
        ImportError: when the package `openai` is absent.
        EmbeddingError: when OpenAI itself is asked and there is no key; by `embed`, when the server
            refuses, cannot be reached or answers wrongly.
        ValueError: for a batch size out of range, an address without http:// or https://, or a key
            that cannot be sent.
    """

    def __init__(
        self, model: str = DEFAULT_MODEL, *, base_url: str | None = None, batch_size: int = 512
    ):
        try:
            import openai  # noqa: F401  # fail before an hour of other work
        except ImportError as error:
            raise ImportError(
                'OpenAI embeddings need the package openai: pip install "hf-specclip[openai]"'
            ) from error
        if not 1 <= batch_size <= MAX_INPUTS:
            raise ValueError(f"batch_size must be 1 to {MAX_INPUTS}, not {batch_size}")
        self.model, self.batch_size = model, batch_size
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url {self.base_url} must begin with http:// or https://")
        self._is_openai = self.base_url.rstrip("/") == DEFAULT_BASE_URL
        self._width = DIMENSIONS.get(model) if self._is_openai else None
        self._find_key()

    @property
    def name(self) -> str:
        """Name of the model and address of the server."""
        return f"openai:{self.model}" + ("" if self._is_openai else f"@{self._address}")

    @property
    def dimension(self) -> int:
        """Width of the embeddings; for an unknown server, determined by one request."""
        if self._width is None:
            self._width = self.embed(["spectrum"]).shape[1]
        return self._width

    @property
    def _address(self) -> str:
        """Address of the server without user, password and query, which may be secrets."""
        parts = urlsplit(self.base_url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Embed texts (n, none empty); float32 (n, d)."""
        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        answers: list[np.ndarray] = []
        while rest := texts[sum(map(len, answers)) :]:
            answer = self._request(rest[: self.batch_size])
            if answer is None:
                self.batch_size = min(len(rest), self.batch_size) // 2
            else:
                answers.append(answer)
                self._width = answer.shape[1]
        return np.concatenate(answers)

    def _request(self, texts: list[str]) -> np.ndarray | None:
        """Return the embeddings of texts, None if they are too many for the server."""
        import openai

        key = self._find_key()
        try:
            with openai.OpenAI(
                api_key=key, base_url=self.base_url, timeout=TIMEOUT, max_retries=MAX_RETRIES
            ) as client:
                answer = client.embeddings.create(model=self.model, input=texts)
            data = sorted(answer.data or [], key=lambda item: item.index)
            if [item.index for item in data] != list(range(len(texts))):
                raise EmbeddingError(
                    f"{self.name} answered with {len(data)} vectors for {len(texts)} texts, or "
                    "numbered them wrongly; the response was discarded. Run again; if the error "
                    "persists, use a smaller batch_size or check the server"
                )
            vectors = np.array([item.embedding for item in data], dtype=np.float32)
            return check_vectors(vectors, len(texts), self.name, self._width)
        except openai.OpenAIError as error:
            status = getattr(error, "status_code", None) or 0
            if status == 413 and len(texts) > 1:
                return None
            message = f"{self.name}: {str(error)[:500]}"
            if isinstance(error, openai.APITimeoutError):
                message += f" No answer within {TIMEOUT:g} s: run again"
            elif isinstance(error, openai.APIConnectionError):
                cause = f" ({error.__cause__})" if error.__cause__ else ""
                message += f"{cause} Check the network and the address {self._address}, run again"
            elif status >= 500:
                message += f". The server failed after {MAX_RETRIES} retries: run again later"
            else:
                message += f". {_HINTS.get(status, 'Run again later')}"
        except (ValueError, TypeError, AttributeError) as error:
            # The client raises these for an answer it cannot parse.
            message = (
                f"{self.name} sent an answer that is not in the form of OpenAI's embeddings "
                f"({error}); nothing of it was kept. Run again; if the error persists, check "
                "base_url"
            )
        # Raised outside the handlers, so that the error of the client, whose request contains the
        # key, is not chained.
        raise EmbeddingError(_SECRETS.sub("***", message.replace(key, "***")))

    def _find_key(self) -> str:
        # The client insists on a key, other servers need none.
        no_key = "" if self._is_openai else "no-key"
        key = os.environ.get("OPENAI_API_KEY", "").strip() or no_key
        if not key:
            raise EmbeddingError(
                "OpenAI's embeddings need a key: export OPENAI_API_KEY=… (from "
                'platform.openai.com), or use the embedder "offline", which needs none'
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError("OPENAI_API_KEY holds characters that no key has: set it again")
        return key
