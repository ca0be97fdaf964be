"""The story of a request: candidates from the first stage, an order from the language model, one deadline for both.

``search`` finds candidates in an index and ranks them; ``rerank`` is the same road for documents the caller brings. The
very same question is answered from the cache, or together with whoever asks it at the same time.

A failing reranker never fails a request: the answer is then the best order known, marked ``degraded`` with a reason,
unless the caller asked to be ``strict``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio.to_thread

from service.cache.answers import AnswerCache, Made, Question
from service.cache.keys import rerank_key, search_key
from service.deadline import Deadline
from service.domain import (
    Answer,
    Candidate,
    DegradedReason,
    DegradedStep,
    Ranking,
    RerankRequest,
    Result,
    Retrieved,
    SearchRequest,
    Timings,
)
from service.errors import DeadlineExceeded, EmbedderError, NotFound, OnepassError, Overloaded
from service.long_documents import LongDocuments
from service.observability.events import Degraded, Observer, QueryAsked, RankingFinished, StageFinished
from service.observability.spans import annotate, span
from service.ranking.auto import AUTO
from service.ranking.certainty import entropies
from service.ranking.composed import composed
from service.ranking.continuing import continued
from service.ranking.ranker import ListRanker, Outcome, Ranker, unranked
from service.reranking import Reranking
from service.retrieval.feedback import Feedback, joined
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
        self._feedback = feedback
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
        key = search_key(request, first_stage.name, version, _identity(ranker, request))

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
        key = rerank_key(request, _identity(ranker, request))

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
    ) -> _Ranked:
        if not request.rerank.enabled:
            return _Ranked(unranked(len(candidates)), 0.0)
        started = time.monotonic()
        with span("rank", profile=ranker.profile.name, candidates=len(candidates)):
            outcome = await self._rank_cut(request, ranker, candidates, top_k, deadline)
            rank_ms = _ms_since(started)
            self._note_ranking(outcome, ranker, rank_ms)
        return _Ranked(outcome.ranking, rank_ms, outcome.error)

    async def _rank_cut(
        self,
        request: SearchRequest | RerankRequest,
        ranker: ListRanker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> Outcome:
        """The ranking of the candidates, by their best chunks where the request says so and there is time to cut."""
        most, chunks = request.rerank.chunks, None
        if most is not None:
            cut = partial(self._long_documents.chunks, request.query, candidates, ranker.profile, most)
            with anyio.move_on_after(deadline.remaining):
                chunks = await anyio.to_thread.run_sync(cut, abandon_on_cancel=True)
        if most is None or chunks is None:
            return await self._reranking.rank(request, ranker, candidates, top_k, deadline)
        outcome = await self._reranking.rank(request, ranker, chunks.candidates, top_k * most, deadline)
        return replace(outcome, ranking=chunks.whole(outcome.ranking))

    async def _with_feedback(
        self,
        request: SearchRequest,
        first_stage: FirstStage,
        ranker: ListRanker,
        found: Retrieved,
        ranked: _Ranked,
        deadline: Deadline,
    ) -> tuple[Retrieved, _Ranked]:
        """Both after a second search with a vector moved toward what was liked, and a ranking of what that found.

        They stay as they are, marked, where the time left does not suffice or the second search cannot be ranked in
        full; and unmarked where it finds nothing new.
        """
        try:
            again = await self._second_search(request, first_stage, found, ranked.ranking, deadline)
            both = joined(found, again)
            shown = _shown(both, again, ranked.ranking.order[: request.top_k])
            if len(both.candidates) == len(found.candidates):
                return both, ranked
            candidates = tuple(both.candidates[position] for position in shown)
            second = await self._rank(replace(request, strict=True), ranker, candidates, request.top_k, deadline)
        except (DeadlineExceeded, EmbedderError, Overloaded) as error:
            reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
            return found, ranked.without_feedback(reason, error)
        took = ranked.ms + second.ms
        if second.ranking.degraded is not None:
            return found, replace(ranked, ms=took).without_feedback(second.ranking.degraded, second.error)
        return both, _Ranked(continued(ranked.ranking, second.ranking, shown), took)

    async def _second_search(
        self, request: SearchRequest, first_stage: FirstStage, found: Retrieved, ranking: Ranking, deadline: Deadline
    ) -> Retrieved:
        """What is found with the moved vector, which is no more than before where the index was replaced meanwhile.

        Raises:
            DeadlineExceeded: it would take longer than there is time, or it did.
            EmbedderError: the encoder failed.
        """
        deadline.sooner((found.embed_ms + found.retrieve_ms) / 1000).check("a second search")
        started = time.monotonic()
        with span("feedback"):
            vector = await self._feedback.vector(request.query, found.candidates, ranking, deadline)
            embed_ms = _ms_since(started)
            again = await first_stage.retrieve(request.query, request.candidates, request.mode, deadline, vector=vector)
        self._observer.observe(StageFinished("embed", embed_ms / 1000))
        self._observer.observe(StageFinished("retrieve", again.retrieve_ms / 1000))
        return replace(again if again.version == found.version else found, embed_ms=embed_ms)

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

    def _note_degraded(self, ranked: _Ranked) -> None:
        ranking = ranked.ranking
        if ranking.degraded is not None:
            self._observer.observe(Degraded(ranking.degraded, str(ranked.error), ranking.degraded_step))


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A ranking, the milliseconds it took, and the error that stopped it where it is degraded."""

    ranking: Ranking
    ms: float
    error: OnepassError | None = None

    def without_feedback(self, reason: DegradedReason, error: OnepassError | None) -> _Ranked:
        """The same, marked for want of the second search that was asked for."""
        marked = replace(self.ranking, degraded=reason, degraded_step=DegradedStep.NO_FEEDBACK)
        return _Ranked(marked, self.ms, error)


_REASONS: tuple[tuple[type[OnepassError], DegradedReason], ...] = (
    (DeadlineExceeded, DegradedReason.DEADLINE),
    (EmbedderError, DegradedReason.EMBEDDER),
    (Overloaded, DegradedReason.OVERLOADED),
)
"""Why there was no second search, by the error."""


def _shown(both: Retrieved, again: Retrieved, best: Sequence[int]) -> tuple[int, ...]:
    """Positions in ``both`` of those to rank after a second search: the ``best``, and what is new, as it has them."""
    ranks = {candidate.document.id: candidate.rank for candidate in again.candidates}
    new = (position for position, candidate in enumerate(both.candidates) if candidate.from_feedback)
    return tuple(sorted([*best, *new], key=lambda position: ranks.get(both.candidates[position].document.id, 0)))


def _identity(ranker: ListRanker, request: SearchRequest | RerankRequest) -> str:
    """Names all that can change an answer but the question; where the time left chooses the strategy, that, too."""
    chosen = (request.rerank.strategy or ranker.strategy) == AUTO
    return f"{ranker.identity} {request.timeout_ms:g}" if chosen else ranker.identity


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
