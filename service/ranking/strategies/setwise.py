"""Setwise ranking (arXiv 2310.09497): of each prompt only the best passage counts."""

from __future__ import annotations

from service.domain import Sort
from service.errors import InvalidInput
from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round
from service.ranking.strategies.sorting import sorting


def setwise(count: int, options: PlanOptions) -> Plan:
    """Sort until the best ``top_k`` are known, by ``sort: heap`` or ``bubble``, asking for the best of a window.

    Only the best of each answer is believed, so a model that picks one passage well is enough.

    Cost, with n candidates, w = window, k = top_k, d = w - 1, and h the levels of a heap in which each passage has d
    below it, but for the last level:
    - heap: a prompt for each of the ceil((n - 1) / d) passages that have others below them, those of a level side by
      side, at most h - 1 more for each of them, and at most h for each further of the best k. 100 candidates, top 10,
      w = 20: h = 2; at most 6 + 1 prompts in 3 rounds to build it and 9 x 2 one after the other: 25 in 21 rounds.
    - bubble: ceil((n - 1 - p) / d) prompts for each pass p = 0.. of k (of ``passes``, where given, which may be fewer).
      100 candidates, top 10, w = 20: 54 prompts in 23 rounds.
    1 prompt that orders everything if n <= w, none if n < 2.

    Exact for the best top_k, or ``passes``, with a perfect comparator. The passages behind keep the first stage's
    order with heap, and are better ordered than before with bubble.

    Raises:
        InvalidInput: there is no such sort for windows.
    """
    check(options)
    by = options.sort or Sort.HEAP
    if by is Sort.ALL:
        raise InvalidInput("setwise sorts by heap or bubble", field="rerank.parameters.sort")
    everything: Order = tuple(range(count))
    if count < SMALLEST_WINDOW:
        return everything
    if count <= options.window:
        (scores,) = yield Round((everything,), best=everything)
        return ranked(everything, scores)
    sort = sorting(count, options, group=options.window, by=by)
    try:
        step = next(sort)
        while True:
            answers = yield step
            step = sort.send([ranked(window, scores) for window, scores in zip(step.windows, answers, strict=True)])
    except StopIteration as finished:
        order: Order = finished.value
        return order
