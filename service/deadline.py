"""One monotonic deadline for a request, made at its edge and passed down unchanged."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from service.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds; wall-clock jumps do not move it."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def never(cls) -> Deadline:
        """A deadline that does not come: for builds and offline evaluation."""
        return cls(math.inf)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative, infinite for ``never``."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.at

    def sooner(self, seconds: float) -> Deadline:
        """A deadline ``seconds`` earlier: time kept back to turn what is known into an answer."""
        return Deadline(self.at - seconds)

    def check(self, doing: str) -> None:
        """Raise ``DeadlineExceeded`` if no time is left for ``doing``."""
        if self.expired:
            raise DeadlineExceeded(f"no time left for {doing}")
