"""HTTP session with request rate, retries, bounds on answers and a hidden token.

`requests` reads and `tenacity` retries. Added here is what every service asks of its users: no more
requests a second than agreed, waiting as long as an answer says (Retry-After, X-RateLimit-*), and
trusting neither the size nor the kind of an answer.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import io
import json
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from ..work.store import WorkError

logger = logging.getLogger(__name__)

# Failures that pass: 499 is ADS's "server too busy"; gateways have many above 504.
PASSING = frozenset({408, 425, 429, 499, *range(500, 600)} - {501, 505})
ABSENT, DENIED = frozenset({404, 410}), frozenset({401, 403})
_CHUNK = 1 << 16
_YEAR = 366 * 86_400.0
_QUOTED = 1 << 17
_SECRETS = re.compile(
    r"sk-[\w-]{6,}|hf_\w{6,}|(?i:bearer)\s+\S+|(?i:basic)\s+[\w+/]{8,}=*|(?<=://)[^/\s@]+(?=@)|"
    r"(?i:token|api[_-]?key|password)[\"']?\s*[:=]\s*\S+"
)
# A refusal that names the state of the service rather than the question.
STATE_WORDS = re.compile(
    r"unable to check|no connection|tim(?:ed?|e) ?-?out|execution time|too busy|server (?:is )?"
    r"busy|overload|maintenance|temporar|try again|unavailable|shut(?:ting)? ?down|"
    r"connection (?:refused|reset|closed|lost)|database (?:is )?(?:down|locked)",
    re.IGNORECASE,
)
# Raised by `requests` where the way there or back broke.
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)
Check = Callable[[requests.Response], "str | None"]
USER_AGENT = "hf-specclip (https://pypi.org/project/hf-specclip)"


class ServiceError(WorkError):
    """A service that did not do what was asked; the message names it, the item and the way out."""


class AbsentError(ServiceError):
    """Status 404 or 410: the service has no such item."""


class RefusedError(ServiceError):
    """A refused question: asking it again changes nothing."""

    blames_service = False


class StopError(ServiceError):
    """A refused token or account (401, 403), or an allowance used up for too long to wait."""

    stops = True


class SlowError(ServiceError):
    """No answer in time, from a service that has another way for long questions."""


@dataclass(frozen=True)
class Patience:
    """Number of attempts, and times in s.

    Waits between attempts are random, so that processes do not move in step.
    """

    attempts: int = 6  # of one question
    first_wait: float = 1.0  # at most, before the second attempt; this bound doubles with each
    longest_wait: float = 60.0
    longest_asked: float = 600.0  # that a service may ask for
    connect: float = 15.0
    read: float = 120.0  # between two pieces of an answer
    total: float = 900.0  # for a whole answer: one that drips is given up


class Passing(Exception):
    """A failure that may pass; `wait` is the wait that the service asked for, s."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class _Bearer(requests.auth.AuthBase):
    """Authorization header with a token that no representation shows."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Service(requests.Session):
    """Service on the network: a session that keeps the rate, retries and bounds answers.

    Clients such as pyvo take it as their session.

    Args:
        per_second: requests at most, over all threads.
        token: sent as `Authorization: Bearer`; it appears in no message, log or representation.
        advice: way out where the token is refused or the allowance used up.
        patience: waits and attempts.
        check: of every answer with status 200: names its fault or returns None. Faulty answers are
            asked for again.
        max_bytes: the largest answer.

    Attributes:
        item: subject of the requests of clients that cannot say it themselves.
        gives_up_slow: raise `SlowError` at the first answer that does not come in time.
    """

    def __init__(
        self,
        name: str,
        *,
        per_second: float,
        token: str | None = None,
        advice: str = "",
        patience: Patience | None = None,
        check: Check | None = None,
        max_bytes: int = 256 << 20,
    ) -> None:
        super().__init__()
        self.name = name
        self.advice = advice
        self.patience = patience or Patience()
        self.check = check
        self.max_bytes = max_bytes
        self.item = ""
        self.gives_up_slow = False
        self._interval = 1.0 / per_second
        self._next = 0.0
        self._holds: dict[str, float] = {}
        self._lock = threading.Lock()
        # A gzipped file must arrive so, not unpacked on the way.
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        self.auth = _Bearer(token) if token else None

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    def get_json(
        self, url: str, item: str, check: Callable[[Any], str | None] | None = None, **options: Any
    ) -> Any:
        """Get the JSON of an answer, as `request`; `check` names the fault of the parsed value."""
        parsed = []

        def parse(answer: requests.Response) -> str | None:
            try:
                parsed[:] = [json.loads(answer.content)]
            except (ValueError, RecursionError) as error:
                return f"sent damaged JSON ({type(error).__name__})"
            return check(parsed[0]) if check else None

        self.request("GET", url, item=item, check=parse, **options)
        return parsed[0]

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *args: Any,
        item: str = "",
        check: Check | None = None,
        **options: Any,
    ) -> requests.Response:
        """Get an answer with status 200, read to its end; `check` is in place of the service's.

        Raises:
            AbsentError: status 404 or 410.
            RefusedError: another status of 400 to 499 that does not pass.
            StopError: status 401 or 403, or the allowance is used up.
            SlowError: see `gives_up_slow`.
            ServiceError: it failed as often as `Patience` allows.
        """
        item, check = item or self.item, check or self.check
        options |= {"stream": True, "timeout": (self.patience.connect, self.patience.read)}
        ask = super().request

        def once() -> requests.Response:
            for file in (options.get("files") or {}).values():
                if hasattr(file, "seek"):
                    file.seek(0)
            self._take_turn(url)
            try:
                answer = ask(method, url, *args, **options)
                self._note_allowance(answer, item)
                self._read(answer)
                self._judge(answer, check)
                return answer
            except _BROKEN as error:
                raise Passing(self._in_words(error)) from None

        retrying = Retrying(
            stop=stop_after_attempt(self.patience.attempts),
            wait=self._wait,
            retry=retry_if_exception_type(Passing),
            reraise=True,
        )
        answer, problem = None, ""
        try:
            answer = retrying(once)
        except Passing as failure:
            problem = f"{failure} ({self.patience.attempts} attempts at {urlsplit(url).netloc})"
        except requests.RequestException as error:
            problem = type(error).__name__
        # Outside the handlers: an error of `requests` holds the request and with it the token.
        if answer is None:
            way = "Check the network and whether the service is up, then run again: nothing that "
            raise self.error(problem, item, way + "was fetched is lost.")
        if (status := answer.status_code) == 200:
            return answer
        said = self.scrub(_words(answer))[:300]
        way, kind = "This is a question it does not take: use a newer version.", RefusedError
        if status in ABSENT:
            way, kind = "It has none: check the address.", AbsentError
        elif status in DENIED:
            way, kind = self.advice or "Check the token or account, then run again.", StopError
        raise self.error(f"answered {status}" + (f" ({said})" if said else ""), item, way, kind)

    def error(self, problem: str, item: str, way: str, kind: type = ServiceError) -> ServiceError:
        """Format an error as all others, without secrets."""
        where = f"{self.name}, {item}" if item else self.name
        return kind(self.scrub(f"{where}: {problem}. {way}".strip()))

    def scrub(self, text: str) -> str:
        """Remove the token from a text, and what looks like one."""
        return scrub(text, getattr(self.auth, "token", ""))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Find the next address; the body of a redirect is not read, and the next request waits."""
        target = super().get_redirect_target(resp)
        if target and not resp._content_consumed:  # `requests` asks twice in a chain
            resp.close()
            resp._content, resp._content_consumed = b"", True
            self._take_turn(target)
        return target

    # -- one attempt

    def _take_turn(self, url: str) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next, self._holds.get(urlsplit(url).path or "/", 0.0))
            self._next = max(now, self._next) + self._interval
        time.sleep(max(0.0, turn - now))

    def _wait(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        patience, asked = self.patience, getattr(failure, "wait", None)
        drawn = wait_random_exponential(multiplier=patience.first_wait, max=patience.longest_wait)
        waited = drawn(state) if asked is None else asked
        logger.info("%s: %s; again in %.1f s", self.name, failure, waited)
        return waited

    def _note_allowance(self, answer: requests.Response, item: str) -> None:
        """Read the rate-limit headers of a path; wait or stop where its allowance is used up."""
        header, passing = answer.headers.get, answer.status_code in PASSING
        used_up = _number(header("X-RateLimit-Remaining")) == 0
        wait = _number(header("Retry-After")) if passing or used_up else None
        reset = _number(header("X-RateLimit-Reset"))
        if wait is None and used_up and reset is not None:
            wait = reset - time.time() if reset > 1e9 else reset
        wait = None if wait is None else max(0.0, wait)
        too_long = wait is not None and wait > self.patience.longest_asked
        if wait is not None and not too_long:
            with self._lock:  # the other threads wait as well
                self._holds[urlsplit(answer.url).path] = time.monotonic() + wait
        if not passing:
            return
        answer.close()
        if not too_long or wait is None:
            raise Passing(f"answered {answer.status_code}", wait)
        end = datetime.datetime.fromtimestamp(time.time() + min(wait, _YEAR))
        limited = answer.status_code == 429
        said = "its allowance of requests is used up" if limited else "it asks to be left alone"
        way = f"Run again then; what was fetched is kept. {self.advice}"
        raise self.error(f"{said} until {end:%Y-%m-%d %H:%M}", item, way, StopError)

    def _read(self, answer: requests.Response) -> None:
        """Read the answer whole, within bounds of size and time; it can then be read again."""
        claimed = _number(answer.headers.get("Content-Length"))
        content, end = bytearray(), time.monotonic() + self.patience.total
        fault = ""
        if claimed is not None and claimed > self.max_bytes:
            fault = f"sends {claimed:.0f} bytes, more than the {self.max_bytes} allowed"
        # `read1` returns what is there: waiting for whole pieces would let an answer drip for ever.
        while not fault and (chunk := answer.raw.read1(_CHUNK, decode_content=True)):
            content += chunk
            if len(content) > self.max_bytes:
                fault = f"sends more than the {self.max_bytes} bytes allowed"
            elif time.monotonic() > end:
                fault = f"its answer did not end within {self.patience.total:g} s"
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        if not (fault or encoded or claimed is None or len(content) == claimed):
            fault = f"sent {len(content)} of {claimed:.0f} bytes"
        if fault:
            answer.close()
            raise Passing(fault)
        answer._content, answer._content_consumed = bytes(content), True
        # Clients that stream read here, and find it decoded.
        answer.raw = urllib3.HTTPResponse(
            body=io.BytesIO(content), status=answer.status_code, preload_content=False
        )

    def _judge(self, answer: requests.Response, check: Check | None) -> None:
        """Ask again for a faulty answer, and after a refusal for the service's own state."""
        status, fault = answer.status_code, None
        if status == 200:
            fault = check and check(answer)
        elif status not in DENIED | ABSENT and STATE_WORDS.search(said := _words(answer)):
            fault = f"answered {status} ({said})"
        if fault:
            raise Passing(self.scrub(fault)[:400])

    def _in_words(self, error: Exception) -> str:
        """Describe a failed connection, without the address and its parameters.

        Raises:
            SlowError: see `gives_up_slow`.
        """
        text = str(error)
        slow = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection within {self.patience.connect:g} s"
        if slow or "Read timed out" in text:
            problem = f"no answer within {self.patience.read:g} s"
            if self.gives_up_slow:
                raise SlowError(f"{self.name}: {problem}") from None
            return problem
        ways = {
            "IncompleteRead": "the answer broke off",
            "refused": "the connection was refused",
            "resolve|Name or service": "its name is not known: there is no network",
            "": f"the connection broke ({type(error).__name__})",
        }
        return next(way for words, way in ways.items() if re.search(words, text))


def scrub(text: str, *secrets: str) -> str:
    """Remove secrets from a text, and what looks like one. Cut a text after this, never before."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return _SECRETS.sub("***", text)


def public_address(url: str) -> str:
    """Return an address without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _words(answer: requests.Response) -> str:
    """Return the words of an error, plain or in a VOTable; nothing of a web page."""
    text = answer.content[:_QUOTED].decode("utf-8", "replace")
    info = re.search(r"<(?:\w+:)?INFO\b[^>]*QUERY_STATUS[^>]*>(.*?)</", text, re.DOTALL)
    text = " ".join((info[1] if info else text).split())
    return "" if text.startswith("<") else text


def _number(value: str | None) -> float | None:
    """Parse a number of a header, or the seconds until a date."""
    with contextlib.suppress(TypeError, ValueError):
        number = float(value or "")
        return number if abs(number) < 1e15 else None
    with contextlib.suppress(TypeError, ValueError):
        return email.utils.parsedate_to_datetime(value or "").timestamp() - time.time()
    return None
