from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from tests.api.dialects.requests import BEST, QUERY, TEI, TEXTS, Sent


@pytest.mark.parametrize("sent", TEI, ids=str)
def test_what_clients_send_is_answered_with_a_bare_list(service: httpx.Client, sent: Sent) -> None:
    response = service.post(sent.path, json=sent.body)

    assert response.status_code == 200, response.text
    ranks = response.json()
    assert len(ranks) == sent.results
    assert ranks[0]["index"] == BEST
    assert [rank["score"] for rank in ranks] == sorted({rank["score"] for rank in ranks}, reverse=True)
    assert all(rank.get("text") == (TEXTS[rank["index"]] if sent.body.get("return_text") else None) for rank in ranks)


def test_raw_scores_are_what_the_sigmoid_makes_the_scores_of(service: httpx.Client) -> None:
    body: dict[str, Any] = {"query": QUERY, "texts": TEXTS}
    scores = [rank["score"] for rank in service.post("/rerank", json=body).json()]
    raw = [rank["score"] for rank in service.post("/rerank", json=body | {"raw_scores": True}).json()]

    assert [1 / (1 + math.exp(-value)) for value in raw] == pytest.approx(scores)


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no texts", {"texts": []}, 422, "texts"),
    ("too many texts", {"texts": ["t"] * 51}, 413, "texts"),
    ("a long text", {"texts": ["t", "x" * 5001]}, 413, "texts[1]"),
    ("a text that would be cut", {"texts": ["t", "word " * 300], "truncate": False}, 413, "texts[1]"),
    ("texts from their end", {"truncation_direction": "Left"}, 422, "truncation_direction"),
    ("an empty query", {"query": " "}, 422, "query"),
    ("a field of nobody", {"temperature": 1}, 422, "temperature"),
]


@pytest.mark.parametrize(("body", "status", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_done_is_refused_by_name(
    service: httpx.Client, body: dict[str, Any], status: int, field: str
) -> None:
    response = service.post("/rerank", json={"query": QUERY, "texts": TEXTS} | body)

    assert response.status_code == status, response.text
    told = response.json()
    assert isinstance(told["error"], str)
    assert told["error_type"] == "Validation"
    assert told["field"] == field


def test_a_text_that_is_read_to_its_end_need_not_be_cut(service: httpx.Client) -> None:
    body = {"query": QUERY, "texts": TEXTS, "truncate": False}

    assert service.post("/rerank", json=body).json() == service.post("/rerank", json=body | {"truncate": True}).json()


def test_what_is_served_is_told(service: httpx.Client) -> None:
    info = service.get("/info").json()

    assert info["model_id"] == "encoders"
    assert info["model_type"] == {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    assert info["max_client_batch_size"] == 50
    assert info["max_input_length"] == 380
    assert service.get("/health").status_code == 200


def test_times_and_tokens_are_in_headers(service: httpx.Client) -> None:
    body, fresh = {"query": QUERY, "texts": TEXTS}, {"Cache-Control": "no-cache"}
    headers = service.post("/rerank", json=body, headers=fresh).headers

    assert int(headers["x-total-time"]) >= int(headers["x-inference-time"]) >= 0
    assert int(headers["x-compute-tokens"]) > 20
    stages = dict(part.strip().split(";dur=") for part in headers["server-timing"].split(","))
    assert set(stages) == {"embed", "retrieve", "rank", "total"}
    assert float(stages["total"]) >= float(stages["rank"]) > 0
