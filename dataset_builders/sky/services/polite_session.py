"""HTTP session with request rate, retries, size limits and a hidden token.

Everything goes through `requests`, which is well kept and reuses connections. What is added here is
what every service asks of its users: no more requests a second than agreed, waiting as long as an
answer says (Retry-After, X-RateLimit-*), trying again after failures that pass, and not trusting
the size or kind of an answer.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import io
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from filelock import FileLock

from hf_specclip.errors import SpecCLIPError

logger = logging.getLogger(__name__)

# Statuses of failures that pass: the same question may be answered the next time.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
ABSENT = frozenset({404, 410})
_CHUNK = 1 << 16
_BEARER = re.compile(r"(?i:bearer|token|api[_-]?key)[\s:=]+\S+")
# What `requests` raises where the way there or back broke.
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)
USER_AGENT = "hf-specclip (https://pypi.org/project/hf-specclip)"


class ServiceError(SpecCLIPError, RuntimeError):
    """A service that did not do what was asked; the message names it, the item and the way out."""


class AbsentError(ServiceError):
    """Status 404 or 410: the service has no such item."""


class RefusedError(ServiceError):
    """A refused question or token: asking again changes nothing."""


class ExhaustedError(ServiceError):
    """An allowance of requests that is used up for longer than is worth waiting for."""


@dataclass(frozen=True)
class Patience:
    """Waits and numbers of attempts.

    Attributes:
        attempts: of one question.
        first_wait, longest_wait: s, between attempts; it doubles from the first to the longest and
            each is drawn between half of it and all of it, so that processes do not move in step.
        longest_asked: s, the longest wait that a service may ask for.
        connect, read: s, until a connection stands, and between two pieces of an answer.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 600.0
    connect: float = 15.0
    read: float = 120.0


class Pace:
    """Limit of requests a second, over all threads and, with a file, all processes.

    Args:
        per_second: requests.
        path: file in which processes of one machine share the pace, or None.
    """

    def __init__(self, per_second: float, path: str | Path | None = None) -> None:
        if not per_second > 0:
            raise ValueError(f"per_second must be positive, not {per_second}")
        self.interval = 1.0 / per_second
        self.path = None if path is None else Path(path)
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleep until this request's turn."""
        with self._lock:
            turn = self._take_turn()
        delay = turn - time.time()
        if delay > 0:
            time.sleep(delay)

    def hold(self, seconds: float) -> None:
        """Let nobody's turn come before so many seconds have passed."""
        with self._lock:
            self._take_turn(time.time() + seconds)

    def _take_turn(self, not_before: float = 0.0) -> float:
        if self.path is None:
            turn = max(time.time(), self._next, not_before)
            self._next = turn + (0.0 if not_before else self.interval)
            return turn
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(self.path.name + ".lock")):
            now = time.time()
            try:
                stored = float(self.path.read_text())
            except (OSError, ValueError):
                stored = 0.0
            # A clock that was set back must not stop everything.
            stored = stored if stored < now + 3600 else 0.0
            turn = max(now, stored, not_before)
            self.path.write_text(repr(turn + (0.0 if not_before else self.interval)))
            return turn


