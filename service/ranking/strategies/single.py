"""One prompt: the first window is ordered, everything else stays behind it as it was."""

from __future__ import annotations

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def single(count: int, options: PlanOptions) -> Plan:
    """Order the first ``window`` candidates.

    Cost: 1 prompt, 1 round; none for fewer than two candidates.
    Exact for the first ``window`` candidates; those behind are never seen.
    """
    check(options)
    everything: Order = tuple(range(count))
    window, rest = everything[: options.window], everything[options.window :]
    if len(window) < SMALLEST_WINDOW:
        return everything
    (scores,) = yield Round((window,), best=everything)
    return ranked(window, scores) + rest
