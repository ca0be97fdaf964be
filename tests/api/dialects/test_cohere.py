from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api.routes.cohere import asked
from service.api.schemas.cohere import RerankBody
from service.settings import Settings
from tests.api.dialects.requests import ASKED, BEST, COHERE, OBJECTS, QUERY, TEXTS, Sent
from tests.serving import serving

PATHS = pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])


def rerank(service: httpx.Client, path: str = "/v2/rerank", **body: Any) -> dict[str, Any]:
    response = service.post(path, json=ASKED | {"model": "rerank-v3.5"} | body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("sent", COHERE, ids=str)
def test_what_clients_send_is_answered_in_the_form_they_read(service: httpx.Client, sent: Sent) -> None:
    response = service.post(sent.path, json=sent.body)

    assert response.status_code == 200, response.text
    answer = response.json()
    scores = [result["relevance_score"] for result in answer["results"]]
    assert len(scores) == sent.results
    assert answer["results"][0]["index"] == BEST
    assert all(0 < score < 1 for score in scores)
    assert scores == sorted(set(scores), reverse=True)
    assert answer["id"] == response.headers["x-request-id"]
    assert answer["model"] == "onepass-embedded"


@PATHS
def test_the_whole_answer(service: httpx.Client, path: str) -> None:
    answer = rerank(service, path, documents=[TEXTS[0], TEXTS[2]], return_documents=True)

    tokens = answer["usage"]["total_tokens"]
    assert answer | {"id": "", "results": []} == {
        "id": "",
        "model": "onepass-embedded",
        "results": [],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {
            "api_version": {"version": "2" if path == "/v2/rerank" else "1"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": tokens},
        },
    }
    assert tokens > 20
    assert [set(result) for result in answer["results"]] == [{"index", "relevance_score", "document"}] * 2
    assert answer["results"][0]["document"] == {"text": TEXTS[2]}


def test_without_wish_for_them_no_documents_come_back(service: httpx.Client) -> None:
    assert all("document" not in result for result in rerank(service)["results"])


def test_tokens_are_those_that_the_model_read(service: httpx.Client) -> None:
    few, many = rerank(service), rerank(service, documents=[*TEXTS, "word " * 50])

    assert many["usage"]["total_tokens"] - few["usage"]["total_tokens"] >= 50


def test_scores_are_the_same_at_every_call(service: httpx.Client) -> None:
    fresh = {"Cache-Control": "no-cache"}
    first, again = (service.post("/v2/rerank", json=ASKED | {"model": "m"}, headers=fresh).json() for _ in range(2))

    assert first["results"] == again["results"]


def test_fewer_tokens_of_a_document_are_read_when_asked(service: httpx.Client) -> None:
    full, cut = rerank(service), rerank(service, max_tokens_per_doc=2)

    assert cut["results"] != full["results"]
    assert rerank(service, max_tokens_per_doc=4096)["results"] == full["results"]


def test_the_fields_to_read_are_read_in_their_order(service: httpx.Client) -> None:
    answer = rerank(service, documents=OBJECTS, rank_fields=["body"], return_documents=True)

    assert answer["results"][0]["document"] == OBJECTS[BEST]
    texts = rerank(service, documents=[f"body: {text}\n" for text in TEXTS])
    assert [r["relevance_score"] for r in texts["results"]] == [r["relevance_score"] for r in answer["results"]]


def test_objects_without_fields_to_read_are_read_by_their_text(service: httpx.Client) -> None:
    answer = rerank(service, documents=[{"text": text} for text in TEXTS])

    assert answer["results"] == rerank(service)["results"]


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no query", {"query": ""}, 422, "query"),
    ("no documents", {"documents": []}, 422, "documents"),
    ("too many documents", {"documents": ["d"] * 51}, 413, "documents"),
    ("a long document", {"documents": ["d", "x" * 5001]}, 413, "documents[1]"),
    ("a long query", {"query": "x" * 40_000}, 413, "query"),
    ("top_n of 0", {"top_n": 0}, 422, "top_n"),
    ("an object without text", {"documents": [{"body": "b"}]}, 422, "documents[0].text"),
    ("none of the fields", {"documents": ["d", {"a": "b"}], "rank_fields": ["c"]}, 422, "documents[1]"),
    ("a priority of nobody", {"priority": 1000}, 422, "priority"),
    ("an instruction", {"instruction": "prefer the new"}, 422, "instruction"),
    ("tokens of a query", {"max_tokens_per_query": 5}, 422, "max_tokens_per_query"),
    ("tokens of a prompt", {"truncate_prompt_tokens": 5}, 422, "truncate_prompt_tokens"),
    ("the other side", {"truncation_side": "left"}, 422, "truncation_side"),
    ("a field of nobody", {"temperature": 1}, 422, "temperature"),
    ("a text that would be cut", {"documents": ["d", "word " * 300], "truncation": False}, 413, "documents[1]"),
]


@PATHS
@pytest.mark.parametrize(("body", "status", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_done_is_refused_by_name(
    service: httpx.Client, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    response = service.post(path, json=ASKED | {"model": "m"} | body)

    assert response.status_code == status, response.text
    told = response.json()
    assert told["message"] == told["detail"]
    if path == "/v1/rerank":
        assert told["error"]["field"] == field
    else:
        assert told["field"] == field
        assert told["error"] == told["message"]
        assert told["error_type"] == "Validation"


@PATHS
def test_names_are_known_or_not_found(strict: httpx.Client, path: str) -> None:
    for name in ("rerank-v3.5", "onepass-embedded"):
        assert rerank(strict, path, model=name)["model"] == "onepass-embedded"
    response = strict.post(path, json=ASKED | {"model": "rerank-9"})
    assert response.status_code == 404
    assert "onepass-embedded, rerank-v3.5" in response.json()["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"'])
@PATHS
def test_a_body_that_is_no_request_is_refused(service: httpx.Client, path: str, body: bytes) -> None:
    response = service.post(path, content=body, headers={"Content-Type": "application/json"})

    assert response.status_code in {400, 422}
    assert response.json()["message"]


def test_a_body_without_foreign_fields_is_our_own(service: httpx.Client) -> None:
    answer = service.post("/v1/rerank", json=ASKED | {"top_n": 1, "return_documents": True}).json()
    assert {"id", "query", "results", "rerank", "timings_ms"} <= set(answer)
    assert "relevance_score" not in answer["results"][0]

    refused = service.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS, "top_n": "2"}).json()
    assert refused["error"]["field"] == "top_n"


def test_our_own_fields_are_refused_beside_foreign_ones(service: httpx.Client) -> None:
    refused = service.post("/v1/rerank", json=ASKED | {"model": "m", "timeout_ms": 9})

    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "timeout_ms"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that never has the time to read anything."""
    settings = {"indexes": {"directory": tmp_path_factory.mktemp("none")}, "limits": {"timeout_ms": 0.001}}
    with serving(Settings.model_validate(settings | {"engine": {"kind": "fake"}})) as client:
        yield client


@PATHS
def test_an_order_that_nothing_was_read_for_says_so(hurried: httpx.Client, path: str) -> None:
    response = hurried.post(path, json=ASKED | {"model": "m"})

    answer = response.json()
    assert [result["index"] for result in answer["results"]] == [0, 1, 2]
    assert answer["meta"]["warnings"] == ["degraded: deadline"]
    assert answer["usage"]["total_tokens"] == 0
    assert response.headers["x-onepass-degraded"] == "deadline"


def test_a_lower_priority_is_sooner_here_and_later_in_our_own() -> None:
    body = {"query": QUERY, "documents": TEXTS}
    priorities = [asked(RerankBody.model_validate(body | {"priority": given})).priority for given in (7, None, -2)]

    assert priorities == [-7, 0, 2]
