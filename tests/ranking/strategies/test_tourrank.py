from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import Window
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import Simulated, simulate
from service.ranking.strategies.tournament import tournament
from service.ranking.strategies.tourrank import tourrank


def played(quality: list[int], top_k: int = 10, window: int = 20, tournaments: int | None = None) -> Simulated:
    options = PlanOptions(top_k=top_k, window=window, passes=tournaments)
    return simulate(tourrank(len(quality), options), lambda shown: [quality[c] for c in shown])


def rounds_of(count: int, keep: int, window: int) -> list[int]:
    """Prompts of each round of one tournament, the last one's aside, by the docstring."""
    found = []
    while count > window:
        found.append(count // window)
        count -= found[-1] * (window - keep)
    return found


@given(
    quality=st.integers(2, 130).flatmap(lambda count: st.permutations(range(count))),
    top_k=st.integers(1, 30),
    window=st.integers(2, 24),
    tournaments=st.integers(1, 4),
)
def test_the_best_k_are_exact_from_any_order(quality: list[int], top_k: int, window: int, tournaments: int) -> None:
    keep = min(top_k, window // 2)
    perfect = sorted(range(len(quality)), key=lambda c: -quality[c])
    assert list(played(quality, top_k, window, tournaments).order[:keep]) == perfect[:keep]


@given(count=st.integers(2, 300), top_k=st.integers(1, 30), window=st.integers(2, 24), tournaments=st.integers(1, 4))
def test_cost_as_the_docstring_says(count: int, top_k: int, window: int, tournaments: int) -> None:
    expected = rounds_of(count, min(top_k, window // 2), window)
    ended = played(random.Random(count).sample(range(count), count), top_k, window, tournaments)
    assert [len(step.windows) for step in ended.asked[:-1]] == [tournaments * tables for tables in expected]
    assert ended.rounds == len(expected) + 1
    assert 1 <= len(ended.asked[-1].windows) <= (tournaments if expected else 1)


@pytest.mark.parametrize(
    ("count", "top_k", "window", "tournaments", "prompts", "rounds"),
    [
        (100, 10, 20, 1, 5 + 2 + 1 + 1, 4),
        (20, 10, 20, 5, 1, 1),
        (40, 10, 20, 3, 3 * 2 + 1, 2),  # the first stage is right, so all end with the same twenty
        (1, 10, 20, 2, 0, 0),
    ],
)
def test_cost_worked_out_by_hand(
    count: int, top_k: int, window: int, tournaments: int, prompts: int, rounds: int
) -> None:
    ended = played([-c for c in range(count)], top_k, window, tournaments)
    assert (ended.prompts, ended.rounds) == (prompts, rounds)


def test_who_meets_whom_differs_and_every_window_has_its_share_of_favourites() -> None:
    first = played(list(range(100)), tournaments=2).asked[0].windows
    assert len(set(first)) == 10
    for tables in (first[:5], first[5:]):
        assert sorted(c for window in tables for c in window) == list(range(100))
        assert all(window[place] // 5 == place for window in tables for place in range(20))


def test_points_forgive_one_unlucky_meeting() -> None:
    """A passage that loses whenever it meets one certain other is found by the tournament in which it does not."""
    quality = random.Random(4).sample(range(100), 100)
    best = quality.index(99)
    options = PlanOptions(top_k=1, window=4, passes=6)
    first = simulate(tourrank(100, options), lambda shown: [quality[c] for c in shown]).asked[0].windows
    feared = next(c for window in first if best in window for c in window if c != best)

    def afraid(shown: Window) -> list[float]:
        return [-1.0 if c == best and feared in shown else float(quality[c]) for c in shown]

    assert best not in simulate(tournament(100, options), afraid).order[:1]
    assert simulate(tourrank(100, options), afraid).order[0] == best


def test_the_same_request_is_seeded_alike() -> None:
    quality = random.Random(1).sample(range(90), 90)
    assert played(quality).asked == played(quality).asked
