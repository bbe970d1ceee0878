"""Test server of OpenAI embeddings: a vector from each text's hash."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter

import numpy as np
from faulty import FaultyServer, Request, Response

DIMENSION = 8


def true_vector(text: str, dimension: int = DIMENSION) -> np.ndarray:
    """Return the vector of a text, (dimension,) float32."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=dimension).astype(np.float32)


class VectorsServer(FaultyServer):
    """Server of `POST /v1/embeddings`.

    Attributes:
        asked: number of requests per text.
        dimension: of the vectors.
    """

    def __init__(self) -> None:
        self.asked: Counter = Counter()
        self.dimension = DIMENSION
        super().__init__()
        self.base_url = f"{self.url}/v1"

    def respond(self, request: Request) -> Response:
        if refusal := self.refused_key(request):
            return refusal
        body = json.loads(request.body)
        with self.lock:
            self.asked.update(body["input"])
        data = []
        for index, text in enumerate(body["input"]):
            vector = true_vector(text, self.dimension)
            value = (
                base64.b64encode(vector.tobytes()).decode()
                if body.get("encoding_format") == "base64"
                else vector.tolist()
            )
            data.append({"object": "embedding", "index": index, "embedding": value})
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        whole = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        return Response.json(whole)
