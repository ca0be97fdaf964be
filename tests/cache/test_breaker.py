"""What keeps failing is left alone, for longer every time."""

from __future__ import annotations

import pytest

from service.cache.breaker import Breaker


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("service.cache.breaker.time.monotonic", lambda: now[0])
    return now


def test_it_opens_after_failures_in_a_row_and_lets_one_try_through_at_a_time(clock: list[float]) -> None:
    breaker = Breaker(failures=3, first_s=1, longest_s=4)
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert breaker.allows()

    breaker.failed()
    assert not breaker.allows()
    clock[0] += 1
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_pauses_grow_to_a_limit_and_a_success_ends_them(clock: list[float]) -> None:
    breaker = Breaker(failures=1, first_s=1, longest_s=4)
    pauses = []
    for _ in range(5):
        breaker.failed()
        began = clock[0]
        while not breaker.allows():
            clock[0] += 0.5
        pauses.append(clock[0] - began)

    assert pauses == [1, 2, 4, 4, 4]
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.open
