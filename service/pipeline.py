"""The story of a request: candidates from the first stage, an order from the language model, one deadline for both.

``search`` finds candidates in an index and ranks them; ``rerank`` is the same road for documents the caller brings. The
very same question is answered from the cache, or together with whoever asks it at the same time.

A failing reranker never fails a request: the answer is then the best order known, marked ``degraded`` with a reason,
unless the caller asked to be ``strict``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import anyio.to_thread

from service.cache.answers import AnswerCache, Made, Question
from service.cache.keys import rerank_key, search_key
from service.deadline import Deadline
from service.domain import (
    Answer,
    Candidate,
    DegradedReason,
    Ranking,
    RerankRequest,
    Result,
    Retrieved,
    SearchRequest,
    Timings,
)
from service.errors import EmbedderError, NotFound
from service.long_documents import MOST_CHUNKS, LongDocuments, any_long, uncut
from service.observability.events import Degraded, Observer, QueryAsked, RankingFinished, StageFinished
from service.observability.spans import annotate, span
from service.ranking.auto import AUTO
from service.ranking.certainty import entropies
from service.ranking.composed import composed
from service.ranking.profile import Profile
from service.ranking.ranker import ListRanker, Outcome, Ranker, unranked
from service.reranking import Reranking
from service.retrieval.feedback import Feedback
from service.retrieval.first_stage import FirstStage
from service.second_search import Ranked, SecondSearch


class Pipeline:
    """Answers search and rerank requests from the indexes and rankers it was given."""

    def __init__(
        self,
        first_stages: Mapping[str, FirstStage],
        rankers: Mapping[str, Ranker],
        *,
        default_index: str | None,
        default_profile: str,
        reranking: Reranking,
        feedback: Feedback,
        observer: Observer,
        answers: AnswerCache,
    ) -> None:
        self.first_stages = first_stages
        self.rankers = rankers
        self.default_index = default_index
        self.default_profile = default_profile
        self._reranking = reranking
        self._second_search = SecondSearch(feedback, observer)
        self._long_documents = LongDocuments()
        self._observer = observer
        self._answers = answers

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """Of all indexes, with their names: whenever this changes, an answer may."""
        return tuple((name, stage.version) for name, stage in self.first_stages.items())

    async def search(self, request: SearchRequest) -> Answer:
        """Find candidates for a query in an index and order them.

        Raises:
            NotFound: no such index, profile or strategy.
            DeadlineExceeded: not even the first stage finished in time, or ``strict`` and the ranking did not.
            RetrievalError: the first stage failed.
            Overloaded: not admitted, and ``strict`` or searches are to be refused.
            EmbedderError, EngineError: ``strict``, and the answer would have been degraded.
        """
        started = time.monotonic()
        deadline = Deadline.after(request.timeout_ms / 1000)
        self._observer.observe(QueryAsked(request.query))
        first_stage = self._first_stage(request.index)
        ranker = composed(request.rerank, self._ranker)
        version = first_stage.version  # the index may be replaced before it is searched
        key = partial(search_key, request, first_stage.name, version, _identity(ranker, request))

        async def make(until: Deadline) -> Made:
            self._reranking.refuse_early(request, ranker, until)
            found = await first_stage.retrieve(request.query, request.candidates, request.mode, until)
            embed_error = self._note_retrieval(found)
            ranked = await self._rank(request, ranker, found.candidates, request.top_k, until)
            if request.feedback and ranked.error is None and found.degraded is None:
                found, ranked = await self._with_feedback(request, first_stage, ranker, found, ranked, until)
            self._note_degraded(ranked)
            answer = Answer(
                results=_results(found.candidates, ranked.ranking, request.top_k),
                candidates=found.candidates,
                ranking=_marked(ranked.ranking, found.degraded),
                timings=Timings(found.embed_ms, found.retrieve_ms, ranked.ms, 0.0),
                index=first_stage.name,
                index_version=found.version,
            )
            return Made(answer, ranked.error or embed_error, lasting=found.version == version)

        made = await self._answers.answer(Question(key, request.cache, deadline), make)
        return _finished(made, started, strict=request.strict)

    async def rerank(self, request: RerankRequest) -> Answer:
        """Order the documents of a request; their given order stands where the model says nothing.

        Raises:
            NotFound: no such profile or strategy.
            Overloaded: not admitted.
            DeadlineExceeded, EngineError: ``strict``, and the answer would have been degraded.
        """
        started = time.monotonic()
        deadline = Deadline.after(request.timeout_ms / 1000)
        self._observer.observe(QueryAsked(request.query))
        count = len(request.documents)
        top_n = count if request.top_n is None else min(request.top_n, count)
        candidates = tuple(Candidate(document, rank, 0.0) for rank, document in enumerate(request.documents, 1))
        ranker = composed(request.rerank, self._ranker)
        key = partial(rerank_key, request, _identity(ranker, request))

        async def make(until: Deadline) -> Made:
            ranked = await self._rank(request, ranker, candidates, top_n, until)
            self._note_degraded(ranked)
            timings = Timings(0.0, 0.0, ranked.ms, 0.0)
            results = _results(candidates, ranked.ranking, top_n)
            return Made(Answer(results, candidates, ranked.ranking, timings), ranked.error)

        made = await self._answers.answer(Question(key, request.cache, deadline, given=candidates), make)
        return _finished(made, started, strict=request.strict)

    async def _rank(
        self,
        request: SearchRequest | RerankRequest,
        ranker: ListRanker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> Ranked:
        if not request.rerank.enabled:
            return Ranked(unranked(len(candidates)), 0.0)
        started = time.monotonic()
        with span("rank", profile=ranker.profile.name, candidates=len(candidates)):
            outcome = await self._rank_cut(request, ranker, candidates, top_k, deadline)
            rank_ms = _ms_since(started)
            self._note_ranking(outcome, ranker, rank_ms)
        return Ranked(outcome.ranking, rank_ms, outcome.error)

    async def _rank_cut(
        self,
        request: SearchRequest | RerankRequest,
        ranker: ListRanker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> Outcome:
        """The ranking of the candidates, by their best chunks where these are wanted and there is time to cut."""
        rank = partial(self._reranking.rank, request, ranker)
        most = _most_chunks(request, ranker.profile, len(candidates))
        if not most:
            return await rank(candidates, top_k, deadline)
        read = {place for place, candidate in enumerate(candidates) if ranker.has_read(candidate)}
        unread = (candidate for place, candidate in enumerate(candidates) if place not in read)
        if not any_long(unread, ranker.profile, most):
            outcome = await rank(candidates, top_k, deadline)
            return replace(outcome, ranking=uncut(outcome.ranking, candidates))
        chunks = None
        cut = partial(self._long_documents.chunks, request.query, candidates, ranker.profile, most, whole=read)
        with anyio.move_on_after(deadline.remaining):
            chunks = await anyio.to_thread.run_sync(cut, abandon_on_cancel=True)
        if chunks is None:
            return await rank(candidates, top_k, deadline)
        outcome = await rank(chunks.candidates, top_k * most, deadline)
        return replace(outcome, ranking=chunks.whole(outcome.ranking))

    async def _with_feedback(
        self,
        request: SearchRequest,
        first_stage: FirstStage,
        ranker: ListRanker,
        found: Retrieved,
        ranked: Ranked,
        deadline: Deadline,
    ) -> tuple[Retrieved, Ranked]:
        """What a second search finds besides, and a ranking of both."""

        async def rank(candidates: tuple[Candidate, ...]) -> Ranked:
            return await self._rank(replace(request, strict=True), ranker, candidates, request.top_k, deadline)

        return await self._second_search.extended(request, first_stage, found, ranked, rank, deadline)

    def _first_stage(self, name: str | None) -> FirstStage:
        wanted = name or self.default_index
        if wanted is None:
            raise NotFound(f"name one of the indexes: {_listed(self.first_stages)}", field="index")
        try:
            return self.first_stages[wanted]
        except KeyError:
            raise NotFound(f"no index of that name; there is: {_listed(self.first_stages)}", field="index") from None

    def _ranker(self, profile: str | None) -> Ranker:
        try:
            return self.rankers[profile or self.default_profile]
        except KeyError:
            message = f"no profile of that name is served; there is: {_listed(self.rankers)}"
            raise NotFound(message, field="rerank.profile") from None

    def _note_retrieval(self, found: Retrieved) -> EmbedderError | None:
        self._observer.observe(StageFinished("embed", found.embed_ms / 1000))
        self._observer.observe(StageFinished("retrieve", found.retrieve_ms / 1000))
        if found.degraded is None:
            return None
        self._observer.observe(Degraded(found.degraded, "the first stage went on without vectors"))
        return EmbedderError("the query could not be embedded")

    def _note_ranking(self, outcome: Outcome, ranker: ListRanker, rank_ms: float) -> None:
        ranking = outcome.ranking
        # the logits of several profiles say nothing together
        readings = ranking.readings if isinstance(ranker, Ranker) else ()
        annotate(
            strategy=ranking.strategy or "",
            prompts=ranking.prompts,
            rounds=ranking.rounds,
            prompt_tokens=ranking.prompt_tokens,
            degraded=ranking.degraded or "",
        )
        self._observer.observe(StageFinished("rank", rank_ms / 1000))
        self._observer.observe(
            RankingFinished(
                profile=ranking.profile or "",
                strategy=ranking.strategy or "",
                prompts=ranking.prompts,
                rounds=ranking.rounds,
                prompt_tokens=ranking.prompt_tokens,
                seconds=rank_ms / 1000,
                degraded=ranking.degraded,
                entropies=entropies(readings, ranker.profile.reading),
            )
        )

    def _note_degraded(self, ranked: Ranked) -> None:
        ranking = ranked.ranking
        if ranking.degraded is not None:
            self._observer.observe(Degraded(ranking.degraded, str(ranked.error), ranking.degraded_step))


def _identity(ranker: ListRanker, request: SearchRequest | RerankRequest) -> str:
    """Names all that can change an answer but the question; where the time left chooses the strategy, that, too."""
    chosen = (request.rerank.strategy or ranker.strategy) == AUTO
    return f"{ranker.identity} {request.timeout_ms:g}" if chosen else ranker.identity


def _most_chunks(request: SearchRequest | RerankRequest, profile: Profile, documents: int) -> int | None:
    """The chunks of a long document that are ranked, fewer in a long list; ``None`` or 0 stand for its beginning."""
    asked = request.rerank.chunks
    beginning = request.rerank.passage_tokens is not None or (isinstance(request, SearchRequest) and request.feedback)
    wanted = profile.chunks if asked is None and not beginning else asked
    return wanted and max(1, min(wanted, MOST_CHUNKS // max(1, documents)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _results(candidates: tuple[Candidate, ...], ranking: Ranking, top: int) -> tuple[Result, ...]:
    best = zip(ranking.order[:top], ranking.scores[:top], strict=True)
    return tuple(Result(rank, score, index, candidates[index]) for rank, (index, score) in enumerate(best, 1))


def _finished(made: Made, started: float, *, strict: bool) -> Answer:
    """The answer with the time that this request took. Raises the error behind it where the request is ``strict``."""
    if made.error is not None and strict:
        raise made.error
    answer = made.answer
    return replace(answer, timings=replace(answer.timings, total=_ms_since(started)))


def _marked(ranking: Ranking, degraded: DegradedReason | None) -> Ranking:
    """``ranking`` marked with the first stage's trouble, unless it has trouble of its own to tell."""
    return ranking if ranking.degraded or not degraded else replace(ranking, degraded=degraded)


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000
