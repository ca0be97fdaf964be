"""Strategies that promise the exact best k give it, at the stated cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import Sort, Window
from service.errors import InvalidInput
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.registry import find
from service.ranking.strategies.simulation import Simulated, simulate

qualities = st.lists(st.integers(-1000, 1000), min_size=2, max_size=60, unique=True)

SORTED = [
    ("setwise", Sort.HEAP),
    ("setwise", Sort.BUBBLE),
    ("pairwise", Sort.BUBBLE),
    ("pairwise", Sort.HEAP),
    ("pairwise", Sort.ALL),
]


def run(name: str, quality: list[int], top_k: int = 10, window: int = 20, sort: Sort | None = None) -> Simulated:
    options = PlanOptions(top_k=top_k, window=window, sort=sort, most_prompts=10_000)
    return simulate(find(name)(len(quality), options), lambda shown: [quality[c] for c in shown])


def perfect(quality: list[int]) -> list[int]:
    return sorted(range(len(quality)), key=lambda c: -quality[c])


def promised(name: str, top_k: int, window: int) -> int:
    """The best so many are exact."""
    return {"tournament": min(top_k, window // 2), "eliminate": window - 1}.get(name, top_k)


@pytest.mark.parametrize(("name", "sort"), [("tournament", None), ("eliminate", None), *SORTED])
@given(quality=qualities, top_k=st.integers(1, 15), window=st.integers(2, 12))
def test_the_best_are_exact_from_any_first_stage(
    name: str, sort: Sort | None, quality: list[int], top_k: int, window: int
) -> None:
    best = promised(name, top_k, window)
    assert list(run(name, quality, top_k, window, sort).order[:best]) == perfect(quality)[:best]


@pytest.mark.parametrize(
    ("name", "sort", "prompts", "rounds"),
    [
        ("tournament", None, 9, 4),
        ("eliminate", None, 81, 81),
        ("setwise", Sort.BUBBLE, 54, 23),
        ("pairwise", Sort.BUBBLE, 1890, 108),
        ("pairwise", Sort.ALL, 9900, 1),
    ],
)
@given(quality=st.permutations(range(100)))
@settings(max_examples=5)
def test_a_hundred_candidates_cost_what_is_stated(
    name: str, sort: Sort | None, prompts: int, rounds: int, quality: list[int]
) -> None:
    ended = run(name, quality, sort=sort)
    assert (ended.prompts, ended.rounds) == (prompts, rounds)


@pytest.mark.parametrize(("name", "prompts", "rounds"), [("setwise", 25, 21), ("pairwise", 906, 75)])
@given(quality=st.permutations(range(100)))
@settings(max_examples=20)
def test_a_heap_costs_at_most_what_is_stated(name: str, prompts: int, rounds: int, quality: list[int]) -> None:
    ended = run(name, quality, sort=Sort.HEAP)
    assert ended.prompts <= prompts
    assert ended.rounds <= rounds


@given(count=st.integers(2, 120), top_k=st.integers(1, 15), window=st.integers(2, 24), passes=st.integers(1, 15))
def test_bubbling_costs_what_is_stated(count: int, top_k: int, window: int, passes: int) -> None:
    options = PlanOptions(top_k=top_k, window=window, sort=Sort.BUBBLE, passes=passes, most_prompts=10_000)

    def prompts(name: str, options: PlanOptions) -> int:
        return simulate(find(name)(count, options), lambda shown: shown).prompts

    pairs = sum(count - 1 - number for number in range(min(passes, count - 1)))
    assert prompts("pairwise", options) == 2 * pairs
    assert prompts("pairwise", replace(options, passes=None)) == 2 * sum(
        count - 1 - number for number in range(min(top_k, count - 1))
    )
    groups = sum(-(-(count - 1 - number) // (window - 1)) for number in range(min(passes, count - 1)))
    assert prompts("setwise", options) == (groups if count > window else 1)


@given(count=st.integers(2, 200), window=st.integers(2, 24), top_k=st.integers(1, 12))
def test_a_heap_of_any_size_costs_at_most_what_is_stated(count: int, window: int, top_k: int) -> None:
    below, levels, held = window - 1, 0, 1
    inner = -(-(count - 1) // below)
    while held < count:
        levels, held = levels + 1, held + below ** (levels + 1)
    ended = run("setwise", list(range(count)), top_k, window)
    assert ended.prompts <= (1 if count <= window else inner * levels + (top_k - 1) * levels)


def test_all_pairs_of_many_are_more_than_may_be_asked_for() -> None:
    with pytest.raises(InvalidInput, match="more than 2000 prompts") as refused:
        next(find("pairwise")(46, PlanOptions(sort=Sort.ALL)))
    assert refused.value.field == "rerank.strategy"


def test_windows_have_no_pairs_to_ask_all_of() -> None:
    with pytest.raises(InvalidInput) as refused:
        next(find("setwise")(46, PlanOptions(sort=Sort.ALL)))
    assert refused.value.field == "rerank.parameters.sort"


@pytest.mark.parametrize("name", ["setwise", "pairwise"])
def test_a_heap_goes_in_no_passes(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        next(find(name)(46, PlanOptions(sort=Sort.HEAP, passes=2)))
    assert refused.value.field == "rerank.parameters.passes"


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("bias", [3.0, -3.0])
def test_asking_both_ways_round_cancels_what_a_model_gives_to_a_place(bias: float, sort: Sort) -> None:
    quality = [3, 1, 4, 15, 9, 2, 6]

    def biased(shown: Window) -> list[float]:
        return [quality[c] + bias * (place == 0) for place, c in enumerate(shown)]

    ended = simulate(find("pairwise")(7, PlanOptions(top_k=6, sort=sort)), biased)

    assert list(ended.order) == perfect(quality)
