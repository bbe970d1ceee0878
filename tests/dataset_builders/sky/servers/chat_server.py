"""Test server of OpenAI chat completions, single and batched."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from faulty import FaultyServer, Request, Response


class ChatServer(FaultyServer):
    """Chat server that responds with `write(messages)`.

    Attributes:
        write: messages -> content (JSON unless a string).
        bodies: JSON of all completed requests.
        asked: number of completions per request.
        rejected_fields: unsupported fields (status 400), as in newer models.
        end: messages -> `finish_reason`, or "refusal".
        limit: limit on enqueued tokens; larger batches fail.
        files, batches: of the Batch API, by id.
        spoil: custom_id -> error code of that line of a batch, or an empty string.
        end_as: final status of batches, and the fraction of their lines that is completed.
    """

    def __init__(self, write: Callable[[list[dict[str, str]]], Any] | None = None) -> None:
        self.write = write or plain_summary
        self.bodies: list[dict[str, Any]] = []
        self.asked: Counter = Counter()
        self.rejected_fields: set[str] = set()
        self.end: Callable[[list[dict[str, str]]], str] = lambda messages: "stop"
        self.limit: int | None = None
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.spoil: Callable[[str], str] = lambda name: ""
        self.end_as: list[tuple[str, float]] = []
        super().__init__()
        self.base_url = f"{self.url}/v1"

    def respond(self, request: Request) -> Response:
        if refused := self.refused_key(request):
            return refused
        path = request.path.removeprefix("/v1")
        if path == "/chat/completions":
            body = json.loads(request.body)
            if refusal := self.refusal(body):
                return Response.json({"error": refusal}, 400)
            return Response.json(self.complete(body))
        if path == "/files" and request.method == "POST":
            return self._file(request)
        if path.startswith("/files/") and path.endswith("/content"):
            return Response(self.files[path.split("/")[2]], "application/octet-stream")
        if path == "/batches" and request.method == "POST":
            return self._batch(json.loads(request.body))
        if path == "/batches":
            data = [self._shown(batch) for batch in reversed(self.batches.values())]
            return Response.json({"object": "list", "data": data, "has_more": False})
        if path.startswith("/batches/"):
            batch = self.batches.get(path.split("/")[2])
            if batch is None:
                return Response.json({"error": {"message": "No such batch"}}, 404)
            with self.lock:
                batch["looks"] -= 1
                if batch["looks"] < 0 and batch["status"] == "finalizing":
                    self._end(batch)
                elif batch["status"] in ("validating", "in_progress"):
                    batch["status"] = "finalizing" if batch["looks"] <= 0 else "in_progress"
            return Response.json(self._shown(batch))
        return Response.json({"error": {"message": f"no such path {path}"}}, 404)

    def refusal(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the error of an unsupported field in the words of OpenAI."""
        for name in sorted(self.rejected_fields & set(body)):
            other = ", use 'max_completion_tokens' instead" if name == "max_tokens" else ""
            message = f"Unsupported parameter: '{name}' is not supported with this model{other}."
            return {"message": message, "param": name, "code": "unsupported_parameter"}
        return None

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the completion of a request."""
        content = self.write(body["messages"])
        with self.lock:
            self.bodies.append(body)
            self.asked[json.dumps(body["messages"], sort_keys=True)] += 1
        text = content if isinstance(content, str) else json.dumps(content)
        size = sum(len(message["content"]) for message in body["messages"])
        usage = {"prompt_tokens": size // 4, "completion_tokens": len(text) // 4}
        end = self.end(body["messages"])
        message = {"role": "assistant", "content": text}
        if end == "length":
            message["content"] = text[: len(text) // 2]
        if end == "refusal":
            message, end = {"role": "assistant", "content": None, "refusal": "I will not."}, "stop"
        choice = {"index": 0, "finish_reason": end, "message": message}
        about = {"id": "chat-1", "object": "chat.completion", "created": int(time.time())}
        usage["total_tokens"] = sum(usage.values())
        return {**about, "model": body["model"], "choices": [choice], "usage": usage}

    # -- batches

    def _file(self, request: Request) -> Response:
        fields, files = request.form()
        assert fields == {"purpose": "batch"}
        name = f"file-{len(self.files)}"
        self.files[name] = files["file"]
        about = {"id": name, "object": "file", "bytes": len(files["file"]), "purpose": "batch"}
        about |= {"created_at": int(time.time()), "filename": "batch.jsonl"}
        return Response.json({**about, "status": "processed"})

    def _batch(self, body: dict[str, Any]) -> Response:
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        name = f"batch_{len(self.batches)}"
        about = {"id": name, "object": "batch", "created_at": int(time.time()), "metadata": None}
        self.batches[name] = {**about, **body, "status": "validating", "looks": 1}
        return Response.json(self._shown(self.batches[name]))

    def _end(self, batch: dict[str, Any]) -> None:
        status, share = self.end_as.pop(0) if self.end_as else ("completed", 1.0)
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        tokens = sum(len(m["content"]) for line in lines for m in line["body"]["messages"]) // 4
        if self.limit is not None and tokens > self.limit:
            message = (
                f"Enqueued token limit reached for gpt-4o-mini in organization org. Limit: "
                f"{self.limit:,} enqueued tokens. Please try again later."
            )
            error = {"code": "token_limit_exceeded", "message": message, "line": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
            return
        found: dict[str, list[bytes]] = {"output_file_id": [], "error_file_id": []}
        for line in lines[: round(share * len(lines))]:
            status_code, body, error = 400, None, None
            if refusal := self.refusal(line["body"]):
                body = {"error": refusal}
            elif code := self.spoil(line["custom_id"]):
                error = {"code": code, "message": "it failed"}
                if code == "content_filter":
                    body, error = {"error": error}, None
            else:
                self.lock.release()  # `complete` takes it
                try:
                    status_code, body = 200, self.complete(line["body"])
                finally:
                    self.lock.acquire()
            answer = {"status_code": status_code, "request_id": "q", "body": body}
            entry = {"id": "r", "custom_id": line["custom_id"], "error": error}
            entry["response"] = None if body is None else answer
            where = "output_file_id" if status_code == 200 else "error_file_id"
            found[where].append(json.dumps(entry).encode())
        batch["status"] = status
        for where, entries in found.items():
            if entries:
                batch[where] = f"file-{len(self.files)}"
                self.files[batch[where]] = b"\n".join(reversed(entries))  # in any order

    @staticmethod
    def _shown(batch: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in batch.items() if key != "looks"}


def plain_summary(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Three sections about the source in the user's message."""
    data = json.loads(messages[1]["content"])
    name = data["source"]["name"]
    return {
        "identity": f"The source {name} is an X-ray binary in the field of a galaxy.",
        "spectrum": "The spectrum is an absorbed power law with a photon index of 1.7.",
        "context": None,
        "papers": [data["papers"][0]["id"]] if "," not in data["papers"][0]["id"] else [],
    }


def full_summary(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Three sections as long as a model's."""
    short = plain_summary(messages)
    name = json.loads(messages[1]["content"])["source"]["name"]
    filler = (
        f" {name} was observed with several instruments over many years, and authors ask what "
        "the measured flux and its changes mean for the accretion of matter onto the compact "
        "object in this system, and how it compares with others of its class in that galaxy."
    )
    return {
        **short,
        "identity": short["identity"] + filler,
        "spectrum": short["spectrum"] + filler,
        "context": "It lies in the outskirts of its host." + filler,
    }
