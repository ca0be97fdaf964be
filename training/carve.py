"""Makes a recast decoder compare the codes of slots (``slots.py``), in the room of what the encoder needs least.

The codes live in ``MARKS`` of the residual stream's dimensions, those that matter least to the next layers, and in as
many dimensions of each head's queries and keys: the product of queries and keys is first reduced to the remaining ones
by a singular value decomposition that weighs each direction by how much the states use it. Values, outputs and
feed-forward parts let the dimensions pass, and the layer norms are set on a sample such that the codes keep their size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.attention import causal_attention
from training.model import HEADS, Decoder, Layer, encoder_layers, gathering_layer
from training.slots import CLOSING, CODE_WIDTH, CONSTANT, FRONTAL, MARKS, SLOT, ZERO, marks


class Strength(NamedTuple):
    """How much a layer makes of marks, in numbers that float8 holds."""

    compared: float
    """A score loses its square, divided as all scores are, per unit by which two codes differ: half for the nearest."""
    front_asked: float
    front_answered: float
    """Their product is what some heads leave of that for the first slot's tokens."""


_EARLY = Strength(12.0, 12.0, 10.0)
_LATE = Strength(16.0, 16.0, 15.0)  # some tokens' norms are so large that little is left of their marks
_LAST = Strength(24.0, 20.0, 28.0)  # and of these one heard other passages
_STRENGTHS = [_EARLY] * 3 + [_LATE] * 2 + [_LAST]
_GATHERING = Strength(13.45, 0.0, 0.0)  # compares nothing else
_ASKING = 0.02  # of that layer's queries: its keys begin at zero, so that it weighs a slot's tokens alike, and learn
_SEEING_HEADS = 4
_EPSILON = 1e-5
_COMPARED = CODE_WIDTH + 2  # dimensions of each head


def least_needed(model: Decoder) -> Tensor:
    """Indices of the dimensions of the residual stream with the least weight in what reads it, [marks]."""
    need = torch.zeros(model.tokens.shape[1])
    size = model.tokens.std(0)
    for layer in encoder_layers(model):
        for linear in (layer.query, layer.key, layer.value):
            need += (linear.weight.norm(dim=0) * size).square()
        size = layer.attention_norm.weight.abs()
        need += (layer.widen.weight.norm(dim=0) * size).square()
        size = layer.output_norm.weight.abs()
    return need.argsort()[:MARKS]


@torch.no_grad()
def carve(model: Decoder, ids: Tensor) -> None:
    """Edits a model in place; ``ids`` [windows, tokens] is the sample."""
    _reorder(model, least_needed(model))
    for table in (model.tokens, model.places, model.slots):
        table[:, -MARKS:] = 0
    model.slots[:, -MARKS:] = marks()
    model.places[SLOT - 1, CLOSING - MARKS] = 1.0
    x = F.embedding(ids, model.tokens) + model.position_table(ids.shape[1])
    for number, layer in enumerate(encoder_layers(model)):
        x = _carve_layer(layer, x, _SEEING_HEADS if number else 0, _STRENGTHS[number])
    gathering = gathering_layer(model)
    gathering.output.weight[-MARKS:] = 0
    gathering.output.bias[-MARKS:] = 0
    _compare_codes(gathering, 0, _GATHERING)
    asked = gathering.query.weight.view(HEADS, -1, gathering.query.in_features)[:, :-_COMPARED, :-MARKS]
    asked.copy_(_ASKING * torch.randn(asked.shape))


@torch.no_grad()
def isolate(model: Decoder) -> None:
    """Makes a trained model hide other slots as well as one that is carved today; what it sees of its own stays."""
    for number, layer in enumerate(encoder_layers(model)):
        _compare_codes(layer, _SEEING_HEADS if number else 0, _STRENGTHS[number])


@dataclass(frozen=True)
class Kept:
    """A part of a parameter that training leaves alone."""

    parameter: nn.Parameter
    part: Callable[[Tensor], Tensor]
    """A view of a tensor of the parameter's shape."""
    value: Tensor

    def hide(self) -> None:
        """Takes it out of the gradient, where it would have its share of what is clipped or made orthogonal."""
        if self.parameter.grad is not None:
            self.part(self.parameter.grad).zero_()

    def restore(self) -> None:
        """Undoes what weight decay did to it."""
        self.part(self.parameter.data).copy_(self.value)


def fixed(model: Decoder) -> list[Kept]:
    """The parts that say where a token stands, with the values they have now.

    A step that any other weight hardly notices would move the scores of whole slots.
    """
    parts: list[tuple[nn.Parameter, Callable[[Tensor], Tensor]]] = []
    parts += [(table, _last_columns) for table in (model.tokens, model.places, model.slots)]
    for layer in (*encoder_layers(model), gathering_layer(model)):
        for linear in (layer.query, layer.key):
            parts += [(linear.weight, _compared), (linear.bias, _compared)]
        for writing in (layer.output, layer.narrow, layer.attention_norm, layer.output_norm):
            parts += [(writing.weight, _last), (writing.bias, _last)]
    return [Kept(parameter, part, part(parameter.data).clone()) for parameter, part in parts]


def _last(tensor: Tensor) -> Tensor:
    return tensor[-MARKS:]


