"""The decoder: post-layer-norm transformer with learned positions by slots and tied embeddings (OPT's layout).

Parameters are float32; the computation casts them to bfloat16, which is what matrix units of recent CPUs multiply.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from training.attention import causal_attention
from training.slots import FRONT, SLOT, SLOTS, slot_of

HEADS = 12
_NORM_EPSILON = 1e-5  # OPT's


def _linear(x: Tensor, *layers: nn.Linear) -> Tensor:
    """One product for layers that share their input."""
    weight = torch.cat([layer.weight for layer in layers]) if len(layers) > 1 else layers[0].weight
    bias = torch.cat([layer.bias for layer in layers]) if len(layers) > 1 else layers[0].bias
    return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))


def _norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), norm.weight.to(x.dtype), norm.bias.to(x.dtype), _NORM_EPSILON)


def take(x: Tensor, positions: Tensor) -> Tensor:
    """Rows of x [batch, tokens, width] at positions [batch, wanted]."""
    return x.gather(1, positions[..., None].expand(-1, -1, x.shape[-1]))


def _mix(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
    scores = query * (1 / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
    return torch.softmax(scores + hidden, -1) @ value


class Layer(nn.Module):
    """One transformer layer with its norms after the residual sums."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width] to the same."""
        return self.fed(self.attended(x))

    def attended(self, x: Tensor) -> Tensor:
        """The first half of the layer."""
        heads = [part.flatten(0, 1) for part in self._heads(x)]
        return self._joined(x, causal_attention(*heads).view(len(x), HEADS, x.shape[1], -1))

    def fed(self, x: Tensor) -> Tensor:
        """The second half of the layer."""
        return _norm(x + _linear(F.gelu(_linear(x, self.widen)), self.narrow), self.output_norm)

    def by_slot(self, x: Tensor) -> Tensor:
        """As ``forward`` for [batch, FRONT + slots * SLOT, width], cut by slots: 1.4 times the tokens a second.

        A token looks at the first slot, at its own, and at the first tokens of those before: opening labels are where
        heads rest, their marks are weak, and so they are seen from everywhere and see everything before them.
        """
        query, key, value = self._heads(x)
        count = (x.shape[1] - FRONT) // SLOT
        future = torch.full((SLOT, SLOT), -math.inf, dtype=x.dtype).triu(1)
        front = _mix(*(part[:, :, :FRONT] for part in (query, key, value)), future[:FRONT, :FRONT])
        own = [part[:, :, FRONT:].unflatten(2, (count, SLOT)) for part in (query, key, value)]
        seen = [
            torch.cat(
                [part[:, :, None].expand(-1, -1, count, -1, -1) for part in (whole[:, :, :FRONT], mine[:, :, :, 0])]
                + [mine],
                3,
            )
            for whole, mine in ((key, own[1]), (value, own[2]))
        ]
        later = torch.full((count, count), -math.inf, dtype=x.dtype).triu()[:, None].expand(-1, SLOT, -1)
        hidden = torch.cat([torch.zeros(count, SLOT, FRONT, dtype=x.dtype), later, future.expand(count, -1, -1)], 2)
        behind = _mix(own[0], *seen, hidden)
        later = torch.arange(x.shape[1]) > FRONT + SLOT * torch.arange(count)[:, None]
        unseen = torch.zeros(later.shape, dtype=x.dtype).masked_fill(later, -math.inf)
        openings = _mix(own[0][:, :, :, 0], key, value, unseen)
        behind = torch.cat([openings[:, :, :, None], behind[:, :, :, 1:]], 3).flatten(2, 3)
        return self.fed(self._joined(x, torch.cat([front, behind], 2)))

    def at(self, x: Tensor, places: Tensor) -> Tensor:
        """As ``forward`` at ``places`` [batch, n] only: [batch, n, width]."""
        own = take(x, places)
        return self.fed(_norm(own + _linear(self.taken(x, places), self.output), self.attention_norm))

    def taken(self, x: Tensor, places: Tensor) -> Tensor:
        """What the heads take over at ``places`` [batch, n]: [batch, n, width]."""
        query = _linear(take(x, places), self.query).unflatten(2, (HEADS, -1)).transpose(1, 2)
        key, value = _linear(x, self.key, self.value).unflatten(2, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(2, 3)).float() * query.shape[-1] ** -0.5
        later = torch.arange(x.shape[1]) > places[..., None]
        shares = scores.masked_fill(later[:, None], -torch.inf).softmax(-1)
        return (shares.to(x.dtype) @ value).transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values, [3, batch, heads, tokens, size]."""
        return _linear(x, self.query, self.key, self.value).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)

    def _joined(self, x: Tensor, mixed: Tensor) -> Tensor:
        return _norm(x + _linear(mixed.transpose(1, 2).reshape(x.shape), self.output), self.attention_norm)


class Decoder(nn.Module):
    """Token and position tables and the layers. A position's row: that of its place in its slot plus the slot's own."""

    def __init__(self, vocab: int, width: int = 384, inner: int = 1536, layers: int = 6) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(vocab, width))
        self.places = nn.Parameter(torch.empty(SLOT, width))
        self.slots = nn.Parameter(torch.zeros(SLOTS, width))
        self.layers = nn.ModuleList(Layer(width, inner) for _ in range(layers))

    def position_table(self, length: int) -> Tensor:
        """Rows of the first ``length`` positions."""
        slots, places = slot_of(torch.arange(length))
        return self.places[places] + self.slots[slots]

    def forward(self, ids: Tensor, last: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """States [batch, width] after the last layer at ``last`` [batch], of right-padded ids [batch, tokens]."""
        return last_layer(self).at(self.below(ids, dtype), last[:, None])[:, 0]

    def embed(self, ids: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """Token plus position rows, [batch, tokens, width]."""
        return F.embedding(ids, self.tokens.to(dtype)) + self.position_table(ids.shape[1]).to(dtype)

    def below(self, ids: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """States of all tokens before the last layer."""
        x = self.embed(ids, dtype)
        for layer in self.layers[:-1]:
            x = layer(x)
        return x

    def gathered(self, ids: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """States of all tokens after the attention of the gathering layer, before its feed-forward part."""
        x = self.embed(ids, dtype)
        for layer in encoder_layers(self):
            x = layer(x)
        return gathering_layer(self).attended(x)

    def held(self, ids: Tensor, last: Tensor, passages: int) -> tuple[Tensor, Tensor]:
        """States before the last layer at closing labels [batch, passages, width] and at ``last`` [batch, width]."""
        x = self.embed(F.pad(ids, (0, FRONT + (passages + 1) * SLOT - ids.shape[1])))
        for layer in encoder_layers(self):
            x = layer.by_slot(x)
        closing = (FRONT - 1 + SLOT * torch.arange(1, passages + 1)).expand(len(x), -1)
        states = gathering_layer(self).at(x, torch.cat([closing, last[:, None]], 1))
        return states[:, :-1], states[:, -1]


def encoder_layers(model: Decoder) -> list[Layer]:
    """All layers but the last two."""
    return [layer for layer in model.layers[:-2] if isinstance(layer, Layer)]


def gathering_layer(model: Decoder) -> Layer:
    """The last layer but one, which gathers what a slot holds."""
    layer = model.layers[-2]
    assert isinstance(layer, Layer)
    return layer


def last_layer(model: Decoder) -> Layer:
    """The layer that becomes a pointer."""
    layer = model.layers[-1]
    assert isinstance(layer, Layer)
    return layer


def label_logits(model: Decoder, hidden: Tensor, labels: Tensor) -> Tensor:
    """Logits [batch, n] of the labels [batch, n] at the last position."""
    return torch.einsum("bw,bnw->bn", hidden.float(), F.embedding(labels, model.tokens.detach()))


def load_decoder(path: Path) -> Decoder:
    """A decoder from a ``.safetensors`` of its own parameter names or from a training checkpoint (``.pt``)."""
    weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)["model"]
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    (vocab, width), inner = weights["tokens"].shape, weights["layers.0.widen.weight"].shape[0]
    model = Decoder(vocab, width, inner, layers)
    model.load_state_dict(weights)
    return model
