from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import Aggregate, Window
from service.errors import InvalidInput
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.registry import OVER, find, takes
from service.ranking.strategies.simulation import Simulated, simulate


def run(quality: list[int], over: str, shuffles: int, aggregate: Aggregate) -> tuple[Simulated, Simulated]:
    """With and without it."""
    options = PlanOptions(top_k=5, window=8, stride=4, longest=99, over=over, shuffles=shuffles, aggregate=aggregate)
    count = len(quality)
    return tuple(  # type: ignore[return-value]
        simulate(find(name)(count, options), lambda shown: [quality[c] for c in shown])
        for name in ("self_consistency", over)
    )


@pytest.mark.parametrize("aggregate", Aggregate)
@pytest.mark.parametrize("over", sorted(OVER - {"pairwise"}))
@given(quality=st.permutations(range(25)), shuffles=st.integers(1, 4))
def test_costs_so_many_times_as_much_and_is_as_exact(
    aggregate: Aggregate, over: str, quality: list[int], shuffles: int
) -> None:
    with_it, without = run(quality, over, shuffles, aggregate)
    assert with_it.order == without.order
    assert (with_it.prompts, with_it.rounds) == (shuffles * without.prompts, without.rounds)


def test_what_a_model_gives_to_a_place_counts_little() -> None:
    def biased(shown: Window) -> list[float]:
        return [0.5 * candidate - place for place, candidate in enumerate(shown)]

    def misplaced(name: str) -> int:
        order = simulate(find(name)(10, PlanOptions(over="single", shuffles=20)), biased).order
        return sum(abs(9 - passage - place) for place, passage in enumerate(order))

    assert misplaced("self_consistency") < misplaced("single") / 2


def test_passages_are_shown_in_the_same_orders_again() -> None:
    options = PlanOptions(over="single", shuffles=5)
    asked = [simulate(find("self_consistency")(20, options), lambda shown: shown).asked for _ in range(2)]
    assert asked[0] == asked[1]
    assert len(set(asked[0][0].windows)) == 5


@pytest.mark.parametrize("over", ["self_consistency", "pointwise", "bogosort"])
def test_it_is_over_a_strategy_that_compares(over: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        find("self_consistency")(20, PlanOptions(over=over))
    assert refused.value.field == "rerank.parameters.over"


def test_it_takes_what_the_strategy_takes_that_it_is_over() -> None:
    assert takes("self_consistency", "sliding") == {"over", "shuffles", "aggregate", "window", "stride", "passes"}
