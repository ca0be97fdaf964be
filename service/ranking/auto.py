"""``auto``: of the plans whose quality is known, the best that fits the time left.

Quality is looked up in ``quality.csv``: nDCG@10 of each plan by a simulated model of typical errors, for numbers of
candidates and windows of which the nearest counts. It is made by ``python -m loadtest.strategies`` and tells which plan
is better, not what a certain model comes to; ``docs/strategies.md`` says how it is measured.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.domain import Parameters, Sort
from service.ranking.cost import PlanCost

AUTO = "auto"
"""Asks for a strategy to be chosen."""

QUALITY = Path(__file__).with_name("quality.csv")

AS_GOOD = 0.005
"""Plans whose nDCG@10 is so close to the best are told apart by what they cost."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A plan, and the nDCG@10 expected of it."""

    strategy: str
    parameters: Parameters
    ndcg: float


def menu(count: int, window: int, strategies: Collection[str]) -> list[Expected]:
    """The plans of ``strategies`` and their quality for about ``count`` candidates and such a window."""
    table = _table()
    nearest = min(table, key=lambda size: (abs(math.log(window / size[1])), abs(math.log(max(1, count) / size[0]))))
    return [plan for plan in table[nearest] if plan.strategy in strategies]


def choose(costs: Mapping[Expected, PlanCost], fits: Callable[[PlanCost], bool]) -> Expected:
    """The plan with the best quality of those whose cost fits.

    Of plans about as good as that, the one of the fewest rounds, then tokens; where none fits, the one of the fewest
    tokens.

    Raises:
        ValueError: there is no plan.
    """
    fitting = [plan for plan, cost in costs.items() if fits(cost)]
    if not fitting:
        return min(costs, key=lambda plan: costs[plan].tokens)
    good = max(plan.ndcg for plan in fitting) - AS_GOOD
    as_good = [plan for plan in fitting if plan.ndcg >= good]
    return min(as_good, key=lambda plan: (costs[plan].rounds, costs[plan].tokens))


@lru_cache(maxsize=1)
def _table() -> dict[tuple[int, int], list[Expected]]:
    """Plans by numbers of candidates and windows."""
    table: dict[tuple[int, int], list[Expected]] = {}
    with QUALITY.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            size = int(row["candidates"]), int(row["window"])
            plan = Expected(row["strategy"], _parameters(row["parameters"]), float(row["ndcg_at_10"]))
            table.setdefault(size, []).append(plan)
    return table


def _parameters(told: str) -> Parameters:
    chosen: dict[str, Any] = json.loads(told)
    if "sort" in chosen:
        chosen["sort"] = Sort(chosen["sort"])
    return Parameters(**chosen)
