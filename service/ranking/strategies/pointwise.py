"""Every passage by itself, for models that tell the relevance of one passage and not only the order of several."""

from __future__ import annotations

from service.ranking.strategies.comparing import check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def pointwise(count: int, options: PlanOptions) -> Plan:
    """Order all candidates by scores that each got alone.

    Cost: ``count`` prompts in 1 round, whatever the options; none for no candidate.
    Exact for all n, as far as scores of different prompts can be compared.
    """
    check(options, smallest_window=1)
    everything: Order = tuple(range(count))
    if not everything:
        return everything
    answers = yield Round(tuple((candidate,) for candidate in everything), best=everything)
    return ranked(everything, [score for (score,) in answers])
