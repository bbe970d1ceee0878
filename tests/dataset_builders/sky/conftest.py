"""Fixtures of the tests of a build: no keys, and little patience."""

import pytest
from building import KEY, TOKEN

from specclip_datasets.sky.services.polite_session import Patience


@pytest.fixture(autouse=True)
def no_keys(monkeypatch, tmp_path):
    """The environment holds no keys, and no home with any."""
    for name in ("ADS_DEV_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def patience():
    """Impatient: tests wait for nothing."""
    return Patience(attempts=5, first_wait=0.01, longest_wait=0.05, read=5.0)


@pytest.fixture
def keys(monkeypatch):
    """The keys that the local services of the tests take."""
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
