"""Against a real HTTP server that answers, or misbehaves, as each test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.deadline import Deadline
from service.domain import Document
from service.errors import ConfigurationError, DeadlineExceeded, EmbedderError
from service.retrieval.embedding.openai_http import OpenAIEmbedder, OpenAIOptions

pytestmark = pytest.mark.anyio
NEVER = Deadline.never()

Answer = Callable[[dict[str, Any]], Response]


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0, 0.0]


def embeddings(body: dict[str, Any]) -> Response:
    """What a good server answers, last text first, since the order is the index's to say."""
    data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(body["input"])]
    return JSONResponse({"object": "list", "data": data[::-1], "model": body["model"]})


class EmbeddingServer:
    """Counts what it is asked; ``answers`` are used up first, then it is good."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.url = ""

    async def handle(self, request: Request) -> Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if self.answers else embeddings
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        return answer(body)


@contextmanager
def listening() -> Iterator[EmbeddingServer]:
    fixture = EmbeddingServer()
    app = Starlette(routes=[Route("/v1/embeddings", fixture.handle, methods=["POST"])])
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        fixture.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield fixture
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with listening() as fixture:
        yield fixture


@contextmanager
def never_answering() -> Iterator[str]:
    """A port that accepts connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def status(code: int, **headers: str) -> Answer:
    return lambda _: Response(
        status_code=code, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )


def data(*items: Any) -> Answer:
    text = json.dumps({"data": items})
    return lambda _: Response(text, media_type="application/json")


async def test_batches_come_back_in_order_and_unit_length(server: EmbeddingServer) -> None:
    embedder = OpenAIEmbedder(server.url + "/v1", "m", 3, OpenAIOptions(batch_size=4, concurrency=2))
    server.delay = 0.02
    texts = ["x" * length for length in range(1, 31)]
    vectors = (await embedder.embed_passages([Document("", text) for text in texts], NEVER)).dense
    await embedder.close()
    expected = np.array([vector(text) for text in texts])
    assert vectors == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)
    assert vectors.dtype == np.float32
    assert sorted(len(body["input"]) for body in server.bodies) == [2, *[4] * 7]
    assert server.most_at_once <= 2


async def test_prefixes_model_and_key_are_sent_and_the_key_is_not_shown(server: EmbeddingServer) -> None:
    options = OpenAIOptions(api_key=SecretStr("s3cret"), query_prefix="query: ", passage_prefix="passage: ")
    embedder = OpenAIEmbedder(server.url, "e5", 3, options)
    await embedder.embed_query("a", NEVER)
    await embedder.embed_passages([Document("", "b")], NEVER)
    await embedder.close()
    assert server.bodies == [
        {"model": "e5", "input": ["query: a"], "encoding_format": "float"},
        {"model": "e5", "input": ["passage: b"], "encoding_format": "float"},
    ]
    assert server.headers[0]["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(options) + repr(embedder) + embedder.id
    assert embedder.id == "openai:e5:3|query: |passage: "


async def test_without_a_key_none_is_sent_and_no_texts_are_no_calls(server: EmbeddingServer) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    assert (await embedder.embed_passages([], NEVER)).dense.shape == (0, 3)
    assert server.bodies == []
    await embedder.embed_query("a", NEVER)
    await embedder.close()
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(server: EmbeddingServer, code: int) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    server.answers = [status(code), status(code)]
    assert (await embedder.embed_query("a", NEVER)).dense.shape == (3,)
    await embedder.close()
    assert len(server.bodies) == 3


async def test_attempts_are_bounded(server: EmbeddingServer) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3, OpenAIOptions(attempts=2))
    server.answers = [status(503)] * 5
    with pytest.raises(EmbedderError, match="503"):
        await embedder.embed_query("a", NEVER)
    await embedder.close()
    assert len(server.bodies) == 2


@pytest.mark.parametrize("code", [400, 401, 404, 413, 422, 302])
async def test_what_will_not_pass_is_not_tried_again(server: EmbeddingServer, code: int) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    server.answers = [status(code)]
    with pytest.raises(EmbedderError, match=str(code)):
        await embedder.embed_query("a", NEVER)
    await embedder.close()
    assert len(server.bodies) == 1


