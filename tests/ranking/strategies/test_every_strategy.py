"""What holds for every strategy, whatever the comparator says."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import Aggregate, Sort, Window
from service.errors import InvalidInput, NotFound
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.registry import ABSOLUTE, ALONE, STRATEGIES, find
from service.ranking.strategies.simulation import Comparator, simulate

HOSTILE: dict[str, Callable[[int], Comparator]] = {
    "nan": lambda _: lambda window: [math.nan] * len(window),
    "constant": lambda _: lambda window: [0.0] * len(window),
    "reversed": lambda _: lambda window: [float(place) for place in range(len(window))],
    "infinite": lambda _: lambda window: [math.inf if candidate % 2 else -math.inf for candidate in window],
    "random": lambda seed: lambda window: [random.Random(f"{seed}{window}{c}").random() for c in window],
    "patchy": lambda seed: lambda window: [random.Random(f"{seed}{c}").choice([math.nan, 1.0, 2.0]) for c in window],
}

options = st.integers(2, 24).flatmap(
    lambda window: st.builds(
        PlanOptions,
        top_k=st.integers(1, 130),
        window=st.just(window),
        stride=st.integers(1, window - 1),
        longest=st.just(120),
        most_prompts=st.just(10**6),
        sort=st.sampled_from([None, Sort.HEAP, Sort.BUBBLE]),
        aggregate=st.sampled_from(Aggregate),
    )
)
names = pytest.mark.parametrize("name", STRATEGIES)
comparing = pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ABSOLUTE])
alone = pytest.mark.parametrize("name", sorted(ALONE))


@names
@given(count=st.integers(0, 120), options=options, hostile=st.sampled_from(list(HOSTILE)), seed=st.integers(0, 99))
def test_no_passage_is_lost_or_repeated(name: str, count: int, options: PlanOptions, hostile: str, seed: int) -> None:
    everything = list(range(count))
    ended = simulate(find(name)(count, options), HOSTILE[hostile](seed))
    assert sorted(ended.order) == everything
    for step in ended.asked:
        assert sorted(step.best) == everything


@comparing
@given(count=st.integers(0, 120), options=options, seed=st.integers(0, 99))
def test_windows_hold_two_to_w_different_passages(name: str, count: int, options: PlanOptions, seed: int) -> None:
    for step in simulate(find(name)(count, options), HOSTILE["random"](seed)).asked:
        assert step.windows
        for window in step.windows:
            assert 2 <= len(set(window)) == len(window) <= (count if name == "full" else options.window)


@names
@pytest.mark.parametrize("hostile", ["nan", "constant"])
@given(count=st.integers(0, 120), options=options)
def test_a_comparator_that_sees_no_difference_keeps_the_first_stage_order(
    name: str, hostile: str, count: int, options: PlanOptions
) -> None:
    ended = simulate(find(name)(count, options), HOSTILE[hostile](0))
    assert ended.order == tuple(range(count))
    assert all(step.best == ended.order for step in ended.asked)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ALONE | {"pairwise", "self_consistency"}])
@given(count=st.integers(2, 24), options=options, seed=st.integers(0, 99))
def test_a_list_that_fits_one_window_is_ordered_by_one_prompt(
    name: str, count: int, options: PlanOptions, seed: int
) -> None:
    quality = random.Random(seed).sample(range(count), count)
    options = replace(options, window=max(options.window, count))
    ended = simulate(find(name)(count, options), lambda window: [quality[c] for c in window])
    assert ended.order == tuple(sorted(range(count), key=lambda c: -quality[c]))
    assert (ended.prompts, ended.rounds) == (1, 1)


@comparing
@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_asked_about_less_than_two_passages(name: str, count: int) -> None:
    ended = simulate(find(name)(count, PlanOptions()), lambda _: pytest.fail("asked"))
    assert ended.order == tuple(range(count))


@names
def test_wanting_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        next(find(name)(100, PlanOptions(top_k=0)))
    assert refused.value.field == "top_k"


@comparing
def test_a_window_of_one_is_refused_where_passages_are_compared(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        next(find(name)(100, PlanOptions(window=1, stride=1, longest=100)))
    assert refused.value.field == "rerank.parameters.window"


@alone
@given(count=st.integers(0, 120), options=options)
def test_strategies_for_single_passages_show_them_alone(name: str, count: int, options: PlanOptions) -> None:
    for step in simulate(find(name)(count, options), HOSTILE["random"](0)).asked:
        assert all(len(window) == 1 for window in step.windows)


@names
def test_a_window_answered_with_too_few_scores_is_an_error(name: str) -> None:
    def one_short(window: Window) -> list[float]:
        return [0.0] * (len(window) - 1)

    with pytest.raises(ValueError, match=r"zip|unpack"):
        simulate(find(name)(100, PlanOptions(longest=100)), one_short)


def test_an_unknown_strategy_is_not_found() -> None:
    with pytest.raises(NotFound, match="sliding") as refused:
        find("bogosort")
    assert refused.value.field == "rerank.strategy"
