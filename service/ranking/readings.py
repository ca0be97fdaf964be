"""What a model's answer to one prompt says about the passages that the prompt shows.

An engine gives one value for each label; a strategy wants one score for each passage. Between the two stands the
profile's reading. Strategies and engines know nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from service.engine.scorer import LabelLogits
from service.ranking.strategies.registry import ABSOLUTE, ALONE, STRATEGIES


class Reading(StrEnum):
    """What the values of one prompt's labels mean."""

    LISTWISE = "listwise"
    """A logit for each passage of the window: their order is the passages' order (FIRST, arXiv 2406.15657)."""
    POINTWISE = "pointwise"
    """One passage and two labels, the negative one first: the log odds of the second are the passage's score."""
    PERMUTATION = "permutation"
    """The model writes an order down; the engine gives minus the rank of each passage (RankGPT, arXiv 2304.09542)."""
    GRADED = "graded"
    """A prompt for each passage of the window, which shows all of them: its score is the grade expected of the answer,
    comparable with those of other windows (after GroupRank, arXiv 2511.11653, which has the grades written down)."""
    EMBEDDING = "embedding"
    """The cosine between the prompt's vector and each passage's own orders the window (E2Rank, arXiv 2510.22733)."""
    ENCODED = "encoded"
    """Query and passage are read apart, by encoders in this process: the value is the log odds that they match."""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies whose windows can be read so, in the registry's order."""
        if self.alone:
            return tuple(ALONE)
        return tuple(name for name in STRATEGIES if self.absolute or name not in ABSOLUTE)

    @property
    def by_token(self) -> bool:
        """Whether the model answers with a label's token; where not, labels are mere names that prompts show."""
        return self in {Reading.LISTWISE, Reading.POINTWISE, Reading.GRADED}

    @property
    def alone(self) -> bool:
        """Whether a prompt is about one passage."""
        return self in {Reading.POINTWISE, Reading.ENCODED}

    @property
    def absolute(self) -> bool:
        """Whether a score means the same in every window, so that scores of different windows can be compared."""
        return self.alone or self is Reading.GRADED

    def scores(self, answers: Sequence[LabelLogits]) -> LabelLogits:
        """One score for each passage of a window, from the values of the labels of the window's prompts."""
        if self is Reading.GRADED:
            return tuple(map(_expected, answers))
        (values,) = answers
        if self is Reading.POINTWISE:
            negative, positive = values
            return (positive - negative,)
        return values


def _expected(values: LabelLogits) -> float:
    """The expected place of the label that is answered, from 0."""
    top = max(values)
    weights = [math.exp(value - top) for value in values]
    return sum(place * weight for place, weight in enumerate(weights)) / math.fsum(weights)
