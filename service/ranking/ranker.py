"""Ranks candidates for a query: strategy, prompts and engine put together for one profile."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Protocol

import anyio.to_thread
import numpy as np

from service.deadline import Deadline
from service.domain import AS_USUAL, Candidate, DegradedReason, Parameters, Ranking, TokenIds, Window
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
from service.ranking.auto import AUTO
from service.ranking.calibration import rank_only, relevance
from service.ranking.cost import PlanCost, mean_tokens, plan_cost
from service.ranking.driver import drive
from service.ranking.prior import by_first_stage
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading
from service.ranking.strategies.plan import Plan, PlanOptions
from service.ranking.strategies.registry import find, takes

REASONS: tuple[tuple[type[OnepassError], DegradedReason], ...] = (
    (DeadlineExceeded, DegradedReason.DEADLINE),
    (EngineRejected, DegradedReason.ENGINE_REJECTED),
    (EngineProtocolError, DegradedReason.ENGINE_PROTOCOL),
    (EngineUnavailable, DegradedReason.ENGINE_UNAVAILABLE),
    (EngineError, DegradedReason.ENGINE_UNAVAILABLE),
)
"""Why a ranking is degraded, by the error that stopped it; the first that fits."""


NOTHING: TokenIds = np.empty(0, dtype=np.uint32)
"""A passage that need not be read."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A ranking, and the error that stopped it where it is degraded."""

    ranking: Ranking
    error: DeadlineExceeded | EngineError | Overloaded | None = None


class ListRanker(Protocol):
    """What ranks a list: one profile's ``Ranker``, or several put together (``composed.py``)."""

    @property
    def profile(self) -> Profile:
        """The profile that is asked first."""

    @property
    def strategy(self) -> str:
        """The strategy used when a request names none."""

    @property
    def identity(self) -> str:
        """Names everything that can change an answer, but the request."""

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        strategy: str | None,
        top_k: int,
        deadline: Deadline,
        parameters: Parameters = AS_USUAL,
        tenant: str | None = None,
        depth: int | None = None,
        passage_tokens: int | None = None,
        first_stage_weight: float | None = None,
    ) -> Outcome:
        """An order over all candidates, see ``Ranker.rank``."""

    def cost(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        strategy: str,
        top_k: int,
        parameters: Parameters = AS_USUAL,
    ) -> PlanCost:
        """About what ``rank`` would ask for."""

    def likely_cost(
        self, query: str, count: int, *, strategy: str, top_k: int, parameters: Parameters = AS_USUAL
    ) -> PlanCost:
        """The cost of ``count`` candidates not known yet."""

    def has_read(self, candidate: Candidate) -> bool:
        """Whether all of a candidate was read when its index was built, so that nothing is left to read."""


