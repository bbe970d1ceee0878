"""HTTP session: rate limit, retries, size limits and token redaction."""

import email.utils
import io
import logging
import pickle
import threading
import time

import pytest
from faulty import FaultyServer, Response, shown_of

from specclip_datasets.sky.services.http_session import (
    AccessError,
    NotFoundError,
    RejectedError,
    RetryPolicy,
    Service,
    ServiceError,
)

TOKEN = "MARKED-secret-4711-do-not-show"
# Outage of SIMBAD's database, in the form of pyvo's `errorstatus.xml`.
DATABASE_OUTAGE = Response(
    b'<VOTABLE><RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">1 unresolved '
    b"identifiers: Unable to check the ADQL query!</INFO></RESOURCE></VOTABLE>",
    "application/x-votable+xml",
    400,
)


@pytest.fixture
def service(retry_policy):
    return Service("Archive", per_second=1000, retry_policy=retry_policy)


@pytest.mark.parametrize(
    "fault", [429, 499, 500, 503, 507, 522, "drop", "truncate", "html", DATABASE_OUTAGE]
)
def test_transient_failures_are_retried(server, service, fault):
    server.plan = [fault, fault]
    assert service.get_json(f"{server.url}/x", "item 7") == {"path": "/x"}
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (500, "HTTP 500"),
        ("drop", "connection error"),
        ("truncate", "truncated|of 16 bytes"),
        ("html", "sent damaged JSON"),
    ],
)
def test_error_names_service_item_and_advice(server, service, fault, message):
    server.plan = [fault] * 9
    with pytest.raises(ServiceError, match=message) as caught:
        service.get_json(f"{server.url}/x", "item 7")
    assert str(caught.value).startswith("Archive, item 7: ")
    assert "5 attempts at 127.0.0.1" in str(caught.value)
    assert "all fetched data is kept" in str(caught.value)
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFoundError), (410, NotFoundError), (400, RejectedError), (403, AccessError)],
)
def test_permanent_errors_are_not_retried(server, service, status, kind):
    server.plan = [status]
    with pytest.raises(kind, match=f"Archive, item 7: HTTP {status}"):
        service.request("GET", server.url, item="item 7")
    assert len(server.requests) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(server, service, form):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    server.retry_after = "0.3" if form == "seconds" else date
    server.plan = [429]
    start = time.monotonic()
    service.get_json(server.url, "x")
    assert time.monotonic() - start >= (0.3 if form == "seconds" else 0.9)


def test_retry_after_holds_all_threads(server, service):
    server.retry_after = "0.4"
    server.plan = [429]
    thread = threading.Thread(target=service.get_json, args=(server.url, "x"))
    thread.start()
    while not server.requests:
        time.sleep(0.005)
    time.sleep(0.1)
    service.get_json(server.url, "y")
    thread.join()
    first_request, *others = (request.at for request in server.requests)
    assert min(others) - first_request >= 0.35


@pytest.mark.parametrize(
    ("status", "wait", "said"),
    [
        (429, "7200", "quota is exhausted"),
        (503, "7200", "unavailable"),
        (429, "999999999999", "quota is exhausted"),
    ],
)
def test_long_retry_after_stops_with_the_time(server, service, status, wait, said):
    server.plan = [Response(b"", status=status, headers={"Retry-After": wait})]
    start = time.monotonic()
    with pytest.raises(AccessError, match=said + r" until 20\d\d-.*Run again then"):
        service.get_json(server.url, "x")
    assert time.monotonic() - start < 1
    assert len(server.requests) == 1


def test_exhausted_quota_delays_the_next_request(server, service):
    left = ["1", "0", "5"]

    def respond(request):
        headers = {"X-RateLimit-Remaining": left.pop(0)}
        headers["X-RateLimit-Reset"] = str(time.time() + 0.5)
        return Response.json({}, **headers)

    server.respond = respond
    for _ in range(3):
        service.get_json(server.url, "x")
    first, second, third = (request.at for request in server.requests)
    assert second - first < 0.3
    assert third - second >= 0.4


def test_backoff_is_exponential_with_jitter(server, monkeypatch):
    waits = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    service = Service(
        "Archive", per_second=1e6, retry_policy=RetryPolicy(initial_backoff=1.0, max_backoff=4.0)
    )
    for _ in range(20):
        server.plan = [500] * 6
        with pytest.raises(ServiceError):
            service.request("GET", server.url)
    # Per request: six waits for a rate-limit slot, alternating with five backoffs.
    waits = [wait for place, wait in enumerate(waits) if place % 11 % 2]
    for place, longest in enumerate((1.0, 2.0, 4.0, 4.0, 4.0)):
        drawn = waits[place::5]
        assert longest / 2 < max(drawn) <= longest
        assert len(set(drawn)) == 20


