"""HTTP session with rate limiting, retries with backoff, size limits and token redaction.

Built on `requests` and `tenacity`. It limits the request rate, honours Retry-After and
X-RateLimit-* headers, and bounds the size and duration of every response.
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

from ..work.store import ItemError

logger = logging.getLogger(__name__)

# Statuses that are retried: 499 is ADS's "server too busy"; proxies use many codes above 504.
TRANSIENT = frozenset({408, 425, 429, 499, *range(500, 600)} - {501, 505})
NOT_FOUND, DENIED = frozenset({404, 410}), frozenset({401, 403})
_CHUNK = 1 << 16
_YEAR = 366 * 86_400.0
_MAX_ERROR_BYTES = 1 << 17
_SECRETS = re.compile(
    r"sk-[\w-]{6,}|hf_\w{6,}|(?i:bearer)\s+\S+|(?i:basic)\s+[\w+/]{8,}=*|(?<=://)[^/\s@]+(?=@)|"
    r"(?i:token|api[_-]?key|password)[\"']?\s*[:=]\s*\S+"
)
# Error texts about the state of the service, not about the request: these are retried.
OUTAGE_WORDS = re.compile(
    r"unable to check|no connection|tim(?:ed?|e) ?-?out|execution time|too busy|server (?:is )?"
    r"busy|overload|maintenance|temporar|try again|unavailable|shut(?:ting)? ?down|"
    r"connection (?:refused|reset|closed|lost)|database (?:is )?(?:down|locked)",
    re.IGNORECASE,
)
_CONNECTION_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)
Check = Callable[[requests.Response], "str | None"]
USER_AGENT = "hf-specclip (https://pypi.org/project/hf-specclip)"


class ServiceError(ItemError):
    """Failed request; the message names the service, the item and what to do."""


class NotFoundError(ServiceError):
    """Item that the service does not have (status 404 or 410)."""


class RejectedError(ServiceError):
    """Request rejected by the service; a retry would not help."""

    is_service_failure = False


class AccessError(ServiceError):
    """Rejected credentials (401, 403), or a quota that is exhausted for too long to wait."""

    is_fatal = True


class ResponseTimeoutError(ServiceError):
    """Read timeout of a service that also offers asynchronous queries."""


@dataclass(frozen=True)
class RetryPolicy:
    """Retries with exponential backoff and full jitter; timeouts. All times in s."""

    attempts: int = 6
    initial_backoff: float = 1.0  # upper bound of the first wait; doubles with each attempt
    max_backoff: float = 60.0
    max_retry_after: float = 600.0  # a longer Retry-After stops the build
    connect_timeout: float = 15.0
    read_timeout: float = 120.0  # between two chunks
    total_timeout: float = 900.0  # whole response, against servers that send a few bytes at a time


class TransientError(Exception):
    """Failure that is retried, after `wait` s if the service asked for a delay."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class _BearerAuth(requests.auth.AuthBase):
    """Bearer token that is hidden from repr and pickle."""

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
    """HTTP session for one service, also usable as the session of clients such as pyvo.

    Args:
        per_second: maximum request rate over all threads.
        token: sent as `Authorization: Bearer`; redacted from messages, logs and repr.
        advice: added to errors about rejected credentials or an exhausted quota.
        retry_policy: retries and timeouts.
        check: validator of responses with status 200; returns a problem (retried) or None.
        max_bytes: maximum size of a response.

    Attributes:
        item: default subject for error messages, for clients that cannot pass `item`.
        raise_on_timeout: raise `ResponseTimeoutError` on a read timeout in place of a retry.
    """

    def __init__(
        self,
        name: str,
        *,
        per_second: float,
        token: str | None = None,
        advice: str = "",
        retry_policy: RetryPolicy | None = None,
        check: Check | None = None,
        max_bytes: int = 256 << 20,
    ) -> None:
        super().__init__()
        self.name = name
        self.advice = advice
        self.retry_policy = retry_policy or RetryPolicy()
        self.check = check
        self.max_bytes = max_bytes
        self.item = ""
        self.raise_on_timeout = False
        self._interval = 1.0 / per_second
        self._next_slot = 0.0
        self._blocked_until: dict[str, float] = {}  # path -> monotonic time
        self._lock = threading.Lock()
        # Otherwise gzipped files would be decompressed in transfer.
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        self.auth = _BearerAuth(token) if token else None

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    def get_json(
        self, url: str, item: str, check: Callable[[Any], str | None] | None = None, **options: Any
    ) -> Any:
        """Get parsed JSON; `check` validates the parsed value. Raises as `request`."""
        parsed = []

        def parse(response: requests.Response) -> str | None:
            try:
                parsed[:] = [json.loads(response.content)]
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
        """Send a request, with retries, and return the complete response with status 200.

        Args:
            item: subject of the request, for error messages.
            check: replaces the validator of the session.

        Raises:
            NotFoundError: status 404 or 410.
            RejectedError: any other 4xx status that is not retried.
            AccessError: status 401 or 403, or the quota is exhausted.
            ResponseTimeoutError: see `raise_on_timeout`.
            ServiceError: all attempts failed.
        """
        item, check = item or self.item, check or self.check
        options |= {
            "stream": True,
            "timeout": (self.retry_policy.connect_timeout, self.retry_policy.read_timeout),
        }
        send = super().request

        def attempt() -> requests.Response:
            for file in (options.get("files") or {}).values():
                if hasattr(file, "seek"):
                    file.seek(0)
            self._wait_for_slot(url)
            try:
                response = send(method, url, *args, **options)
                self._apply_rate_limit(response, item)
                self._read(response)
                self._check_response(response, check)
                return response
            except _CONNECTION_ERRORS as error:
                raise TransientError(self._describe_error(error)) from None

        retrying = Retrying(
            stop=stop_after_attempt(self.retry_policy.attempts),
            wait=self._backoff,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )
        response, problem = None, ""
        try:
            response = retrying(attempt)
        except TransientError as failure:
            problem = f"{failure} ({self.retry_policy.attempts} attempts at {urlsplit(url).netloc})"
        except requests.RequestException as error:
            problem = type(error).__name__
        # Raised outside the handlers: a `requests` error as context would carry the token.
        if response is None:
            advice = "Check the network and the service, then run again; all fetched data is kept."
            raise self.error(problem, item, advice)
        if (status := response.status_code) == 200:
            return response
        text = self.scrub(_error_text(response))[:300]
        advice, error = "The service may have changed: use a newer version.", RejectedError
        if status in NOT_FOUND:
            advice, error = "Not found: check the address.", NotFoundError
        elif status in DENIED:
            advice, error = self.advice or "Check the token or account, then retry.", AccessError
        raise self.error(f"HTTP {status}" + (f" ({text})" if text else ""), item, advice, error)

    def error(
        self, problem: str, item: str, advice: str, error: type[ServiceError] = ServiceError
    ) -> ServiceError:
        """Format an error message, without secrets."""
        subject = f"{self.name}, {item}" if item else self.name
        return error(self.scrub(f"{subject}: {problem}. {advice}".strip()))

    def scrub(self, text: str) -> str:
        """Redact the token and anything that looks like a credential."""
        return scrub(text, getattr(self.auth, "token", ""))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the redirect target, without reading the body; a redirect counts as a request."""
        target = super().get_redirect_target(resp)
        if target and not resp._content_consumed:  # `requests` calls this twice per redirect
            resp.close()
            resp._content, resp._content_consumed = b"", True
            self._wait_for_slot(target)
        return target

    def _wait_for_slot(self, url: str) -> None:
        with self._lock:
            now = time.monotonic()
            blocked_until = self._blocked_until.get(urlsplit(url).path or "/", 0.0)
            start = max(now, self._next_slot, blocked_until)
            self._next_slot = max(now, self._next_slot) + self._interval
        time.sleep(max(0.0, start - now))

    def _backoff(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        policy, wait = self.retry_policy, getattr(failure, "wait", None)
        if wait is None:
            wait = wait_random_exponential(policy.initial_backoff, policy.max_backoff)(state)
        logger.info("%s: %s; retry in %.1f s", self.name, failure, wait)
        return wait

    def _apply_rate_limit(self, response: requests.Response, item: str) -> None:
        """Block the path as its rate-limit headers ask; raise on a status that is retried."""
        header, is_transient = response.headers.get, response.status_code in TRANSIENT
        exhausted = _header_number(header("X-RateLimit-Remaining")) == 0
        wait = _header_number(header("Retry-After")) if is_transient or exhausted else None
        reset = _header_number(header("X-RateLimit-Reset"))
        if wait is None and exhausted and reset is not None:  # epoch time or seconds
            wait = reset - time.time() if reset > 1e9 else reset
        wait = None if wait is None else max(0.0, wait)
        too_long = wait is not None and wait > self.retry_policy.max_retry_after
        if wait is not None and not too_long:
            with self._lock:  # for all threads
                self._blocked_until[urlsplit(response.url).path] = time.monotonic() + wait
        if not is_transient:
            return
        response.close()
        if not too_long or wait is None:
            raise TransientError(f"HTTP {response.status_code}", wait)
        end = datetime.datetime.fromtimestamp(time.time() + min(wait, _YEAR))
        limited = response.status_code == 429
        problem = "the request quota is exhausted" if limited else "the service is unavailable"
        advice = f"Run again then; all fetched data is kept. {self.advice}"
        raise self.error(f"{problem} until {end:%Y-%m-%d %H:%M}", item, advice, AccessError)

    def _read(self, response: requests.Response) -> None:
        """Read the whole response within limits of size and time, and keep it in memory."""
        length = _header_number(response.headers.get("Content-Length"))
        content, end = bytearray(), time.monotonic() + self.retry_policy.total_timeout
        problem = ""
        if length is not None and length > self.max_bytes:
            problem = f"sends {length:.0f} bytes, more than the {self.max_bytes} allowed"
        # `read1` returns what has arrived; `read` would block until a chunk is full.
        while not problem and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
            content += chunk
            if len(content) > self.max_bytes:
                problem = f"sends more than the {self.max_bytes} bytes allowed"
            elif time.monotonic() > end:
                problem = f"not complete within {self.retry_policy.total_timeout:g} s"
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        if not (problem or encoded or length is None or len(content) == length):
            problem = f"sent {len(content)} of {length:.0f} bytes"
        if problem:
            response.close()
            raise TransientError(problem)
        response._content, response._content_consumed = bytes(content), True
        # For clients that read `raw`, such as pyvo.
        response.raw = urllib3.HTTPResponse(
            body=io.BytesIO(content), status=response.status_code, preload_content=False
        )

    def _check_response(self, response: requests.Response, check: Check | None) -> None:
        """Raise `TransientError` for an invalid response or an error text about an outage."""
        status, problem = response.status_code, None
        if status == 200:
            problem = check and check(response)
        elif status not in DENIED | NOT_FOUND and OUTAGE_WORDS.search(
            text := _error_text(response)
        ):
            problem = f"HTTP {status} ({text})"
        if problem:
            raise TransientError(self.scrub(problem)[:400])

    def _describe_error(self, error: Exception) -> str:
        """Describe a connection error without the URL, whose parameters may be secret.

        Raises:
            ResponseTimeoutError: see `raise_on_timeout`.
        """
        text = str(error)
        slow = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
        if isinstance(error, requests.ConnectTimeout):
            return f"connection timeout ({self.retry_policy.connect_timeout:g} s)"
        if slow or "Read timed out" in text:
            problem = f"read timeout ({self.retry_policy.read_timeout:g} s)"
            if self.raise_on_timeout:
                raise ResponseTimeoutError(f"{self.name}: {problem}") from None
            return problem
        descriptions = {
            "IncompleteRead": "the response was truncated",
            "refused": "connection refused",
            "resolve|Name or service": "host name not resolved: is there a network?",
            "": f"connection error ({type(error).__name__})",
        }
        return next(words for pattern, words in descriptions.items() if re.search(pattern, text))


def scrub(text: str, *secrets: str) -> str:
    """Redact secrets and anything that looks like one; to be called before truncating a text."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return _SECRETS.sub("***", text)


def public_address(url: str) -> str:
    """Return a URL without user, password and query, which may be secret."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _error_text(response: requests.Response) -> str:
    """Return the error message of a plain-text or VOTable response; empty for HTML."""
    text = response.content[:_MAX_ERROR_BYTES].decode("utf-8", "replace")
    info = re.search(r"<(?:\w+:)?INFO\b[^>]*QUERY_STATUS[^>]*>(.*?)</", text, re.DOTALL)
    text = " ".join((info[1] if info else text).split())
    return "" if text.startswith("<") else text


def _header_number(value: str | None) -> float | None:
    """Parse a header: a number, or a date as seconds from now."""
    with contextlib.suppress(TypeError, ValueError):
        number = float(value or "")
        return number if abs(number) < 1e15 else None
    with contextlib.suppress(TypeError, ValueError):
        return email.utils.parsedate_to_datetime(value or "").timestamp() - time.time()
    return None
