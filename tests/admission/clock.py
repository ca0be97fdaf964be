"""Time that moves when told to."""

from __future__ import annotations

from service.admission.throughput import Throughput


class Clock:
    """A monotonic clock that stands still by itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def measured(tokens_per_second: float, clock: Clock | None = None) -> Throughput:
    """A throughput that has seen one second of work at that rate."""
    clock = clock or Clock()
    throughput = Throughput(clock)
    throughput.begin()
    clock.now += 1.0
    throughput.completed(tokens_per_second)
    return throughput
