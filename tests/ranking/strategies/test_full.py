from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.ranking.strategies.full import full
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import simulate


@given(quality=st.lists(st.integers(), min_size=2, max_size=60, unique=True))
def test_one_prompt_orders_everything(quality: list[int]) -> None:
    ended = simulate(full(len(quality), PlanOptions(window=2, longest=60)), lambda shown: [quality[c] for c in shown])
    assert ended.order == tuple(sorted(range(len(quality)), key=lambda c: -quality[c]))
    assert (ended.prompts, ended.rounds) == (1, 1)


def test_more_than_a_prompt_has_room_for_are_refused() -> None:
    with pytest.raises(InvalidInput, match="room for 60") as refused:
        next(full(61, PlanOptions(longest=60)))
    assert refused.value.field == "rerank.strategy"
