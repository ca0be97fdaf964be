"""The probe: reads sentence vectors out of hidden states. Training works through it; the pointer is made from it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.model import take
from training.windows import Batch

_RIDGE = 0.1
_RIDGE_OF_CHANGES = 0.02

States = list[tuple[Batch, Tensor]]
"""Batches with their hidden states before the last layer, [batch, tokens, width]."""


class Probe(nn.Module):
    """Two linear maps; not part of the exported model."""

    def __init__(self, width: int = 384) -> None:
        super().__init__()
        self.passage, self.query = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, closing: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of passages [batch, n, width] at their closing labels, and of queries [batch, width]."""
        return F.normalize(self.passage(closing), dim=-1), F.normalize(self.query(last), dim=-1)


def held(batch: Batch, before: Tensor) -> tuple[Tensor, Tensor]:
    """States before the last layer [batch, tokens, width] at closing labels and at the last position."""
    return take(before, batch.closing).float(), take(before, batch.last[:, None])[:, 0].float()


def solved(inputs: Tensor, wanted: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the ridge regression of ``wanted`` [states, out] on ``inputs`` [states, width]."""
    middle, goal = inputs.mean(0), wanted.mean(0)
    centred = inputs - middle
    gram = centred.T @ centred + ridge * len(inputs) * torch.eye(inputs.shape[1])
    weight = torch.linalg.solve(gram, centred.T @ (wanted - goal)).T
    return weight, goal - weight @ middle


def relearnt(weight: Tensor, states: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias that read ``vectors`` from changed states: what ``weight`` read, and what is to be added."""
    before = states @ weight.T
    near = weight * ((before * vectors).sum() / before.square().sum())
    change, bias = solved(states, vectors - states @ near.T, _RIDGE_OF_CHANGES)
    return change + near, bias


@torch.no_grad()
def read_vectors(probe: Probe, states: States) -> None:
    """Solves the probe: the teacher's vectors from the states of closing labels and of the last position."""
    found = [held(batch, before) for batch, before in states]
    for linear, inputs, wanted in (
        (
            probe.passage,
            [passages.flatten(0, 1) for passages, _ in found],
            [b.vectors[:, :-1].flatten(0, 1) for b, _ in states],
        ),
        (probe.query, [queries for _, queries in found], [batch.vectors[:, -1] for batch, _ in states]),
    ):
        weight, bias = solved(torch.cat(inputs), F.normalize(torch.cat(wanted), dim=-1), _RIDGE)
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
