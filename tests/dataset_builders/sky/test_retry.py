"""The polite client: it waits, it tries again, it trusts no size, and it keeps its token."""

import email.utils
import io
import logging
import pickle
import threading
import time
import traceback

import pytest
from faulty import Answer, FaultyServer
from worker import fork_worker

from specclip_datasets.sky.services.polite_session import (
    AbsentError,
    ExhaustedError,
    Pace,
    Patience,
    RefusedError,
    Service,
    ServiceError,
)

TOKEN = "MARKED-secret-4711-do-not-show"


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


@pytest.fixture
def service(patience):
    return Service("Archive", per_second=1000, patience=patience)


@pytest.mark.parametrize("fault", [429, 500, 503, "drop", "truncate", "html"])
def test_failures_that_pass_are_tried_again(server, service, fault):
    server.plan = [fault, fault]
    assert service.json("GET", f"{server.url}/x", "item 7") == {"path": "/x"}
    assert len(server.requests) == service.requests == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (500, "answered 500"),
        ("drop", "the connection broke"),
        ("truncate", "broke off|of 16 bytes"),
        ("html", "sent text/html in place of application/json"),
    ],
)
def test_lasting_failures_name_service_item_and_way_out(server, service, fault, message):
    server.plan = [fault] * 9
    with pytest.raises(ServiceError, match=message) as caught:
        service.json("GET", f"{server.url}/x", "item 7")
    assert str(caught.value).startswith("Archive, item 7: ")
    assert "5 attempts at 127.0.0.1" in str(caught.value)
    assert "nothing that was fetched is lost" in str(caught.value)
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("status", "kind"), [(404, AbsentError), (410, AbsentError), (400, RefusedError)]
)
def test_answers_that_last_are_not_tried_again(server, service, status, kind):
    server.plan = [status]
    with pytest.raises(kind, match=f"Archive, item 7: answered {status}"):
        service.get(server.url, "item 7")
    assert len(server.requests) == 1


def test_damaged_json_is_asked_for_again(server, service):
    answers = [b'{"a": ', b'{"a": 1}']
    server.respond = lambda request: Answer(answers.pop(0), "application/json")
    assert service.json("GET", server.url, "x") == {"a": 1}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(server, service, form):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    server.retry_after = "0.3" if form == "seconds" else date
    server.plan = [429]
    start = time.monotonic()
    service.json("GET", server.url, "x")
    assert time.monotonic() - start >= (0.3 if form == "seconds" else 0.9)


def test_other_threads_wait_as_well_when_one_is_told_to(server, service):
    server.retry_after = "0.4"
    server.plan = [429]
    first = threading.Thread(target=service.json, args=("GET", server.url, "x"))
    first.start()
    while not server.requests:
        time.sleep(0.005)
    time.sleep(0.1)
    service.json("GET", server.url, "y")
    first.join()
    told, *after = (request.at for request in server.requests)
    assert min(after) - told >= 0.35


def test_a_wait_that_is_too_long_stops_at_once_and_says_until_when(server, service):
    server.retry_after = "7200"
    server.plan = [429]
    start = time.monotonic()
    with pytest.raises(ExhaustedError, match=r"used up until 20\d\d-.*Run again then"):
        service.json("GET", server.url, "x")
    assert time.monotonic() - start < 1
    assert len(server.requests) == 1


def test_an_allowance_used_up_holds_the_next_request(server, service):
    left = ["1", "0", "5"]

    def respond(request):
        headers = {"X-RateLimit-Remaining": left.pop(0)}
        headers["X-RateLimit-Reset"] = str(time.time() + 0.5)
        return Answer.json({}, **headers)

    server.respond = respond
    for _ in range(3):
        service.json("GET", server.url, "x")
    first, second, third = (request.at for request in server.requests)
    assert second - first < 0.3
    assert third - second >= 0.4
    assert service.remaining == 5


