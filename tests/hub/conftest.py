"""A local Hub, and clients that talk to it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server import HubServer


@pytest.fixture
def stored_run(tiny_run, tmp_path):
    """A copy of a finished run: model, moe, spectrum, outliers, metrics.json."""
    skip = shutil.ignore_patterns("checkpoints", "dataset", "logs", "figures", "evaluation")
    return Path(shutil.copytree(tiny_run, tmp_path / "run", ignore=skip))


@pytest.fixture
def hub_server(tmp_path):
    """A fresh local Hub with the users ada (`hf_ada`) and bob (`hf_bob`)."""
    with HubServer(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def local_hub(hub_server, tmp_path, monkeypatch):
    """The local Hub as this process's own, with an empty cache; ada is logged in."""
    import huggingface_hub.hf_api
    from huggingface_hub import constants

    for name, value in {
        "ENDPOINT": hub_server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub_server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub_server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    return hub_server


@pytest.fixture
def stranger(hub_server, tmp_path):
    """Runs Python in a fresh process that knows the local Hub through the environment alone."""

    def run(code, *arguments, token="hf_ada", offline=False, cwd=None):
        variables = {**hub_server.environment(tmp_path / "hf_home"), "OMP_NUM_THREADS": "1"}
        variables |= {"HF_TOKEN": token} if token else {}
        variables |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        work = cwd or tmp_path / "elsewhere"
        work.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
            timeout=300, cwd=work, env=variables, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return done

    return run
