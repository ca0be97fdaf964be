from __future__ import annotations

import pytest

from service.ranking.readings import Reading
from service.ranking.strategies.registry import STRATEGIES


def test_listwise_logits_and_written_ranks_are_scores_as_they_are() -> None:
    assert Reading.LISTWISE.scores((1.0, -2.0, 0.5)) == (1.0, -2.0, 0.5)
    assert Reading.PERMUTATION.scores((0.0, -2.0, -1.0)) == (0.0, -2.0, -1.0)
    assert Reading.EMBEDDING.scores((0.1, 0.7, -0.2)) == (0.1, 0.7, -0.2)


@pytest.mark.parametrize(("values", "score"), [((1.0, 3.0), 2.0), ((-0.1, -2.4), -2.3)])
def test_pointwise_is_the_log_odds_of_the_second_label(values: tuple[float, float], score: float) -> None:
    assert Reading.POINTWISE.scores(values) == pytest.approx((score,))


def test_more_labels_than_two_are_no_pointwise_answer() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Reading.POINTWISE.scores((1.0, 2.0, 3.0))


def test_every_strategy_goes_with_a_reading() -> None:
    assert {name for reading in Reading for name in reading.strategies} == set(STRATEGIES)
    assert Reading.POINTWISE.strategies == ("pointwise",)
    assert Reading.LISTWISE.strategies == Reading.PERMUTATION.strategies == Reading.EMBEDDING.strategies
