from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import simulate
from service.ranking.strategies.single import single


@given(quality=st.lists(st.integers(), min_size=2, max_size=60, unique=True), window=st.integers(2, 24))
def test_the_first_window_is_exact_and_the_rest_stays(quality: list[int], window: int) -> None:
    ended = simulate(single(len(quality), PlanOptions(window=window)), lambda shown: [quality[c] for c in shown])
    first = range(min(window, len(quality)))
    assert ended.order[:window] == tuple(sorted(first, key=lambda c: -quality[c]))
    assert ended.order[window:] == tuple(range(window, len(quality)))
    assert (ended.prompts, ended.rounds) == (1, 1)
