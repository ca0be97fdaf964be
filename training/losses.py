"""The training signal, all of it on one window's n passages.

- Weighted RankNet on the label logits (FIRST, arXiv 2406.15450): pair weight 1 / (rank_i + rank_j).
- Softmax cross-entropy toward the teacher's distribution mixed with the judged passages.
- An auxiliary signal at each closing label: binary cross-entropy and RankNet on the difference of two spare rows. It is
  dense (n signals a window instead of one) and makes learning take off.
- A probe before the last layer: what the closing labels and the last position hold should be the teacher's vectors of
  the passages and of the query. Then the last layer has to do no more than attend by similarity and copy the label.
  It fades out.
- Attention itself: the last position's attention in the last layer, mean of the heads, should lie on the closing labels
  as the wanted distribution does. It settles where to look before the copying is learnt.
- No label may be favoured: the variance of the labels' mean logits. Without it their rows drift along the mean state.
- A closing label must still name itself before the last layer: cross-entropy over the label rows; the
  probe alone would wipe that out.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_GOLD_BONUS = 1.0  # lifts every judged passage above any cosine
_SURE_GAP = 0.1  # cosine difference from which a pair counts in full
_HALF_RELEVANT, _RELEVANCE_SCALE = 0.65, 0.08


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


def wanted_mass(gold: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Half on the judged passages, half as the teacher has it (all of it where nothing is judged relevant)."""
    count = gold.sum(-1, keepdim=True)
    share = torch.where(count > 0, 0.5, 0.0)
    return share * gold / count.clamp_min(1) + (1 - share) * torch.softmax(teacher / temperature, -1)


def distillation(logits: Tensor, mass: Tensor) -> Tensor:
    """Cross-entropy of the logits' softmax toward a distribution."""
    return -(mass * torch.log_softmax(logits, -1)).sum(-1).mean()


def attention(shares: Tensor, mass: Tensor) -> Tensor:
    """Cross-entropy of the attention on the n closing labels [batch, n] (its sum is below 1) toward a distribution."""
    return -(mass * (shares + 1e-6).log()).sum(-1).mean()


def favour(mean_hidden: Tensor, label_rows: Tensor) -> Tensor:
    """Variance over the labels [all, width] of their logits at the batch's mean final state: no label is favoured."""
    return (label_rows @ mean_hidden).var()


def nothing(logits: Tensor) -> Tensor:
    """Positions that close no passage are not relevant."""
    return F.softplus(logits).mean()


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


def identity(before: Tensor, label_rows: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of naming one's own label; before [batch, n, width], label_rows [all, width], labels [batch, n]."""
    return F.cross_entropy((before @ label_rows.T).flatten(0, 1), labels.flatten())


def auxiliary(logits: Tensor, gold: Tensor, teacher: Tensor, trust: float) -> Tensor:
    """Is this passage relevant? Unjudged passages the teacher likes count as half so."""
    belief = torch.where(gold > 0, 1.0, 0.5 * torch.sigmoid((teacher - _HALF_RELEVANT) / _RELEVANCE_SCALE))
    return F.binary_cross_entropy_with_logits(logits, belief) + 0.5 * weighted_ranknet(logits, gold, teacher, trust)
