"""How many prompt tokens a second the engine gets through, learned from completed work."""

from __future__ import annotations

import time
from collections.abc import Callable

HALF_LIFE_S = 3.0
"""Seconds of work after which what was seen before counts half."""

STALE_S = 10.0
"""An estimate that nothing has confirmed for so long is forgotten, so that one bad minute cannot refuse for ever."""


class Throughput:
    """Tokens over the seconds in which any were under way, both weighted exponentially.

    Idle time does not count. All that runs side by side shares one rate: work of ``tokens`` behind ``others`` under way
    is through in about ``(others + tokens) / per_second``, whether the engine takes prompts in turn or in batches.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = 0.0
        self._seconds = 0.0
        self._since = clock()
        self._confirmed = clock()

    def begin(self) -> None:
        """Work begins after none was under way."""
        self._since = self._clock()

    def completed(self, tokens: float) -> None:
        """Work of ``tokens`` is done; what else is under way goes on."""
        now = self._clock()
        elapsed = now - self._since
        kept = 0.5 ** (elapsed / HALF_LIFE_S)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + elapsed
        self._since = self._confirmed = now

    @property
    def per_second(self) -> float | None:
        """Tokens a second; ``None`` while nothing is known."""
        if self._seconds <= 0 or self._tokens <= 0 or self._clock() - self._confirmed > STALE_S:
            return None
        return self._tokens / self._seconds
