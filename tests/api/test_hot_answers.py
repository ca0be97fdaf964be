"""The very same bytes are answered at once, and never with what is no longer true or somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from service.api.hot_answers import HotAnswers
from service.observability.events import CacheAsked, Event, RequestFinished
from service.settings import CacheSettings, IndexSettings, ServerSettings, Settings
from tests.serving import serving

pytestmark = pytest.mark.anyio

QUESTION = {"query": 'quoted ,"timings_ms":{} and \\ in the query', "candidates": 10, "timeout_ms": 60_000}


@pytest.fixture(scope="module")
def service(demo_indexes: Path) -> Iterator[httpx.Client]:
    settings = Settings(
        indexes=IndexSettings(directory=demo_indexes),
        cache=CacheSettings(hot_s=60),
        server=ServerSettings(tenant_header="X-Tenant"),
    )
    with serving(settings) as client:
        yield client


def test_the_same_bytes_get_the_same_answer_with_an_id_of_their_own(service: httpx.Client) -> None:
    made = service.post("/v1/search", json=QUESTION)
    hot = service.post("/v1/search", json=QUESTION, headers={"X-Request-Id": "my-own"})

    first, second = made.json(), hot.json()
    assert second["id"] == hot.headers["x-request-id"] == "my-own"
    assert second["cache"] == "hit"
    assert second["timings_ms"]["total"] < first["timings_ms"]["total"]
    for own in ("id", "cache", "timings_ms"):
        del first[own], second[own]
    assert second == first
    assert hot.headers["content-type"] == made.headers["content-type"]


def test_it_is_counted_like_any_other_request(service: httpx.Client) -> None:
    def counted() -> str:
        lines = service.get("/metrics").text.splitlines()
        return next(
            line for line in lines if line.startswith('onepass_requests_total{method="POST",route="/v1/search"')
        )

    service.post("/v1/search", json=QUESTION)
    before = counted()
    service.post("/v1/search", json=QUESTION)

    assert float(counted().split()[-1]) == float(before.split()[-1]) + 1


def test_a_request_that_is_wrong_stays_wrong(service: httpx.Client) -> None:
    for _ in range(2):
        assert service.post("/v1/search", json={"query": " "}).status_code == 422
        assert service.post("/v1/search", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400


@dataclass
class Inner:
    """An application that answers with a number that grows, and may be kept."""

    lasting: bool = True
    calls: int = 0
    stamp: int = 0
    events: list[Event] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await request.body()
        self.calls += 1
        scope.setdefault("state", {})["lasting"] = self.lasting
        text = f'{{"id":"inner","n":{self.calls},"timings_ms":{{}},"cache":"miss"}}'
        await Response(text, media_type="application/json")(scope, receive, send)


def wrapped(inner: Inner, keep_s: float = 60) -> httpx.AsyncClient:
    hot = HotAnswers(inner, keep_s=keep_s, stamp=lambda: inner.stamp, tenant="X-Tenant", observer=inner)
    return httpx.AsyncClient(transport=httpx.ASGITransport(hot), base_url="http://inner")


async def numbers(client: httpx.AsyncClient, *requests: dict[str, Any]) -> list[int]:
    return [(await client.post(**{"url": "/v1/rerank", "content": b"{}"} | each)).json()["n"] for each in requests]


async def test_only_the_very_same_request_is_hot() -> None:
    inner = Inner()
    others: list[dict[str, Any]] = [
        {"content": b"{ }"},
        {"url": "/v1/search"},
        {"headers": {"X-Tenant": "ann"}},
        {"headers": {"X-Tenant": ""}},
        {"headers": [("X-Tenant", "ann"), ("X-Tenant", "bob")]},
        {"headers": {"Content-Type": "text/plain"}},
        {"headers": {"Cache-Control": "no-cache"}},
        {"headers": {"Authorization": "Bearer key"}},
    ]
    async with wrapped(inner) as client:
        assert await numbers(client, {}, {}, {}) == [1, 1, 1]
        assert await numbers(client, *others) == [2, 3, 4, 5, 6, 7, 8, 9]
        assert await numbers(client, {"headers": {"X-Tenant": "ann"}}, {}) == [4, 1]
    hits = [event for event in inner.events if isinstance(event, CacheAsked)]
    assert len(hits) == len([event for event in inner.events if isinstance(event, RequestFinished)]) == 4


async def test_a_changed_index_ends_what_was_kept() -> None:
    inner = Inner()
    async with wrapped(inner) as client:
        await numbers(client, {})
        inner.stamp += 1

        assert await numbers(client, {}, {}) == [2, 2]


async def test_it_ends_with_its_time() -> None:
    async with wrapped(Inner(), keep_s=0) as client:
        assert await numbers(client, {}, {}) == [1, 2]


async def test_what_may_not_be_kept_is_not() -> None:
    async with wrapped(Inner(lasting=False)) as client:
        assert await numbers(client, {}, {}) == [1, 2]


async def test_a_long_request_is_not_kept() -> None:
    async with wrapped(Inner()) as client:
        assert await numbers(client, {"content": bytes(1 << 17)}, {"content": bytes(1 << 17)}) == [1, 2]


async def test_the_oldest_go_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.hot_answers._KEPT_BYTES", 40)
    async with wrapped(Inner()) as client:
        found = await numbers(client, *({"content": str(n % 20).encode()} for n in range(25)))

    assert found == list(range(1, 26)), "the first five were gone when they were asked again"
