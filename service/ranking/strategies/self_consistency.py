"""Permutation self-consistency (arXiv 2310.07712): each window is read in several orders, which then agree on one."""

from __future__ import annotations

import random

from service.domain import Aggregate, Window
from service.ranking.strategies.aggregating import borda, kemeny
from service.ranking.strategies.plan import Plan, Round

_SHUFFLES = 3


def self_consistency(plan: Plan, shuffles: int | None, aggregate: Aggregate | None) -> Plan:
    """Follow ``plan`` with each of its windows shown ``shuffles`` times, 3 unless told: as it is, then shuffled.

    What a model gives to the place in a prompt then counts little, since a passage is read in several places. The plan
    is told how many passages of a window each one is before in the order that they agree on: by ``aggregate``, Kemeny's
    unless told. Shuffles are the same in every request.

    Cost: ``shuffles`` times the prompts of the plan, in its rounds.
    Exact for what the plan is exact for.
    """
    orders = shuffles or _SHUFFLES
    agree = borda if aggregate is Aggregate.BORDA else kemeny
    try:
        step = next(plan)
        while True:
            shown = tuple(_shuffled(window, number) for window in step.windows for number in range(orders))
            answers = yield Round(shown, best=step.best)
            said = [dict(zip(window, scores, strict=True)) for window, scores in zip(shown, answers, strict=True)]
            step = plan.send(
                [
                    agree([[one[passage] for passage in window] for one in said[first : first + orders]])
                    for first, window in zip(range(0, len(shown), orders), step.windows, strict=True)
                ]
            )
    except StopIteration as finished:
        order: tuple[int, ...] = finished.value
        return order


def _shuffled(window: Window, number: int) -> Window:
    """The ``number``-th order to show ``window`` in; the first is its own."""
    return window if number == 0 else tuple(random.Random(number).sample(window, len(window)))
