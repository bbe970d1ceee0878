"""Questions in batches: sent once, found again after a kill, checked like single ones."""

import json
import os

import pytest
from building import KEY, Sources, paper, source, summariser_of
from chat_server import ChatServer, plain_summary
from faulty import Answer
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


def test_all_questions_go_in_batches_and_none_alone(server, tmp_path):
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


def test_a_batch_costs_half(server, tmp_path):
    sources = [source(n) for n in range(N)]
    asking = runner(server, tmp_path, max_dollars=1.0)
    run(asking, sources)
    alone = runner(server, tmp_path / "alone", max_dollars=1.0)
    write_summaries(alone.store, Sources(sources), alone.summariser, 5)
    paid = [1.0 - made.summariser.model.budget_left for made in (asking, alone)]
    assert paid[0] == pytest.approx(paid[1] / 2)
    forecasts = [
        alone.summariser.forecast([(source(99), source(99).papers)], batches=b).dollars
        for b in (True, False)
    ]
    assert forecasts[0] == pytest.approx(forecasts[1] / 2)


def test_long_papers_and_bad_answers_take_further_rounds(server, tmp_path):
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
    assert len(server.batches) == 2  # notes and the rest; the summary of the notes, a second try
    assert not [r for r in server.requests if r.path.endswith("/chat/completions")]


def test_lines_that_fail_and_batches_that_expire_are_sent_again(server, tmp_path):
    seen = []
    server.spoil = lambda name: seen.append(name) or "server_error" * (len(seen) <= 3)
    server.end_as = [("expired", 0.5)]
    found = run(runner(server, tmp_path), [source(n) for n in range(N)])
    assert len(found) == N
    assert set(server.asked.values()) == {1}
    # Six lines of the first ended, three of them badly; the second had nine.
    assert [
        len(server.files[b["input_file_id"]].splitlines()) for b in server.batches.values()
    ] == [12, 9]


@pytest.mark.parametrize(("code", "alone"), [("content_filter", 0), ("server_error", 1)])
def test_a_line_that_never_succeeds_keeps_back_no_other(server, tmp_path, code, alone):
    first = []
    server.spoil = lambda name: code * (name in first or not (first or first.append(name)))
    found = run(runner(server, tmp_path), [source(n) for n in range(N)])
    assert len(found) == N - 1 + alone  # a single question has its own fate
    assert len([r for r in server.requests if r.path.endswith("/chat/completions")]) == alone


def test_a_batch_that_brings_nothing_stops_it_with_the_reason(server, tmp_path):
    server.spoil = lambda name: "server_error"
    asking = runner(server, tmp_path)
    asking.store.put("batches", {"lost": {"sizes": {}, "file": "file-9", "batch": "batch_9"}})
    with pytest.raises(ModelError, match=r"no response to a batch .*it failed"):
        run(asking, [source(0)])
    assert asking.store.results("batches", ["lost"])["lost"] == {
        "ended": "the batch does not exist any more"
    }
    server.spoil = lambda name: ""
    assert len(run(runner(server, tmp_path), [source(0)])) == 1


def test_the_cap_counts_what_is_under_way(server, tmp_path):
    sources = [source(n) for n in range(N)]
    made = runner(server, tmp_path, max_dollars=1.0, prices=(500.0, 500.0))
    with pytest.raises(BudgetExceededError, match="All responses are kept"):
        run(made, sources)
    assert 0 < len(server.asked) < N
    assert made.summariser.model.budget_left >= 0
    run(runner(server, tmp_path, max_dollars=100.0, prices=(500.0, 500.0)), sources)
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("stated", [True, False])
def test_a_limit_on_waiting_tokens_is_met_with_smaller_batches(server, tmp_path, stated):
    """12 questions of 300 tokens and more, where 2,000 may wait."""
    server.limit = 2000
    if not stated:
        respond = server.respond

        def unsaid(request):
            answer = respond(request)
            text = answer.content.replace(b"Limit: 2,000 enqueued tokens", b"Enqueued token limit")
            return Answer(text, answer.kind, answer.status, answer.headers)

        server.respond = unsaid
    assert len(run(runner(server, tmp_path), [source(n) for n in range(N)])) == N
    assert set(server.asked.values()) == {1}
    assert not [r for r in server.requests if r.path.endswith("/chat/completions")]


def test_a_queue_that_others_fill_is_waited_for(server, tmp_path):
    full = {"error": {"message": "Enqueued token limit reached", "code": "token_limit_exceeded"}}
    respond, left = server.respond, [1] * 4

    def filled(request):
        if request.path == "/v1/batches" and request.method == "POST" and left:
            left.pop()
            return Answer.json(full, 400)
        return respond(request)

    server.respond = filled
    assert len(run(runner(server, tmp_path), [source(n) for n in range(6)])) == 6
    assert not left
    # Refused: 6, 3, and one twice. Answered, in ever larger ones: 1, 3, 2.
    assert len(server.batches) == 3
    sent = [r for r in server.requests if (r.method, r.path) == ("POST", "/v1/files")]
    assert len(sent) == 5


def test_fields_that_a_model_refuses_are_left_out_of_the_next_batch(server, tmp_path):
    server.rejected_fields = {"temperature", "seed"}
    assert len(run(runner(server, tmp_path), [source(n) for n in range(N)])) == N
    assert {"temperature", "seed"} & set(server.bodies[-1]) == set()
    assert "response_format" in server.bodies[-1]


def test_a_kill_after_the_request_costs_no_second_batch(server, tmp_path):
    def die_after_the_request():
        made = runner(server, tmp_path)
        batches = made.summariser.model.client.batches
        create = batches.create
        batches.create = lambda **request: (create(**request), os.kill(os.getpid(), 9))
        run(made, [source(n) for n in range(N)])

    worker = fork_worker(die_after_the_request)
    worker.join(120)
    assert worker.exitcode == -9
    assert len(server.batches) == 1
    found = run(runner(server, tmp_path), [source(n) for n in range(N)])
    assert len(found) == N
    assert len(server.batches) == 1
    assert set(server.asked.values()) == {1}
