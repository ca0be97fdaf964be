"""The exact key: whatever can change an answer changes it, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.cache.keys import rerank_key, search_key
from service.domain import CachePolicy, Document, Parameters, RerankOptions, RerankRequest, RetrievalMode, SearchRequest

SEARCH = SearchRequest("query", 1000.0, tenant="ann")
RERANK = RerankRequest("query", (Document("1", "one"), Document("2", "two", "title")), 1000.0)


def of(request: SearchRequest, index: str = "shelf", version: str = "v1", ranker: str = "mini") -> str:
    return search_key(request, index, version, ranker)


@pytest.mark.parametrize(
    "changed",
    [
        of(replace(SEARCH, query="Query")),
        of(replace(SEARCH, tenant=None)),
        of(replace(SEARCH, tenant="bob")),
        of(replace(SEARCH, top_k=9)),
        of(replace(SEARCH, candidates=99)),
        of(replace(SEARCH, mode=RetrievalMode.DENSE)),
        of(replace(SEARCH, feedback=True)),
        of(replace(SEARCH, rerank=RerankOptions(strategy="single"))),
        of(replace(SEARCH, rerank=RerankOptions(enabled=False))),
        of(replace(SEARCH, rerank=RerankOptions(parameters=Parameters(window=5)))),
        of(SEARCH, index="other"),
        of(SEARCH, version="v2"),
        of(SEARCH, ranker="other weights"),
    ],
)
def test_what_changes_an_answer_changes_its_key(changed: str) -> None:
    assert changed != of(SEARCH)


def test_what_only_decides_whether_it_comes_in_time_does_not() -> None:
    hurried = replace(SEARCH, timeout_ms=1.0, strict=True, cache=CachePolicy.REFRESH)

    assert of(hurried) == of(SEARCH)


@pytest.mark.parametrize(
    "changed",
    [
        replace(RERANK, documents=RERANK.documents[::-1]),
        replace(RERANK, documents=RERANK.documents[:1]),
        replace(RERANK, documents=(Document("1", "onet"), Document("2", "wo", "title"))),
        replace(RERANK, documents=(Document("1", "one"), Document("2", "titletwo"))),
        replace(RERANK, top_n=1),
        replace(RERANK, query="other"),
    ],
)
def test_the_order_and_the_texts_of_documents_are_part_of_the_key(changed: RerankRequest) -> None:
    assert rerank_key(changed, "mini") != rerank_key(RERANK, "mini")


def test_a_search_and_a_rerank_never_share_a_key() -> None:
    assert rerank_key(RERANK, "mini") != of(SEARCH)
