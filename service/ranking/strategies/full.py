"""The whole list in one prompt, for models that were made for long lists (arXiv 2412.14574)."""

from __future__ import annotations

from service.errors import InvalidInput
from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def full(count: int, options: PlanOptions) -> Plan:
    """Order all candidates at once.

    Cost: 1 prompt, 1 round; none for fewer than two candidates.
    Exact for all n.

    Raises:
        InvalidInput: no prompt has room for so many.
    """
    check(options)
    if count > options.longest:
        message = f"{count} candidates do not fit one prompt, which has room for {options.longest}"
        raise InvalidInput(message, field="rerank.strategy")
    everything: Order = tuple(range(count))
    if count < SMALLEST_WINDOW:
        return everything
    (scores,) = yield Round((everything,), best=everything)
    return ranked(everything, scores)
