from __future__ import annotations

import pytest

from service.api.allowances import Allowances
from service.api.keys import Grant, digest
from service.errors import RateLimited


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def grant(key: str = "a", per_minute: int | None = None, concurrent: int | None = None) -> Grant:
    return Grant(sha256=digest(key), name="n", tenant="t", per_minute=per_minute, concurrent=concurrent)


def test_a_minutes_requests_may_come_at_once_then_they_trickle() -> None:
    clock = Clock()
    allowances, six = Allowances(clock), grant(per_minute=6)
    for _ in range(6):
        allowances.begin(six)
    with pytest.raises(RateLimited) as refused:
        allowances.begin(six)
    assert refused.value.retry_after_s == pytest.approx(10)

    clock.now += 9.5
    with pytest.raises(RateLimited) as refused:
        allowances.begin(six)
    assert refused.value.retry_after_s == pytest.approx(0.5)

    clock.now += 0.6
    allowances.begin(six)


def test_what_was_not_used_is_not_saved_beyond_a_minute() -> None:
    clock = Clock()
    allowances, two = Allowances(clock), grant(per_minute=2)
    allowances.begin(two)
    clock.now += 3600
    allowances.begin(two)
    allowances.begin(two)
    with pytest.raises(RateLimited):
        allowances.begin(two)


def test_so_many_at_once_and_each_key_for_itself() -> None:
    allowances, a, b = Allowances(), grant("a", concurrent=2), grant("b", concurrent=1)
    allowances.begin(a)
    allowances.begin(a)
    with pytest.raises(RateLimited, match="2 requests at once"):
        allowances.begin(a)
    allowances.begin(b)
    allowances.end(a)
    allowances.begin(a)


def test_without_limits_there_are_none() -> None:
    allowances, free = Allowances(Clock()), grant()
    for _ in range(1000):
        allowances.begin(free)
