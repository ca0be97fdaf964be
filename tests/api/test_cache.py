"""What a caller sees of the cache, over real HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import DEMO

QUESTION = {"query": "parse command line options and flags", "top_k": 5, "candidates": 20, "explain": True}


def ask(service: httpx.Client, body: dict[str, Any], path: str = "/v1/search", control: str = "") -> dict[str, Any]:
    response = service.post(path, json=body, headers={"Cache-Control": control} if control else {})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def lasting(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in {"id", "timings_ms", "cache"}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/search", QUESTION),
        ("/v1/rerank", {"query": "zip", "documents": ["a", {"id": "b", "text": "zip \u2603", "metadata": {"n": [1]}}]}),
    ],
)
def test_a_kept_answer_is_the_same_but_for_its_id_and_timings(
    service: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    made = ask(service, body | {"return_documents": True}, path)
    kept = ask(service, body | {"return_documents": True}, path)

    assert (made["cache"], kept["cache"]) == ("miss", "hit")
    assert lasting(kept) == lasting(made)
    assert list(kept) == list(made)
    assert kept["id"] != made["id"]
    assert kept["timings_ms"]["rank"] == 0


def test_how_an_answer_is_shown_does_not_need_a_new_one(service: httpx.Client) -> None:
    body = QUESTION | {"query": "measure small bits of code"}
    ask(service, body)

    plain = ask(service, body | {"explain": False, "return_documents": False, "timeout_ms": 50_000})

    assert plain["cache"] == "hit"
    assert plain["rerank"]["windows"] is None
    assert plain["results"][0]["document"] is None


def test_cache_control_is_followed(service: httpx.Client) -> None:
    body = QUESTION | {"query": "compress a file"}
    nothing = service.post("/v1/search", json=body, headers={"Cache-Control": "only-if-cached"})
    assert nothing.status_code == 504
    assert nothing.json()["error"]["type"] == "not_cached"

    assert ask(service, body, control="no-store")["cache"] == "off"
    assert ask(service, body, control="max-age=0, No-Cache")["cache"] == "miss"
    assert ask(service, body, control="only-if-cached")["cache"] == "hit"


def test_a_degraded_answer_is_not_kept(service: httpx.Client) -> None:
    body = QUESTION | {"query": "walk a directory tree", "candidates": 100}
    degraded = ask(service, body | {"timeout_ms": 30})
    assert degraded["rerank"]["degraded"]

    assert not ask(service, body)["rerank"]["degraded"]


def test_the_metric_counts_hits(service: httpx.Client) -> None:
    ask(service, QUESTION | {"index": DEMO})
    ask(service, QUESTION | {"index": DEMO})

    assert 'onepass_cache_total{state="hit"}' in service.get("/metrics").text
