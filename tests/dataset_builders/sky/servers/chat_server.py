"""Chat completions as OpenAI gives them, with answers made for the tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from faulty import Answer, FaultyServer, Request


class ChatServer(FaultyServer):
    """Answers each question through `write(messages)`.

    Attributes:
        write: messages -> the answer (anything but a string becomes JSON).
        bodies: the JSON of every request.
        key: the one that is demanded, or None.
    """

    def __init__(self, write: Callable[[list[dict[str, str]]], Any] | None = None) -> None:
        self.write = write or plain_summary
        self.bodies: list[dict[str, Any]] = []
        self.key: str | None = None
        super().__init__()
        self.base_url = f"{self.url}/v1"

    def respond(self, request: Request) -> Answer:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.key is not None and given != self.key:
            return Answer.json({"error": {"message": f"Incorrect API key provided: {given}"}}, 401)
        body = json.loads(request.body)
        with self.lock:
            self.bodies.append(body)
        content = self.write(body["messages"])
        text = content if isinstance(content, str) else json.dumps(content)
        size = sum(len(message["content"]) for message in body["messages"])
        usage = {"prompt_tokens": size // 4, "completion_tokens": len(text) // 4}
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }
        return Answer.json(
            {
                "id": "chat-1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": body["model"],
                "choices": [choice],
                "usage": {**usage, "total_tokens": sum(usage.values())},
            }
        )


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
