"""Lists and readers made up for measuring strategies: how good a first stage is, and how a model errs, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.domain import Window
from service.ranking.strategies.plan import Order

_GRADES_FROM = (0.9, 1.4, 1.9)
"""Merit from which a passage has grade 1, 2 and 3: 18, 8 and 3 of 100 passages."""

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reader:
    """How a model reads a window: a passage's logit is its merit, which is normally distributed, and these errors.

    ``misjudged`` is the standard deviation of what it makes of a passage every time, ``noise`` of what it makes of it
    once. ``first`` is what it gives the first place of a prompt more than the last. With the probability ``flips`` a
    passage's logit is another's, by chance.
    """

    misjudged: float = 0.0
    noise: float = 0.0
    first: float = 0.0
    flips: float = 0.0


@dataclass(frozen=True)
class MadeUpList:
    """Candidates of a first stage that errs by ``spread``: ``seed`` says which."""

    seed: int
    count: int
    spread: float = 1.3

    @cached_property
    def merit(self) -> _Values:
        """Of each candidate, in first-stage order."""
        drawn = np.random.default_rng([self.seed, 0])
        merit = drawn.normal(size=self.count)
        seen = merit + drawn.normal(scale=self.spread, size=self.count)
        ordered: _Values = merit[np.argsort(-seen)]
        return ordered

    @cached_property
    def _grades(self) -> _Values:
        grades: _Values = np.searchsorted(_GRADES_FROM, self.merit).astype(np.float64)
        return grades

    def ndcg(self, order: Order) -> float | None:
        """nDCG@10 with grades as linear gains; ``None`` where no candidate has a grade."""
        discounts = 1 / np.log2(np.arange(2, 12))[: self.count]
        ideal = float(-np.sort(-self._grades)[:10] @ discounts)
        return float(self._grades[list(order[:10])] @ discounts) / ideal if ideal else None


class Reading:
    """A comparator: one reader on one list. The same windows in the same order are read the same."""

    def __init__(self, made_up: MadeUpList, reader: Reader) -> None:
        self._reader = reader
        self._dice = np.random.default_rng([made_up.seed, 1])
        self._seen = made_up.merit + self._dice.normal(scale=reader.misjudged, size=made_up.count)

    def __call__(self, window: Window) -> Sequence[float]:
        """A logit for each passage of the window."""
        reader, size = self._reader, len(window)
        logits = self._seen[list(window)] + self._dice.normal(scale=reader.noise, size=size)
        flipped = self._dice.random(size) < reader.flips
        logits[flipped] = self._dice.permutation(logits)[flipped]
        read: list[float] = (logits + reader.first * np.linspace(0.5, -0.5, size)).tolist()
        return read
