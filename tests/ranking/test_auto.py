from __future__ import annotations

import math

import pytest

from loadtest.strategies import MENU, SIZES
from service.domain import AS_USUAL, Parameters, Sort
from service.ranking.auto import AS_GOOD, Expected, choose, menu
from service.ranking.cost import PlanCost
from service.ranking.strategies.registry import STRATEGIES
from service.ranking.strategies.simulation import simulate

GOOD, BETTER, SLOW = (Expected(name, AS_USUAL, ndcg) for name, ndcg in [("a", 0.7), ("b", 0.75), ("c", 0.752)])
COSTS = {GOOD: PlanCost(1, 1, 100), BETTER: PlanCost(7, 3, 700), SLOW: PlanCost(9, 9, 600)}


@pytest.mark.parametrize(
    ("tokens", "chosen"),
    [(math.inf, BETTER), (699, SLOW), (599, GOOD), (99, GOOD)],
    ids=["as good in fewer rounds", "all but one", "one", "none: the fewest tokens"],
)
def test_the_best_that_fits_is_chosen(tokens: float, chosen: Expected) -> None:
    assert choose(COSTS, lambda cost: cost.tokens <= tokens) is chosen


def test_without_plans_nothing_can_be_chosen() -> None:
    with pytest.raises(ValueError, match="empty"):
        choose({}, lambda _: True)


@pytest.mark.parametrize("size", SIZES)
def test_the_table_holds_every_plan_that_is_measured_for_it(size: tuple[int, int]) -> None:
    told = {(plan.strategy, plan.parameters) for plan in menu(*size, STRATEGIES)}
    assert told == {(plan.strategy, plan.parameters) for plan in MENU}
    assert ("setwise", Parameters(sort=Sort.BUBBLE)) in told


@pytest.mark.parametrize(("count", "window", "size"), [(1, 2, (20, 10)), (90, 19, (100, 20)), (999, 99, (200, 20))])
def test_the_nearest_size_counts(count: int, window: int, size: tuple[int, int]) -> None:
    assert menu(count, window, STRATEGIES) == menu(*size, STRATEGIES)


def test_only_strategies_that_can_be_used_are_on_the_menu() -> None:
    assert {plan.strategy for plan in menu(100, 20, ["single", "pointwise"])} == {"single"}
    assert menu(100, 20, ["pointwise"]) == []


@pytest.mark.parametrize("size", SIZES)
def test_for_any_number_of_prompts_no_fixed_plan_of_so_many_is_much_better(size: tuple[int, int]) -> None:
    costs = {}
    for fixed, plan in zip(MENU, menu(*size, STRATEGIES), strict=True):
        assert (fixed.strategy, fixed.parameters) == (plan.strategy, plan.parameters)
        ended = simulate(fixed.plan(*size), lambda shown: shown)
        costs[plan] = PlanCost(ended.prompts, ended.rounds, ended.prompts)
    for most in {cost.prompts for cost in costs.values()}:
        chosen = choose(costs, lambda cost, most=most: cost.prompts <= most)  # type: ignore[misc]
        assert costs[chosen].prompts <= most
        best = max(plan.ndcg for plan, cost in costs.items() if cost.prompts <= most)
        assert chosen.ndcg >= best - AS_GOOD
