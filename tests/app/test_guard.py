"""Guard of the page: hosts, origins, sums of uploads, and folders of ended processes."""

import asyncio
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hf_specclip.app.guard import PageGuard, allowed_hosts, uploads_folder


def status_of(guard, method="GET", path="/", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(guard(scope, None, send))
    return sent[0]["status"]


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(
    ("address", "host", "origin", "status"),
    [
        ("127.0.0.1", "127.0.0.1:7860", None, 200),
        ("127.0.0.1", "localhost:7860", "http://localhost:7860", 200),
        ("127.0.0.1", "[::1]:7860", None, 200),
        ("127.0.0.1", "evil.example:7860", None, 403),  # a name that was turned to 127.0.0.1
        ("127.0.0.1", "10.0.0.5:7860", None, 403),
        ("127.0.0.1", "127.0.0.1:7860", "https://evil.example", 403),
        ("127.0.0.1", "127.0.0.1:7860", "null", 403),
        ("127.0.0.1", "127.0.0.1:7860", "http://127.0.0.1:8000", 403),
        ("127.0.0.1", "[bad", None, 403),
        ("0.0.0.0", "10.0.0.5:7860", "http://10.0.0.5:7860", 200),
        ("0.0.0.0", "evil.example", None, 403),
        ("0.0.0.0", "proxy.example", "https://proxy.example", 200),
    ],
)
def test_foreign_hosts_and_origins_are_refused(address, host, origin, status, tmp_path):
    guard = PageGuard(page, allowed_hosts(address, ["proxy.example"]), tmp_path)
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert status_of(guard, **headers) == status


def test_uploads_are_bounded_in_sum(tmp_path):
    guard = PageGuard(page, allowed_hosts("127.0.0.1"), tmp_path, most=1000)
    upload = {"method": "POST", "path": "/gradio_api/upload", "host": "localhost"}
    assert status_of(guard, **upload, **{"content-length": "900"}) == 200
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "other").write_bytes(bytes(200))
    assert status_of(guard, **upload, **{"content-length": "900"}) == 413
    assert status_of(guard, **upload) == 411
    assert status_of(guard, host="localhost") == 200


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_uploads_go_with_the_process_or_at_the_next_start(ended_by, tmp_path, monkeypatch):
    code = (
        "import time; from hf_specclip.app.guard import uploads_folder\n"
        "with uploads_folder() as folder:\n"
        "    (folder / 'upload').write_text('x'); print(folder, flush=True); time.sleep(60)"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    folder = Path(child.stdout.readline().strip())
    assert (folder / "upload").is_file()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with uploads_folder():
        assert folder.is_dir()  # of a process that runs
    child.send_signal(ended_by)
    child.wait(timeout=20)
    assert folder.exists() == (ended_by == signal.SIGKILL)
    with uploads_folder():
        assert not folder.exists()
    assert not list(tmp_path.iterdir())
