"""Summaries through the Batch API."""

import json
import os

import pytest
from building import KEY, Sources, paper, source, summariser_of
from chat_server import ChatServer, plain_summary
from faulty import Response
from worker import fork_worker

from specclip_datasets.sky.literature.batches import BatchRunner
from specclip_datasets.sky.literature.chat_model import BudgetExceededError, ModelError
from specclip_datasets.sky.literature.summaries import read_summaries, write_summaries

N = 12


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as running:
        running.key = KEY
        yield running


def runner(server, folder, limit=100, **settings):
    model = summariser_of(server, folder, **settings)
    return BatchRunner(model, model.model.store, poll=0.01, limit=limit)


def run(runner, sources):
    runner.run(lambda: [(s, s.papers) for s in sources])
    write_summaries(runner.store, Sources(sources), runner.summariser, 5)
    return read_summaries(runner.store)


def test_all_requests_are_batched(server, tmp_path):
    sources = [source(n) for n in range(N)]
    found = run(runner(server, tmp_path, limit=5), sources)
    assert len(found) == N
    assert len(server.batches) == 3
    assert not [r for r in server.requests if r.path.endswith("/chat/completions")]
    assert set(server.asked.values()) == {1}
    alone = tmp_path / "alone"
    single = runner(server, alone)
    write_summaries(single.store, Sources(sources), single.summariser, 5)
    assert read_summaries(single.store) == found
    for line in server.files["file-0"].splitlines():
        entry = json.loads(line)
        assert (entry["method"], entry["url"]) == ("POST", "/v1/chat/completions")
        assert entry["body"]["response_format"]["type"] == "json_schema"


def test_batches_are_half_price(server, tmp_path):
    sources = [source(n) for n in range(N)]
    batch_runner = runner(server, tmp_path, max_dollars=1.0)
    run(batch_runner, sources)
    alone = runner(server, tmp_path / "alone", max_dollars=1.0)
    write_summaries(alone.store, Sources(sources), alone.summariser, 5)
    paid = [1.0 - r.summariser.model.budget_left for r in (batch_runner, alone)]
    assert paid[0] == pytest.approx(paid[1] / 2)
    forecasts = [
        alone.summariser.forecast([(source(99), source(99).papers)], batches=b).dollars
        for b in (True, False)
    ]
    assert forecasts[0] == pytest.approx(forecasts[1] / 2)


def test_follow_up_requests_are_in_the_next_batch(server, tmp_path):
    text = " ".join(f"word{n}" for n in range(16_000))
    sources = [source(0, [paper(0, text)]), source(1), source(2)]
    refused = []

    def write(messages):
        if "X-2" in messages[1]["content"] and len(messages) == 2:
            refused.append(messages)
            return "HACKED"
        return plain_summary(messages)

    server.write = write
    found = run(runner(server, tmp_path), sources)
    assert len(found) == 3
    assert len(refused) == 1
    assert len(server.batches) == 2  # first requests, then summary of the notes and second attempt
    assert not [r for r in server.requests if r.path.endswith("/chat/completions")]


def test_failed_lines_and_expired_batches_are_sent_again(server, tmp_path):
    seen = []
    server.spoil = lambda name: seen.append(name) or "server_error" * (len(seen) <= 3)
    server.end_as = [("expired", 0.5)]
    found = run(runner(server, tmp_path), [source(n) for n in range(N)])
    assert len(found) == N
    assert set(server.asked.values()) == {1}
    # The first batch completed six lines, three with errors; the second had nine.
    assert [
        len(server.files[b["input_file_id"]].splitlines()) for b in server.batches.values()
    ] == [12, 9]


