from __future__ import annotations

import math

import pytest

from service.domain import WindowReading
from service.ranking.certainty import entropies, entropy
from service.ranking.readings import Reading


def test_equal_logits_are_a_model_that_does_not_care() -> None:
    assert entropy((3.0, 3.0, 3.0)) == pytest.approx(1)


def test_one_logit_far_above_the_others_is_a_model_that_is_sure() -> None:
    assert entropy((900.0, 0.0, -900.0)) == pytest.approx(0)


def test_the_arithmetic_worked_out_by_hand() -> None:
    # three quarters and a quarter: (3/4 log 4/3 + 1/4 log 4) / log 2
    assert entropy((math.log(3), 0.0)) == pytest.approx(0.811278, abs=1e-6)


def test_there_is_one_for_each_prompt_with_a_choice() -> None:
    readings = (WindowReading(1, (0, 1), (5.0, 5.0)), WindowReading(1, (2,), (1.0,)))
    assert entropies(readings, Reading.LISTWISE) == pytest.approx((1.0,))


def test_a_passage_read_alone_is_a_choice_between_two_labels() -> None:
    readings = (WindowReading(1, (0,), (0.0,)), WindowReading(1, (1,), (-80.0,)))
    assert entropies(readings, Reading.POINTWISE) == pytest.approx((1.0, 0.0))


@pytest.mark.parametrize("reading", [Reading.PERMUTATION, Reading.EMBEDDING])
def test_values_that_are_no_logits_have_none(reading: Reading) -> None:
    assert entropies((WindowReading(1, (0, 1), (0.0, -1.0)),), reading) == ()
