"""The story of a request: candidates from the first stage, an order from the language model, one deadline for both.

``search`` finds candidates in an index and ranks them; ``rerank`` is the same road for documents the caller brings.
A failing reranker never fails a request: the answer is then the best order known, marked ``degraded`` with a reason,
unless the caller asked to be ``strict``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from service.deadline import Deadline
from service.domain import (
    Answer,
    Candidate,
    DegradedReason,
    Ranking,
    RerankOptions,
    RerankRequest,
    Result,
    Retrieved,
    SearchRequest,
    Timings,
)
from service.errors import EmbedderError, NotFound
from service.observability.events import Degraded, Observer, RankingFinished, StageFinished
from service.ranking.ranker import Outcome, Ranker, unranked
from service.retrieval.first_stage import FirstStage


class Pipeline:
    """Answers search and rerank requests from the indexes and rankers it was given."""

    def __init__(
        self,
        first_stages: Mapping[str, FirstStage],
        rankers: Mapping[str, Ranker],
        *,
        default_index: str | None,
        default_profile: str,
        observer: Observer,
    ) -> None:
        self.first_stages = first_stages
        self.rankers = rankers
        self.default_index = default_index
        self.default_profile = default_profile
        self._observer = observer

    async def search(self, request: SearchRequest) -> Answer:
        """Find candidates for a query in an index and order them.

        Raises:
            NotFound: no such index, profile or strategy.
            DeadlineExceeded: not even the first stage finished in time, or ``strict`` and the ranking did not.
            RetrievalError: the first stage failed.
            EmbedderError, EngineError: ``strict``, and the answer would have been degraded.
        """
        started = time.monotonic()
        deadline = Deadline.after(request.timeout_ms / 1000)
        first_stage = self._first_stage(request.index)
        ranker = self._ranker(request.rerank)

        found = await first_stage.retrieve(request.query, request.candidates, request.mode, deadline)
        self._note_retrieval(found, strict=request.strict)
        ranking, rank_ms = await self._rank(request, ranker, found.candidates, request.top_k, deadline)

        return Answer(
            results=_results(found.candidates, ranking, request.top_k),
            candidates=found.candidates,
            ranking=_marked(ranking, found.degraded),
            timings=Timings(found.embed_ms, found.retrieve_ms, rank_ms, _ms_since(started)),
            index=first_stage.name,
            index_version=first_stage.version,
        )

    async def rerank(self, request: RerankRequest) -> Answer:
        """Order the documents of a request; their given order stands where the model says nothing.

        Raises:
            NotFound: no such profile or strategy.
            DeadlineExceeded, EngineError: ``strict``, and the answer would have been degraded.
        """
        started = time.monotonic()
        deadline = Deadline.after(request.timeout_ms / 1000)
        count = len(request.documents)
        top_n = count if request.top_n is None else min(request.top_n, count)
        candidates = tuple(Candidate(document, rank, 0.0) for rank, document in enumerate(request.documents, 1))

        ranking, rank_ms = await self._rank(request, self._ranker(request.rerank), candidates, top_n, deadline)

        return Answer(
            results=_results(candidates, ranking, top_n),
            candidates=candidates,
            ranking=ranking,
            timings=Timings(0.0, 0.0, rank_ms, _ms_since(started)),
        )

    async def _rank(
        self,
        request: SearchRequest | RerankRequest,
        ranker: Ranker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> tuple[Ranking, float]:
        """The ranking and the milliseconds it took."""
        if not request.rerank.enabled:
            return unranked(len(candidates)), 0.0
        started = time.monotonic()
        outcome = await ranker.rank(
            request.query,
            candidates,
            strategy=request.rerank.strategy,
            top_k=top_k,
            deadline=deadline,
            tenant=request.tenant,
        )
        rank_ms = _ms_since(started)
        self._note_ranking(outcome, rank_ms)
        if outcome.error is not None and request.strict:
            raise outcome.error
        return outcome.ranking, rank_ms

    def _first_stage(self, name: str | None) -> FirstStage:
        wanted = name or self.default_index
        if wanted is None:
            raise NotFound(f"name one of the indexes: {_listed(self.first_stages)}", field="index")
        try:
            return self.first_stages[wanted]
        except KeyError:
            raise NotFound(f"no index of that name; there is: {_listed(self.first_stages)}", field="index") from None

    def _ranker(self, options: RerankOptions) -> Ranker:
        try:
            return self.rankers[options.profile or self.default_profile]
        except KeyError:
            message = f"no profile of that name is served; there is: {_listed(self.rankers)}"
            raise NotFound(message, field="rerank.profile") from None

    def _note_retrieval(self, found: Retrieved, *, strict: bool) -> None:
        self._observer.observe(StageFinished("embed", found.embed_ms / 1000))
        self._observer.observe(StageFinished("retrieve", found.retrieve_ms / 1000))
        if found.degraded is not None:
            self._observer.observe(Degraded(found.degraded, "the first stage went on without vectors"))
            if strict:
                raise EmbedderError("the query could not be embedded")

    def _note_ranking(self, outcome: Outcome, rank_ms: float) -> None:
        ranking = outcome.ranking
        self._observer.observe(StageFinished("rank", rank_ms / 1000))
        self._observer.observe(
            RankingFinished(
                profile=ranking.profile or "",
                strategy=ranking.strategy or "",
                prompts=ranking.prompts,
                rounds=ranking.rounds,
                seconds=rank_ms / 1000,
                degraded=ranking.degraded,
            )
        )
        if ranking.degraded is not None:
            self._observer.observe(Degraded(ranking.degraded, str(outcome.error)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _results(candidates: tuple[Candidate, ...], ranking: Ranking, top: int) -> tuple[Result, ...]:
    best = zip(ranking.order[:top], ranking.scores[:top], strict=True)
    return tuple(Result(rank, score, index, candidates[index]) for rank, (index, score) in enumerate(best, 1))


def _marked(ranking: Ranking, degraded: DegradedReason | None) -> Ranking:
    """``ranking`` marked with the first stage's trouble, unless it has trouble of its own to tell."""
    return ranking if ranking.degraded or not degraded else replace(ranking, degraded=degraded)


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000
