"""One order from several: reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain import Fused

RRF_K = 60
"""The paper's constant: how slowly a rank's worth falls."""

HALVES = (1.0, 1.0)
"""What the dense ranking and the lexical one count in a hybrid."""


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[int]], weights: Sequence[float], k: int = RRF_K
) -> list[tuple[int, float]]:
    """Items with their fused scores, best first; equal scores in the order of the items' numbers.

    An item's score is the sum over the rankings that hold it of ``weight / (k + rank)``, ranks from 1.

    Args:
        rankings: items best first, each at most once a ranking.
        weights: one for each ranking.
        k: the constant of the formula.
    """
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))


def told_by(score: float, weights: Sequence[float], k: int = RRF_K) -> Fused:
    """What a fused ``score`` tells: held by all rankings at one rank, an item would come to just that."""
    return Fused(len(weights), max(1.0, sum(weights) / score - k))
