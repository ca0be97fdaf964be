"""Overload, clients that go, and the end of the service, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI

from service.admission.admission import Admission
from service.admission.fair_queue import Demand
from service.api import errors as api_errors
from service.api.dialects import Backend
from service.api.middleware import BodyLimit, RequestContext
from service.api.model_names import ModelNames
from service.api.routes import native
from service.api.under_way import RequestLifetime, UnderWay
from service.cache.answers import AnswerCache, Lifetimes
from service.cache.memory import MemoryStore
from service.deadline import Deadline
from service.domain import RetrievalMode
from service.engine.fake import FakeScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import ShuttingDown
from service.observability.events import AdmissionChanged, AdmissionRefused, Event, RefusalReason, RequestFinished
from service.pipeline import Pipeline
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker
from service.reranking import Reranking
from service.retrieval.embedding.static import StaticEmbedder
from service.retrieval.feedback import Feedback
from service.settings import LimitSettings, Overflow
from tests.admission.clock import measured
from tests.reranking import LISTWISE
from tests.serving import listening

pytestmark = pytest.mark.anyio

BODY = {"query": "bees", "documents": [f"text {number}" for number in range(100)]}
"""Nineteen windows, one after the other."""


class Held(FakeScorer):
    """Answers ``free`` prompts, then none until ``go`` is set. ``reached`` is set by the first that has to wait."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free = free
        self.prompts = 0
        self.reached = anyio.Event()
        self.go = anyio.Event()
        self.cancelled = anyio.Event()

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        self.prompts += len(prompts)
        if self.prompts > self.free:
            self.reached.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return await super().score(prompts, deadline)


class Heard:
    """An observer that keeps what it sees."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = anyio.Event()

    def observe(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, AdmissionChanged):
            self.changed.set()


@dataclass
class Service:
    """Everything of a service that these tests look at from inside."""

    scorer: Held
    admission: Admission
    under_way: UnderWay
    client: httpx.AsyncClient
    port: int
    heard: Heard

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once admission has changed so that ``holds``."""
        while not holds():
            self.heard.changed = anyio.Event()
            await self.heard.changed.wait()

    async def rerank(self, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/rerank", json=BODY | fields)


@asynccontextmanager
async def service(free: int = 1000, most: int = 10) -> AsyncIterator[Service]:
    """A service with an engine that can be held, and a measured rate of 1000 tokens a second."""
    scorer, heard, under_way = Held(free), Heard(), UnderWay(most)
    admission = Admission(1000, heard, measured(1000))
    pipeline = Pipeline(
        {},
        {"mini": Ranker(PromptBuilder(LISTWISE), scorer)},
        default_index=None,
        default_profile="mini",
        reranking=Reranking(admission, overflow=Overflow.FIRST_STAGE, ladder=False),
        feedback=Feedback(StaticEmbedder()),
        observer=heard,
        answers=AnswerCache(MemoryStore(1_000_000), Lifetimes(60), heard),
    )
    models = ModelNames(pipeline.rankers, {}, default="mini", any_model=True)
    app = FastAPI()
    app.include_router(native.router(Backend(pipeline, LimitSettings(), models), RetrievalMode.HYBRID))
    api_errors.install(app)
    app.add_middleware(BodyLimit, limit=1_000_000)
    app.add_middleware(RequestLifetime, under_way=under_way, observer=heard)
    app.add_middleware(RequestContext, observer=heard)
    async with listening(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield Service(scorer, admission, under_way, client, port, heard)


async def test_what_would_miss_its_deadline_gets_429_with_both_headers() -> None:
    async with service() as it, it.admission.admit(Demand(7100, Deadline.never())):
        refused = await it.rerank(timeout_ms=1000)

    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "overloaded"
    assert refused.headers["retry-after-ms"] == "8520"  # 7100 tokens at 1000 a second, and a fifth more
    assert refused.headers["retry-after"] == "9"
    assert it.scorer.prompts == 0
    assert AdmissionRefused(RefusalReason.QUEUE) in it.heard.events


async def test_one_request_too_many_gets_429_before_its_body_is_sent() -> None:
    async with service(free=0, most=1) as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.rerank)
        await it.scorer.reached.wait()

        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(b"POST /v1/rerank HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.close()

        assert head.startswith("http/1.1 429")
        assert "retry-after: 1\r\n" in head
        assert "retry-after-ms: 1000\r\n" in head
        assert "x-request-id:" in head
        assert AdmissionRefused(RefusalReason.REQUESTS) in it.heard.events
        it.scorer.go.set()


async def test_a_client_that_goes_stops_the_work_and_gives_its_permit_back() -> None:
    async with service(free=2) as it:
        _, writer = await asyncio.open_connection("127.0.0.1", it.port)
        body = json.dumps(BODY).encode()
        writer.write(b"POST /v1/rerank HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await it.scorer.reached.wait()
        assert it.admission.in_flight

        writer.close()
        await it.scorer.cancelled.wait()
        it.scorer.go.set()
        answered = await it.rerank()

        assert answered.status_code == 200
        assert answered.json()["rerank"]["prompts"] == 19
        assert it.scorer.prompts == 3 + 19  # none for the one who had gone
        assert it.admission.in_flight == 0
        assert [event.status for event in it.heard.events if isinstance(event, RequestFinished)] == [499, 200]


async def test_a_client_that_goes_while_it_waits_leaves_the_queue() -> None:
    async with service(free=0) as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.rerank)
        await it.scorer.reached.wait()
        async with anyio.create_task_group() as others:
            others.start_soon(lambda: it.rerank(query="wax"))
            await it.until(lambda: it.admission.waiting == 1)
            others.cancel_scope.cancel()
        await it.until(lambda: it.admission.waiting == 0)
        it.scorer.go.set()


async def test_what_outlives_the_service_is_told_so() -> None:
    async with service(free=0) as it, anyio.create_task_group() as tasks:
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await it.rerank())

        tasks.start_soon(ask)
        await it.scorer.reached.wait()
        it.under_way.end(ShuttingDown("the service is shutting down"))
        await it.scorer.cancelled.wait()
    (answer,) = answers
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "shutting_down"
    assert answer.headers["x-request-id"]


async def test_a_fault_of_ours_passes_through_as_it_is() -> None:
    async def fails(_scope: object, _receive: object, _send: object) -> None:
        raise ZeroDivisionError

    middleware = RequestLifetime(fails, under_way=UnderWay(1), observer=Heard())
    forever = anyio.Event()
    with pytest.raises(ZeroDivisionError):
        await middleware({"type": "http", "method": "POST"}, forever.wait, forever.wait)  # type: ignore[arg-type]
