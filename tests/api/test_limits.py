"""Every size of ``LimitSettings`` holds over HTTP: what is as large as allowed passes, one more names its field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import EngineKind, LimitSettings, Settings
from tests.reranking import RANKING
from tests.serving import serving

LIMITS = {
    "head_bytes": 2000,
    "receive_s": 10.0,
    "body_bytes": 2000,
    "query_chars": 10,
    "documents": 3,
    "document_chars": 20,
    "candidates": 5,
    "timeout_ms": 900.0,
    "max_timeout_ms": 1000.0,
    "prompts": 2,
}
DOCUMENTS = ["one", "two"]


@dataclass(frozen=True)
class Row:
    """A body as large as a setting allows, one that is larger, and the field to blame."""

    setting: str
    path: str
    allowed: dict[str, Any]
    larger: dict[str, Any]
    field: str


def padded(size: int) -> dict[str, Any]:
    """A rerank request whose body has ``size`` bytes as the client writes it."""
    body = {"query": "q", "documents": [{"text": "a", "metadata": {"pad": ""}}]}
    bare = len(httpx.Request("POST", "http://x", json=body).content)
    return {"query": "q", "documents": [{"text": "a", "metadata": {"pad": "x" * (size - bare)}}]}


ROWS = [
    Row("body_bytes", "/v1/rerank", padded(2000), padded(2001), "body"),
    Row(
        "query_chars",
        "/v1/rerank",
        {"query": "q" * 10, "documents": DOCUMENTS},
        {"query": "q" * 11, "documents": DOCUMENTS},
        "query",
    ),
    Row("query_chars", "/v1/search", {"query": "q" * 10, "top_k": 1, "candidates": 1}, {"query": "q" * 11}, "query"),
    Row(
        "documents",
        "/v1/rerank",
        {"query": "q", "documents": ["d"] * 3},
        {"query": "q", "documents": ["d"] * 4},
        "documents",
    ),
    Row(
        "document_chars",
        "/v1/rerank",
        {"query": "q", "documents": [{"title": "t" * 5, "text": "x" * 15}]},
        {"query": "q", "documents": ["d", {"title": "t" * 5, "text": "x" * 16}]},
        "documents[1].text",
    ),
    Row(
        "candidates",
        "/v1/search",
        {"query": "q", "top_k": 1, "candidates": 5},
        {"query": "q", "top_k": 1, "candidates": 6},
        "candidates",
    ),
    Row("candidates", "/v1/search", {"query": "q", "top_k": 5, "candidates": 1}, {"query": "q", "top_k": 6}, "top_k"),
    Row(
        "max_timeout_ms",
        "/v1/rerank",
        {"query": "q", "documents": DOCUMENTS, "timeout_ms": 1000},
        {"query": "q", "documents": DOCUMENTS, "timeout_ms": 1001},
        "timeout_ms",
    ),
]
APART = {"timeout_ms", "head_bytes", "receive_s", "prompts"}
"""No sizes of what is in a body: each has a test of its own, here or in ``test_hostile_requests.py``."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with small limits and no index: a search that passes them all finds no index."""
    with serving(settings(tmp_path_factory.mktemp("none"), LIMITS)) as client:
        yield client


def settings(indexes: Path, limits: dict[str, Any]) -> Settings:
    engine = {"kind": EngineKind.FAKE}
    return Settings.model_validate(
        {"engine": engine, "indexes": {"directory": indexes}, "limits": limits, "ranking": RANKING}
    )


def test_no_limit_is_left_out() -> None:
    assert {row.setting for row in ROWS} | APART == set(LimitSettings.model_fields) == set(LIMITS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.setting} of {row.path}")
def test_the_largest_passes_and_one_more_is_refused_by_name(small: httpx.Client, row: Row) -> None:
    passed = small.post(row.path, json=row.allowed)
    assert passed.status_code == (404 if row.path == "/v1/search" else 200), passed.text

    refused = small.post(row.path, json=row.larger)
    assert refused.status_code == 413, refused.text
    assert refused.json()["error"]["field"] == row.field


def test_a_plan_of_more_prompts_than_allowed_is_refused(small: httpx.Client) -> None:
    rerank = {"strategy": "pairwise", "parameters": {"sort": "all"}}
    assert small.post("/v1/rerank", json={"query": "q", "documents": DOCUMENTS, "rerank": rerank}).status_code == 200

    refused = small.post("/v1/rerank", json={"query": "q", "documents": [*DOCUMENTS, "three"], "rerank": rerank})
    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "rerank.strategy"


def test_a_request_that_names_no_time_gets_the_configured_one(tmp_path: Path) -> None:
    body = {"query": "q", "documents": DOCUMENTS}
    with serving(settings(tmp_path, {"timeout_ms": 0.001})) as client:
        assert client.post("/v1/rerank", json=body).json()["rerank"]["reason"] == "deadline"
        assert client.post("/v1/rerank", json=body | {"timeout_ms": 10_000}).json()["rerank"]["reason"] is None


@pytest.mark.parametrize("depth", [5000, 200_000])
def test_a_body_nested_beyond_measure_is_refused(service: httpx.Client, depth: int) -> None:
    body = b'{"query": "q", "documents": ' + b"[" * depth + b"]" * depth + b"}"
    refused = service.post("/v1/rerank", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 400
    assert service.get("/livez").status_code == 200
