from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.pointwise import pointwise
from service.ranking.strategies.simulation import simulate

SINGLE = PlanOptions(window=1, stride=1)


@given(quality=st.lists(st.integers(), max_size=150, unique=True))
def test_every_candidate_is_asked_once_and_all_are_exact(quality: list[int]) -> None:
    ended = simulate(pointwise(len(quality), SINGLE), lambda window: [quality[c] for c in window])
    assert ended.order == tuple(sorted(range(len(quality)), key=lambda c: -quality[c]))
    assert (ended.prompts, ended.rounds) == (len(quality), min(1, len(quality)))


def test_one_candidate_is_asked_too_for_its_score_says_something() -> None:
    assert simulate(pointwise(1, SINGLE), lambda _: [0.5]).prompts == 1


def test_a_window_answered_with_two_scores_is_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        simulate(pointwise(3, SINGLE), lambda _: [0.5, 0.1])
