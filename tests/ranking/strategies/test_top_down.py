from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import Simulated, simulate
from service.ranking.strategies.top_down import top_down


def partition(quality: list[int], top_k: int, window: int) -> Simulated:
    options = PlanOptions(top_k=top_k, window=window)
    return simulate(top_down(len(quality), options), lambda shown: [quality[c] for c in shown])


def perfect(quality: list[int]) -> list[int]:
    return sorted(range(len(quality)), key=lambda c: -quality[c])


def winners(quality: list[int], top_k: int, window: int) -> int:
    """How many passages outside the first window beat the pivot."""
    pivot = sorted(quality[:window], reverse=True)[min(top_k, window // 2) - 1]
    return sum(value > pivot for value in quality[window:])


qualities = st.lists(st.integers(), min_size=2, max_size=150, unique=True)


@given(quality=qualities, top_k=st.integers(1, 40), window=st.integers(2, 24))
def test_exact_if_the_finalists_fit_the_last_window(quality: list[int], top_k: int, window: int) -> None:
    k = min(top_k, window // 2)
    won = winners(quality, top_k, window) if len(quality) > window else 0
    assume(won <= window - k + 1)
    ended = partition(quality, top_k, window)
    assert list(ended.order[: k + won]) == perfect(quality)[: k + won]


@given(quality=qualities, top_k=st.integers(1, 40), window=st.integers(2, 24))
def test_cost_is_as_documented(quality: list[int], top_k: int, window: int) -> None:
    ended = partition(quality, top_k, window)
    if len(quality) <= window:
        assert (ended.prompts, ended.rounds) == (1, 1)
        return
    partitions = math.ceil((len(quality) - window) / (window - 1))
    finalists = min(top_k, window // 2) - 1 + winners(quality, top_k, window)
    final = 1 if winners(quality, top_k, window) and finalists > 1 else 0
    assert (ended.prompts, ended.rounds) == (1 + partitions + final, 2 + final)


@given(quality=st.permutations(range(100)))
def test_a_hundred_candidates_take_at_most_seven_prompts_and_three_rounds(quality: list[int]) -> None:
    ended = partition(quality, 10, 20)
    assert ended.prompts <= 7
    assert ended.rounds <= 3


def test_a_first_stage_that_is_right_needs_no_last_window() -> None:
    quality = list(range(100, 0, -1))
    ended = partition(quality, 10, 20)
    assert ended.order == tuple(range(100))
    assert (ended.prompts, ended.rounds) == (6, 2)


def test_eleven_winners_still_fit() -> None:
    quality = [*range(100, 80, -1), *range(201, 212), *range(69)]
    ended = partition(quality, 10, 20)
    assert list(ended.order[:21]) == perfect(quality)[:21]
    assert (ended.prompts, ended.rounds) == (7, 3)


def test_more_winners_than_fit_go_on_ahead_of_the_pivot() -> None:
    quality = [*range(100, 80, -1), *range(200, 280)]
    ended = partition(quality, 10, 20)
    assert ended.rounds == 3
    assert ended.order.index(9) == 89
    assert set(ended.order[:89]) == {*range(9), *range(20, 100)}


def test_partitions_are_dealt_like_cards_with_the_pivot_in_front() -> None:
    ended = partition(list(range(60, 0, -1)), 10, 20)
    assert ended.asked[1].windows == (
        (9, *range(20, 60, 3)),
        (9, *range(21, 60, 3)),
        (9, *range(22, 60, 3)),
    )


def test_the_finalists_are_those_with_the_fewest_passages_known_to_be_better() -> None:
    # window 4, top 2: pivot is 1; parts (4, 6, 8) and (5, 7, 9) all beat it, so 0, 4, 5 and 6 are the final four
    quality = [9, 8, 2, 1, 20, 19, 18, 17, 16, 15]
    ended = partition(quality, 2, 4)
    assert ended.asked[2].windows == ((0, 4, 5, 6),)
    assert ended.order == (4, 5, 6, 0, 7, 8, 9, 1, 2, 3)


@pytest.mark.parametrize("top_k", [15, 50])
def test_wanting_more_than_half_a_window_still_gives_half_a_window_exactly(top_k: int) -> None:
    quality = [*range(100, 80, -1), *range(201, 206), *range(75)]
    assert list(partition(quality, top_k, 20).order[:10]) == perfect(quality)[:10]
