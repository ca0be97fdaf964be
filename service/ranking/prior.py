"""What the first stage's order says beside the model.

A listwise model reads twenty passages at once and knows nothing of how they were found; the first stage knows the words
that both share, and has seen the whole corpus. To read a candidate's label logit as log odds, and to believe before
reading that relevance falls with the first stage's rank as ``1 / rank ** weight``, means to take ``weight * ln(rank)``
from the logit. Models that compare by meaning gain from such an interpolation with a lexical first stage (Wang, Zhuang
and Zuccon, ICTIR 2021).

Only the difference of two candidates counts, so it holds in every window that a strategy shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from service.domain import Candidate, Window
from service.engine.scorer import LabelLogits

Weigh = Callable[[Window, LabelLogits], LabelLogits]
"""The scores of a window's passages with what is known of them beside."""


def unweighed(_: Window, scores: LabelLogits) -> LabelLogits:
    """The model's scores, and nothing else."""
    return scores


def by_first_stage(candidates: Iterable[Candidate], weight: float) -> Weigh:
    """Takes ``weight * ln(rank)`` from the score of each candidate, by its rank in the first stage."""
    if not weight:
        return unweighed
    discounts = [weight * math.log(candidate.rank) for candidate in candidates]

    def weighed(window: Window, scores: LabelLogits) -> LabelLogits:
        return tuple(score - discounts[position] for position, score in zip(window, scores, strict=True))

    return weighed
