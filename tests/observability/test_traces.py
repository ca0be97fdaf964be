"""Spans of a whole service as a collector and a model server see them."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.app import create_app
from service.errors import ConfigurationError
from service.house import build_tracer
from service.settings import Settings
from tests.engine.vllm.stand_in import Reply, StandIn
from tests.observability.collector import Collector, attributes, collecting
from tests.reranking import RANKING
from tests.serving import listening

pytestmark = pytest.mark.anyio

CALLER = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01", "tracestate": "vendor=1"}
UNSAMPLED = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-00"}
SEARCH = {"query": "zebra crossing", "candidates": 40, "rerank": {"strategy": "sliding"}, "timeout_ms": 60_000}
RERANK = {"query": "zebra crossing", "documents": ["giraffe", "gnu"], "timeout_ms": 60_000}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def traced(collector: Collector, indexes: Path, server: StandIn | None = None, *, sample: float = 1) -> Settings:
    """A service that sends spans; its engine is ``server``, or one that makes its logits up."""
    engine = {"kind": "vllm", "urls": [server.url]} if server else {"kind": "fake"}
    traces = {"endpoint": collector.url, "sample": sample, "service": "gateway"}
    return Settings.model_validate(
        {"indexes": {"directory": indexes}, "engine": engine, "ranking": RANKING, "traces": traces}
    )


async def ask(settings: Settings, path: str, *bodies: Any, headers: dict[str, str] | None = None) -> list[Any]:
    """The answers of a service that has ended, and sent all its spans, when they are returned."""
    async with (
        listening(create_app(settings)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        return [(await client.post(path, json=body, headers=headers, timeout=60)).json() for body in bodies]


def tree(spans: list[Span]) -> dict[str, str]:
    """The name of each span's parent by its own name, without numbers."""
    names = {span.span_id: span.name for span in spans}
    return {span.name: names.get(span.parent_span_id, "") for span in spans}


async def test_one_trace_goes_through_the_gateway_to_the_engine(collector: Collector, demo_indexes: Path) -> None:
    async with StandIn(context=8192) as server:
        (answer,) = await ask(traced(collector, demo_indexes, server), "/v1/search", SEARCH, headers=SAMPLED)
        told = [head for _, head in server.heads if "traceparent" in head]

    assert {span.trace_id.hex() for span in collector.spans} == {CALLER}
    assert collector.named("POST /v1/search").parent_span_id.hex() == "b7ad6b7169203331"
    assert tree(collector.spans) == {
        "POST /v1/search": "",
        "cache": "POST /v1/search",
        "embed": "POST /v1/search",
        "retrieve": "POST /v1/search",
        "rank": "POST /v1/search",
        "admission": "rank",
        "round": "rank",
        "call": "round",
    }
    calls = {span.span_id.hex() for span in collector.spans if span.name == "call"}
    assert {head["traceparent"] for head in told} == {f"00-{CALLER}-{call}-01" for call in calls}
    assert {head["tracestate"] for head in told} == {"vendor=1"}
    assert len(calls) == len(told) == answer["rerank"]["rounds"] > 1
    assert collector.services == {"gateway"}


async def test_spans_tell_counts_and_no_text(collector: Collector, demo_indexes: Path) -> None:
    await ask(traced(collector, demo_indexes), "/v1/rerank", RERANK)

    assert (
        attributes(collector.named("rank")).items()
        >= {
            "onepass.candidates": 2,
            "onepass.prompts": 1,
            "onepass.rounds": 1,
            "onepass.profile": "listwise",
        }.items()
    )
    assert attributes(collector.named("round"))["onepass.prompts"] == 1
    assert attributes(collector.named("POST /v1/rerank")) == {
        "http.request.method": "POST",
        "http.route": "/v1/rerank",
        "http.response.status_code": 200,
        "onepass.cache": "miss",
    }
    assert not re.search(rb"zebra|giraffe|gnu", collector.raw)


async def test_an_engine_that_fails_is_an_error_in_its_span_without_its_words(
    collector: Collector, demo_indexes: Path
) -> None:
    async with StandIn(context=8192) as server:
        refusal = Reply(b'{"error": {"message": "zebra"}}', status=400)
        server.fault = lambda answer: refusal if len(server.scored) > 1 else Reply(json.dumps(answer).encode())
        (answer,) = await ask(traced(collector, demo_indexes, server), "/v1/search", SEARCH)

    assert answer["rerank"]["degraded"]
    statuses = {span.name: (span.status.code, span.status.message) for span in collector.spans}
    assert statuses["call"] == (Status.STATUS_CODE_ERROR, "EngineRejected")
    assert statuses["round"] == (Status.STATUS_CODE_ERROR, "EngineRejected")
    assert statuses["POST /v1/search"] == (Status.STATUS_CODE_UNSET, "")
    assert b"zebra" not in collector.raw


async def test_a_hot_answer_has_a_span_too(collector: Collector, demo_indexes: Path) -> None:
    answers = await ask(traced(collector, demo_indexes), "/v1/search", SEARCH, SEARCH)

    assert [answer["cache"] for answer in answers] == ["miss", "hit"]
    roots = [span for span in collector.spans if span.name == "POST /v1/search"]
    assert [attributes(root)["onepass.cache"] for root in roots] == ["miss", "hit"]


@pytest.mark.parametrize(("sample", "headers"), [(1, UNSAMPLED), (0, None)])
async def test_a_request_that_is_not_sampled_is_not_sampled_further_on(
    collector: Collector, demo_indexes: Path, sample: float, headers: dict[str, str] | None
) -> None:
    async with StandIn(context=8192) as server:
        await ask(traced(collector, demo_indexes, server, sample=sample), "/v1/search", SEARCH, headers=headers)
        (told,) = {head["traceparent"] for _, head in server.heads if "traceparent" in head}

    assert collector.spans == []
    assert told.endswith("-00")
    assert headers is None or CALLER in told


async def test_a_collector_that_is_away_costs_no_request(demo_indexes: Path, caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as away:
        pass
    (answer,) = await ask(traced(away, demo_indexes), "/v1/rerank", RERANK)

    assert not answer["rerank"]["degraded"]
    assert "opentelemetry" in caplog.records[-1].name


async def test_without_traces_nothing_is_sent_along(demo_indexes: Path) -> None:
    async with StandIn(context=8192) as server:
        settings = Settings.model_validate(
            {
                "indexes": {"directory": demo_indexes},
                "engine": {"kind": "vllm", "urls": [server.url]},
                "ranking": RANKING,
            }
        )
        await ask(settings, "/v1/search", SEARCH, headers=SAMPLED)
        assert all("traceparent" not in head for _, head in server.heads)


def test_where_the_sdk_is_missing_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_sdk(name: str, *rest: Any) -> Any:
        if name == "service.observability.otlp":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_sdk)
    assert build_tracer(Settings()) is None
    with pytest.raises(ConfigurationError, match=re.escape("pip install 'onepass[otel]'")):
        build_tracer(Settings.model_validate({"traces": {"endpoint": "http://127.0.0.1:4318"}}))
