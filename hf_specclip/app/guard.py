"""Guard of the page: foreign hosts and origins refused, uploads bounded in sum and removed."""

from __future__ import annotations

import ipaddress
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

MAX_UPLOADS = 1 << 30  # bytes of all uploads together
_PREFIX, _LOCK = "specclip-app-", ".lock"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@contextmanager
def uploads_folder() -> Iterator[Path]:
    """Make the folder of all temporary files of this process, removed when it ends or is told to.

    Folders of processes that were killed are removed, too.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):  # of a process that runs, or of another user
            continue
    before = signal.signal(signal.SIGTERM, _end), tempfile.tempdir
    try:
        with (
            tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name,
            FileLock(Path(name) / _LOCK),
        ):
            tempfile.tempdir = name
            yield Path(name)
    finally:
        tempfile.tempdir = before[1]
        signal.signal(signal.SIGTERM, before[0])


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def allowed_hosts(address: str, names: Collection[str] = ()) -> Callable[[str], bool]:
    """Return which hosts a request may name: a page elsewhere cannot rename itself to this one.

    Args:
        address: that the server listens on. On all addresses, those of this machine by number and
            its own name are allowed.
        names: further ones, such as that of a proxy.
    """
    known = {name.lower() for name in (*_LOOPBACK, address, *names)}
    everywhere = address in ("", "0.0.0.0", "::")
    if everywhere:
        known.add(socket.gethostname().lower())

    def is_allowed(host: str) -> bool:
        return host in known or (everywhere and _is_number(host))

    return is_allowed


def _is_number(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


class PageGuard:
    """ASGI middleware that refuses requests from foreign pages, and uploads beyond a sum.

    Args:
        app: the application.
        is_allowed: of a host name.
        folder: of the uploads.
        most: bytes in it.
    """

    def __init__(
        self, app: Any, is_allowed: Callable[[str], bool], folder: Path, most: int = MAX_UPLOADS
    ) -> None:
        self.app, self.is_allowed, self.folder, self.most = app, is_allowed, folder, most
        self.arriving = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it with a sentence."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        size = 0
        if self._is_foreign(headers):
            await _refuse(scope, send, 403, "This page answers only its own address.")
            return
        if scope.get("method") == "POST" and scope["path"].endswith("/upload"):
            length = headers.get("content-length", "")
            if not length.isdecimal():
                await _refuse(scope, send, 411, "An upload has to state its length.")
                return
            size = int(length)
            if self._stored() + self.arriving + size > self.most:
                await _refuse(scope, send, 413, "Too much is being uploaded: try again later.")
                return
        self.arriving += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.arriving -= size

    def _is_foreign(self, headers: dict[str, str]) -> bool:
        host = headers.get("host", "")
        if not self.is_allowed(_name_of(f"//{host}")):
            return True
        origin = headers.get("origin")
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()

    def _stored(self) -> int:
        sizes = 0
        for path in self.folder.rglob("*"):
            with suppress(OSError):  # removed meanwhile
                sizes += path.stat().st_size if path.is_file() else 0
        return sizes


def _name_of(address: str) -> str:
    with suppress(ValueError):
        return (urlsplit(address).hostname or "").lower()
    return ""


async def _refuse(scope: Any, send: Any, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
