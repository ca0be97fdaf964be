from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ranking.strategies.merge import merge
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import Simulated, simulate


def merged(quality: list[int], top_k: int = 10, window: int = 20) -> Simulated:
    options = PlanOptions(top_k=top_k, window=window)
    return simulate(merge(len(quality), options), lambda shown: [quality[c] for c in shown])


def perfect(quality: list[int]) -> list[int]:
    return sorted(range(len(quality)), key=lambda c: -quality[c])


def gap(chains: int, keep: int, window: int) -> int:
    return next(gap for gap in range(1, window) if chains * -(-keep // gap) <= window)


def stated_cost(count: int, top_k: int, window: int) -> tuple[int, int]:
    """Prompts and rounds by the docstring, where no window holds one passage alone."""
    keep, chains = min(top_k, window // 2), -(-count // window)
    most = max(m for m in range(2, window + 1) if m * (gap(m, keep, window) - 1) + keep <= window)
    prompts, rounds = chains, 1
    while chains > 1:
        tables = -(-chains // most)
        steps = 1 if gap(-(-chains // tables), keep, window) == 1 else 2
        prompts, rounds, chains = prompts + steps * tables, rounds + steps, tables
    return prompts, rounds


@given(quality=st.permutations(range(100)))
def test_a_hundred_candidates_take_seven_prompts_and_three_rounds_from_any_order(quality: list[int]) -> None:
    ended = merged(quality)
    assert list(ended.order[:10]) == perfect(quality)[:10]
    assert (ended.prompts, ended.rounds) == (7, 3)


@pytest.mark.parametrize(
    ("count", "top_k", "window", "prompts", "rounds"),
    [
        (20, 10, 20, 1, 1),
        (21, 10, 20, 3, 2),  # two chains fit a window whole
        (60, 10, 20, 5, 3),  # three have to be sampled
        (101, 10, 20, 6 + 2 * 2 + 1, 4),  # six chains are too many for one table
        (140, 5, 20, 9, 3),  # seven chains of five
        (400, 1, 20, 21, 2),  # the best of each of twenty windows
        (1000, 10, 20, 50 + 2 * 10 + 2 * 2 + 1, 6),
        (100, 10, 10, 10 + 2 * 4 + 2 + 1, 5),  # k = 5: four tables, then two of two whole chains, then one
    ],
)
def test_cost_worked_out_by_hand(count: int, top_k: int, window: int, prompts: int, rounds: int) -> None:
    ended = merged(random.Random(count).sample(range(count), count), top_k, window)
    assert (ended.prompts, ended.rounds) == (prompts, rounds)


@given(count=st.integers(2, 300), top_k=st.integers(1, 15), half=st.integers(2, 12), seed=st.integers(0, 99))
def test_cost_is_as_documented(count: int, top_k: int, half: int, seed: int) -> None:
    top_k = max(2, top_k)
    ended = merged(random.Random(seed).sample(range(count), count), top_k, 2 * half)
    prompts, rounds = stated_cost(count, top_k, 2 * half)
    assert ended.prompts <= prompts
    assert ended.rounds == rounds


@given(
    quality=st.lists(st.integers(), min_size=2, max_size=200, unique=True), window=st.integers(2, 24), data=st.data()
)
def test_the_best_half_window_is_exact(quality: list[int], window: int, data: st.DataObject) -> None:
    top_k = data.draw(st.integers(1, 30))
    best = min(top_k, window // 2)
    assert list(merged(quality, top_k, window).order[:best]) == perfect(quality)[:best]
