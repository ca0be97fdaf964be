from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.reranking import RANKING
from tests.serving import serving, slow_model

QUERY = "read a csv file into dictionaries"
# Nine windows, one after the other; time enough for retrieval on a machine that is busy with other things.
TOO_MUCH = {"candidates": 100, "timeout_ms": 2000, "rerank": {"strategy": "sliding"}}


@pytest.fixture(scope="module")
def slow(demo_indexes: Path) -> Iterator[httpx.Client]:
    """A service whose model server takes half a second for a window."""
    with slow_model() as url:
        settings = {"engine": {"kind": "vllm", "urls": [url]}, "indexes": {"directory": demo_indexes}}
        with serving(Settings.model_validate(settings | {"ranking": RANKING})) as client:
            yield client


def search(service: httpx.Client, **body: Any) -> dict[str, Any]:
    response = service.post("/v1/search", json={"query": QUERY} | body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_plain_query_is_answered_with_ranked_passages(service: httpx.Client) -> None:
    answer = search(service)

    assert answer["query"] == QUERY
    assert answer["index"] == "python-docs"
    assert [result["rank"] for result in answer["results"]] == list(range(1, 11))
    assert any(result["id"].startswith("csv.") for result in answer["results"])
    assert answer["rerank"]["profile"] == "onepass-embedded"
    assert answer["rerank"]["degraded"] is False
    assert answer["rerank"]["prompts"] > 0


def test_scores_are_in_0_to_1_and_strictly_decrease(service: httpx.Client) -> None:
    scores = [result["score"] for result in search(service, top_k=100)["results"]]

    assert all(0 <= score <= 1 for score in scores)
    assert all(higher > lower for higher, lower in itertools.pairwise(scores))


def test_every_candidate_comes_back_once_when_all_are_asked_for(service: httpx.Client) -> None:
    results = search(service, top_k=60, candidates=60)["results"]

    assert len({result["id"] for result in results}) == 60
    assert sorted(result["first_stage"]["rank"] for result in results) == list(range(1, 61))


def test_without_reranking_the_first_stages_order_stands(service: httpx.Client) -> None:
    answer = search(service, rerank={"enabled": False})

    assert [result["first_stage"]["rank"] for result in answer["results"]] == list(range(1, 11))
    assert answer["rerank"]["profile"] is None
    assert answer["rerank"]["prompts"] == 0


def test_documents_come_unless_unwanted(service: httpx.Client) -> None:
    assert all(result["document"]["text"] for result in search(service)["results"])
    assert all(result["document"] is None for result in search(service, return_documents=False)["results"])


def test_explain_shows_each_window_and_its_logits(listwise: httpx.Client) -> None:
    answer = search(listwise, candidates=30, explain=True)

    windows = answer["rerank"]["windows"]
    assert len(windows) == answer["rerank"]["prompts"]
    for window in windows:
        assert len(window["ids"]) == len(window["logits"]) <= 20
    assert search(listwise)["rerank"]["windows"] is None


def test_explain_shows_the_logit_of_each_passage_read_on_its_own(service: httpx.Client) -> None:
    windows = search(service, candidates=30, explain=True)["rerank"]["windows"]

    assert len(windows) == 30
    assert {len(window["ids"]) for window in windows} == {len(window["logits"]) for window in windows} == {1}


def test_each_first_stage_can_be_chosen(service: httpx.Client) -> None:
    orders = {}
    for mode in ("dense", "sparse", "lexical", "hybrid"):
        results = search(service, mode=mode, rerank={"enabled": False})["results"]
        orders[mode] = [result["id"] for result in results]
    assert orders["dense"] != orders["lexical"] != orders["sparse"]


def test_top_down_needs_at_most_three_rounds(listwise: httpx.Client) -> None:
    answer = search(listwise, rerank={"strategy": "top_down"})

    assert answer["rerank"]["strategy"] == "top_down"
    assert answer["rerank"]["rounds"] <= 3


def test_parameters_are_gone_by_and_told(listwise: httpx.Client) -> None:
    parameters = {"window": 20, "stride": 16}
    answer = search(listwise, rerank={"strategy": "sliding", "parameters": parameters}, explain=True)

    assert answer["rerank"]["plan"] == {"parameters": parameters, "why": None}
    assert answer["rerank"]["prompts"] == 6  # 1 + (100 - 20) / 16
    assert len(answer["rerank"]["windows"][0]["ids"]) == 20
    assert search(listwise)["rerank"]["plan"] is None


def test_auto_says_what_it_chose_and_why(listwise: httpx.Client) -> None:
    answer = search(listwise, rerank={"strategy": "auto"}, explain=True)

    assert answer["rerank"]["strategy"] != "auto"
    assert answer["rerank"]["plan"]["why"]


def test_a_cascade_ranks_the_best_again(listwise: httpx.Client) -> None:
    stages = [{"strategy": "merge"}, {"strategy": "self_consistency", "parameters": {"over": "single"}, "depth": 10}]
    answer = search(listwise, rerank={"strategy": "cascade", "parameters": {"stages": stages}}, explain=True)

    told = answer["rerank"]["plan"]["parameters"]["stages"]
    assert [stage["strategy"] for stage in told] == ["merge", "self_consistency"]
    assert answer["rerank"]["prompts"] == told[0]["prompts"] + 3 == len(answer["rerank"]["windows"])


def test_a_fusion_ranks_side_by_side(listwise: httpx.Client) -> None:
    members = [{"strategy": "single"}, {"strategy": "top_down"}]
    parameters = {"members": members, "by": "score"}
    answer = search(listwise, rerank={"strategy": "fusion", "parameters": parameters}, explain=True)

    assert answer["rerank"]["strategy"] == "fusion"
    told = answer["rerank"]["plan"]["parameters"]["members"]
    assert told[0]["rounds"] == 1
    assert answer["rerank"]["rounds"] == told[1]["rounds"] > 1


def test_a_deadline_gives_a_usable_order_that_says_it_is_degraded(slow: httpx.Client) -> None:
    answer = search(slow, **TOO_MUCH)

    assert answer["rerank"]["degraded"] is True
    assert answer["rerank"]["reason"] == "deadline"
    assert len(answer["results"]) == 10


def test_strict_turns_a_degraded_answer_into_504(slow: httpx.Client) -> None:
    response = slow.post("/v1/search", json={"query": QUERY, "strict": True} | TOO_MUCH)

    assert response.status_code == 504
    assert response.json()["error"]["type"] == "deadline_exceeded"


def test_the_request_id_goes_in_and_out(service: httpx.Client) -> None:
    response = service.post("/v1/search", json={"query": QUERY}, headers={"X-Request-Id": "abc-1"})

    assert response.headers["x-request-id"] == "abc-1"
    assert response.json()["id"] == "abc-1"


def test_a_strange_request_id_is_replaced(service: httpx.Client) -> None:
    response = service.get("/livez", headers={"X-Request-Id": "a b"})

    assert response.headers["x-request-id"] != "a b"


def test_feedback_searches_again_and_marks_what_only_that_found(service: httpx.Client) -> None:
    before = search(service, top_k=20, candidates=20)
    answer = search(service, top_k=20, candidates=20, feedback=True, timeout_ms=60_000)

    known = {result["id"] for result in before["results"]}
    for result in answer["results"]:
        assert result["first_stage"]["feedback"] == (result["id"] not in known)
    assert answer["rerank"]["rounds"] > before["rerank"]["rounds"]
    assert answer["rerank"]["degraded"] is False
