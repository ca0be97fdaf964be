from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import WindowReading
from service.ranking.calibration import rank_only, relevance
from service.ranking.profile import Calibration
from service.ranking.strategies.plan import Order

PLAIN = Calibration()
logits = st.floats(-1e6, 1e6)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[Order, list[WindowReading]]:
    """Any order with any readings: orders need not follow the readings."""
    count = draw(st.integers(1, 40))
    order = tuple(draw(st.permutations(range(count))))
    windows = draw(st.lists(st.lists(st.integers(0, count - 1), min_size=1, max_size=8, unique=True), max_size=6))
    return order, [WindowReading(1, tuple(w), tuple(draw(logits) for _ in w)) for w in windows]


@given(ranking=rankings(), slope=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_scores_fall_strictly_within_0_and_1(
    ranking: tuple[Order, list[WindowReading]], slope: float, offset: float
) -> None:
    order, readings = ranking
    scores = relevance(order, readings, Calibration(slope=slope, offset=offset))
    assert len(scores) == len(order)
    assert all(0 < score < 1 for score in scores)
    assert all(better > worse for better, worse in pairwise(scores))


@pytest.mark.parametrize("count", [1000, 10_000])
def test_many_candidates_of_equal_evidence_still_differ(count: int) -> None:
    windows = [tuple(range(start, start + 20)) for start in range(0, count, 20)]
    readings = [WindowReading(1, window, (3.0,) * 20) for window in windows]
    scores = relevance(tuple(range(count)), readings, PLAIN)
    assert len(set(scores)) == count
    assert all(abs(score - 0.5) <= 0.001 for score in scores)


def test_one_window_worked_out_by_hand() -> None:
    scores = relevance((1, 0, 2), [WindowReading(1, (0, 1, 2), (5.0, 7.0, 3.0))], PLAIN)
    sigmoid = [1 / (1 + math.exp(-x)) for x in (2.0, 0.0, -2.0)]
    assert scores == pytest.approx([0.999 * s + 0.001 * (3 - i) / 4 for i, s in enumerate(sigmoid)])


def test_evidence_is_the_mean_over_windows_and_a_shift_of_all_logits_changes_nothing() -> None:
    readings = [WindowReading(1, (2, 3), (1.0, -1.0)), WindowReading(2, (0, 2), (0.0, 4.0))]
    shifted = [WindowReading(1, (2, 3), (11.0, 9.0)), WindowReading(2, (0, 2), (-7.0, -3.0))]
    order = (2, 0, 3, 1)
    assert relevance(order, readings, PLAIN) == relevance(order, shifted, PLAIN)
    best = 1 / (1 + math.exp(-1.5))
    assert relevance(order, readings, PLAIN)[0] == pytest.approx(best, abs=0.001)


def test_evidence_that_contradicts_the_order_is_pooled() -> None:
    scores = relevance((0, 1, 2), [WindowReading(1, (0, 1, 2), (0.0, 1.0, -1.0))], PLAIN)
    pooled = (0.5 + 1 / (1 + math.exp(-1.0))) / 2
    assert scores[:2] == pytest.approx([pooled, pooled], abs=0.001)


def test_passages_never_read_come_lower_than_all_that_were() -> None:
    scores = relevance((0, 1, 2, 3), [WindowReading(1, (0, 1), (1.0, -1.0))], PLAIN)
    last_read = 1 / (1 + math.exp(1.0))
    assert scores[2:] == pytest.approx([last_read * 2 / 3, last_read / 3], abs=0.001)


@pytest.mark.parametrize("readings", [[], [WindowReading(1, (2, 3), (1.0, 0.0))]])
def test_an_order_of_the_first_stage_tells_the_rank_alone(readings: list[WindowReading]) -> None:
    assert relevance((0, 1, 2, 3), readings, PLAIN) == rank_only(4) == pytest.approx((1 / 2, 1 / 3, 1 / 4, 1 / 5))


def test_no_candidates() -> None:
    assert relevance((), [], PLAIN) == ()


def test_absolute_scores_need_no_window_to_be_compared_with() -> None:
    readings = [WindowReading(1, (0,), (-2.0,)), WindowReading(1, (1,), (3.0,))]
    probabilities = [1 / (1 + math.exp(-x)) for x in (3.0, -2.0)]
    assert relevance((1, 0), readings, PLAIN, absolute=True) == pytest.approx(probabilities, abs=0.001)


def test_a_relevance_read_alone_does_not_depend_on_the_other_candidates() -> None:
    two = [WindowReading(1, (0,), (1.5,)), WindowReading(1, (1,), (-1.0,))]
    three = [*two, WindowReading(1, (2,), (-4.0,))]
    first, more = (relevance((0, *range(1, len(r))), r, PLAIN, absolute=True) for r in (two, three))
    assert more[:2] == pytest.approx(first, abs=0.001)
