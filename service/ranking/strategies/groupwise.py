"""Groups read side by side, for models whose scores mean the same in every group (as GroupRank's, arXiv 2511.11653)."""

from __future__ import annotations

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def groupwise(count: int, options: PlanOptions) -> Plan:
    """Order all candidates by scores that each got among the others of its group.

    The candidates are dealt like cards, so that each group has its share of the first stage's favourites.

    Cost: ceil(n / w) windows in 1 round. Where a passage is graded by a prompt of its own, n prompts. None if n < 2.
    Exact for all n, as far as scores of different windows can be compared.
    """
    check(options)
    everything: Order = tuple(range(count))
    if count < SMALLEST_WINDOW:
        return everything
    groups = -(-count // options.window)
    windows = tuple(everything[group::groups] for group in range(groups))
    answers = yield Round(windows, best=everything)
    scored = {
        candidate: score
        for window, scores in zip(windows, answers, strict=True)
        for candidate, score in zip(window, scores, strict=True)
    }
    return ranked(everything, [scored[candidate] for candidate in everything])
