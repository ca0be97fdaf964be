"""The training signal, all of it on what a probe reads from the states before the last layer.

- The teacher's vectors of the passages, at their closing labels, and of the query, at the last position.
- Weighted RankNet (FIRST, arXiv 2406.15657) on the cosines of those vectors: pair weight 1 / (rank_i + rank_j).
- Each query's cosines with all passages of the batch, as the teacher has them.

The last layer is solved and not trained (``pointer.py``): its logits are these cosines.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_GOLD_BONUS = 1.0  # lifts every judged passage above any cosine
_SURE_GAP = 0.1  # cosine difference from which a pair counts in full


def targets(gold: Tensor, teacher: Tensor) -> Tensor:
    """Scores whose order is the wanted one: judged passages first, the rest by the teacher."""
    return teacher + _GOLD_BONUS * gold


def weighted_ranknet(logits: Tensor, gold: Tensor, teacher: Tensor, trust: float = 1.0) -> Tensor:
    """Mean over pairs, weighted by 1 / (rank_i + rank_j).

    Pairs that only the teacher tells apart count as much as it is sure of them, times ``trust``.
    """
    wanted = targets(gold, teacher)
    ranks = wanted.argsort(-1, descending=True).argsort(-1).float() + 1
    gap = wanted[:, :, None] - wanted[:, None, :]
    judged = gold[:, :, None] > gold[:, None, :]
    weights = torch.where(judged, 1.0, trust * (gap / _SURE_GAP).clamp(0, 1)) / (ranks[:, :, None] + ranks[:, None, :])
    losses = F.softplus(logits[:, None, :] - logits[:, :, None])
    return ((weights * losses).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-6)).mean()


def distillation(logits: Tensor, mass: Tensor) -> Tensor:
    """Cross-entropy of the logits' softmax toward a distribution."""
    return -(mass * torch.log_softmax(logits, -1)).sum(-1).mean()


def recalled(vectors: Tensor, teacher_vectors: Tensor) -> Tensor:
    """One minus the cosine of each vector to the teacher's, [..., width] both."""
    return (1 - (vectors * F.normalize(teacher_vectors, dim=-1)).sum(-1)).mean()


def compared(queries: Tensor, passages: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Each query's cosines over all passages of the batch, as the teacher has them.

    Queries [batch, width], passages [batch, n, width], the teacher's vectors [batch, n + 1, width], its queries last.
    """
    wanted = torch.einsum("bw,anw->ban", teacher[:, -1], teacher[:, :-1]).flatten(1)
    found = torch.einsum("bw,anw->ban", queries, passages).flatten(1)
    return distillation(found / temperature, torch.softmax(wanted / temperature, -1))
