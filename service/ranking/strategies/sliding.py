"""The sliding window of RankGPT (arXiv 2304.09542) and FIRST (arXiv 2406.15657), from the back to the front."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import InvalidInput
from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def sliding(count: int, options: PlanOptions) -> Plan:
    """Order a window at the back, move it ``stride`` places forward, up to the front; ``passes`` times, or once.

    With n candidates, window w and stride s:

    Cost: 1 + ceil((n - w) / s) prompts for each pass (1 if n <= w, 0 if n < 2), each a round of its own, since every
    window holds what the one behind it brought forward. 100 candidates, w = 20, s = 10: 9 prompts in 9 rounds.
    The last window is full even where s does not divide n - w: it starts at 0 and overlaps more.
    Exact for the best w - s with one pass: each window hands its best w - s to the next one (all n if n <= w).
    Further passes improve the places behind and never spoil the front.

    Raises:
        InvalidInput: the stride is below 1 or so long that nothing is carried forward.
    """
    check(options)
    if not 1 <= options.stride < options.window:
        raise InvalidInput("the stride is at least 1 and shorter than the window", field="rerank.parameters.stride")
    order: Order = tuple(range(count))
    if count < SMALLEST_WINDOW:
        return order
    for _ in range(options.passes or 1):
        for start in _starts(count, options):
            end = start + options.window
            window = order[start:end]
            (scores,) = yield Round((window,), best=order)
            order = order[:start] + ranked(window, scores) + order[end:]
    return order


def _starts(count: int, options: PlanOptions) -> Iterator[int]:
    """Where the windows of one pass begin, from the back."""
    yield from range(count - options.window, 0, -options.stride)
    yield 0
