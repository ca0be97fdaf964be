"""What an evaluation would have measured, by a real strategy and a comparator that knows the grades."""

from __future__ import annotations

from collections.abc import Sequence

from service.corpus.beir import Qrels
from service.domain import DegradedReason, Ranking, Window, WindowReading
from service.evaluation.curve import MakePlan
from service.evaluation.evaluate import Measured
from service.evaluation.runs import ranked_list
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.registry import find
from service.ranking.strategies.simulation import simulate

COUNT = 10
OPTIONS = PlanOptions(top_k=2, window=4, stride=2)
QRELS: Qrels = {"q1": {"d9": 2, "d4": 1}, "q2": {"d0": 1}}


def plan_of(strategy: str) -> MakePlan:
    """How a strategy plans."""
    return lambda count, _: find(strategy)(count, OPTIONS)


def measured(strategy: str, query_id: str, *, degraded: bool = False, graded: bool = False) -> Measured:
    """A query ranked by a comparator that prefers higher grades, ``graded`` with a prompt for each passage shown."""
    grades = [QRELS[query_id].get(f"d{position}", 0) for position in range(COUNT)]

    def compare(window: Window) -> Sequence[float]:
        return [float(grades[position]) for position in window]

    run = simulate(plan_of(strategy)(COUNT, strategy), compare)
    prompts = sum(len(window) for step in run.asked for window in step.windows) if graded else run.prompts
    ranking = Ranking(
        order=run.order,
        scores=tuple((COUNT - rank) / (COUNT + 1) for rank in range(COUNT)),
        profile="perfect",
        model=None,
        strategy=strategy,
        prompts=prompts,
        rounds=run.rounds,
        prompt_tokens=100 * prompts,
        degraded=DegradedReason.DEADLINE if degraded else None,
        readings=tuple(
            WindowReading(number, window, tuple(compare(window)))
            for number, step in enumerate(run.asked, 1)
            for window in step.windows
        ),
    )
    return Measured(
        query_id=query_id,
        first_stage=ranked_list((f"d{position}", -float(position)) for position in range(COUNT)),
        reranked=ranked_list((f"d{position}", -float(rank)) for rank, position in enumerate(run.order)),
        first_stage_ms=1.0,
        total_ms=10.0 * prompts,
        ranking=ranking,
    )
