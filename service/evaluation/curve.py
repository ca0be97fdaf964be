"""Quality against prompts spent: a strategy may be stopped after any round, and its best order known then measured.

Nothing is asked of the model for it: the strategy is followed once more with the scores that it was given.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import fmean

from service.corpus.beir import Qrels
from service.domain import Ranking
from service.evaluation.evaluate import Measured
from service.evaluation.metrics import ndcg_by_query
from service.evaluation.runs import RankedList, ranked_list
from service.ranking.strategies.plan import Order, Plan
from service.ranking.strategies.simulation import simulate

MakePlan = Callable[[int, str], Plan]
"""The plan for so many candidates that a strategy of that name makes."""

Stops = list[tuple[int, Order]]
"""The best order known after each round, with the prompts spent by then: first none, with the first stage's order."""


def stops(plan: Plan, ranking: Ranking) -> Stops:
    """Where ``plan`` could have been stopped on the way to ``ranking``, which it has to have been followed to."""
    answers = iter(ranking.readings)
    followed = simulate(plan, lambda _: next(answers).logits)
    graded = ranking.prompts != len(ranking.readings)  # a prompt for each passage of a window, not for each window
    asked = (sum(map(len, step.windows)) if graded else len(step.windows) for step in followed.asked)
    spent = accumulate(asked, initial=0)
    return list(zip(spent, [*(step.best for step in followed.asked), followed.order], strict=True))


def anytime(measured: Sequence[Measured], plan: MakePlan, qrels: Qrels) -> list[tuple[float, float]]:
    """Mean nDCG@10 when every query stops at so many prompts, for each number at which something changes.

    Queries whose ranking was degraded are left out; there is no curve where all of them were. What follows a second
    search is not drawn, and no query of which several chunks of a document were ranked.
    """
    whole = [one for one in measured if one.query_id in qrels and not one.degraded and not _in_parts(one.ranking)]
    found = {one.query_id: stops(plan(len(one.first_stage), one.ranking.strategy or ""), one.ranking) for one in whole}
    judged = {query_id: qrels[query_id] for query_id in found}
    budgets = sorted({spent for each in found.values() for spent, _ in each})
    return [
        (float(budget), fmean(ndcg_by_query({one.query_id: _at(one, found, budget) for one in whole}, judged).values()))
        for budget in budgets
    ]


def _in_parts(ranking: Ranking) -> bool:
    return any(len(spans) > 1 for spans in ranking.spans)


def _at(one: Measured, found: dict[str, Stops], budget: int) -> RankedList:
    """A query's list if it stops once ``budget`` prompts are spent."""
    reached = found[one.query_id]
    _, order = reached[bisect_right(reached, budget, key=lambda stop: stop[0]) - 1]
    return ranked_list((one.first_stage[position][0], -float(rank)) for rank, position in enumerate(order))
