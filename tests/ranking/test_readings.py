from __future__ import annotations

import math

import pytest

from service.ranking.readings import Reading
from service.ranking.strategies.registry import ABSOLUTE, STRATEGIES


def test_values_of_one_prompt_are_scores_as_they_are() -> None:
    assert Reading.LISTWISE.scores([(1.0, -2.0, 0.5)]) == (1.0, -2.0, 0.5)
    assert Reading.PERMUTATION.scores([(0.0, -2.0, -1.0)]) == (0.0, -2.0, -1.0)
    assert Reading.EMBEDDING.scores([(0.1, 0.7, -0.2)]) == (0.1, 0.7, -0.2)
    assert Reading.ENCODED.scores([(0.4,)]) == (0.4,)


@pytest.mark.parametrize(("values", "score"), [((1.0, 3.0), 2.0), ((-0.1, -2.4), -2.3)])
def test_pointwise_is_the_log_odds_of_the_second_label(values: tuple[float, float], score: float) -> None:
    assert Reading.POINTWISE.scores([values]) == pytest.approx((score,))


def test_more_labels_than_two_are_no_pointwise_answer() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Reading.POINTWISE.scores([(1.0, 2.0, 3.0)])


def test_graded_is_the_grade_expected_of_each_prompt() -> None:
    certain, open_ = (-50.0, -50.0, 0.0), (1.0, 1.0, 1.0)
    assert Reading.GRADED.scores([certain, open_]) == pytest.approx((2.0, 1.0))
    assert Reading.GRADED.scores([(0.0, math.log(3))]) == pytest.approx((0.75,))
    assert Reading.GRADED.scores([(1e308, -1e308)]) == (0.0,)


@pytest.mark.parametrize("reading", [each for each in Reading if each is not Reading.GRADED])
def test_other_readings_take_one_prompt_a_window(reading: Reading) -> None:
    with pytest.raises(ValueError, match="unpack"):
        reading.scores([(0.0, 1.0), (0.0, 1.0)])


def test_every_strategy_goes_with_a_reading() -> None:
    assert Reading.POINTWISE.strategies == Reading.ENCODED.strategies == ("pointwise",)
    assert Reading.LISTWISE.strategies == Reading.PERMUTATION.strategies == Reading.EMBEDDING.strategies
    assert set(STRATEGIES) - set(Reading.LISTWISE.strategies) == set(ABSOLUTE)
    assert Reading.GRADED.strategies == tuple(STRATEGIES)
