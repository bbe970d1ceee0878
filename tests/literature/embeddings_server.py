"""Local HTTP server with `POST /v1/embeddings` as OpenAI has it, and faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DIMENSION = 12


def true_vector(text: str, dimension: int = DIMENSION) -> np.ndarray:
    """Return the vector the server gives for a text: float32, from its hash."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=dimension).astype(np.float32)


class EmbeddingsServer:
    """Answers at `base_url` until closed.

    Attributes:
        requests: the texts of every request received, in order, answered well or not.
        keys: the Authorization header of each.
        bodies: the JSON of each.
        plan: behaviours of the next requests, taken from the front; after them all goes well.
            A behaviour is a name (see `_Handler`) or a status code.
        delay: seconds before an answer.
        key: the key it demands, or None.
    """

    def __init__(self, key: str | None = None):
        self.requests: list[list[str]] = []
        self.keys: list[str] = []
        self.bodies: list[dict] = []
        self.plan: list[str | int] = []
        self.delay = 0.0
        self.key = key
        self.lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            server_state = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> EmbeddingsServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def texts(self) -> list[str]:
        """Every text ever asked for, with repeats."""
        return [text for request in self.requests for text in request]


class _Handler(BaseHTTPRequestHandler):
    server_state: EmbeddingsServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            state.requests.append(body["input"])
            state.keys.append(self.headers.get("Authorization", ""))
            state.bodies.append(body)
            action = state.plan.pop(0) if state.plan else "well"
        if state.delay:
            time.sleep(state.delay)
        if self.path != "/v1/embeddings":
            return self.say(404, {"error": {"message": f"no such path {self.path}"}})
        if state.key and self.headers.get("Authorization") != f"Bearer {state.key}":
            # Some servers repeat the key they were given.
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            return self.say(401, {"error": {"message": f"Incorrect API key provided: {given}."}})
        if action == "drop":
            self.close_connection = True
            self.connection.close()
            return None
        if action == "hang":
            time.sleep(3)
            self.close_connection = True
            return None
        if isinstance(action, int):
            headers = {"Retry-After": "0.2"} if action == 429 else {}
            return self.say(action, {"error": {"message": f"status {action}"}}, headers)
        return self.answer(body, action)

    def answer(self, body: dict, action: str) -> None:
        vectors = [true_vector(text, body.get("dimensions", DIMENSION)) for text in body["input"]]
        if action == "few":
            vectors = vectors[:-1]
        if action == "narrow":
            vectors = [vector[:5] for vector in vectors]
        if action == "uneven":
            vectors[-1] = vectors[-1][:5]
        if action == "nan":
            vectors[0][3] = np.nan
        data = []
        for index, vector in enumerate(vectors):
            value: object = vector.tolist()
            if body.get("encoding_format") == "base64" and action != "floats":
                value = base64.b64encode(vector.tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": value})
        if action == "shuffled":
            data.reverse()
        if action == "renumbered":
            data[0]["index"] = 1
        whole = {"object": "list", "data": data, "model": body["model"]}
        if action == "other form":
            return self.say(200, {"vectors": [[1, 2]]})
        if action == "not json":
            return self.send(b"<html>proxy login</html>", content_type="application/json")
        if action == "cut short":
            # Fewer bytes than the header promises, as when a line breaks.
            text = json.dumps(whole).encode()
            return self.send(text[: len(text) // 2], length=len(text))
        return self.say(200, whole)

    def say(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(value).encode(), status=status, headers=headers)

    def send(
        self,
        text: bytes,
        status: int = 200,
        length: int | None = None,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        if length is not None:
            self.close_connection = True
