"""What the first stage's order says beside the model.

A listwise model reads twenty passages at once and knows nothing of how they were found; the first stage knows the words
that both share, and has seen the whole corpus. To read a candidate's label logit as log odds, and to believe before
reading that relevance falls with the first stage's rank as ``1 / rank ** weight``, means to take ``weight * ln(rank)``
from the logit. Models that compare by meaning gain from such an interpolation with a lexical first stage (Wang, Zhuang
and Zuccon, ICTIR 2021).

A first stage that fuses several rankings is evidence from each of them, so each takes its part. Their sum is read from
the fused score: as if all of them held the candidate at the one rank that gives it. A passage that both halves of a
hybrid have at the top is then far ahead of the next; the best of two halves that disagree is not.

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
    """Takes ``weight * ln(rank)`` from each candidate's score, for each ranking of which the first stage consists."""
    if not weight:
        return unweighed
    discounts = [weight * _log_rank(candidate) for candidate in candidates]

    def weighed(window: Window, scores: LabelLogits) -> LabelLogits:
        return tuple(score - discounts[position] for position, score in zip(window, scores, strict=True))

    return weighed


def _log_rank(candidate: Candidate) -> float:
    fused = candidate.fused
    return math.log(candidate.rank) if fused is None else fused.rankings * math.log(fused.rank)
