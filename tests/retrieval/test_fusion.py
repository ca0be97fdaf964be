from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval.fusion import reciprocal_rank_fusion, told_by

rankings = st.lists(st.lists(st.integers(0, 50), unique=True, max_size=20), max_size=4)


def test_the_formula_worked_out_by_hand() -> None:
    fused = reciprocal_rank_fusion([[7, 8], [8, 9]], weights=(1.0, 1.0))
    assert [item for item, _ in fused] == [8, 7, 9]
    assert [score for _, score in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_a_weight_lets_one_ranking_count_more() -> None:
    assert reciprocal_rank_fusion([[1], [2]], weights=(1.0, 2.0))[0][0] == 2


def test_equal_scores_are_ordered_by_number() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([[5], [3]], weights=(1.0, 1.0))] == [3, 5]


@given(st.integers(1, 1000))
def test_a_score_tells_the_rank_that_all_would_agree_on(rank: int) -> None:
    told = told_by(2 / (60 + rank), (1.0, 1.0))
    assert told.rankings == 2
    assert told.rank == pytest.approx(rank)


def test_a_ranking_that_lacks_an_item_disagrees() -> None:
    [(_, both), *_, (_, one)] = reciprocal_rank_fusion([[1, 2, 3], [1, 2]], (1.0, 1.0))
    assert told_by(both, (1.0, 1.0)).rank == pytest.approx(1)
    assert told_by(one, (1.0, 1.0)).rank == pytest.approx(66)  # third in one, missing in the other


@given(rankings)
def test_every_item_comes_back_once_and_scores_fall(found: list[list[int]]) -> None:
    fused = reciprocal_rank_fusion(found, weights=[1.0] * len(found))
    assert sorted(item for item, _ in fused) == sorted({item for ranking in found for item in ranking})
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)
