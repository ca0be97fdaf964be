from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import Simulated, simulate
from service.ranking.strategies.sliding import sliding


def slide(quality: list[int], window: int, stride: int, passes: int = 1) -> Simulated:
    options = PlanOptions(window=window, stride=stride, passes=passes)
    return simulate(sliding(len(quality), options), lambda shown: [quality[c] for c in shown])


shapes = st.integers(2, 24).flatmap(lambda window: st.tuples(st.just(window), st.integers(1, window - 1)))
qualities = st.lists(st.integers(), min_size=2, max_size=120, unique=True)


@given(quality=qualities, shape=shapes, passes=st.integers(1, 3))
def test_the_best_w_minus_s_are_exact(quality: list[int], shape: tuple[int, int], passes: int) -> None:
    window, stride = shape
    perfect = sorted(range(len(quality)), key=lambda c: -quality[c])
    ended = slide(quality, window, stride, passes)
    assert list(ended.order[: window - stride]) == perfect[: window - stride]


@given(quality=qualities, shape=shapes, passes=st.integers(1, 3))
def test_cost_is_as_documented(quality: list[int], shape: tuple[int, int], passes: int) -> None:
    window, stride = shape
    expected = passes * (1 + max(0, math.ceil((len(quality) - window) / stride)))
    ended = slide(quality, window, stride, passes)
    assert (ended.prompts, ended.rounds) == (expected, expected)


@pytest.mark.parametrize(
    ("count", "window", "stride", "prompts"),
    [
        (100, 20, 10, 9),
        (20, 20, 10, 1),
        (21, 20, 10, 2),
        (30, 20, 10, 2),
        (31, 20, 10, 3),
        (5, 2, 1, 4),
        (2, 20, 10, 1),
    ],
)
def test_prompts_worked_out_by_hand(count: int, window: int, stride: int, prompts: int) -> None:
    assert slide(list(range(count)), window, stride).prompts == prompts


def test_windows_go_from_the_back_to_the_front_and_the_last_one_is_full() -> None:
    ended = slide([0] * 25, 20, 10)
    assert [step.windows for step in ended.asked] == [(tuple(range(5, 25)),), (tuple(range(20)),)]


def test_the_best_passage_comes_from_the_very_back() -> None:
    quality = list(range(100))
    assert slide(quality, 20, 10).order[:10] == tuple(range(99, 89, -1))


def test_the_best_known_order_improves_with_each_round() -> None:
    quality = random.Random(1).sample(range(100), 100)
    ended = slide(quality, 20, 10)
    known = [max(step.best.index(c) for c in range(100) if quality[c] > 94) for step in ended.asked]
    assert known == sorted(known, reverse=True)


@pytest.mark.parametrize("stride", [0, -1, 20, 21])
def test_a_stride_that_goes_nowhere_or_carries_nothing_is_refused(stride: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        next(sliding(100, PlanOptions(window=20, stride=stride)))
    assert refused.value.field == "rerank.parameters.stride"
