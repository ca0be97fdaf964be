"""Pairwise ranking prompting, sliding (PRP, arXiv 2306.17563): neighbours are compared, both ways round."""

from __future__ import annotations

from collections.abc import Sequence

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check
from service.ranking.strategies.plan import Plan, PlanOptions, Round


def pairwise(count: int, options: PlanOptions) -> Plan:
    """Bubble the best passages to the front, ``top_k`` passes, each pair asked in both orders.

    The two answers' differences are added up, so what a model gives to the place in a prompt cancels. A pass begins
    two places behind the one before it, and all passes under way are asked side by side.

    Cost: 2 prompts for each of at most top_k (n - 1) pairs, in n + top_k - 2 rounds: 100 candidates, top 10:
    1,890 prompts in 108 rounds. None if n < 2. Affordable for short lists, or as a yardstick.
    Exact for the best top_k with a perfect comparator. The passages behind are better ordered than before.
    """
    check(options)
    order = list(range(count))
    if count < SMALLEST_WINDOW:
        return tuple(order)
    passes = min(options.top_k, count - 1)
    for step in range(count - 1 + passes - 1):
        places = [place for number in range(passes) if number <= (place := count - 2 - step + 2 * number) <= count - 2]
        pairs = [(order[place], order[place + 1]) for place in places]
        windows = tuple(window for a, b in pairs for window in ((a, b), (b, a)))
        answers = yield Round(windows, best=tuple(order))
        for number, (place, (first, second)) in enumerate(zip(places, pairs, strict=True)):
            if _preference(answers[2 * number], answers[2 * number + 1]) < 0:
                order[place], order[place + 1] = second, first
    return tuple(order)


def _preference(forward: Sequence[float], backward: Sequence[float]) -> float:
    """How much the first passage is preferred, over both orders; 0 where the scores do not say."""
    (first, second), (second_again, first_again) = forward, backward
    difference = (first - second) + (first_again - second_again)
    return 0.0 if difference != difference else difference  # noqa: PLR0124  NaN
