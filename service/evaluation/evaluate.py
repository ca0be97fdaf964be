"""Put judged queries to a pipeline and keep, for each, the first stage's order, the reranked one and the time taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from service.corpus.candidate_lists import CandidateList
from service.domain import (
    Answer,
    CachePolicy,
    Candidate,
    Ranking,
    RerankOptions,
    RerankRequest,
    RetrievalMode,
    SearchRequest,
)
from service.evaluation.runs import RankedList, ranked_list

Progress = Callable[[int, int], None]
"""Called after each query with the number done and the number of all."""

Asked = TypeVar("Asked")


class Pipeline(Protocol):
    """The two questions an evaluation asks of the service."""

    async def search(self, request: SearchRequest) -> Answer:
        """Answer from an index."""

    async def rerank(self, request: RerankRequest) -> Answer:
        """Order given documents."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How every query of an evaluation is asked. ``concurrency`` queries are under way at once."""

    index: str | None = None
    mode: RetrievalMode = RetrievalMode.HYBRID
    candidates: int = 100
    top_k: int = 10
    rerank: RerankOptions = field(default_factory=RerankOptions)
    feedback: bool = False
    timeout_ms: float = 60_000.0
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One query's two orders over the same candidates, and the milliseconds each took from the start of the request.

    ``first_stage_ms`` is 0 where the candidates were given. ``ranking`` is of the candidates as the first stage had
    them.
    """

    query_id: str
    first_stage: RankedList
    reranked: RankedList
    first_stage_ms: float
    total_ms: float
    ranking: Ranking

    @property
    def degraded(self) -> bool:
        """Whether the query was not ranked to the end."""
        return self.ranking.degraded is not None


async def evaluate_search(
    pipeline: Pipeline, queries: Mapping[str, str], conditions: Conditions, progress: Progress | None = None
) -> list[Measured]:
    """Search for every query and measure first stage and reranked order; in the order of ``queries``."""

    async def measure(asked: tuple[str, str]) -> Measured:
        query_id, query = asked
        answer = await pipeline.search(_search_request(query, conditions))
        return _measured(query_id, answer, answer.candidates)

    return await _all(measure, list(queries.items()), conditions.concurrency, progress)


async def evaluate_rerank(
    pipeline: Pipeline, lists: Sequence[CandidateList], conditions: Conditions, progress: Progress | None = None
) -> list[Measured]:
    """Rerank every given list and measure its given and its new order; in the order of ``lists``."""

    async def measure(asked: CandidateList) -> Measured:
        given = asked.candidates[: conditions.candidates]
        answer = await pipeline.rerank(_rerank_request(asked.query, given, conditions))
        return _measured(asked.query_id, answer, given)

    return await _all(measure, lists, conditions.concurrency, progress)


def _search_request(query: str, conditions: Conditions) -> SearchRequest:
    return SearchRequest(
        query=query,
        timeout_ms=conditions.timeout_ms,
        index=conditions.index,
        top_k=conditions.top_k,
        candidates=conditions.candidates,
        mode=conditions.mode,
        rerank=conditions.rerank,
        feedback=conditions.feedback,
        cache=CachePolicy.AVOID,
    )


def _rerank_request(query: str, given: Sequence[Candidate], conditions: Conditions) -> RerankRequest:
    return RerankRequest(
        query=query,
        documents=tuple(candidate.document for candidate in given),
        timeout_ms=conditions.timeout_ms,
        top_n=conditions.top_k,
        rerank=conditions.rerank,
        cache=CachePolicy.AVOID,
    )


def _measured(query_id: str, answer: Answer, first_stage: Sequence[Candidate]) -> Measured:
    """Both orders over all candidates: the ranking is complete even where the answer shows only its best.

    What only a second search found was not the first stage's.
    """
    ids = [candidate.document.id for candidate in first_stage]
    ranking, timings = answer.ranking, answer.timings
    return Measured(
        query_id=query_id,
        first_stage=ranked_list((each.document.id, each.score) for each in first_stage if not each.from_feedback),
        reranked=ranked_list(zip((ids[position] for position in ranking.order), ranking.scores, strict=True)),
        first_stage_ms=timings.embed + timings.retrieve,
        total_ms=timings.total,
        ranking=ranking,
    )


async def _all(
    measure: Callable[[Asked], Awaitable[Measured]],
    asked: Sequence[Asked],
    concurrency: int,
    progress: Progress | None,
) -> list[Measured]:
    """``measure`` of each, in order. The first failure stops the others and is raised as it is."""
    if asked:
        await measure(asked[0])  # not kept: whatever is loaded or compiled on first use is no query's latency
    done: dict[int, Measured] = {}
    waiting = iter(enumerate(asked))

    async def worker() -> None:
        for position, one in waiting:
            done[position] = await measure(one)
            if progress is not None:
                progress(len(done), len(asked))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [done[position] for position in range(len(asked))]
