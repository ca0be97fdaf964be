"""How much the holder of a key may ask for: requests a minute, and requests at once. Each process counts for itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.api.keys import Grant
from service.errors import RateLimited

_MINUTE = 60.0
_BUSY_RETRY_S = 1.0


@dataclass(slots=True)
class _Meter:
    """A token bucket, ``left`` requests at the time ``at``, and the requests ``under_way``."""

    left: float
    at: float
    under_way: int = 0


class Allowances:
    """Counts by key. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._meters: dict[str, _Meter] = {}

    def begin(self, grant: Grant) -> None:
        """Count a request, which ``end`` is to be told of.

        Raises:
            RateLimited: there were too many in the last minute, or are too many at once.
        """
        meter = self._meters.setdefault(grant.sha256, _Meter(float(grant.per_minute or 0), self._clock()))
        if grant.concurrent is not None and meter.under_way >= grant.concurrent:
            raise RateLimited(f"this key allows {grant.concurrent} requests at once", retry_after_s=_BUSY_RETRY_S)
        if grant.per_minute is not None:
            self._take(meter, grant.per_minute)
        meter.under_way += 1

    def end(self, grant: Grant) -> None:
        """A request that had begun has been answered."""
        self._meters[grant.sha256].under_way -= 1

    def _take(self, meter: _Meter, per_minute: int) -> None:
        now = self._clock()
        rate = per_minute / _MINUTE
        meter.left = min(float(per_minute), meter.left + (now - meter.at) * rate)
        meter.at = now
        if meter.left < 1:
            raise RateLimited(f"this key allows {per_minute} requests a minute", retry_after_s=(1 - meter.left) / rate)
        meter.left -= 1
