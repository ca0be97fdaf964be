"""Ranks candidates for a query: strategy, prompts and engine put together for one profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio.to_thread

from service.deadline import Deadline
from service.domain import Candidate, DegradedReason, Ranking, TokenIds, Window
from service.engine.scorer import Prompt, Scorer
from service.errors import (
    DeadlineExceeded,
    EngineError,
    EngineProtocolError,
    EngineRejected,
    EngineUnavailable,
    InvalidInput,
    OnepassError,
    Overloaded,
)
from service.ranking.calibration import rank_only, relevance
from service.ranking.cost import PlanCost, mean_tokens, plan_cost
from service.ranking.driver import drive
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.strategies.plan import PlanOptions, Strategy
from service.ranking.strategies.registry import find

REASONS: tuple[tuple[type[OnepassError], DegradedReason], ...] = (
    (DeadlineExceeded, DegradedReason.DEADLINE),
    (EngineRejected, DegradedReason.ENGINE_REJECTED),
    (EngineProtocolError, DegradedReason.ENGINE_PROTOCOL),
    (EngineUnavailable, DegradedReason.ENGINE_UNAVAILABLE),
    (EngineError, DegradedReason.ENGINE_UNAVAILABLE),
)
"""Why a ranking is degraded, by the error that stopped it; the first that fits."""


_SHORT = 8192
"""Characters that are tokenised in about a millisecond, which is no longer than a thread takes to wake up and back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A ranking, and the error that stopped it where it is degraded."""

    ranking: Ranking
    error: DeadlineExceeded | EngineError | Overloaded | None = None


class Ranker:
    """Ranks with one profile: ``builder`` makes its prompts, ``scorer`` answers them.

    ``strategy`` is the name used when a request gives none; the profile's own where there is none, or where the
    profile's reading does not go with it (one setting may stand for several profiles).
    """

    def __init__(self, builder: PromptBuilder, scorer: Scorer, *, strategy: str | None = None) -> None:
        self.builder = builder
        self.scorer = scorer
        self.strategy = strategy if strategy in builder.profile.strategies else builder.profile.strategy

    @property
    def profile(self) -> Profile:
        """The profile that says how the model is asked."""
        return self.builder.profile

    @property
    def identity(self) -> str:
        """Names everything of this ranker that can change an answer: prompts, calibration, strategy and weights."""
        return f"{self.builder.fingerprint} {self.strategy} {self.scorer.model}"

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        strategy: str | None,
        top_k: int,
        deadline: Deadline,
        tenant: str | None = None,
        depth: int | None = None,
        passage_tokens: int | None = None,
    ) -> Outcome:
        """An order over all candidates whose best ``top_k`` the strategy sees to.

        With ``depth``, only so many of the first are ranked; the others stay behind them as they were. With
        ``passage_tokens``, no more than so many of a passage are read.

        A deadline or an engine failure does not raise: the best order known so far comes back, marked with the reason.

        Raises:
            NotFound: there is no such strategy.
            InvalidInput: ``top_k`` is below 1, or the profile cannot be used with that strategy.
        """
        name = strategy or self.strategy
        count = len(candidates)
        ranked = count if depth is None else min(depth, count)
        plan = self._strategy(name)(ranked, self._options(top_k))
        source = _PromptSource(self.builder, query, candidates, tenant, passage_tokens)
        reading = self.profile.reading
        run = await drive(plan, source.prompts, self.scorer, deadline, read=reading.scores)
        order = (*run.order, *range(ranked, count))
        ranking = Ranking(
            order=order,
            scores=relevance(order, run.readings, self.profile.calibration, absolute=reading.absolute),
            profile=self.profile.name,
            model=self.scorer.model,
            strategy=name,
            prompts=run.prompts,
            rounds=run.rounds,
            prompt_tokens=run.prompt_tokens,
            degraded=None if run.error is None else degraded_reason(run.error),
            readings=run.readings,
        )
        return Outcome(ranking, run.error)

    def cost(self, query: str, candidates: Sequence[Candidate], *, strategy: str, top_k: int) -> PlanCost:
        """About what ``rank`` would ask the engine for. Raises as ``rank`` does."""
        return self._cost(query, strategy, top_k, len(candidates), mean_tokens(self.builder, candidates))

    def likely_cost(self, query: str, count: int, *, strategy: str, top_k: int) -> PlanCost:
        """The cost of ``count`` candidates not known yet, taken to be half as long as they may be."""
        return self._cost(query, strategy, top_k, count, self.profile.passage_tokens / 2)

    def _cost(self, query: str, strategy: str, top_k: int, count: int, passage_tokens: float) -> PlanCost:
        self._strategy(strategy)
        options = self._options(top_k)
        return plan_cost(self.builder, query, strategy, options, count=count, passage_tokens=passage_tokens)

    def _strategy(self, name: str) -> Strategy:
        strategy = find(name)
        if name not in self.profile.strategies:
            usable = ", ".join(self.profile.strategies)
            message = f"the profile {self.profile.name} cannot be used with {name}; it goes with: {usable}"
            raise InvalidInput(message, field="rerank.strategy")
        return strategy

    def _options(self, top_k: int) -> PlanOptions:
        return PlanOptions(top_k=top_k, window=self.profile.window, stride=self.profile.stride)


def unranked(count: int) -> Ranking:
    """The first-stage order of ``count`` candidates, as it stands when no reranking was asked for."""
    return Ranking(order=tuple(range(count)), scores=rank_only(count), profile=None, model=None, strategy=None)


def degraded_reason(error: DeadlineExceeded | EngineError) -> DegradedReason:
    """The reason to give for a ranking that ``error`` stopped."""
    return next(reason for kind, reason in REASONS if isinstance(error, kind))


class _PromptSource:
    """Prompts of one request. An index gives its candidates token ids; the others' are made when needed."""

    def __init__(
        self,
        builder: PromptBuilder,
        query: str,
        candidates: Sequence[Candidate],
        tenant: str | None,
        passage_tokens: int | None,
    ) -> None:
        self._builder = builder
        self._query = query
        self._tenant = tenant
        self._passage_tokens = passage_tokens
        self._candidates = candidates
        self._query_ids: TokenIds | None = None
        self._passages = {
            position: candidate.tokens.ids[:passage_tokens]
            for position, candidate in enumerate(candidates)
            if candidate.tokens is not None and candidate.tokens.encoding == builder.encoding
        }

    async def prompts(self, windows: Sequence[Window]) -> list[Prompt]:
        """The prompts of ``windows``; passages not tokenised yet are tokenised together, off the event loop if long."""
        missing = sorted({position for window in windows for position in window} - self._passages.keys())
        if self._characters(missing) <= _SHORT:
            self._tokenise(missing)
        else:
            await anyio.to_thread.run_sync(self._tokenise, missing, abandon_on_cancel=True)
        query = self._query_tokens()
        built = [self._builder.build(query, [self._passages[position] for position in window]) for window in windows]
        return built if self._tenant is None else [replace(prompt, owner=self._tenant) for prompt in built]

    def _characters(self, positions: Sequence[int]) -> int:
        documents = (self._candidates[position].document for position in positions)
        return sum(len(document.title) + len(document.text) for document in documents)

    def _tokenise(self, positions: Sequence[int]) -> None:
        tokens = self._builder.encode([self._candidates[position].document for position in positions])
        self._passages.update(zip(positions, (each.ids[: self._passage_tokens] for each in tokens), strict=True))

    def _query_tokens(self) -> TokenIds:
        if self._query_ids is None:
            self._query_ids = self._builder.query_ids(self._query)
        return self._query_ids
