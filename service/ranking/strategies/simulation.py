"""A plan followed with a comparator instead of a model: for tests, and to compare strategies without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.domain import Window
from service.ranking.strategies.plan import Order, Plan, Round

Comparator = Callable[[Window], Sequence[float]]
"""A score for each candidate of a window, higher is better."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a plan asked for, and where it ended."""

    order: Order
    asked: tuple[Round, ...]

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return len(self.asked)

    @property
    def prompts(self) -> int:
        """How many windows there were in all rounds."""
        return sum(len(step.windows) for step in self.asked)


def simulate(plan: Plan, comparator: Comparator) -> Simulated:
    """Follow ``plan`` to its end."""
    asked: list[Round] = []
    try:
        step = next(plan)
        while True:
            asked.append(step)
            step = plan.send([comparator(window) for window in step.windows])
    except StopIteration as finished:
        return Simulated(finished.value, tuple(asked))
