"""Fixtures of the embedders' tests."""

import pytest
from embeddings_server import EmbeddingsServer


@pytest.fixture
def server(monkeypatch):
    """A running embeddings server; the environment holds no key and no other server."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with EmbeddingsServer() as running:
        yield running
