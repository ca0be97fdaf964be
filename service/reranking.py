"""One reranking under load: sized to the time left, admitted, and run.

The plan asked for is run when there is time for it. When there is not, a cheaper one is (``ranking/ladder.py``); when
others are before it for too long, it is refused, or its first-stage order stands, as the settings say.
"""

from __future__ import annotations

from dataclasses import replace

from service.admission.admission import Admission
from service.admission.fair_queue import Demand
from service.deadline import Deadline
from service.domain import Candidate, DegradedReason, DegradedStep, RerankRequest, SearchRequest
from service.errors import DeadlineExceeded, EngineError, Overloaded
from service.ranking.cost import PlanCost
from service.ranking.ladder import SINGLE, Rung, choose, rungs
from service.ranking.ranker import Outcome, Ranker, unranked
from service.settings import Overflow


class Reranking:
    """Runs rankers within what ``admission`` permits.

    ``overflow`` says what becomes of a search that is not admitted; ``ladder`` whether plans are made to fit the time.
    """

    def __init__(self, admission: Admission, *, overflow: Overflow, ladder: bool) -> None:
        self._admission = admission
        self._overflow = overflow
        self._ladder = ladder

    def refuse_early(self, request: SearchRequest, ranker: Ranker, deadline: Deadline) -> None:
        """Spare the first stage the work for a search that will not be ranked, where such searches are refused.

        Raises:
            Overloaded: it would not be admitted.
        """
        if self._overflow is Overflow.REFUSE and request.rerank.enabled:
            cost = ranker.likely_cost(
                request.query,
                request.candidates,
                strategy=request.rerank.strategy or ranker.strategy,
                top_k=request.top_k,
                parameters=request.rerank.parameters,
            )
            self._admission.refuse_if_too_late(Demand(cost.tokens, deadline, request.tenant, request.priority))

    async def rank(
        self,
        request: SearchRequest | RerankRequest,
        ranker: Ranker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> Outcome:
        """An order over all candidates, see ``Ranker.rank``; degraded where something cheaper had to do.

        Raises:
            NotFound, InvalidInput: the strategy cannot be used.
            Overloaded: not admitted, and the request is not a search, or searches are to be refused as well.
        """
        work = _Work(request, ranker, candidates, top_k, deadline)
        try:
            return await self._rank(work)
        except Overloaded as error:
            if isinstance(request, RerankRequest) or self._overflow is Overflow.REFUSE:
                raise
            return work.unranked(DegradedReason.OVERLOADED, error)

    async def _rank(self, work: _Work) -> Outcome:
        planned = self._fitting(work, others=0)
        if not work.acceptable(planned):
            return work.out_of_time()
        demand = Demand(work.cost(planned).tokens, work.deadline, work.request.tenant, work.request.priority)
        if not demand.tokens:
            return await work.run(planned)
        async with self._admission.admit(demand) as permit:
            rung = self._fitting(work, others=self._admission.in_flight - demand.tokens)
            if not work.acceptable(rung):
                return work.out_of_time()
            outcome = await work.run(rung)
            permit.tokens = work.done(rung, outcome)
            return outcome

    def _fitting(self, work: _Work, *, others: int) -> Rung:
        """The plan to run with ``others`` tokens under way beside it."""
        asked = work.asked
        if not self._ladder:
            return asked
        ladder = rungs(asked, window=work.ranker.profile.window, single=SINGLE in work.ranker.profile.strategies)

        def takes_s(rung: Rung) -> float:
            return self._admission.takes_s(others + work.cost(rung).tokens)

        return choose(ladder, takes_s, work.deadline.remaining)


class _Work:
    """A ranking to be done, and what its plans cost."""

    def __init__(
        self,
        request: SearchRequest | RerankRequest,
        ranker: Ranker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> None:
        self.request = request
        self.ranker = ranker
        self.candidates = candidates
        self.top_k = top_k
        self.deadline = deadline
        strategy = request.rerank.strategy or ranker.strategy
        self.asked = Rung(strategy, len(candidates), parameters=request.rerank.parameters)
        self._costs: dict[Rung, PlanCost] = {}

    def cost(self, rung: Rung) -> PlanCost:
        """What a plan costs; asked for several times in a request, and worked out once."""
        if rung not in self._costs:
            shown = self.candidates[: rung.depth]
            self._costs[rung] = self.ranker.cost(
                self.request.query, shown, strategy=rung.strategy, top_k=self.top_k, parameters=rung.parameters
            )
        return self._costs[rung]

    def acceptable(self, rung: Rung) -> bool:
        """Whether a plan is worth running: a strict request takes none but its own."""
        return rung.step is None or (rung.step is not DegradedStep.FIRST_STAGE and not self.request.strict)

    async def run(self, rung: Rung) -> Outcome:
        """The ranking by a plan, marked where it is not the one asked for."""
        outcome = await self.ranker.rank(
            self.request.query,
            self.candidates,
            strategy=rung.strategy,
            top_k=self.top_k,
            deadline=self.deadline,
            parameters=rung.parameters,
            tenant=self.request.tenant,
            depth=rung.depth,
            passage_tokens=self.request.rerank.passage_tokens,
        )
        if rung.step is None:
            return outcome
        error = outcome.error or DeadlineExceeded("the time left did not suffice for the plan asked for")
        reason = outcome.ranking.degraded or DegradedReason.DEADLINE
        return Outcome(replace(outcome.ranking, degraded=reason, degraded_step=rung.step), error)

    def done(self, rung: Rung, outcome: Outcome) -> float:
        """Tokens that were really read, about; 0 if the engine failed, which says nothing about its rate."""
        if isinstance(outcome.error, EngineError):
            return 0.0
        cost = self.cost(rung)
        return cost.tokens * outcome.ranking.prompts / max(1, cost.prompts)

    def unranked(self, reason: DegradedReason, error: DeadlineExceeded | Overloaded) -> Outcome:
        """The first-stage order, and why it has to do."""
        order = unranked(len(self.candidates))
        return Outcome(replace(order, degraded=reason, degraded_step=DegradedStep.FIRST_STAGE), error)

    def out_of_time(self) -> Outcome:
        """The first-stage order, for want of time."""
        return self.unranked(DegradedReason.DEADLINE, DeadlineExceeded("the time left does not suffice to rank"))
