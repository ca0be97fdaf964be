"""Takes the pointer out of an exported model, so that it can be trained on: the inverse of ``pointer.py``.

The feed-forward part of the layer that gathers falls silent again, and a probe learns to read from the states that are
then left what the pointer's queries and keys read before. A pointer compares in a rotated space; the rotation to the
teacher's is the one that brings its vectors closest (Procrustes). So the probe's cosines are the model's logits however
few the texts are that it is learnt from; one solved anew would know no more than those.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.model import HEADS, Decoder, gathering_layer, last_layer
from training.probe import Probe, States, held, relearnt
from training.windows import Batch


@torch.no_grad()
def unpoint(model: Decoder, windows: list[Batch]) -> Probe:
    """Edits the gathering layer in place; returns the probe that reads what the pointer compared.

    ``windows`` is the sample that it is learnt from, with the teacher's vectors.
    """
    layer, last = gathering_layer(model), last_layer(model)
    states = [(batch, model.gathered(batch.ids)) for batch in windows]
    named = _ends([(batch, layer.fed(found)) for batch, found in states])
    for part in (layer.widen, layer.narrow):
        part.weight.zero_()
        part.bias.zero_()
    plain = _ends([(batch, layer.fed(found)) for batch, found in states])

    compared = torch.arange(1, last.key.out_features + 1) % (last.key.out_features // HEADS) != 0
    learnt, read = [], []
    for pointer, before, now in zip((last.key, last.query), named, plain, strict=True):
        weight, bias = pointer.weight[compared], pointer.bias[compared]
        wanted = before @ weight.T + bias
        size = wanted.norm(dim=-1).mean()
        read.append(F.normalize(wanted, dim=-1))
        learnt.append([found / size for found in relearnt(weight, now, wanted)])
    turn = _rotation(torch.cat(read), _teacher(windows))
    probe = Probe(model.tokens.shape[1])
    for linear, (weight, bias) in zip((probe.passage, probe.query), learnt, strict=True):
        linear.weight.copy_(turn @ weight)
        linear.bias.copy_(turn @ bias)
    return probe


def _ends(states: States) -> tuple[Tensor, Tensor]:
    """States at all closing labels, and at all last positions, [states, width] each."""
    found = [held(batch, before) for batch, before in states]
    return torch.cat([closing.flatten(0, 1) for closing, _ in found]), torch.cat([last for _, last in found])


def _teacher(windows: list[Batch]) -> Tensor:
    """The teacher's unit vectors: of all passages, then of all queries."""
    passages = [batch.vectors[:, :-1].flatten(0, 1) for batch in windows]
    return F.normalize(torch.cat([*passages, *(batch.vectors[:, -1] for batch in windows)]), dim=-1)


def _rotation(vectors: Tensor, wanted: Tensor) -> Tensor:
    """The map [wide, narrow] that keeps angles and brings ``vectors`` [n, narrow] closest to ``wanted`` [n, wide]."""
    left, _, right = torch.linalg.svd(wanted.T @ vectors, full_matrices=False)
    turn: Tensor = left @ right
    return turn
