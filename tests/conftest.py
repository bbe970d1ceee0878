"""Shared fixtures, and an environment that no earlier run of anything has touched."""

import atexit
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest
from build_once import build_once


def _isolate() -> None:
    """Point every cache and home at a temporary folder; pytest's workers inherit it."""
    if "SPECCLIP_TEST_HOME" in os.environ:
        return
    home = Path(tempfile.mkdtemp(prefix="specclip-tests-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING_FACE_", "OPENAI_", "ADS_", "ACCELERATE_")):
            del os.environ[name]
    os.environ.update(
        SPECCLIP_TEST_HOME=str(home),
        HF_HOME=str(home / "huggingface"),
        HF_SPECCLIP_CACHE=str(home / "hf_specclip"),
        MPLCONFIGDIR=str(home / "matplotlib"),
        # A call to the Hub fails at once, with a clear error.
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
    )


_isolate()

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real Chandra spectra and tables, where `SPECCLIP_REAL_DATA` names their folder."""
    folder = os.environ.get("SPECCLIP_REAL_DATA")
    if not folder:
        pytest.skip("SPECCLIP_REAL_DATA names no folder of real spectra")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run as training leaves it (see `tiny_run.py`), made once for all workers; read only."""

    from forks import run_apart
    from tiny_run import make

    def build(folder: Path) -> None:
        code, _, errors = run_apart(partial(make, folder / "demo"), folder)
        assert code == 0, errors[-4000:]

    return build_once(tmp_path_factory, "tiny_run", build) / "demo"
