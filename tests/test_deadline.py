from __future__ import annotations

import math

import pytest

from service.deadline import Deadline
from service.errors import DeadlineExceeded


def test_time_left_shrinks_and_never_goes_below_zero() -> None:
    deadline = Deadline.after(60)
    assert 0 < deadline.remaining <= 60
    assert not deadline.expired
    assert Deadline.after(-1).remaining == 0


def test_an_expired_deadline_says_what_there_is_no_time_for() -> None:
    with pytest.raises(DeadlineExceeded, match="no time left for dinner"):
        Deadline.after(0).check("dinner")
    Deadline.after(60).check("dinner")


def test_never_does_not_come() -> None:
    assert Deadline.never().remaining == math.inf
    assert Deadline.never().sooner(1000).remaining == math.inf


def test_sooner_keeps_time_back() -> None:
    deadline = Deadline.after(60)
    assert deadline.at - deadline.sooner(5).at == pytest.approx(5)