def test_waits_grow_and_never_fall_together(server, monkeypatch):
    waits = []
    monkeypatch.setattr("specclip_datasets.sky.services.polite_session.time.sleep", waits.append)
    patience = Patience(attempts=6, first_wait=1.0, longest_wait=4.0)
    service = Service("Archive", per_second=1e6, patience=patience)
    for _ in range(20):
        server.plan = [500] * 6
        with pytest.raises(ServiceError):
            service.get(server.url, "x")
    waits = [wait for wait in waits if wait > 0.1]
    assert len(waits) == 100
    for place, longest in enumerate((1.0, 2.0, 4.0, 4.0, 4.0)):
        drawn = waits[place::5]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
        assert len(set(drawn)) == 20


def test_the_size_of_an_answer_is_bounded_whatever_it_claims(server, patience):
    service = Service("Archive", per_second=1000, patience=patience, max_bytes=1000)
    server.respond = lambda request: Answer(b"x" * 5000)
    with pytest.raises(ServiceError, match="sends 5000 bytes, more than the 1000 allowed"):
        service.get(server.url, "x")


def test_a_slow_answer_is_given_up(server):
    patience = Patience(attempts=2, first_wait=0.01, read=0.2)
    service = Service("Archive", per_second=1000, patience=patience)
    server.plan = ["slow", "slow"]
    with pytest.raises(ServiceError, match=r"no answer within 0\.2 s"):
        service.get(server.url, "x")


def test_an_unreachable_service_is_named(patience):
    service = Service("Archive", per_second=1000, patience=patience)
    with pytest.raises(
        ServiceError, match=r"Archive, x: the connection was refused .*127\.0\.0\.1:9"
    ):
        service.get("http://127.0.0.1:9/", "x")


def test_uploads_are_sent_whole_again(server, service):
    server.plan = [500]
    service.session.post(server.url, files={"table": io.BytesIO(b"rows of a table")})
    assert all(b"rows of a table" in request.body for request in server.requests)
    assert len(server.requests) == 2


def test_a_gzipped_file_arrives_gzipped(server, service):
    service.get(server.url, "x")
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_processes_keep_the_pace_together(tmp_path):
    def work():
        pace = Pace(20, tmp_path / "pace")
        for _ in range(8):
            pace.wait()
            print(time.time())

    workers = [fork_worker(work) for _ in range(2)]
    times = sorted(float(line) for worker in workers for line in worker.stdout.read().split())
    assert len(times) == 16
    # Whoever's turn it is: never more than the pace allows in any stretch of time.
    for first, last in zip(times, times[8:], strict=False):
        assert last - first >= 8 / 20 - 0.1


def test_the_token_reaches_the_service_and_nothing_else(server, patience, caplog, capfd):
    for name in ("urllib3", "requests", "specclip_datasets"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    service = Service(
        "ADS", per_second=1000, token=TOKEN, advice="Check ADS_DEV_KEY.", patience=patience
    )

    def respond(request):
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        # Some services repeat the token that they refuse.
        return Answer.json({"error": f"bad token {TOKEN}", "given": f"Bearer {TOKEN}"}, 401)

    server.respond = respond
    with caplog.at_level(logging.DEBUG), pytest.raises(RefusedError, match="ADS_DEV_KEY") as caught:
        service.json("GET", f"{server.url}/search", "query 3")
    shown = [str(caught.value), "".join(traceback.format_exception(caught.value))]
    error = caught.value
    while error is not None:
        shown += [repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    server.plan = [500, "drop"] * 5
    with caplog.at_level(logging.DEBUG), pytest.raises(ServiceError) as caught:
        service.json("GET", f"{server.url}/search", "query 3")
    shown += ["".join(traceback.format_exception(caught.value)), repr(caught.value.__context__)]
    shown += [repr(service), repr(vars(service)), caplog.text, *capfd.readouterr()]
    assert "answered 401" in shown[0]
    for text in shown:
        assert TOKEN not in text
        assert TOKEN[-12:] not in text
    with pytest.raises(TypeError):  # locks do not pickle, and with them no token
        pickle.dumps(service)


def test_the_token_does_not_follow_a_redirect_to_another_host(server, patience):
    with FaultyServer() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        server.respond = lambda request: Answer(b"", status=302, headers={"Location": elsewhere})
        service = Service("ADS", per_second=1000, token=TOKEN, patience=patience)
        service.get(server.url, "x")
        assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
        assert "Authorization" not in other.requests[0].headers