async def test_a_pause_that_is_asked_for_is_kept(server: EmbeddingServer) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    server.answers = [status(429, retry_after="1")]
    started = time.monotonic()
    await embedder.embed_query("a", NEVER)
    await embedder.close()
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("value", ["60", format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)])
async def test_a_pause_beyond_the_deadline_is_a_failure_at_once(server: EmbeddingServer, value: str) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    server.answers = [status(429, retry_after=value)]
    started = time.monotonic()
    with pytest.raises(EmbedderError, match="429"):
        await embedder.embed_query("a", Deadline.after(5))
    await embedder.close()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("value", ["soon", "-5", "", "nan"])
async def test_a_pause_that_makes_no_sense_is_ignored(server: EmbeddingServer, value: str) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    server.answers = [status(503, retry_after=value)]
    assert len((await embedder.embed_query("a", Deadline.after(5))).dense) == 3
    await embedder.close()


@pytest.mark.parametrize(
    "answer",
    [
        data(),
        data({"index": 0, "embedding": [1, 0]}),
        data({"index": 0, "embedding": [1, 0, 0]}, {"index": 1, "embedding": [1, 0, 0]}),
        data({"index": 1, "embedding": [1, 0, 0]}),
        data({"index": 0, "embedding": [float("nan"), 0, 0]}),
        data({"index": 0, "embedding": [float("inf"), 0, 0]}),
        data({"index": 0, "embedding": [1e300, 0, 0]}),
        data({"index": 0, "embedding": [10**400, 0, 0]}),
        data({"index": 0, "embedding": [0, 0, 0]}),
        data({"index": 0, "embedding": ["one", 0, 0]}),
        data({"index": 0, "embedding": [[1], [0], [0]]}),
        data({"index": 0, "embedding": None}),
        data({"embedding": [1, 0, 0]}),
        data("a"),
        lambda _: JSONResponse(["data"]),
        lambda _: JSONResponse({"error": "no"}),
        lambda _: Response("<html>hello 1 0 0</html>"),
        lambda _: Response(b"\xff\xfe"),
        lambda _: Response(b""),
    ],
)
async def test_an_answer_that_is_not_vectors_is_an_error(server: EmbeddingServer, answer: Answer) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3)
    server.answers = [answer]
    with pytest.raises(EmbedderError):
        await embedder.embed_query("a", NEVER)
    await embedder.close()


async def test_one_failed_batch_stops_the_others(server: EmbeddingServer) -> None:
    embedder = OpenAIEmbedder(server.url, "m", 3, OpenAIOptions(batch_size=1, concurrency=1))
    server.answers = [status(400)]
    with pytest.raises(EmbedderError, match="400"):
        await embedder.embed_passages([Document("", "a")] * 20, NEVER)
    await embedder.close()
    assert len(server.bodies) < 20


async def test_the_deadline_is_kept(server: EmbeddingServer) -> None:
    server.delay = 1.0
    embedder = OpenAIEmbedder(server.url, "m", 3)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await embedder.embed_query("a", Deadline.after(0.1))
    assert time.monotonic() - started < 0.9
    await embedder.close()


async def test_a_silent_server_is_given_up_by_the_read_limit() -> None:
    with never_answering() as url:
        embedder = OpenAIEmbedder(url, "m", 3, OpenAIOptions(read_timeout=0.05, attempts=2))
        with pytest.raises(EmbedderError, match="ReadTimeout"):
            await embedder.embed_query("a", Deadline.after(5))
        await embedder.close()


async def test_nobody_listening_is_an_error() -> None:
    with never_answering() as url:
        pass
    embedder = OpenAIEmbedder(url, "m", 3, OpenAIOptions(attempts=2))
    with pytest.raises(EmbedderError, match="ConnectError"):
        await embedder.embed_query("a", Deadline.after(5))
    await embedder.close()


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host"])
def test_an_address_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIEmbedder(url, "m", 3)
