"""Strategies that promise the exact best k give it, at the stated cost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import Window
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.registry import find
from service.ranking.strategies.simulation import Simulated, simulate

qualities = st.lists(st.integers(), min_size=2, max_size=60, unique=True)


def run(name: str, quality: list[int], top_k: int = 10, window: int = 20) -> Simulated:
    options = PlanOptions(top_k=top_k, window=window)
    return simulate(find(name)(len(quality), options), lambda shown: [quality[c] for c in shown])


def perfect(quality: list[int]) -> list[int]:
    return sorted(range(len(quality)), key=lambda c: -quality[c])


def promised(name: str, top_k: int, window: int) -> int:
    """The best so many are exact."""
    return {"tournament": min(top_k, window // 2), "eliminate": window - 1}.get(name, top_k)


@pytest.mark.parametrize("name", ["tournament", "setwise", "eliminate", "pairwise"])
@given(quality=qualities, top_k=st.integers(1, 15), window=st.integers(2, 12))
def test_the_best_are_exact_from_any_first_stage(name: str, quality: list[int], top_k: int, window: int) -> None:
    best = promised(name, top_k, window)
    assert list(run(name, quality, top_k, window).order[:best]) == perfect(quality)[:best]


@pytest.mark.parametrize(
    ("name", "prompts", "rounds"),
    [("tournament", 9, 4), ("eliminate", 81, 81), ("pairwise", 1890, 108)],
)
@given(quality=st.permutations(range(100)))
@settings(max_examples=5)
def test_a_hundred_candidates_cost_what_is_stated(name: str, prompts: int, rounds: int, quality: list[int]) -> None:
    ended = run(name, quality)
    assert (ended.prompts, ended.rounds) == (prompts, rounds)


@given(quality=st.permutations(range(100)))
def test_setwise_costs_at_most_what_is_stated(quality: list[int]) -> None:
    assert run("setwise", quality).prompts <= 6 + 9 * 4


@pytest.mark.parametrize("bias", [3.0, -3.0])
def test_asking_both_ways_round_cancels_what_a_model_gives_to_a_place(bias: float) -> None:
    quality = [3, 1, 4, 15, 9, 2, 6]

    def biased(shown: Window) -> list[float]:
        return [quality[c] + bias * (place == 0) for place, c in enumerate(shown)]

    ended = simulate(find("pairwise")(7, PlanOptions(top_k=6)), biased)

    assert list(ended.order) == perfect(quality)