class Service:
    """Service on the network, with its request rate, retries and token.

    `session` is a `requests.Session` that behaves so by itself; clients such as pyvo take it.

    Args:
        name: for messages.
        per_second: requests at most.
        token: sent as `Authorization: Bearer`; it appears in no message, log or representation.
        advice: what to do where the token is refused or the allowance used up.
        patience: how long to wait and how often to try.
        pace_file: where processes of one machine share the pace.
        max_bytes: the largest answer.
        connections: kept open at once.

    Attributes:
        requests: sent so far, repeats included.
        remaining: requests left of the allowance, as the service last said, or None.
    """

    def __init__(
        self,
        name: str,
        *,
        per_second: float,
        token: str | None = None,
        advice: str = "",
        patience: Patience | None = None,
        pace_file: str | Path | None = None,
        max_bytes: int = 256 << 20,
        connections: int = 8,
    ) -> None:
        self.name = name
        self.advice = advice
        self.patience = Patience() if patience is None else patience
        self.pace = Pace(per_second, pace_file)
        self.max_bytes = max_bytes
        self.requests = 0
        self.remaining: int | None = None
        self._token = _Secret(token)
        self._context = threading.local()
        self._count = threading.Lock()
        self.session: requests.Session = _PoliteSession(self, connections)

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    @contextlib.contextmanager
    def about(
        self,
        item: str,
        *,
        kinds: Sequence[str] = (),
        check: Callable[[bytes], str | None] | None = None,
    ) -> Iterator[None]:
        """Label the requests of this thread, for messages and checks.

        Args:
            item: what is asked for.
            kinds: content types that an answer may have, by their beginning; none allows all.
            check: given an answer's bytes, says what is wrong with them or None; what is wrong is
                asked for again.
        """
        before = dict(self._context.__dict__)
        self._context.__dict__.update(item=item, kinds=tuple(kinds), check=check)
        try:
            yield
        finally:
            self._context.__dict__.clear()
            self._context.__dict__.update(before)

    def get(self, url: str, item: str, **options: Any) -> requests.Response:
        """Get an answer with status 200, read to its end.

        Args:
            url: what to get.
            item: what it is about, for messages.
            **options: `kinds` and `check` of `about`, the rest goes to `requests`.

        Raises:
            AbsentError: status 404 or 410.
            RefusedError: another status of 400 to 499 that does not pass.
            ExhaustedError: the allowance is used up.
            ServiceError: it failed as often as `Patience` allows.
        """
        return self._ask("GET", url, item, **options)

    def json(self, method: str, url: str, item: str, **options: Any) -> Any:
        """Get the JSON of an answer; raises as `get`."""

        def check(content: bytes) -> str | None:
            try:
                json.loads(content)
            except ValueError as error:
                return f"sent damaged JSON ({error})"
            return None

        kinds = ("application/json", "text/json")
        return self._ask(method, url, item, kinds=kinds, check=check, **options).json()

    def error(self, problem: str, item: str, way: str, kind: type = ServiceError) -> ServiceError:
        """Format an error as all others; secrets are taken out."""
        where = f"{self.name}, {item}" if item else self.name
        return kind(self.scrub(f"{where}: {problem}. {way}".strip()))

    def scrub(self, text: str) -> str:
        """Remove the token from a text, and what looks like one."""
        if self._token.value:
            text = text.replace(self._token.value, "***")
        return _BEARER.sub("***", text)

    def _ask(
        self,
        method: str,
        url: str,
        item: str,
        *,
        kinds: Sequence[str] = (),
        check: Callable[[bytes], str | None] | None = None,
        **options: Any,
    ) -> requests.Response:
        with self.about(item, kinds=kinds, check=check):
            answer = self.session.request(method, url, **options)
        status = answer.status_code
        if status == 200:
            return answer
        said = f"answered {status}{self._quoted(answer)}"
        if status in ABSENT:
            raise self.error(said, item, "It has no such thing.", AbsentError)
        if status in (401, 403):
            way = self.advice or "Check the token or account, then run again."
            raise self.error(said, item, way, RefusedError)
        way = "This is a question it does not take: run again with a newer version, or report it."
        raise self.error(said, item, way, RefusedError)

    def _quoted(self, answer: requests.Response) -> str:
        text = " ".join(answer.text[:2000].split()) if answer.content else ""
        return f" ({self.scrub(text)[:200]})" if text and not text.startswith("<") else ""


