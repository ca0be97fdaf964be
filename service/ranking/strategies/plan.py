"""The strategy contract: a pure generator that yields rounds of windows and is sent their scores.

A strategy does no I/O, reads no clock and knows no model. Each ``Round`` it yields carries, beside the windows to be
read side by side, the best order known *before* they are read, so a deadline may stop it between any two rounds
and still have a usable answer. The generator's return value is the final order.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain import Aggregate, Sort, Window

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
    """What a strategy may use: passages wanted at the top, passages a prompt shows, and the step between windows.

    ``longest`` is the most passages that fit a prompt at all, ``most_prompts`` the most prompts that a plan may ask
    for. The others are parameters of some strategies, each told in its docstring; ``None`` leaves the choice to the
    strategy.
    """

    top_k: int = 10
    window: int = 20
    stride: int = 10
    longest: int = 20
    most_prompts: int = 2000
    passes: int | None = None
    pivot: int | None = None
    budget: int | None = None
    sort: Sort | None = None
    over: str | None = None
    shuffles: int | None = None
    aggregate: Aggregate | None = None


class Strategy(Protocol):
    """A way of ranking ``count`` candidates (positions 0.. in first-stage order) so that the best ``top_k`` come first.

    Raises:
        InvalidInput: options that cannot work, such as a stride of 0.
    """

    def __call__(self, count: int, options: PlanOptions) -> Plan:
        """Plan the ranking."""
        ...
