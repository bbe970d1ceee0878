"""The OpenAI embedder over HTTP, against a server that also fails in every way we know."""

import logging
import pickle

import numpy as np
import pytest
from embeddings_server import DIMENSION, EmbeddingsServer, true_vector
from faulty import shown_of

from hf_specclip.literature import (
    CachedEmbedder,
    EmbeddingError,
    OpenAIEmbedder,
    embedder_named,
    get_embedder,
)
from hf_specclip.literature.embedders import openai
from hf_specclip.literature.embedders.get_embedder import (
    check_embedder,
    probe_vector,
)

KEY = "sk-proj-Marked0123456789abcdefSECRET"
TEXTS = [f"A source of kind {i}." for i in range(7)]


def expected(texts=TEXTS, dimension=DIMENSION):
    return np.stack([true_vector(text, dimension) for text in texts])


@pytest.fixture(autouse=True)
def quick_waits(monkeypatch):
    """The client's own waits between tries, shortened; its rules stay as they are."""
    import openai._base_client

    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(openai._base_client, "MAX_RETRY_DELAY", 0.02)


@pytest.mark.parametrize("behaviour", ["well", "floats", "shuffled"])
def test_vectors_are_the_servers_in_the_order_of_the_texts(server, behaviour):
    server.plan = [behaviour]
    embedder = OpenAIEmbedder("tiny", base_url=server.base_url)
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, expected())
    assert embedder.dimension == DIMENSION
    assert server.bodies[0]["model"] == "tiny"
    assert len(server.requests) == 1


def test_dimension_of_an_unknown_model_is_asked_once(server, monkeypatch):
    embedder = OpenAIEmbedder("tiny", base_url=server.base_url)
    assert [embedder.dimension, embedder.dimension] == [DIMENSION, DIMENSION]
    assert len(server.requests) == 1
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert OpenAIEmbedder().dimension == 1536
    assert OpenAIEmbedder("text-embedding-3-large").dimension == 3072


def test_name_tells_model_and_server_apart_without_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert OpenAIEmbedder().name == "openai:text-embedding-ada-002"
    other = OpenAIEmbedder("m", base_url="http://me:password@host:81/v1/?token=abc")
    assert other.name == "openai:m@http://host:81/v1"
    assert "password" not in repr(other)


def test_base_url_of_the_environment_is_part_of_the_name(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    embedder = OpenAIEmbedder("tiny")
    embedder.embed(TEXTS[:1])
    assert embedder.name == f"openai:tiny@{server.base_url}"


def test_requests_hold_no_more_texts_than_the_api_takes(server):
    embedder = OpenAIEmbedder("tiny", base_url=server.base_url, batch_size=3)
    np.testing.assert_array_equal(embedder.embed(TEXTS), expected())
    assert [len(body["input"]) for body in server.bodies] == [3, 3, 1]
    with pytest.raises(ValueError, match="2048"):
        OpenAIEmbedder("tiny", base_url=server.base_url, batch_size=2049)


def test_requests_that_a_server_finds_too_large_are_halved(server):
    server.plan = [413, "well"]
    embedder = OpenAIEmbedder("tiny", base_url=server.base_url)
    np.testing.assert_array_equal(embedder.embed(TEXTS), expected())
    assert [len(body["input"]) for body in server.bodies] == [7, 3, 3, 1]
    server.plan = [413, 413]
    with pytest.raises(EmbeddingError, match="refuses this text"):
        embedder.embed(TEXTS[:2])


def test_an_address_without_its_protocol_is_refused_before_any_request():
    with pytest.raises(ValueError, match="begin with http"):
        OpenAIEmbedder("tiny", base_url="localhost:8000/v1")


@pytest.mark.parametrize("failure", [429, 500, 503, "drop"])
def test_passing_failures_are_retried_by_the_client(server, failure):
    server.plan = [failure, failure, "well"]
    embedder = OpenAIEmbedder("tiny", base_url=server.base_url)
    np.testing.assert_array_equal(embedder.embed(TEXTS), expected())
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (429, "quota is used up even after retries: wait"),
        (500, "failed after 1 retries: run again later"),
        ("drop", "Check the network and the address http://127.0.0.1"),
        ("truncate", "Check the network|run again|Run again"),
        (400, "refuses these texts"),
        (403, "check OPENAI_API_KEY"),
        (404, "Check the model's name and base_url"),
        ("few", "6 vectors for 7 texts"),
        ("uneven", "not in the form of OpenAI's embeddings"),
        ("nan", "NaN or infinity for 1 of 7 texts"),
        ("renumbered", "numbered them wrongly"),
        ("other form", "check base_url"),
        ("html", "check base_url"),
    ],
)
def test_lasting_failures_say_what_to_do_and_lose_nothing_stored(
    server, tmp_path, monkeypatch, behaviour, message
):
    monkeypatch.setattr(openai, "MAX_RETRIES", 1)
    embedder = OpenAIEmbedder("tiny", base_url=server.base_url, batch_size=7)
    cached = CachedEmbedder(embedder, tmp_path)
    every = [f"first {i}" for i in range(7)] + TEXTS
    server.plan = ["well", behaviour, behaviour]
    with pytest.raises(EmbeddingError, match=message) as caught:
        cached.embed(every)
    assert "7 of 14 new texts are stored in" in str(caught.value)
    server.plan = []
    stored, before = server.bodies[0]["input"], len(server.texts)
    np.testing.assert_array_equal(cached.embed(every), expected(every).astype(np.float16))
    assert sorted(server.texts[before:] + stored) == sorted(every)