class _Secret:
    """A string that no representation shows."""

    __slots__ = ("value",)

    def __init__(self, value: str | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"


class _Passing(Exception):
    """A failure that may pass; `wait` is what the service asked for, s."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class _Bearer(requests.auth.AuthBase):
    def __init__(self, secret: _Secret) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret.value:
            request.headers["Authorization"] = f"Bearer {self._secret.value}"
        return request


class _PoliteSession(requests.Session):
    """Session that keeps the rate, retries, and reads each answer to its end within bounds."""

    def __init__(self, service: Service, connections: int) -> None:
        super().__init__()
        self._service = service
        self.headers["User-Agent"] = USER_AGENT
        # A file that is gzipped must arrive so, not unpacked on the way.
        self.headers["Accept-Encoding"] = "identity"
        adapter = requests.adapters.HTTPAdapter(pool_connections=2, pool_maxsize=connections)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        if service._token.value:
            self.auth = _Bearer(service._token)

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        service, patience = self._service, self._service.patience
        item = getattr(service._context, "item", "")
        options["stream"] = True
        options["timeout"] = (patience.connect, patience.read)
        body = options.get("files") or {}
        problem, asked = "", None
        for attempt in range(patience.attempts):
            if attempt:
                waited = _wait_before(attempt, patience) if asked is None else asked
                logger.info("%s: %s; again in %.1f s", service.name, problem, waited)
                time.sleep(waited)
            for file in body.values():
                if hasattr(file, "seek"):
                    file.seek(0)
            service.pace.wait()
            with service._count:
                service.requests += 1
            asked = None
            try:
                answer = super().request(method, url, *args, **options)
                self._note_allowance(answer, item)
                self._read(answer)
                return answer
            except _Passing as failure:
                problem, asked = str(failure), failure.wait
            except _BROKEN as error:
                problem = _in_words(error, patience)
            except requests.RequestException as error:
                problem = type(error).__name__
                break
        # Outside the handlers: what `requests` raised holds the request and with it the token.
        host = urlsplit(str(url)).netloc
        raise service.error(
            f"{problem} ({patience.attempts} attempts at {host})",
            item,
            "Check the network and whether the service is up, then run again: nothing that was "
            "fetched is lost.",
        )

    def _note_allowance(self, answer: requests.Response, item: str) -> None:
        """Read the rate-limit headers; wait or stop where the allowance is used up."""
        service, patience = self._service, self._service.patience
        left = _number(answer.headers.get("X-RateLimit-Remaining"))
        service.remaining = service.remaining if left is None else int(left)
        if answer.status_code not in PASSING and left != 0:
            return
        wait = _retry_after(answer.headers)
        reset = _number(answer.headers.get("X-RateLimit-Reset"))
        if wait is None and left == 0 and reset is not None:
            wait = reset - time.time() if reset > 1e9 else reset
        wait = None if wait is None else max(0.0, wait)
        if wait is not None and wait > patience.longest_asked and answer.status_code in PASSING:
            answer.close()
            until = datetime.datetime.fromtimestamp(time.time() + wait).strftime("%Y-%m-%d %H:%M")
            raise service.error(
                f"its allowance of requests is used up until {until}",
                item,
                f"Run again then; what was fetched is kept. {service.advice}",
                ExhaustedError,
            )
        if answer.status_code in PASSING:
            status = answer.status_code
            answer.close()
            if wait is not None:
                service.pace.hold(wait)  # the other threads wait as well
            raise _Passing(f"answered {status}", wait)
        if wait is not None and wait <= patience.longest_asked:
            service.pace.hold(wait)

    def _read(self, answer: requests.Response) -> None:
        """Read the answer whole and check it; it can then be read again, as a stream too."""
        service = self._service
        context = service._context
        limit = service.max_bytes
        claimed = _number(answer.headers.get("Content-Length"))
        if claimed is not None and claimed > limit:
            answer.close()
            raise _Passing(f"sends {claimed:.0f} bytes, more than the {limit} allowed")
        content = bytearray()
        for chunk in answer.iter_content(_CHUNK):
            content += chunk
            if len(content) > limit:
                answer.close()
                raise _Passing(f"sends more than the {limit} bytes allowed")
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        if claimed is not None and not encoded and len(content) != claimed:
            raise _Passing(f"sent {len(content)} of {claimed:.0f} bytes")
        data = bytes(content)
        if answer.status_code == 200:
            kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
            kinds = getattr(context, "kinds", ())
            if kinds and not kind.startswith(tuple(kinds)):
                raise _Passing(f"sent {kind or 'no content type'} in place of {kinds[0]}")
            check = getattr(context, "check", None)
            wrong = None if check is None else check(data)
            if wrong:
                raise _Passing(wrong)
        answer._content = data
        answer._content_consumed = True
        # Clients that stream read here, and find it decoded.
        answer.raw = urllib3.HTTPResponse(
            body=io.BytesIO(data), status=answer.status_code, preload_content=False
        )


def _wait_before(attempt: int, patience: Patience) -> float:
    longest = min(patience.first_wait * 2.0 ** (attempt - 1), patience.longest_wait)
    return random.uniform(0.5, 1.0) * longest


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Parse the seconds that a Retry-After asks for, a number or a date."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return date.timestamp() - time.time()


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is None or abs(number) < 1e15 else None


def _in_words(error: Exception, patience: Patience) -> str:
    """Describe a failed connection, without the address and its parameters."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {patience.connect:g} s"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"no answer within {patience.read:g} s"
    text = str(error)
    if "Read timed out" in text:
        return f"no answer within {patience.read:g} s"
    if "IncompleteRead" in text:
        return "the answer broke off"
    if "refused" in text:
        return "the connection was refused"
    if "resolve" in text or "Name or service" in text:
        return "its name is not known: there is no network"
    return f"the connection broke ({type(error).__name__})"


__all__ = [
    "AbsentError",
    "ExhaustedError",
    "Pace",
    "Patience",
    "RefusedError",
    "Service",
    "ServiceError",
]
