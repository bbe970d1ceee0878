"""Local Hub: refusal of bad cards, and its statement that it is not the Hub."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from server import NOT_THE_HUB


def test_it_says_what_it_is(hub_server, tmp_path):
    with urllib.request.urlopen(hub_server.url) as answer:
        assert answer.read().decode() == NOT_THE_HUB
    script = Path(__file__).with_name("server.py")
    command = [sys.executable, str(script), "--port", "0", "--root", str(tmp_path / "root")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url, words = process.stdout.readline().strip().split(": ", 1)
        assert words == NOT_THE_HUB
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.wait(10)


def test_xet_is_tried_and_the_local_server_cannot_speak_it(local_hub, tmp_path, monkeypatch):
    """Large files go to the real Hub by Xet, which needs a token and a store of chunks.

    Xet's store speaks a protocol of its own (`hf_xet`, compiled) that no server we know of answers
    outside the Hub: here the upload ends at its token, the download at a header that is not sent.
    With `HF_HUB_DISABLE_XET` both go by HTTP, as all other tests do.
    """
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    api = HfApi(endpoint=local_hub.url, token="hf_ada")
    api.create_repo("ada/x")
    file = tmp_path / "a.safetensors"
    file.write_bytes(bytes(range(256)) * 100)
    upload = {"path_or_fileobj": file, "path_in_repo": file.name, "repo_id": "ada/x"}
    with pytest.raises(ConnectionError, match=r"404.*/xet-write-token/main"):
        api.upload_file(**upload)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    api.upload_file(**upload)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    path = api.hf_hub_download("ada/x", file.name, cache_dir=tmp_path / "cache")
    assert Path(path).read_bytes() == file.read_bytes()
