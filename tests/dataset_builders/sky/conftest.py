"""Fixtures of the build tests."""

import pytest
from building import KEY, TOKEN
from faulty import FaultyServer

from specclip_datasets.sky.services.http_session import RetryPolicy
from specclip_datasets.sky.work.store import Store


@pytest.fixture(autouse=True)
def no_keys(monkeypatch, tmp_path):
    """Remove keys from the environment, and use an empty home folder."""
    for name in ("ADS_DEV_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def retry_policy():
    """Policy with short waits."""
    return RetryPolicy(attempts=5, initial_backoff=0.01, max_backoff=0.05, read_timeout=5.0)


@pytest.fixture
def store(tmp_path):
    """Store of a build."""
    return Store(tmp_path)


@pytest.fixture
def server():
    """Server with planned faults."""
    with FaultyServer() as running:
        yield running


@pytest.fixture
def keys(monkeypatch):
    """Keys of the test servers."""
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
