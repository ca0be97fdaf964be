from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.overload import too_much

QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]


def rerank(service: httpx.Client, **body: Any) -> dict[str, Any]:
    response = service.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS} | body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_texts_are_ranked(service: httpx.Client) -> None:
    results = rerank(service)["results"]

    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert results[0]["index"] == 2


def test_objects_keep_their_ids_and_come_back_when_wanted(service: httpx.Client) -> None:
    documents = [{"id": "a", "text": TEXTS[0], "title": "Market"}, {"id": "b", "text": TEXTS[2], "metadata": {"n": 1}}]

    results = rerank(service, documents=documents, return_documents=True)["results"]

    assert {result["id"] for result in results} == {"a", "b"}
    b = next(result for result in results if result["id"] == "b")
    assert b["document"] == {"title": "", "text": TEXTS[2], "metadata": {"n": 1}}


def test_top_n_gives_the_best(service: httpx.Client) -> None:
    assert [result["rank"] for result in rerank(service, top_n=1)["results"]] == [1]
    assert len(rerank(service, top_n=50)["results"]) == 3


def test_one_document_is_scored_on_its_own(service: httpx.Client) -> None:
    (alone,) = rerank(service, documents=TEXTS[2:])["results"]

    beside_others = rerank(service)["results"][0]["score"]
    assert alone["score"] == pytest.approx(beside_others, abs=0.001)  # less what keeps scores apart


def test_one_document_needs_no_comparison(listwise: httpx.Client) -> None:
    answer = rerank(listwise, documents=["alone"])

    assert [result["index"] for result in answer["results"]] == [0]
    assert answer["rerank"]["prompts"] == 0


def test_a_deadline_leaves_every_document_in_the_answer(service: httpx.Client) -> None:
    asked = too_much("what do fleas live on")
    answer = rerank(service, **asked)

    assert answer["rerank"]["degraded"] is True
    assert answer["rerank"]["reason"] == "deadline"
    assert sorted(result["index"] for result in answer["results"]) == list(range(len(asked["documents"])))


def test_many_documents_are_all_ranked(service: httpx.Client) -> None:
    documents = [f"passage number {n} speaks of the number {n}" for n in range(150)]

    results = rerank(service, documents=documents, timeout_ms=60_000)["results"]

    assert sorted(result["index"] for result in results) == list(range(150))


def test_the_order_does_not_depend_on_what_came_before(service: httpx.Client) -> None:
    first = [result["index"] for result in rerank(service)["results"]]
    rerank(service, query="something else")

    assert [result["index"] for result in rerank(service)["results"]] == first


def test_a_long_document_tells_which_part_of_it_is_relevant(service: httpx.Client) -> None:
    filler = "the weather was fine and people went for a walk . " * 40
    documents = [filler, f"{filler} Bees make honey from nectar in their hive. {filler}"]
    body = {"query": "how do bees make honey", "documents": documents, "rerank": {"chunks": 2}, "relevant_spans": True}

    results = service.post("/v1/rerank", json=body).raise_for_status().json()["results"]

    assert results[0]["index"] == 1
    best, second = results[0]["relevant_spans"]
    assert "Bees make honey" in documents[1][best["start"] : best["end"]]
    assert best["score"] == results[0]["score"] > second["score"]
    plain = service.post("/v1/rerank", json=body | {"relevant_spans": False}).raise_for_status().json()
    assert plain["results"][0]["relevant_spans"] is None


def test_long_lists_of_long_documents_are_ranked_by_fewer_chunks_of_each(service: httpx.Client) -> None:
    documents = [" ".join(f"word{number}{place}" for place in range(400)) for number in range(300)]

    answer = rerank(service, documents=[*documents, TEXTS[2]], top_n=1, timeout_ms=200)

    assert len(answer["results"]) == 1
    assert answer["rerank"]["prompts"] <= 2000
