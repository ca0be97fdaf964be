"""One reranking under load: sized to the time left, admitted, and run.

The plan asked for is run when there is time for it. When there is not, a cheaper one is (``ranking/ladder.py``); when
others are before it for too long, it is refused, or its first-stage order stands, as the settings say.
"""

from __future__ import annotations

from dataclasses import replace

from service.admission.admission import Admission
from service.admission.fair_queue import Demand
from service.deadline import Deadline
from service.domain import AS_USUAL, Candidate, DegradedReason, DegradedStep, RerankRequest, SearchRequest
from service.errors import DeadlineExceeded, EngineError, InvalidInput, Overloaded
from service.ranking import auto
from service.ranking.auto import AUTO
from service.ranking.cost import PlanCost
from service.ranking.ladder import SINGLE, Rung, choose, rungs
from service.ranking.ranker import ListRanker, Outcome, unranked
from service.ranking.readings import Reading
from service.settings import Overflow


class Reranking:
    """Runs rankers within what ``admission`` permits.

    ``overflow`` says what becomes of a search that is not admitted; ``ladder`` whether plans are made to fit the time.
    """

    def __init__(self, admission: Admission, *, overflow: Overflow, ladder: bool) -> None:
        self._admission = admission
        self._overflow = overflow
        self._ladder = ladder

    def refuse_early(self, request: SearchRequest, ranker: ListRanker, deadline: Deadline) -> None:
        """Spare the first stage the work for a search that will not be ranked, where such searches are refused.

        Raises:
            Overloaded: it would not be admitted.
        """
        if self._overflow is Overflow.REFUSE and request.rerank.enabled:
            asked = _asked(request, ranker, request.candidates)
            cost = ranker.likely_cost(
                request.query,
                request.candidates,
                strategy=ranker.profile.strategies[0] if asked.strategy == AUTO else asked.strategy,
                top_k=request.top_k,
                parameters=asked.parameters,
            )
            self._admission.refuse_if_too_late(Demand(cost.tokens, deadline, request.tenant, request.priority))

    async def rank(
        self,
        request: SearchRequest | RerankRequest,
        ranker: ListRanker,
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
        asked = self._chosen(work, others=others) if work.asked.strategy == AUTO else work.asked
        if not self._ladder or work.ranker.profile.reading is Reading.ENCODED:  # encoders make use of the time there is
            return asked
        ladder = rungs(asked, window=work.ranker.profile.window, single=SINGLE in work.ranker.profile.strategies)

        def takes_s(rung: Rung) -> float:
            return self._admission.takes_s(others + work.cost(rung).tokens)

        return choose(ladder, takes_s, work.deadline.remaining)

    def _chosen(self, work: _Work, *, others: int) -> Rung:
        """The plan with the best quality that fits; the profile's own strategy while it is not known what fits."""
        profile, depth, rate = work.ranker.profile, work.asked.depth, self._admission.tokens_per_second
        plans = auto.menu(depth, profile.window, profile.strategies)
        if rate is None or not plans:
            why = "no speed was measured lately" if plans else "nothing is known of the quality of others"
            return Rung(profile.strategy, depth, why=f"the profile's own strategy: {why}")
        left_s = work.deadline.remaining
        costs = {plan: work.cost(Rung(plan.strategy, depth, parameters=plan.parameters)) for plan in plans}
        best = auto.choose(costs, lambda cost: self._admission.takes_s(others + cost.tokens) <= left_s)
        why = (
            f"expected nDCG@10 {best.ndcg:.3f}, of {len(plans)} plans the best that fits {left_s * 1000:.0f} ms "
            f"at {rate:.0f} tokens a second"
        )
        return Rung(best.strategy, depth, parameters=best.parameters, why=why)


class _Work:
    """A ranking to be done, and what its plans cost."""

    def __init__(
        self,
        request: SearchRequest | RerankRequest,
        ranker: ListRanker,
        candidates: tuple[Candidate, ...],
        top_k: int,
        deadline: Deadline,
    ) -> None:
        self.request = request
        self.ranker = ranker
        self.candidates = candidates
        self.top_k = top_k
        self.deadline = deadline
        self.asked = _asked(request, ranker, len(candidates))
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
            first_stage_weight=_first_stage_weight(self.request),
        )
        if rung.why is not None:
            outcome = replace(outcome, ranking=replace(outcome.ranking, why=rung.why))
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


def _first_stage_weight(request: SearchRequest | RerankRequest) -> float | None:
    """What the request says, or leaves to the profile. Whoever brings documents may have them in any order."""
    asked = request.rerank.first_stage_weight
    return 0.0 if asked is None and isinstance(request, RerankRequest) else asked


def _asked(request: SearchRequest | RerankRequest, ranker: ListRanker, depth: int) -> Rung:
    """The plan that a request asks for.

    Raises:
        InvalidInput: it leaves the strategy open and yet chooses of it.
    """
    rerank = request.rerank
    strategy = rerank.strategy or ranker.strategy
    if strategy == AUTO and rerank.parameters != AS_USUAL:
        raise InvalidInput(f"{AUTO} chooses the parameters, too", field="rerank.parameters")
    return Rung(strategy, depth, parameters=rerank.parameters)
