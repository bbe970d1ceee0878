"""Server of embeddings that also answers wrongly, on demand."""

import base64
import json

import numpy as np
from faulty import Request, Response
from vectors_server import DIMENSION, VectorsServer, true_vector


class EmbeddingsServer(VectorsServer):
    """OpenAI-compatible server of `POST /v1/embeddings`, with planned faults.

    Besides the faults of every server, the plan takes: "floats" (numbers in place of base64),
    "shuffled", "few" (a vector is missing), "narrow" and "uneven" (of all vectors, of the last),
    "nan", "renumbered" and "other form".
    """

    wrong: str | None = None

    def next_fault(self, request):
        self.wrong = super().next_fault(request)
        return self.wrong

    @property
    def bodies(self) -> list[dict]:
        """The JSON of every request received, answered well or not."""
        return [json.loads(request.body) for request in self.requests]

    @property
    def texts(self) -> list[str]:
        """Every text ever asked for, with repeats."""
        return [text for body in self.bodies for text in body["input"]]

    def respond(self, request: Request) -> Response:
        answer, wrong = super().respond(request), self.wrong
        whole = json.loads(answer.content)
        if wrong == "other form":
            return Response.json({"vectors": [[1, 2]]})
        if answer.status != 200 or wrong is None:
            return answer
        data = whole["data"]
        if wrong == "few":
            data.pop()
        if wrong == "shuffled":
            data.reverse()
        if wrong == "renumbered":
            data[0]["index"] = 1
        vectors = [true_vector(text) for text in self.bodies[-1]["input"]]
        if wrong == "floats":
            for item, vector in zip(data, vectors, strict=True):
                item["embedding"] = vector.tolist()
        changed = {"narrow": range(len(data)), "uneven": [-1], "nan": [0]}.get(wrong, ())
        for place in changed:
            vector = vectors[place] * np.nan if wrong == "nan" else vectors[place][:5]
            data[place]["embedding"] = base64.b64encode(vector.tobytes()).decode()
        return Response.json(whole)


__all__ = ["DIMENSION", "EmbeddingsServer", "true_vector"]