def test_quotas_are_per_path(server, service):
    def respond(request):
        left = "0" if request.path == "/objects" else "7"
        return Response.json({}, **{"X-RateLimit-Remaining": left, "X-RateLimit-Reset": "0.5"})

    server.respond = respond
    start = time.monotonic()
    for path in ("objects", "search", "search"):
        service.get_json(f"{server.url}/{path}", "x")
    assert time.monotonic() - start < 0.4


def test_slow_response_is_aborted_after_total_timeout(server):
    retry_policy = RetryPolicy(attempts=2, initial_backoff=0.01, total_timeout=0.1)
    service = Service("Archive", per_second=1000, retry_policy=retry_policy)
    server.plan = ["drip"]
    server.respond = lambda request: Response.json({"path": "long enough to drip for a second"})
    start = time.monotonic()
    assert service.get_json(server.url, "x")
    assert time.monotonic() - start < 0.6
    assert len(server.requests) == 2


def test_redirects_are_rate_limited_and_their_body_is_not_read(server, retry_policy):
    service = Service("Archive", per_second=10, retry_policy=retry_policy, max_bytes=1000)

    def respond(request):
        if request.path == "/there":
            return Response.json({"a": 1})
        target = "/there" if request.path == "/nearly" else "/nearly"
        return Response(b"x" * (64 << 20), status=303, headers={"Location": target})

    server.respond = respond
    assert service.get_json(server.url, "x") == {"a": 1}
    first, second, third = (request.at for request in server.requests)
    assert min(second - first, third - second) >= 0.07


@pytest.mark.parametrize("deep", [b"[" * 200_000, b'{"a":' * 200_000])
def test_deeply_nested_json_is_a_service_error(server, service, deep):
    server.plan = [Response(deep)] * 5
    with pytest.raises(ServiceError, match="sent damaged JSON"):
        service.get_json(server.url, "x")


@pytest.mark.parametrize("secret", ["Basic bWFya2VkOnNlY3JldA==", "http://me:bWFya2VkOnNl@host/"])
def test_credentials_are_redacted(service, secret):
    assert "bWFya2Vk" not in str(service.error(f"answered 400 ({secret})", "x", "Run again."))


@pytest.mark.parametrize("before", [0, 290])
def test_token_is_redacted_before_truncation(server, retry_policy, before):
    service = Service("ADS", per_second=1000, token=TOKEN, retry_policy=retry_policy)
    server.plan = [Response(b"y" * before + f" {TOKEN} and more".encode(), "text/plain", 400)]
    with pytest.raises(RejectedError) as caught:
        service.request("GET", server.url)
    assert not any(TOKEN[:n] in str(caught.value) for n in range(7, len(TOKEN)))


def test_response_size_is_limited(server, retry_policy):
    service = Service("Archive", per_second=1000, retry_policy=retry_policy, max_bytes=1000)
    server.respond = lambda request: Response(b"x" * 5000)
    with pytest.raises(ServiceError, match="sends 5000 bytes, more than the 1000 allowed"):
        service.request("GET", server.url, item="x")


def test_connection_refused_names_the_service(retry_policy):
    service = Service("Archive", per_second=1000, retry_policy=retry_policy)
    with pytest.raises(ServiceError, match=r"Archive, x: connection refused .*127\.0\.0\.1:9"):
        service.request("GET", "http://127.0.0.1:9/", item="x")


def test_uploads_are_rewound_on_retry(server, service):
    server.plan = [500]
    service.post(server.url, files={"table": io.BytesIO(b"rows of a table")})
    assert all(b"rows of a table" in request.body for request in server.requests)
    assert len(server.requests) == 2


def test_transfer_encoding_is_identity(server, service):
    service.request("GET", server.url)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_token_is_only_sent_to_the_service(server, retry_policy, caplog, capfd):
    for name in ("urllib3", "requests", "specclip_datasets"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    service = Service(
        "ADS", per_second=1000, token=TOKEN, advice="Check ADS_DEV_KEY.", retry_policy=retry_policy
    )

    def respond(request):
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        # Some services repeat the rejected token.
        return Response.json({"error": f"bad token {TOKEN}", "given": f"Bearer {TOKEN}"}, 401)

    server.respond = respond
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessError, match="ADS_DEV_KEY") as caught:
        service.get_json(f"{server.url}/search", "query 3")
    shown = shown_of(caught.value)
    server.plan = [500, "drop"] * 5
    with caplog.at_level(logging.DEBUG), pytest.raises(ServiceError) as caught:
        service.get_json(f"{server.url}/search", "query 3")
    shown += [
        *shown_of(caught.value),
        repr(service),
        repr(vars(service)),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert "HTTP 401" in shown[0]
    for text in shown:
        assert TOKEN not in text
        assert TOKEN[-12:] not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(service)


def test_token_is_not_sent_to_redirect_hosts(server, retry_policy):
    with FaultyServer() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        server.respond = lambda request: Response(b"", status=302, headers={"Location": elsewhere})
        service = Service("ADS", per_second=1000, token=TOKEN, retry_policy=retry_policy)
        service.request("GET", server.url, item="x")
        assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
        assert "Authorization" not in other.requests[0].headers
