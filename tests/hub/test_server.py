"""Local Hub: refusal of bad cards, and its statement that it is not the Hub."""

import subprocess
import sys
import urllib.request
from pathlib import Path

from server import NOT_THE_HUB


def test_it_says_what_it_is(hub_server, tmp_path):
    with urllib.request.urlopen(hub_server.url) as answer:
        assert answer.read().decode() == NOT_THE_HUB
        assert "not the Hugging Face Hub" in answer.headers["Server"]
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
