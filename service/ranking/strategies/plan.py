"""The strategy contract: a pure generator that yields rounds of windows and is sent their scores.

A strategy does no I/O, reads no clock and knows no model. Each ``Round`` it yields carries, beside the windows to be
read side by side, the best order known *before* they are read, so a deadline may stop it between any two rounds
and still have a usable answer. The generator's return value is the final order.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain import Window

Order = tuple[int, ...]
"""Every position of the candidate list exactly once, best first."""

RoundScores = Sequence[Sequence[float]]
"""For each window of a round, one score for each of its candidates: higher is better, NaN is worst."""


@dataclass(frozen=True, slots=True)
class Round:
    """Windows that may be read side by side, and the best order known if they never are."""

    windows: tuple[Window, ...]
    best: Order


Plan = Generator[Round, RoundScores, Order]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What a strategy may use: passages wanted at the top, passages a prompt holds, and the step between windows."""

    top_k: int = 10
    window: int = 20
    stride: int = 10


class Strategy(Protocol):
    """A way of ranking ``count`` candidates (positions 0.. in first-stage order) so that the best ``top_k`` come first.

    Raises:
        InvalidInput: options that cannot work, such as a stride of 0.
    """

    def __call__(self, count: int, options: PlanOptions) -> Plan:
        """Plan the ranking."""
        ...
