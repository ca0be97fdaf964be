from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.ranking.strategies.groupwise import groupwise
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.simulation import simulate


@given(quality=st.lists(st.integers(), min_size=2, max_size=150, unique=True), window=st.integers(2, 24))
def test_scores_of_all_groups_make_one_order_in_one_round(quality: list[int], window: int) -> None:
    ended = simulate(groupwise(len(quality), PlanOptions(window=window)), lambda shown: [quality[c] for c in shown])
    assert ended.order == tuple(sorted(range(len(quality)), key=lambda c: -quality[c]))
    assert (ended.prompts, ended.rounds) == (-(-len(quality) // window), 1)


def test_each_group_has_its_share_of_the_favourites() -> None:
    (step,) = simulate(groupwise(7, PlanOptions(window=3)), lambda shown: shown).asked
    assert step.windows == ((0, 3, 6), (1, 4), (2, 5))


def test_nothing_is_asked_about_one_passage() -> None:
    assert simulate(groupwise(1, PlanOptions()), lambda shown: shown).prompts == 0