def _last_columns(tensor: Tensor) -> Tensor:
    return tensor[:, -MARKS:]


def _compared(tensor: Tensor) -> Tensor:
    return tensor.unflatten(0, (HEADS, -1))[:, -_COMPARED:]


def _reorder(model: Decoder, last: Tensor) -> None:
    """Moves dimensions of the residual stream to the end: the model computes what it did."""
    width = model.tokens.shape[1]
    order = torch.cat([torch.tensor([i for i in range(width) if i not in set(last.tolist())]), last])
    for table in (model.tokens, model.places, model.slots):
        table.copy_(table[:, order])
    for layer in encoder_layers(model):
        for linear in (layer.query, layer.key, layer.value, layer.widen):
            linear.weight.copy_(linear.weight[:, order])
        for linear in (layer.output, layer.narrow):
            linear.weight.copy_(linear.weight[order])
            linear.bias.copy_(linear.bias[order])
        for norm in (layer.attention_norm, layer.output_norm):
            norm.weight.copy_(norm.weight[order])
            norm.bias.copy_(norm.bias[order])


def _carve_layer(layer: Layer, x: Tensor, seeing: int, strength: Strength) -> Tensor:
    for linear in (layer.query, layer.key, layer.value, layer.widen):
        linear.weight[:, -MARKS:] = 0
    for linear in (layer.output, layer.narrow):
        linear.weight[-MARKS:] = 0
        linear.bias[-MARKS:] = 0
    _mark_heads(layer, x, seeing, strength)
    heads = [_heads(F.linear(x, part.weight, part.bias)) for part in (layer.query, layer.key, layer.value)]
    mixed = causal_attention(*heads).view(len(x), HEADS, x.shape[1], -1).transpose(1, 2).reshape(x.shape)
    x = _keep_size(layer.attention_norm, x + layer.output(mixed))
    return _keep_size(layer.output_norm, x + layer.narrow(F.gelu(layer.widen(x))))


def _heads(x: Tensor) -> Tensor:
    batch, tokens, width = x.shape
    return x.view(batch, tokens, HEADS, width // HEADS).transpose(1, 2).reshape(batch * HEADS, tokens, width // HEADS)


def _mark_heads(layer: Layer, x: Tensor, seeing: int, strength: Strength) -> None:
    """Reduces each head's queries and keys, and lets the room compare codes."""
    size = x.shape[-1] // HEADS
    kept = size - _COMPARED
    asking = layer.query(x).view(-1, HEADS, size)
    answering = layer.key(x).view(-1, HEADS, size)
    for head in range(HEADS):
        rows = slice(head * size, (head + 1) * size)
        to_query, to_key = reduced(asking[:, head], answering[:, head], kept)
        for linear, reduce in ((layer.query, to_query), (layer.key, to_key)):
            weight, bias = linear.weight[rows].clone(), linear.bias[rows].clone()
            linear.weight[rows], linear.bias[rows] = 0, 0
            linear.weight[rows][:kept], linear.bias[rows][:kept] = reduce @ weight, reduce @ bias
    _compare_codes(layer, seeing, strength)


def _compare_codes(layer: Layer, seeing: int, strength: Strength) -> None:
    """Fills the last rows of each head's queries and keys. The zero is taken from every mark."""
    size = layer.query.out_features // HEADS
    compared = strength.compared
    for head in range(HEADS):
        first = (head + 1) * size - _COMPARED
        for i, query, key in (
            *((i, (i, compared), (i, compared)) for i in range(CODE_WIDTH)),
            (CONSTANT, (CONSTANT, -compared), (CONSTANT, compared)),
            (FRONTAL, (CONSTANT, strength.front_asked), (FRONTAL, strength.front_answered if head < seeing else 0.0)),
        ):
            for linear, (mark, factor) in ((layer.query, query), (layer.key, key)):
                linear.weight[first + i, mark - MARKS] = factor
                linear.weight[first + i, ZERO - MARKS] = -factor


def reduced(query: Tensor, key: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Maps [kept, size] of queries and keys [states, size] that keep their products best, on these states."""
    root_q, root_k = (_root(states.T @ states / len(states)) for states in (query, key))
    left, values, right = torch.linalg.svd(root_q @ root_k)
    scale = values[:kept].sqrt()
    return (
        (torch.linalg.solve(root_q, left[:, :kept]) * scale).T,
        (torch.linalg.solve(root_k, right.T[:, :kept]) * scale).T,
    )


def _root(moments: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(moments)
    return vectors @ torch.diag(values.clamp_min(1e-4 * values.max()).sqrt()) @ vectors.T


def _keep_size(norm: torch.nn.LayerNorm, summed: Tensor) -> Tensor:
    """The norm's output, its gain and bias set such that the codes come out as they went in, on average."""
    mean = summed.mean(-1, keepdim=True)
    inverse = (summed.var(-1, unbiased=False, keepdim=True) + _EPSILON).rsqrt()
    gain = 1 / inverse.mean()
    norm.weight[-MARKS:] = gain
    norm.bias[-MARKS:] = gain * (mean * inverse).mean()
    return F.layer_norm(summed, (summed.shape[-1],), norm.weight, norm.bias, _EPSILON)
