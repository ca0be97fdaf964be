"""Pairwise ranking prompting (PRP, arXiv 2306.17563): two passages a prompt, each pair asked both ways round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations

from service.domain import Sort, Window
from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, check_prompts, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round
from service.ranking.strategies.sorting import sorting

_GROUP = {Sort.BUBBLE: 2, Sort.HEAP: 3}
"""Passages of which the best is asked for: neighbours; a passage and the two below it."""


def pairwise(count: int, options: PlanOptions) -> Plan:
    """Sort by ``sort: bubble`` (PRP-Sliding-K, K being ``passes`` or top_k), ``heap``, or ``all`` pairs at once.

    How much a passage is preferred to another is the sum of its log odds over both orders, so what a model gives to the
    place in a prompt cancels (calibration as in LLM-RankFusion, arXiv 2406.00231). Passages of a group are ordered by
    their preferences over all others in it.

    Cost, with n candidates and k = top_k; none if n < 2:
    - bubble: 2 prompts for each of the (n - 1) + (n - 2) + … pairs of k passes, in n + k - 2 rounds, since a pass
      begins two places behind the one before it, all side by side. 100 candidates, top 10: 1,890 prompts, 108 rounds.
    - heap: 6 prompts for each group of three, at most 906 in 75 rounds for 100 candidates and top 10.
    - all: n (n - 1) prompts in 1 round; 100 candidates: 9,900.
    Affordable for short lists, or as a yardstick.

    Exact for the best top_k with a perfect comparator, for all n with ``all``. The passages behind are better ordered
    than before with bubble, and keep the first stage's order with heap.

    Raises:
        InvalidInput: all pairs are more prompts than a plan may ask for.
    """
    check(options)
    by = options.sort or Sort.BUBBLE
    if by is Sort.ALL:
        check_prompts(count * (count - 1), options)
    if count < SMALLEST_WINDOW:
        return tuple(range(count))
    sort = sorting(count, options, group=_GROUP.get(by, count), by=by)
    try:
        step = next(sort)
        while True:
            windows: tuple[Window, ...] = tuple(pair for group in step.windows for pair in permutations(group, 2))
            answers = yield Round(windows, best=step.best)
            said = dict(zip(windows, answers, strict=True))
            step = sort.send([_ordered(group, said) for group in step.windows])
    except StopIteration as finished:
        order: Order = finished.value
        return order


def _ordered(group: Window, said: Mapping[Window, Sequence[float]]) -> Window:
    """``group`` by preference, from what was said of each of its pairs."""
    preferences = dict.fromkeys(group, 0.0)
    for first, second in combinations(group, 2):
        preference = _preference(said[first, second], said[second, first])
        preferences[first] += preference
        preferences[second] -= preference
    return ranked(group, tuple(preferences.values()))


def _preference(forward: Sequence[float], backward: Sequence[float]) -> float:
    """How much the first passage is preferred, over both orders; 0 where the scores do not say."""
    (first, second), (second_again, first_again) = forward, backward
    difference = (first - second) + (first_again - second_again)
    return 0.0 if difference != difference else difference  # noqa: PLR0124  NaN
