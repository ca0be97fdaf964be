"""What a model's answer to one prompt says about the passages that the prompt shows.

An engine gives one value for each label; a strategy wants one score for each passage. Between the two stands the
profile's reading. Strategies and engines know nothing of it.
"""

from __future__ import annotations

from enum import StrEnum

from service.engine.scorer import LabelLogits
from service.ranking.strategies.registry import ALONE, STRATEGIES


class Reading(StrEnum):
    """What the values of one prompt's labels mean."""

    LISTWISE = "listwise"
    """A logit for each passage of the window: their order is the passages' order (FIRST, arXiv 2406.15450)."""
    POINTWISE = "pointwise"
    """One passage and two labels, the negative one first: the log odds of the second are the passage's score."""
    PERMUTATION = "permutation"
    """The model writes an order down; the engine gives minus the rank of each passage (RankGPT, arXiv 2304.09542)."""
    EMBEDDING = "embedding"
    """The cosine between the prompt's vector and each passage's own orders the window (E2Rank, arXiv 2510.22733)."""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies whose windows can be read so, in the registry's order."""
        return tuple(name for name in STRATEGIES if (name in ALONE) == (self is Reading.POINTWISE))

    @property
    def by_token(self) -> bool:
        """Whether the model answers with a label's token; where not, labels are mere names that prompts show."""
        return self in {Reading.LISTWISE, Reading.POINTWISE}

    @property
    def absolute(self) -> bool:
        """Whether a score means the same in every window, so that scores of different windows can be compared."""
        return self is Reading.POINTWISE

    def scores(self, values: LabelLogits) -> LabelLogits:
        """One score for each passage of a window, from the values of the prompt's labels."""
        if self is Reading.POINTWISE:
            negative, positive = values
            return (positive - negative,)
        return values
