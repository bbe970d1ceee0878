"""HTTP server that records requests and fails on demand."""

from __future__ import annotations

import email
import hashlib
import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

FAULTS = (429, 500, "drop", "truncate", "html", "slow")


@dataclass
class Request:
    """Request that the server received."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def form(self) -> tuple[dict[str, str], dict[str, bytes]]:
        """Return the fields of a form, and the contents of its files."""
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            return {key: v[0] for key, v in parse_qs(self.body.decode()).items()}, {}
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.body)
        fields, files = {}, {}
        for part in message.get_payload():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if part.get_filename():
                files[name] = content
            else:
                fields[name] = content.decode()
        return fields, files


@dataclass
class Response:
    """Response of the server."""

    content: bytes
    kind: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Response:
        return cls(json.dumps(value).encode(), "application/json", status, headers)


def shown_of(error: BaseException | None) -> list[str]:
    """Return all that an error shows: its traceback, and the state of all errors behind it."""
    shown = [str(error), "".join(traceback.format_exception(error))]
    while error is not None:
        shown += [repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return shown


class FaultyServer:
    """HTTP server that responds with `respond(request)`.

    Attributes:
        requests: all requests, in order, including failed ones.
        plan: faults of the next requests: a status, "drop", "truncate", "html", "slow" (`slow`
            seconds), "drip" (a byte every 20 ms), "drop_after" (it is done, and nobody hears of
            it), a `Response`, or None.
        rate: fraction of other requests that fail, with reproducible `FAULTS`.
        delay: delay of every response, s.
        retry_after: Retry-After of status 429, s.
        key: key that a server of OpenAI's API requires, or None.
    """

    key: str | None = None

    def __init__(self, respond: Callable[[Request], Response] | None = None, port: int = 0) -> None:
        if respond is not None:
            self.respond = respond
        self.requests: list[Request] = []
        self.plan: list[Any] = []
        self.rate = 0.0
        self.delay = 0.0
        self.slow = 1.0
        self.retry_after = "0.05"
        self.failures: Counter = Counter()
        self.lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            state = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> FaultyServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def respond(self, request: Request) -> Response:
        return Response.json({"path": request.path})

    def refused_key(self, request: Request) -> Response | None:
        """Return the refusal of a request with another key, which it repeats as OpenAI does."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.key in (None, given):
            return None
        return Response.json({"error": {"message": f"Incorrect API key provided: {given}"}}, 401)

    def next_fault(self, request: Request) -> Any:
        """Return the fault of this request; called under the lock."""
        if self.plan:
            return self.plan.pop(0)
        number = len(self.requests)
        draw = hashlib.sha256(f"fault {number}".encode()).digest()
        if int.from_bytes(draw[:4], "big") / 2**32 < self.rate:
            return FAULTS[draw[4] % len(FAULTS)]
        return None


class _Handler(BaseHTTPRequestHandler):
    state: FaultyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        state = self.state
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed in between
            self.close_connection = True
            return
        request = Request(
            self.command,
            parts.path,
            {key: values[0] for key, values in parse_qs(parts.query).items()},
            {name.title(): value for name, value in self.headers.items()},
            body,
        )
        with state.lock:
            fault = state.next_fault(request)
            state.requests.append(request)
            if fault is not None:
                state.failures[fault if isinstance(fault, int | str) else "answer"] += 1
        if state.delay:
            time.sleep(state.delay)
        try:
            self.answer(request, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def answer(self, request: Request, fault: Any) -> None:
        if fault == "drop_after":
            self.state.respond(request)
        if fault in ("drop", "drop_after"):
            self.close_connection = True
            self.connection.close()
            return
        if isinstance(fault, int):
            headers = {"Retry-After": self.state.retry_after} if fault == 429 else {}
            self.send(Response(b"failing on demand", "text/plain", fault, headers))
            return
        if fault == "html":
            self.send(Response(b"<html>please log in</html>", "text/html"))
            return
        if isinstance(fault, Response):
            self.send(fault)
            return
        if fault == "slow":
            time.sleep(self.state.slow)
        answer = self.state.respond(request)
        if fault == "drip":
            self.send(answer, 0)
            for byte in answer.content:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
            return
        self.send(answer, len(answer.content) // 2 if fault == "truncate" else None)

    def send(self, answer: Response, cut: int | None = None) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
