from __future__ import annotations

import math
import time

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


def test_a_jump_of_the_wall_clock_moves_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline.after(60)
    for jump in (-1e9, 0.0, 1e12):
        monkeypatch.setattr(time, "time", lambda jump=jump: jump)
        monkeypatch.setattr(time, "time_ns", lambda jump=jump: int(jump))
        assert 50 < deadline.remaining <= 60
        assert 50 < Deadline.after(60).remaining <= 60
