"""What a score means is the same in every dialect, so that a client's threshold means something."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.dialects.requests import BEST, QUERY, TEXTS

Scores = dict[int, float]
"""By the position of a document in the request."""

_DOCUMENTS: dict[str, Any] = {"query": QUERY, "documents": TEXTS}
_TEXTS: dict[str, Any] = {"query": QUERY, "texts": TEXTS}
_FOREIGN = _DOCUMENTS | {"model": "m"}


def _results(answer: Any) -> Scores:
    return {result["index"]: result["relevance_score"] for result in answer["results"]}


def _data(answer: Any) -> Scores:
    return {result["index"]: result.get("relevance_score", result.get("score")) for result in answer["data"]}


DIALECTS: dict[str, tuple[str, dict[str, Any], Callable[[Any], Scores]]] = {
    "our own": ("/v1/rerank", _DOCUMENTS, lambda answer: {r["index"]: r["score"] for r in answer["results"]}),
    "Cohere v1, Jina": ("/v1/rerank", _FOREIGN, _results),
    "Cohere v2": ("/v2/rerank", _FOREIGN, _results),
    "vLLM": ("/rerank", _FOREIGN, _results),
    "vLLM's scores": ("/v1/score", {"text_1": QUERY, "text_2": TEXTS}, _data),
    "TEI": ("/rerank", _TEXTS, lambda answer: {rank["index"]: rank["score"] for rank in answer}),
    "Infinity": ("/infinity/rerank", _FOREIGN, _results),
    "Voyage": ("/voyage/v1/rerank", _FOREIGN, _data),
}
EVERY_DIALECT = pytest.mark.parametrize(("path", "body", "read"), DIALECTS.values(), ids=DIALECTS.keys())
FRESH = {"Cache-Control": "no-store"}


def scores(service: httpx.Client, dialect: tuple[str, dict[str, Any], Callable[[Any], Scores]]) -> Scores:
    """Those of a ranking that is made for this call."""
    path, body, read = dialect
    return read(service.post(path, json=body, headers=FRESH).json())


@EVERY_DIALECT
def test_scores_are_in_0_to_1_and_fall_along_the_order(
    service: httpx.Client, path: str, body: dict[str, Any], read: Callable[[Any], Scores]
) -> None:
    given = scores(service, (path, body, read))

    assert sorted(given) == list(range(len(TEXTS)))
    assert all(0 < score < 1 for score in given.values())
    assert max(given, key=given.__getitem__) == BEST
    if path != "/v1/score":
        assert list(given.values()) == sorted(set(given.values()), reverse=True)


@EVERY_DIALECT
def test_scores_are_the_same_at_every_call_and_in_every_dialect(
    service: httpx.Client, path: str, body: dict[str, Any], read: Callable[[Any], Scores]
) -> None:
    first, again = (scores(service, (path, body, read)) for _ in range(2))

    assert first == again == scores(service, DIALECTS["our own"])


@pytest.mark.parametrize("more", [[], ["The train leaves at six.", "Bread is baked in an oven."]])
def test_a_threshold_of_a_half_keeps_the_best_and_drops_the_worst(service: httpx.Client, more: list[str]) -> None:
    body = {"query": QUERY, "documents": TEXTS + more}
    given = scores(service, ("/v2/rerank", body, _results))

    assert min(given.values()) < 0.5 < given[BEST]


def test_raw_scores_are_the_logits_of_the_scores(service: httpx.Client) -> None:
    asked, read = _TEXTS | {"raw_scores": True}, DIALECTS["TEI"][2]
    raw = scores(service, ("/rerank", asked, read))

    assert {index: 1 / (1 + math.exp(-value)) for index, value in raw.items()} == pytest.approx(
        scores(service, DIALECTS["TEI"])
    )
