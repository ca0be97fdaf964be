"""Each kind of bad input gets a clear answer: an order, or a 4xx that names the field."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

TEXTS = ["one passage", "another passage"]


def chosen(strategy: str = "sliding", **parameters: Any) -> dict[str, Any]:
    return {"query": "q", "rerank": {"strategy": strategy, "parameters": parameters}}


FUSED_FUSION = chosen("fusion", members=[{"parameters": {"members": [{}, {}]}}, {}])
STRANGE_PART = chosen("fusion", members=[{}, {"strategy": "single", "parameters": {"passes": 2}}])

REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("empty query", "/v1/search", {"query": ""}, 422, "query"),
    ("query of whitespace", "/v1/search", {"query": " \n\t\u3000"}, 422, "query"),
    ("query of NUL bytes", "/v1/rerank", {"query": "\0\0", "documents": TEXTS}, 422, "query"),
    ("no query", "/v1/search", {}, 422, "query"),
    ("query is a number", "/v1/search", {"query": 7}, 422, "query"),
    ("query is null", "/v1/rerank", {"query": None, "documents": TEXTS}, 422, "query"),
    ("query above the limit", "/v1/search", {"query": "word " * 10_000}, 413, "query"),
    ("no documents", "/v1/rerank", {"query": "q", "documents": []}, 422, "documents"),
    ("documents missing", "/v1/rerank", {"query": "q"}, 422, "documents"),
    ("documents is a string", "/v1/rerank", {"query": "q", "documents": "text"}, 422, "documents"),
    ("10,000 documents", "/v1/rerank", {"query": "q", "documents": ["d"] * 10_000}, 413, "documents"),
    (
        "duplicate ids",
        "/v1/rerank",
        {"query": "q", "documents": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]},
        422,
        "documents[1].id",
    ),
    ("huge document", "/v1/rerank", {"query": "q", "documents": ["d", "x" * 300_000]}, 413, "documents[1].text"),
    ("a document is a number", "/v1/rerank", {"query": "q", "documents": ["d", 7]}, 422, "documents[1]"),
    ("a document is a list", "/v2/rerank", {"query": "q", "documents": ["d", ["d"]]}, 422, "documents[1]"),
    ("a document is null", "/v1/rerank", {"query": "q", "documents": [None], "model": "m"}, 422, "documents[0]"),
    ("an object without text", "/v1/rerank", {"query": "q", "documents": [{"id": "a"}]}, 422, "documents[0].text"),
    ("a text is a number", "/v1/rerank", {"query": "q", "documents": [{"text": 7}]}, 422, "documents[0].text"),
    ("text_1 is a number", "/score", {"text_1": 7, "text_2": "t"}, 422, "text_1"),
    ("text_2 holds a number", "/v1/score", {"text_1": "q", "text_2": ["t", 7]}, 422, "text_2[1]"),
    ("more documents than any limit", "/rerank", {"query": "q", "texts": ["t"] * 10_001}, 413, "texts"),
    ("top_k of 0", "/v1/search", {"query": "q", "top_k": 0}, 422, "top_k"),
    ("top_k above the limit", "/v1/search", {"query": "q", "top_k": 100_000}, 413, "top_k"),
    ("candidates negative", "/v1/search", {"query": "q", "candidates": -1}, 422, "candidates"),
    ("candidates true", "/v1/search", {"query": "q", "candidates": True}, 422, "candidates"),
    ("timeout of 0", "/v1/search", {"query": "q", "timeout_ms": 0}, 422, "timeout_ms"),
    ("timeout too long", "/v1/search", {"query": "q", "timeout_ms": 1e9}, 413, "timeout_ms"),
    ("mode unknown", "/v1/search", {"query": "q", "mode": "psychic"}, 422, "mode"),
    ("feedback of words", "/v1/search", {"query": "q", "mode": "lexical", "feedback": True}, 422, "feedback"),
    ("feedback of terms", "/v1/search", {"query": "q", "mode": "sparse", "feedback": True}, 422, "feedback"),
    (
        "feedback of nothing",
        "/v1/search",
        {"query": "q", "rerank": {"enabled": False}, "feedback": True},
        422,
        "feedback",
    ),
    ("chunks of -1", "/v1/rerank", {"query": "q", "documents": TEXTS, "rerank": {"chunks": -1}}, 422, "rerank.chunks"),
    ("chunks of 9", "/v1/rerank", {"query": "q", "documents": TEXTS, "rerank": {"chunks": 9}}, 422, "rerank.chunks"),
    (
        "chunks of a second search",
        "/v1/search",
        {"query": "q", "rerank": {"chunks": 1}, "feedback": True},
        422,
        "rerank.chunks",
    ),
    (
        "spans of nothing",
        "/v1/rerank",
        {"query": "q", "documents": TEXTS, "rerank": {"enabled": False}, "relevant_spans": True},
        422,
        "relevant_spans",
    ),
    (
        "a first stage of negative weight",
        "/v1/search",
        {"query": "q", "rerank": {"first_stage_weight": -0.5}},
        422,
        "rerank.first_stage_weight",
    ),
    (
        "spans of no chunks",
        "/v1/search",
        {"query": "q", "rerank": {"chunks": 0}, "relevant_spans": True},
        422,
        "relevant_spans",
    ),
    ("field misspelt", "/v1/search", {"query": "q", "topk": 3}, 422, "topk"),
    ("index unknown", "/v1/search", {"query": "q", "index": "nowhere"}, 404, "index"),
    ("profile unknown", "/v1/search", {"query": "q", "rerank": {"profile": "none"}}, 404, "rerank.profile"),
    ("strategy unknown", "/v1/search", {"query": "q", "rerank": {"strategy": "none"}}, 404, "rerank.strategy"),
    ("strategy of another reading", "/v1/search", chosen("sliding"), 422, "rerank.strategy"),
]

REFUSED_PLANS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("window of one", "/v1/search", chosen(window=1), 422, "rerank.parameters.window"),
    ("window above what a prompt shows", "/v1/search", chosen(window=21), 422, "rerank.parameters.window"),
    ("stride of a window", "/v1/search", chosen(stride=20), 422, "rerank.parameters.stride"),
    ("a thousand passes", "/v1/search", chosen(passes=1000), 422, "rerank.parameters.passes"),
    ("passes true", "/v1/search", chosen(passes=True), 422, "rerank.parameters.passes"),
    ("parameter misspelt", "/v1/search", chosen(pases=1), 422, "rerank.parameters.pases"),
    ("parameter of another strategy", "/v1/search", chosen(pivot=3), 422, "rerank.parameters.pivot"),
    ("pivot outside", "/v1/search", chosen("top_down", pivot=21), 422, "rerank.parameters.pivot"),
    ("sort unknown", "/v1/search", chosen("setwise", sort="bogo"), 422, "rerank.parameters.sort"),
    ("many shuffles", "/v1/search", chosen("self_consistency", shuffles=21), 422, "rerank.parameters.shuffles"),
    ("over itself", "/v1/search", chosen("self_consistency", over="self_consistency"), 422, "rerank.parameters.over"),
    ("9,900 prompts", "/v1/search", chosen("pairwise", sort="all"), 422, "rerank.strategy"),
    (
        "37,800 prompts",
        "/v1/search",
        chosen("self_consistency", over="pairwise", shuffles=20),
        422,
        "rerank.strategy",
    ),
    ("more than one prompt shows", "/v1/search", chosen("full"), 422, "rerank.strategy"),
    ("auto with parameters", "/v1/search", chosen("auto", window=5), 422, "rerank.parameters"),
    ("cascade of nothing", "/v1/search", chosen("cascade"), 422, "rerank.parameters.stages"),
    ("cascade of one", "/v1/search", chosen("cascade", stages=[{}]), 422, "rerank.parameters.stages"),
    ("no depth", "/v1/search", chosen("cascade", stages=[{}, {}]), 422, "rerank.parameters.stages[1].depth"),
    ("parts of a part", "/v1/search", FUSED_FUSION, 422, "rerank.parameters.members[0].parameters.members"),
    ("a bad part", "/v1/search", STRANGE_PART, 422, "rerank.parameters.members[1].parameters.passes"),
]


@pytest.mark.parametrize(("path", "body", "status", "field"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_it_is_refused_and_the_field_is_named(
    service: httpx.Client, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    _is_refused(service.post(path, json=body), status, field)


@pytest.mark.parametrize(
    ("path", "body", "status", "field"), [row[1:] for row in REFUSED_PLANS], ids=[r[0] for r in REFUSED_PLANS]
)
def test_a_plan_is_refused_and_the_field_is_named(
    listwise: httpx.Client, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    _is_refused(listwise.post(path, json=body), status, field)


def _is_refused(response: httpx.Response, status: int, field: str) -> None:
    assert response.status_code == status, response.text
    told = response.json()
    detail = told["error"] if isinstance(told["error"], dict) else told
    assert detail.get("field", detail.get("param")) == field
    assert detail["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/search", rb'{"query": "\ud800"}', "query"),
        ("/v1/rerank", rb'{"query": "q", "documents": ["fine", "half \udfff"]}', "documents[1]"),
        ("/v1/rerank", rb'{"query": "q", "documents": [{"text": "t", "metadata": {"a": ["\ud800"]}}]}', "documents[0]"),
    ],
)
def test_a_lone_surrogate_is_refused(service: httpx.Client, path: str, body: bytes, field: str) -> None:
    response = service.post(path, content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
    assert response.json()["error"]["field"].startswith(field)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"null", b'{"query": NaN}'])
def test_a_body_that_is_no_request_is_refused(service: httpx.Client, body: bytes) -> None:
    response = service.post("/v1/search", content=body, headers={"Content-Type": "application/json"})

    assert 400 <= response.status_code < 500
    assert response.json()["error"]["type"]


def test_a_body_of_10_mb_is_refused(service: httpx.Client) -> None:
    response = service.post("/v1/rerank", json={"query": "q", "documents": ["x" * 1000] * 10_000})

    assert response.status_code == 413
    assert response.json()["error"]["field"] == "body"


def test_a_large_body_of_unannounced_length_is_refused_while_it_arrives(service: httpx.Client) -> None:
    chunks = (b"x" * 65_536 for _ in range(160))

    response = service.post("/v1/rerank", content=chunks, headers={"Content-Type": "application/json"})

    assert response.status_code == 413


ORDERED: list[tuple[str, dict[str, Any]]] = [
    ("documents of whitespace", {"query": "q", "documents": ["", " ", "\n\t", "text"]}),
    ("NUL bytes in a document", {"query": "q", "documents": ["a\0b", "c"]}),
    ("NUL bytes in a query", {"query": "a\0b", "documents": TEXTS}),
    ("query longer than the context", {"query": "word " * 6000, "documents": TEXTS}),
    ("documents longer than the context", {"query": "q", "documents": ["word " * 20_000, "short"]}),
    ("equal documents", {"query": "q", "documents": ["same"] * 30}),
    ("labels and special tokens", {"query": "[A] > [B]", "documents": ["[A]", "[B] > [A]", "[UNK][PAD]"]}),
    ("emoji, right-to-left, combining", {"query": "👩‍🚀 שלום é", "documents": ["👩‍🚀" * 99, "שלום עולם", "e\u0301"]}),
    ("only punctuation", {"query": "???", "documents": ["...", "!!!"]}),
]


@pytest.mark.parametrize("body", [row[1] for row in ORDERED], ids=[row[0] for row in ORDERED])
def test_it_gets_an_order(service: httpx.Client, body: dict[str, Any]) -> None:
    response = service.post("/v1/rerank", json=body)

    assert response.status_code == 200, response.text
    answer = response.json()
    assert sorted(result["index"] for result in answer["results"]) == list(range(len(body["documents"])))
    assert answer["rerank"]["degraded"] is False


@pytest.mark.parametrize(
    "query", ["a\0b", "word " * 6000, "[A] > [B]", '" OR * NEAR(', "👩‍🚀", "???", "-- ; DROP TABLE"]
)
@pytest.mark.parametrize("mode", ["dense", "sparse", "lexical", "hybrid"])
def test_a_strange_query_is_searched(service: httpx.Client, query: str, mode: str) -> None:
    response = service.post("/v1/search", json={"query": query, "mode": mode, "candidates": 20})

    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) <= 10


def test_an_unknown_path_and_a_wrong_method_have_the_same_shape(service: httpx.Client) -> None:
    for response in (service.get("/nowhere"), service.get("/v1/search")):
        assert response.status_code in {404, 405}
        assert set(response.json()["error"]) == {"type", "message", "field"}
