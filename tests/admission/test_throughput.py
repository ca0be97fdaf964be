from __future__ import annotations

import pytest

from service.admission.throughput import HALF_LIFE_S, STALE_S, Throughput
from tests.admission.clock import Clock, measured


def test_nothing_is_known_before_anything_is_done() -> None:
    assert Throughput(Clock()).per_second is None


def test_time_in_which_nothing_was_under_way_does_not_count() -> None:
    clock = Clock()
    throughput = measured(100, clock)
    clock.now += 5
    throughput.begin()
    clock.now += 1
    throughput.completed(100)
    assert throughput.per_second == pytest.approx(100)


def test_work_side_by_side_shares_one_rate() -> None:
    clock = Clock()
    throughput = Throughput(clock)
    throughput.begin()
    clock.now = 2.0
    throughput.completed(100)
    throughput.completed(100)
    assert throughput.per_second == pytest.approx(100)


def test_what_was_long_ago_counts_less() -> None:
    clock = Clock()
    throughput = measured(100, clock)
    clock.now += HALF_LIFE_S
    throughput.completed(10 * HALF_LIFE_S)
    assert throughput.per_second == pytest.approx((50 + 30) / (0.5 + 3))  # half of 100 tokens in half of a second


def test_an_estimate_that_nothing_confirms_is_forgotten() -> None:
    clock = Clock()
    throughput = measured(100, clock)
    clock.now += STALE_S
    assert throughput.per_second == pytest.approx(100)
    clock.now += 1
    assert throughput.per_second is None