def test_vectors_of_another_width_than_before_are_refused(server, tmp_path):
    cached = CachedEmbedder(OpenAIEmbedder("tiny", base_url=server.base_url), tmp_path)
    cached.embed(TEXTS)
    fresh = CachedEmbedder(OpenAIEmbedder("tiny", base_url=server.base_url), tmp_path)
    server.plan = ["narrow"]
    with pytest.raises(EmbeddingError, match="5 dimensions, but gave 8 before"):
        fresh.embed(["something new"])
    server.plan = ["narrow"]
    with pytest.raises(EmbeddingError, match="5 dimensions, but gave 8 before"):
        cached.embedder.embed(["something new"])


def test_a_server_that_does_not_answer_is_named(server, monkeypatch):
    monkeypatch.setattr(openai, "MAX_RETRIES", 0)
    monkeypatch.setattr(openai, "TIMEOUT", 0.3)
    server.plan = ["slow"]
    for address, message in ((server.base_url, "No answer within 0.3 s"),
                             ("http://127.0.0.1:9/v1", r"http://127\.0\.0\.1:9")):  # fmt: skip
        with pytest.raises(EmbeddingError, match=message):
            OpenAIEmbedder("tiny", base_url=address).embed(TEXTS)


def test_without_a_key_openai_is_not_asked(server):
    with pytest.raises(EmbeddingError, match=r'export OPENAI_API_KEY.*"offline"'):
        get_embedder("openai")
    get_embedder("openai:tiny", base_url=server.base_url)  # one's own server may need none


@pytest.mark.parametrize("key", ["sk-Ma rked", "sk-Märked", "sk-Mar\nked"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds characters") as caught:
        OpenAIEmbedder()
    assert "sk-M" not in str(caught.value)


def test_the_key_reaches_the_server_and_nothing_else(monkeypatch, tmp_path, caplog, capfd):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    for name in ("openai", "httpx2", "httpcore2", "hf_specclip"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with EmbeddingsServer() as demanding, caplog.at_level(logging.DEBUG):
        demanding.key = KEY
        cached = get_embedder("openai:tiny", base_url=demanding.base_url, cache_dir=tmp_path)
        cached.embed(TEXTS)
        assert [r.headers["Authorization"] for r in demanding.requests] == [f"Bearer {KEY}"]
        shown = [repr(cached), repr(vars(cached)), repr(vars(cached.embedder)), cached.name]
        shown.append(str(pickle.dumps(cached.embedder)))
        # The server repeats the key it refuses, and so must not be quoted.
        demanding.key = "another"
        with pytest.raises(EmbeddingError, match="The key was refused") as caught:
            cached.embed(["new"])
    shown += [*shown_of(caught.value), caplog.text, *capfd.readouterr()]
    assert "Incorrect API key provided: ***" in str(caught.value)
    for text in shown:
        assert KEY not in text
        assert KEY[-10:] not in text
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes()


def test_a_server_is_found_again_by_name_where_it_was_used_before(server, tmp_path):
    embedder = get_embedder("openai:tiny", base_url=server.base_url, cache_dir=tmp_path / "here")
    vectors = embedder.embed(TEXTS)
    again = get_embedder(embedder.name, cache_dir=tmp_path / "here")
    np.testing.assert_array_equal(again.embed(TEXTS), vectors)
    assert len(server.requests) == 1
    with pytest.raises(ValueError, match="this server has not been used on this machine"):
        embedder_named(embedder.name, tmp_path / "elsewhere")


def test_a_server_is_given_with_its_address(server, tmp_path):
    embedder = get_embedder(f"openai:tiny@{server.base_url}", cache_dir=tmp_path)
    assert embedder.name == f"openai:tiny@{server.base_url}"
    np.testing.assert_allclose(embedder.embed(TEXTS), expected(), atol=2e-3)  # float16
    assert embedder_named(embedder.name, tmp_path).name == embedder.name


def test_another_model_behind_the_name_of_a_server_is_recognised(server, tmp_path, monkeypatch):
    embedder = get_embedder(f"openai:tiny@{server.base_url}", cache_dir=tmp_path)
    recorded = probe_vector(embedder)
    check_embedder(embedder.name, embedder.name, probe_vector(embedder.embedder), recorded)
    moved = "openai:tiny@http://elsewhere/v1"
    check_embedder(moved, embedder.name, recorded, recorded)
    swapped = lambda text, dimension: true_vector(text[::-1], dimension)  # noqa: E731
    monkeypatch.setattr("vectors_server.true_vector", swapped)
    with pytest.raises(ValueError, match="this name now refers to a different model"):
        check_embedder(embedder.name, embedder.name, probe_vector(embedder.embedder), recorded)
    with pytest.raises(ValueError, match="not by 'openai:other'"):
        check_embedder("openai:other", embedder.name, recorded, recorded)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["good", ""], ValueError, "text 1 is empty"),
        (["  \n"], ValueError, "text 0 is empty"),
        ([None], TypeError, "NoneType"),
        ("one string", TypeError, "wrap it in a list"),
    ],
)
def test_what_is_no_text_is_refused_before_any_request(server, texts, error, message):
    with pytest.raises(error, match=message):
        OpenAIEmbedder("tiny", base_url=server.base_url).embed(texts)
    assert server.requests == []
