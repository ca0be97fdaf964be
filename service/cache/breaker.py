"""Leaves something alone that keeps failing, for longer every time, and then tries it once."""

from __future__ import annotations

import time

_DOUBLINGS = 10


class Breaker:
    """Opens after ``failures`` in a row; one try is let through ``first_s`` later, then after twice that, and so on."""

    def __init__(self, *, failures: int = 5, first_s: float = 0.5, longest_s: float = 15.0) -> None:
        self._limit = failures
        self._first_s, self._longest_s = first_s, longest_s
        self._failures = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Whether there have been too many failures; a success ends that."""
        return self._failures >= self._limit

    def allows(self) -> bool:
        """Whether to try now. While open, that holds for one caller in each pause."""
        if not self.open:
            return True
        now = time.monotonic()
        if now < self._until:
            return False
        self._until = now + self._pause_s()
        return True

    def succeeded(self) -> None:
        """A try went well."""
        self._failures = 0

    def failed(self) -> None:
        """A try went wrong."""
        self._failures = min(self._failures + 1, self._limit + _DOUBLINGS)
        if self.open:
            self._until = time.monotonic() + self._pause_s()

    def _pause_s(self) -> float:
        return min(self._first_s * 2.0 ** (self._failures - self._limit), self._longest_s)