@pytest.mark.parametrize(("code", "alone"), [("content_filter", 0), ("server_error", 1)])
def test_permanently_failing_line_does_not_block_others(server, tmp_path, code, alone):
    first = []
    server.spoil = lambda name: code * (name in first or not (first or first.append(name)))
    found = run(runner(server, tmp_path), [source(n) for n in range(N)])
    assert len(found) == N - 1 + alone  # sent singly after the batches
    assert len([r for r in server.requests if r.path.endswith("/chat/completions")]) == alone


def test_batch_without_responses_is_an_error(server, tmp_path):
    server.spoil = lambda name: "server_error"
    batch_runner = runner(server, tmp_path)
    batch_runner.store.put("batches", {"lost": {"sizes": {}, "file": "file-9", "batch": "batch_9"}})
    with pytest.raises(ModelError, match=r"no response to a batch .*it failed"):
        run(batch_runner, [source(0)])
    assert batch_runner.store.results("batches", ["lost"])["lost"] == {
        "ended": "the batch does not exist any more"
    }
    server.spoil = lambda name: ""
    assert len(run(runner(server, tmp_path), [source(0)])) == 1


def test_cost_limit_includes_requests_in_flight(server, tmp_path):
    sources = [source(n) for n in range(N)]
    batch_runner = runner(server, tmp_path, max_dollars=1.0, prices=(500.0, 500.0))
    with pytest.raises(BudgetExceededError, match="All responses are kept"):
        run(batch_runner, sources)
    assert 0 < len(server.asked) < N
    assert batch_runner.summariser.model.budget_left >= 0
    run(runner(server, tmp_path, max_dollars=100.0, prices=(500.0, 500.0)), sources)
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("stated", [True, False])
def test_enqueued_token_limit_reduces_the_batch_size(server, tmp_path, stated):
    server.limit = 2000
    if not stated:
        respond = server.respond

        def unsaid(request):
            answer = respond(request)
            text = answer.content.replace(b"Limit: 2,000 enqueued tokens", b"Enqueued token limit")
            return Response(text, answer.kind, answer.status, answer.headers)

        server.respond = unsaid
    assert len(run(runner(server, tmp_path), [source(n) for n in range(N)])) == N
    assert set(server.asked.values()) == {1}
    assert not [r for r in server.requests if r.path.endswith("/chat/completions")]


def test_full_queue_is_waited_for(server, tmp_path):
    full = {"error": {"message": "Enqueued token limit reached", "code": "token_limit_exceeded"}}
    respond, left = server.respond, [1] * 4

    def filled(request):
        if request.path == "/v1/batches" and request.method == "POST" and left:
            left.pop()
            return Response.json(full, 400)
        return respond(request)

    server.respond = filled
    assert len(run(runner(server, tmp_path), [source(n) for n in range(6)])) == 6
    assert not left
    # Batch sizes rejected: 6, 3, 1, 1; completed: 1, 3, 2.
    assert len(server.batches) == 3
    sent = [r for r in server.requests if (r.method, r.path) == ("POST", "/v1/files")]
    assert len(sent) == 5


def test_rejected_fields_are_omitted_from_the_next_batch(server, tmp_path):
    server.rejected_fields = {"temperature", "seed"}
    assert len(run(runner(server, tmp_path), [source(n) for n in range(N)])) == N
    assert {"temperature", "seed"} & set(server.bodies[-1]) == set()
    assert "response_format" in server.bodies[-1]


def test_batch_created_before_a_kill_is_found_again(server, tmp_path):
    def die_after_the_request():
        batch_runner = runner(server, tmp_path)
        batches = batch_runner.summariser.model.client.batches
        create = batches.create
        batches.create = lambda **request: (create(**request), os.kill(os.getpid(), 9))
        run(batch_runner, [source(n) for n in range(N)])

    worker = fork_worker(die_after_the_request)
    worker.join(120)
    assert worker.exitcode == -9
    assert len(server.batches) == 1
    found = run(runner(server, tmp_path), [source(n) for n in range(N)])
    assert len(found) == N
    assert len(server.batches) == 1
    assert set(server.asked.values()) == {1}
