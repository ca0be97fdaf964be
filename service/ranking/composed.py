"""Rankings made of several: a cascade, each stage over the best of the one before it, and a fusion of orders.

Both are asked like a ``Ranker``. Their parts may have different profiles, and so engines, and different strategies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import numpy as np

from service.deadline import Deadline
from service.domain import AS_USUAL, Candidate, FusedBy, Parameters, Part, Ranking, RerankOptions, WindowReading
from service.errors import InvalidInput, RequestError
from service.ranking.auto import AUTO
from service.ranking.calibration import strictly
from service.ranking.cost import PlanCost
from service.ranking.profile import Profile
from service.ranking.ranker import ListRanker, Outcome, Ranker, unranked

CASCADE, FUSION = "cascade", "fusion"

_RRF = 60
"""A rank counts 1 / (60 + rank), as Cormack, Clarke and Büttcher (2009) have it."""

Named = Callable[[str | None], Ranker]
"""The ranker of a profile; of the default profile where none is named."""


def composed(options: RerankOptions, named: Named) -> ListRanker:
    """The ranker that ``options`` ask for: that of their profile, or one made of several.

    Raises:
        NotFound: there is no such profile.
        InvalidInput: the parts are too few, or something is chosen that each part has for itself.
    """
    chosen = options.parameters
    if options.strategy not in {CASCADE, FUSION}:
        return named(options.profile)
    if options.profile is not None:
        raise InvalidInput("each part has its own", field="rerank.profile")
    if options.strategy == CASCADE:
        _check_alone(chosen, "stages")
        return Cascade(_members("stages", chosen.stages, named))
    _check_alone(replace(chosen, by=None), "members")
    return Fusion(_members("members", chosen.members, named), chosen.by or FusedBy.RANK)


def _check_alone(chosen: Parameters, parts: str) -> None:
    """Raise ``InvalidInput`` if anything but ``parts`` is chosen."""
    for name in chosen.chosen:
        if name != parts:
            raise InvalidInput(f"each of the {parts} has its own", field=f"rerank.parameters.{name}")


@dataclass(frozen=True, slots=True)
class _Member:
    """A part with the ranker of its profile. ``field`` is where the request has it."""

    field: str
    ranker: Ranker
    strategy: str
    parameters: Parameters
    depth: int | None


@contextmanager
def _blaming(field: str) -> Iterator[None]:
    """Errors in the options of the part at ``field`` name it."""
    try:
        yield
    except RequestError as error:
        error.field = error.field.replace("rerank", field, 1)
        raise


def _members(name: str, parts: Sequence[Part] | None, named: Named) -> list[_Member]:
    if parts is None or len(parts) < 2:  # noqa: PLR2004  one alone is nothing made of several
        raise InvalidInput("give two or more", field=f"rerank.parameters.{name}")
    members = []
    for number, part in enumerate(parts):
        field = f"rerank.parameters.{name}[{number}]"
        with _blaming(field):
            ranker = named(part.profile)
        usual = ranker.profile.strategy if ranker.strategy == AUTO else ranker.strategy
        members.append(_Member(field, ranker, part.strategy or usual, part.parameters, part.depth))
    return members


RankBy = Callable[[_Member, Sequence[int], int], Awaitable[Outcome]]
"""Has a part rank the candidates in the order given, for so many at the top."""


class _Composed(ABC):
    """What cascade and fusion have in common. ``strategy`` is their name; any other is left to the first part."""

    strategy: str

    def __init__(self, members: Sequence[_Member]) -> None:
        self._members = members

    @property
    def profile(self) -> Profile:
        """The profile of the first part."""
        return self._members[0].ranker.profile

    @property
    def identity(self) -> str:
        """Those of all parts."""
        return " ".join(member.ranker.identity for member in self._members)

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
        """An order over all candidates, see ``Ranker.rank``; degraded where one of the parts is."""
        within = len(candidates) if depth is None else depth

        async def rank_by(member: _Member, order: Sequence[int], top: int) -> Outcome:
            with _blaming(member.field):
                return await member.ranker.rank(
                    query,
                    [candidates[position] for position in order],
                    strategy=member.strategy,
                    top_k=top,
                    deadline=deadline,
                    parameters=member.parameters,
                    tenant=tenant,
                    depth=min(within, member.depth or within),
                    passage_tokens=passage_tokens,
                    first_stage_weight=first_stage_weight,
                )

        if strategy in {None, self.strategy}:
            return await self._rank(rank_by, len(candidates), top_k)
        return await rank_by(self._first(strategy or self.strategy, parameters), range(len(candidates)), top_k)

    def cost(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        strategy: str,
        top_k: int,
        parameters: Parameters = AS_USUAL,
    ) -> PlanCost:
        """What the parts cost together, see ``Ranker.cost``."""

        def cost(member: _Member, top: int) -> PlanCost:
            shown = candidates[: member.depth]
            chosen = member.parameters
            return member.ranker.cost(query, shown, strategy=member.strategy, top_k=top, parameters=chosen)

        return self._cost(cost, strategy, parameters, top_k)

    def likely_cost(
        self, query: str, count: int, *, strategy: str, top_k: int, parameters: Parameters = AS_USUAL
    ) -> PlanCost:
        """What the parts are likely to cost together, see ``Ranker.likely_cost``."""

        def cost(member: _Member, top: int) -> PlanCost:
            shown = min(count, member.depth or count)
            chosen = member.parameters
            return member.ranker.likely_cost(query, shown, strategy=member.strategy, top_k=top, parameters=chosen)

        return self._cost(cost, strategy, parameters, top_k)

    def has_read(self, candidate: Candidate) -> bool:
        """Whether none of the parts has anything left to read of a candidate."""
        return all(member.ranker.has_read(candidate) for member in self._members)

    def _cost(
        self, cost: Callable[[_Member, int], PlanCost], strategy: str, parameters: Parameters, top_k: int
    ) -> PlanCost:
        if strategy != self.strategy:
            return cost(self._first(strategy, parameters), top_k)
        costs = []
        for member, top in zip(self._members, self._tops(top_k), strict=True):
            with _blaming(member.field):
                costs.append(cost(member, top))
        return PlanCost(
            sum(each.prompts for each in costs), sum(each.rounds for each in costs), sum(each.tokens for each in costs)
        )

    def _first(self, strategy: str, parameters: Parameters) -> _Member:
        return replace(self._members[0], field="rerank", strategy=strategy, parameters=parameters, depth=None)

    @abstractmethod
    def _tops(self, top_k: int) -> list[int]:
        """How many each part has to bring to the top."""

    @abstractmethod
    async def _rank(self, rank_by: RankBy, count: int, top_k: int) -> Outcome:
        """Have the parts rank ``count`` candidates."""


class Cascade(_Composed):
    """Each stage ranks the best ``depth`` of the stage before it: a cheap profile over many, a strong one over few.

    Scores are those of the last stage that read anything, as of its profile. A stage that was stopped is the last.
    """

    strategy = CASCADE

    def __init__(self, stages: Sequence[_Member]) -> None:
        """Raise ``InvalidInput`` for a later stage without a depth."""
        super().__init__(stages)
        for stage in stages[1:]:
            if stage.depth is None:
                raise InvalidInput("how many of the best it ranks", field=f"{stage.field}.depth")

    def _tops(self, top_k: int) -> list[int]:
        return [*(stage.depth or top_k for stage in self._members[1:]), top_k]

    async def _rank(self, rank_by: RankBy, count: int, top_k: int) -> Outcome:
        so_far = Outcome(unranked(count))
        told = []
        for stage, top in zip(self._members, self._tops(top_k), strict=True):
            order = so_far.ranking.order
            outcome = await rank_by(stage, order, top)
            told.append(_told(outcome.ranking))
            so_far = Outcome(_continued(so_far.ranking, outcome.ranking), outcome.error)
            if outcome.error is not None:
                break
        return replace(so_far, ranking=replace(so_far.ranking, strategy=CASCADE, parameters={"stages": told}))


def _continued(before: Ranking, after: Ranking) -> Ranking:
    """``after``, which ranked what ``before`` had ordered, as a ranking of the same candidates as ``before``."""
    read = after.prompts or not before.prompts
    return replace(
        after,
        order=tuple(before.order[position] for position in after.order) if read else before.order,
        scores=after.scores if read else before.scores,
        prompts=before.prompts + after.prompts,
        rounds=before.rounds + after.rounds,
        prompt_tokens=before.prompt_tokens + after.prompt_tokens,
        readings=(*before.readings, *_placed(after.readings, before.order, before.rounds)),
    )


class Fusion(_Composed):
    """All members rank side by side, and what counts is the sum of their reciprocal ranks, or of their scores.

    A member that read nothing has no say; one that was stopped has, with the best order it knew.
    """

    strategy = FUSION

    def __init__(self, members: Sequence[_Member], by: FusedBy) -> None:
        super().__init__(members)
        self._by = by

    def _tops(self, top_k: int) -> list[int]:
        return [top_k] * len(self._members)

    async def _rank(self, rank_by: RankBy, count: int, top_k: int) -> Outcome:
        outcomes: dict[int, Outcome] = {}

        async def rank(number: int, member: _Member) -> None:
            outcomes[number] = await rank_by(member, range(count), top_k)

        async with anyio.create_task_group() as group:
            for number, member in enumerate(self._members):
                group.start_soon(rank, number, member)
        found = [outcomes[number] for number in sorted(outcomes)]
        rankings = [outcome.ranking for outcome in found]
        error = next((outcome.error for outcome in found if outcome.error is not None), None)
        fused = self._fused([ranking for ranking in rankings if ranking.prompts] or rankings[:1])
        return Outcome(
            replace(
                fused,
                strategy=FUSION,
                parameters={"by": self._by, "members": [_told(ranking) for ranking in rankings]},
                prompts=sum(ranking.prompts for ranking in rankings),
                rounds=max(ranking.rounds for ranking in rankings),
                prompt_tokens=sum(ranking.prompt_tokens for ranking in rankings),
                degraded=next((ranking.degraded for ranking in rankings if ranking.degraded), None),
                readings=tuple(reading for ranking in rankings for reading in ranking.readings),
            ),
            error,
        )

    def _fused(self, rankings: Sequence[Ranking]) -> Ranking:
        """One order, and the mean of what counts of each candidate as its score, moved so that scores fall."""
        worth = np.zeros(len(rankings[0].order))
        for ranking in rankings:
            counts = (
                ranking.scores
                if self._by is FusedBy.SCORE
                else [(_RRF + 1) / (_RRF + rank) for rank in range(1, len(worth) + 1)]
            )
            worth[list(ranking.order)] += np.array(counts) / len(rankings)
        order = sorted(range(len(worth)), key=lambda position: -worth[position])
        return replace(rankings[0], order=tuple(order), scores=strictly(worth[order].tolist()))


def _placed(readings: Sequence[WindowReading], order: Sequence[int], rounds: int) -> Iterator[WindowReading]:
    """Readings of candidates in ``order``, after so many ``rounds``, as readings of the candidates themselves."""
    for reading in readings:
        window = tuple(order[position] for position in reading.window)
        yield replace(reading, window=window, round=rounds + reading.round)


def _told(ranking: Ranking) -> dict[str, Any]:
    """What a part did."""
    return {
        "profile": ranking.profile,
        "strategy": ranking.strategy,
        "parameters": dict(ranking.parameters),
        "prompts": ranking.prompts,
        "rounds": ranking.rounds,
    }
