"""FIRST's objective (arXiv 2406.15657): the language model's loss plus weighted RankNet on the labels' logits.

Both read one position, the prompt's last: what the service reads. So the language model's loss is that of the first
label only, not of a whole permutation written out. Where several passages share the best grade, it asks for any of
them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.lora.examples import Example


def first_label_loss(logits: Tensor, labels: Tensor, grades: Tensor) -> Tensor:
    """Minus the logarithm of the probability, over the vocabulary [tokens], of a label [n] with the best grade [n]."""
    return logits.logsumexp(-1) - logits[labels[grades == grades.max()]].logsumexp(-1)


def weighted_ranknet(scores: Tensor, grades: Tensor) -> Tensor:
    """Mean over the pairs that grades [n] tell apart; a pair's weight is 1 / (rank_i + rank_j).

    Ranks are those of the wanted order; passages of equal grade are in the order of their scores [n].
    """
    order = scores.detach().argsort(descending=True)
    order = order[grades[order].argsort(descending=True, stable=True)]
    ranks = torch.empty_like(scores).scatter(
        0, order, torch.arange(1, len(scores) + 1, device=scores.device).to(scores)
    )
    better = grades[:, None] > grades[None, :]
    weights = 1 / (ranks[:, None] + ranks[None, :])
    losses = F.softplus(scores[None, :] - scores[:, None])
    return (weights * losses)[better].sum() / better.sum().clamp_min(1)


def objective(logits: Tensor, examples: list[Example], rank_weight: float) -> tuple[Tensor, dict[str, float]]:
    """Sum over the windows, of logits [windows, tokens] at their last position in float32; and each part's sum."""
    parts: dict[str, Tensor] = {"label": logits.new_zeros(()), "rank": logits.new_zeros(())}
    hits = 0.0
    for row, example in zip(logits, examples, strict=True):
        labels = torch.tensor(example.prompt.label_ids, device=row.device)
        grades = torch.tensor(example.grades, device=row.device)
        parts["label"] = parts["label"] + first_label_loss(row, labels, grades)
        parts["rank"] = parts["rank"] + weighted_ranknet(row[labels], grades)
        hits += float(grades[row[labels].argmax()] > 0)
    shown = {name: part.item() for name, part in parts.items()}
    return parts["label"] + rank_weight * parts["rank"], shown | {"top1": hits}