class Ranker:
    """Ranks with one profile: ``builder`` makes its prompts, ``scorer`` answers them.

    ``strategy`` is the name used when a request gives none; the profile's own where there is none, or where the
    profile's reading does not go with it (one setting may stand for several profiles). A ranking asks for at most
    ``most_prompts``.
    """

    def __init__(
        self, builder: PromptBuilder, scorer: Scorer, *, strategy: str | None = None, most_prompts: int = 2000
    ) -> None:
        self.builder = builder
        self.scorer = scorer
        self._most_prompts = most_prompts
        usable = (*builder.profile.strategies, AUTO)
        self.strategy = strategy if strategy in usable else builder.profile.strategy
        self._options = lru_cache(maxsize=1024)(self._checked)  # most requests ask for the same

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
        parameters: Parameters = AS_USUAL,
        tenant: str | None = None,
        depth: int | None = None,
        passage_tokens: int | None = None,
        first_stage_weight: float | None = None,
    ) -> Outcome:
        """An order over all candidates whose best ``top_k`` the strategy sees to.

        With ``depth``, only so many of the first are ranked; the others stay behind them as they were. With
        ``passage_tokens``, no more than so many of a passage are read. ``first_stage_weight`` is the profile's where
        none is given.

        A deadline or an engine failure does not raise: the best order known so far comes back, marked with the reason.

        Raises:
            NotFound: there is no such strategy.
            InvalidInput: ``top_k`` is below 1, the profile cannot be used with that strategy, the strategy does not
                go by such a parameter, or it is out of its range.
        """
        name = strategy or self.strategy
        count = len(candidates)
        ranked = count if depth is None else min(depth, count)
        options = self._options(name, top_k, parameters)
        plan = find(name)(ranked, options)
        source = _PromptSource(self.builder, self.scorer.model, query, candidates, tenant, passage_tokens)
        weight = self.profile.first_stage_weight if first_stage_weight is None else first_stage_weight
        weigh = by_first_stage(candidates, weight)
        run = await drive(
            plan,
            source.prompts,
            self.scorer,
            deadline,
            read=self.profile.reading.scores,
            weigh=weigh,
            absolute=self.profile.reading.absolute,
        )
        order = (*run.order, *range(ranked, count))
        ranking = Ranking(
            order=order,
            scores=relevance(order, run.readings, self.profile.calibration, absolute=self.profile.reading.absolute),
            profile=self.profile.name,
            model=self.scorer.model,
            strategy=name,
            prompts=run.prompts,
            rounds=run.rounds,
            prompt_tokens=run.prompt_tokens,
            degraded=None if run.error is None else degraded_reason(run.error),
            readings=run.readings,
            parameters=_told(name, options),
        )
        return Outcome(ranking, run.error)

    def plan(self, count: int, *, strategy: str, top_k: int, parameters: Parameters = AS_USUAL) -> Plan:
        """The plan by which so many candidates are ranked. Raises as ``rank`` does."""
        return find(strategy)(count, self._options(strategy, top_k, parameters))

    def cost(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        strategy: str,
        top_k: int,
        parameters: Parameters = AS_USUAL,
    ) -> PlanCost:
        """About what ``rank`` would ask the engine for. Raises as ``rank`` does, and for more prompts than may be."""
        options = self._options(strategy, top_k, parameters)
        passage_tokens = mean_tokens(self.builder, candidates)
        return plan_cost(self.builder, query, strategy, options, count=len(candidates), passage_tokens=passage_tokens)

    def likely_cost(
        self, query: str, count: int, *, strategy: str, top_k: int, parameters: Parameters = AS_USUAL
    ) -> PlanCost:
        """The cost of ``count`` candidates not known yet: half as long as they may be, or read before."""
        options = self._options(strategy, top_k, parameters)
        passage_tokens = 0 if self.profile.reading is Reading.ENCODED else self.profile.passage_tokens / 2
        return plan_cost(self.builder, query, strategy, options, count=count, passage_tokens=passage_tokens)

    def has_read(self, candidate: Candidate) -> bool:
        """Whether the candidate's index holds evidence of this ranker's own engine."""
        return candidate.evidence is not None and candidate.evidence.encoders == self.scorer.model

    def _checked(self, strategy: str, top_k: int, parameters: Parameters) -> PlanOptions:
        self._check_strategy(strategy)
        given = parameters.chosen
        _check_taken(strategy, given.keys(), takes(strategy, parameters.over))
        window = parameters.window or self.profile.window
        if window > self.builder.longest:
            message = f"a prompt of the profile {self.profile.name} shows at most {self.builder.longest} passages"
            raise InvalidInput(message, field="rerank.parameters.window")
        usual = {"window": window, "stride": min(self.profile.stride, max(1, window // 2))}
        return PlanOptions(
            top_k=top_k, longest=self.builder.longest, most_prompts=self._most_prompts, **(usual | given)
        )

    def _check_strategy(self, name: str) -> None:
        find(name)
        if name not in self.profile.strategies:
            usable = ", ".join(self.profile.strategies)
            message = f"the profile {self.profile.name} cannot be used with {name}; it goes with: {usable}"
            raise InvalidInput(message, field="rerank.strategy")


def _check_taken(strategy: str, given: Iterable[str], taken: Collection[str]) -> None:
    """Raise ``InvalidInput`` for a parameter that the strategy would not go by."""
    for name in given:
        if name not in taken:
            message = f"{strategy} goes by no such parameter, but by: {', '.join(sorted(taken)) or 'none'}"
            raise InvalidInput(message, field=f"rerank.parameters.{name}")


def _told(strategy: str, options: PlanOptions) -> dict[str, Any]:
    """The parameters that a strategy went by, without those that it chooses for itself."""
    taken = takes(strategy, options.over)
    names = [each.name for each in fields(options) if each.name in taken]
    return {name: value for name in names if (value := getattr(options, name)) is not None}


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
        model: str,
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
        self._evidence = {
            position: candidate.evidence
            for position, candidate in enumerate(candidates)
            if candidate.evidence is not None and candidate.evidence.encoders == model
        }
        self._passages.update(dict.fromkeys(self._evidence, NOTHING))

    async def prompts(self, windows: Sequence[Window]) -> list[tuple[Prompt, ...]]:
        """The prompts of ``windows``; passages not tokenised yet are tokenised together, off the event loop if long."""
        missing = sorted({position for window in windows for position in window} - self._passages.keys())
        if self._characters(missing) <= self._builder.quick_characters:
            self._tokenise(missing)
        else:
            await anyio.to_thread.run_sync(self._tokenise, missing, abandon_on_cancel=True)
        query = self._query_tokens()
        return [self._of_window(query, window) for window in windows]

    def _of_window(self, query: TokenIds, window: Window) -> tuple[Prompt, ...]:
        prompts = self._builder.prompts(query, [self._passages[position] for position in window], owner=self._tenant)
        evidence = self._evidence.get(window[0]) if len(window) == 1 else None
        return prompts if evidence is None else tuple(replace(prompt, evidence=evidence) for prompt in prompts)

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
