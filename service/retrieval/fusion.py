"""One order from several: weighted reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain import Fused, RetrievalMode

RRF_K = 60
"""The paper's constant: how slowly a rank's worth falls."""

WEIGHTS: Mapping[RetrievalMode, float] = {
    RetrievalMode.DENSE: 1.0,
    RetrievalMode.SPARSE: 0.25,
    RetrievalMode.LEXICAL: 0.5,
}
"""The retrievers of a hybrid, and what the ranking of each counts.

Chosen by recall@100 on train queries of six collections: 0.966 on the mean, 0.960 with equal weights, 0.953 of the
dense retriever alone. Nearby weights differ by 0.001.
"""

DEPTH = 100
"""How many of each ranking a hybrid fuses, where not more are asked for."""

Scored = Sequence[tuple[int, float]]
"""Documents by number, with scores, best first."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is left of several rankings. ``weights`` are those of the rankings; none where there was only one.

    ``bm25`` holds the scores of the documents that full text found.
    """

    rows: Scored
    weights: Sequence[float] = ()
    bm25: Mapping[int, float] = field(default_factory=dict)

    def behind(self, score: float) -> Fused | None:
        """What stands behind a document's score, where that is a fused one."""
        return told_by(score, self.weights) if self.weights else None


def retrievers(mode: RetrievalMode, count: int) -> tuple[Sequence[RetrievalMode], int]:
    """The retrievers that a mode stands for, and how many documents to take of each to find ``count``."""
    if mode is RetrievalMode.HYBRID:
        return [*WEIGHTS], max(count, DEPTH)
    return [mode], count


def combined(rankings: Mapping[RetrievalMode, Scored], count: int) -> Found:
    """The only ranking as it is, or the fusion of several by ``WEIGHTS``; at most ``count`` of it."""
    bm25 = dict(rankings.get(RetrievalMode.LEXICAL, ()))
    if len(rankings) == 1:
        (ranking,) = rankings.values()
        return Found(ranking[:count], bm25=bm25)
    complete = len(rankings) == len(WEIGHTS)  # the weights are those of the encoders that ship
    weights = [WEIGHTS[retriever] if complete else 1.0 for retriever in rankings]
    fused = reciprocal_rank_fusion([[row for row, _ in ranking] for ranking in rankings.values()], weights)
    return Found(fused[:count], weights, bm25)


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
