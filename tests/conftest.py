"""What every test may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Nothing here may reach the network: a call to the Hub fails at once, with a clear error.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real Chandra spectra and tables beside the checkout; tests that need them skip elsewhere."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data absent: ../shared/data")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run as training leaves it (see `tiny_run.py`), made once for all workers; read only."""
    from filelock import FileLock

    root = tmp_path_factory.getbasetemp()
    if os.environ.get(
        "PYTEST_XDIST_WORKER"
    ):  # workers have folders of their own below a common one
        root = root.parent
    folder = root / "tiny_run" / "demo"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(str(folder.parent / "lock")):
        if not (folder / "report.html").is_file():
            done = subprocess.run(
                [sys.executable, str(ROOT / "tests" / "tiny_run.py"), str(folder)],
                env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-4000:]
    return folder
