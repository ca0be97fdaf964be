from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.dialects.requests import ASKED, BEST, TEXTS

PATH = "/voyage/v1/rerank"
SENT: dict[str, Any] = ASKED | {"model": "rerank-2.5", "top_k": 2, "truncation": True}


def test_what_its_client_sends_is_answered_in_the_form_it_reads(service: httpx.Client) -> None:
    answer = service.post(PATH, json=SENT).json()

    assert set(answer) == {"object", "data", "model", "usage"}
    assert [set(result) for result in answer["data"]] == [{"index", "relevance_score"}] * 2
    assert answer["data"][0]["index"] == BEST
    assert answer["usage"]["total_tokens"] > 20


def test_documents_come_back_as_text(service: httpx.Client) -> None:
    answer = service.post(PATH, json=SENT | {"return_documents": True, "top_k": None}).json()

    assert answer["data"][0]["document"] == TEXTS[BEST]
    assert len(answer["data"]) == 3


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no documents", {"documents": []}, 422, "documents"),
    ("too many documents", {"documents": ["d"] * 51}, 400, "documents"),
    ("a text that would be cut", {"documents": ["d", "word " * 300], "truncation": False}, 400, "documents[1]"),
    ("top_k of 0", {"top_k": 0}, 422, "top_k"),
    ("a field of another", {"top_n": 1}, 422, "top_n"),
]


@pytest.mark.parametrize(("body", "status", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_done_is_refused_with_a_detail(
    service: httpx.Client, body: dict[str, Any], status: int, field: str
) -> None:
    response = service.post(PATH, json=SENT | body)

    assert response.status_code == status, response.text
    assert isinstance(response.json()["detail"], str)
    assert response.json()["field"] == field


def test_an_unknown_name_is_a_bad_request(strict: httpx.Client) -> None:
    response = strict.post(PATH, json=SENT)

    assert response.status_code == 400
    assert response.json()["field"] == "model"
