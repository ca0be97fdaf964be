from __future__ import annotations

import math
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ranking.strategies.aggregating import borda, kemeny

NAN = math.nan
votes = st.integers(1, 6).flatmap(
    lambda passages: st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, NAN]), min_size=passages, max_size=passages), min_size=1, max_size=4
    )
)


def contradictions(order: tuple[int, ...], votes: list[list[float]]) -> int:
    """Pairs of the voters that ``order`` has the other way round; NaN is worst."""
    worth = [[-math.inf if math.isnan(score) else score for score in voter] for voter in votes]
    return sum(voter[behind] > voter[ahead] for ahead, behind in combinations(order, 2) for voter in worth)


def order_of(scores: list[float]) -> tuple[int, ...]:
    return tuple(sorted(range(len(scores)), key=lambda passage: -scores[passage]))


def test_borda_counts_whom_a_passage_is_put_before() -> None:
    # the first is before both twice and behind both once; the second before the third twice
    assert borda([[3, 2, 1], [3, 1, 2], [1, 3, 2]]) == [2, 0, -2]


def test_kemeny_holds_to_the_majority_where_borda_is_swayed_by_one_who_is_far_off() -> None:
    # three voters of five have a before b; the other two put a last
    votes = [[4, 3, 2, 1]] * 3 + [[1, 4, 3, 2]] * 2
    assert order_of(borda(votes)) == (1, 0, 2, 3)
    assert order_of(kemeny(votes)) == (0, 1, 2, 3)


@given(votes=votes)
def test_kemeny_is_no_worse_than_borda_and_nearly_always_the_best(votes: list[list[float]]) -> None:
    ours = contradictions(order_of(kemeny(votes)), votes)
    assert ours <= contradictions(order_of(borda(votes)), votes)
    best = min(contradictions(order, votes) for order in permutations(range(len(votes[0]))))
    assert ours <= 1.5 * best


@pytest.mark.parametrize("aggregate", [borda, kemeny])
def test_passages_that_nobody_tells_apart_keep_their_order(aggregate: object) -> None:
    assert callable(aggregate)
    assert order_of(aggregate([[NAN] * 5, [1.0] * 5])) == (0, 1, 2, 3, 4)
