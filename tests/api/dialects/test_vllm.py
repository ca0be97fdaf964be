from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from tests.api.dialects.requests import ASKED, BEST, QUERY, TEXTS

SENT: dict[str, Any] = {"model": "m", "text_1": QUERY, "text_2": TEXTS}


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize(
    "body",
    [
        SENT,
        SENT | {"text_1": [QUERY]},
        SENT | {"text_1": [QUERY] * 3},
        {"queries": QUERY, "documents": TEXTS},
        {"data_1": [QUERY], "data_2": TEXTS, "truncate_prompt_tokens": -1},
        {"query": QUERY, "items": TEXTS},
    ],
)
def test_scores_come_in_the_order_of_the_texts(service: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = service.post(path, json=body).json()

    assert set(answer) == {"id", "object", "created", "model", "data", "usage"}
    assert [(score["index"], score["object"]) for score in answer["data"]] == [(n, "score") for n in range(3)]
    scores = [score["score"] for score in answer["data"]]
    assert max(scores) == scores[BEST]
    assert answer["usage"]["total_tokens"] > 20


def test_one_text_is_scored(service: httpx.Client) -> None:
    answer = service.post("/score", json=SENT | {"text_2": TEXTS[0]}).json()

    assert [score["index"] for score in answer["data"]] == [0]


def test_raw_scores_are_what_the_sigmoid_makes_the_scores_of(service: httpx.Client) -> None:
    scores, raw = (
        [score["score"] for score in service.post("/score", json=SENT | {"use_activation": wanted}).json()["data"]]
        for wanted in (True, False)
    )

    assert [1 / (1 + math.exp(-value)) for value in raw] == pytest.approx(scores)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"text_1": [QUERY, "another"], "text_2": TEXTS[:2]}, 422, "text_1"),
        ({"text_1": [QUERY] * 2}, 422, "text_1"),
        ({"text_1": []}, 422, "text_1"),
        ({"text_1": " "}, 422, "text_1"),
        ({"text_2": []}, 422, "text_2"),
        ({"text_2": ["t"] * 51}, 413, "text_2"),
        ({"label_token_ids": [1, 2]}, 422, "label_token_ids"),
        ({"truncate_prompt_tokens": 9}, 422, "truncate_prompt_tokens"),
    ],
)
def test_errors_are_those_of_openai(service: httpx.Client, body: dict[str, Any], status: int, field: str) -> None:
    response = service.post("/score", json=SENT | body)

    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"type", "message", "param", "code"}
    assert (error["param"], error["code"]) == (field, status)


def test_names_are_listed(strict: httpx.Client) -> None:
    answer = strict.get("/v1/models").json()

    assert [model["id"] for model in answer["data"]] == ["onepass-embedded", "rerank-v3.5"]
    assert strict.post("/score", json=SENT).status_code == 404


def test_infinitys_documents_are_texts(service: httpx.Client) -> None:
    answer = service.post("/infinity/rerank", json=ASKED | {"model": "m", "return_documents": True}).json()

    assert set(answer) == {"id", "object", "created", "model", "results", "usage"}
    assert answer["results"][0]["document"] == TEXTS[BEST]
