"""The decoder: post-layer-norm transformer with learned, repeating positions and tied embeddings (OPT's layout).

Parameters are float32; the computation casts them to bfloat16, which is what matrix units of recent CPUs multiply.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from training.attention import causal_attention

HEADS = 12
LONGEST = 2048  # positions a decoder knows
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
        batch, tokens, width = x.shape
        heads = _linear(x, self.query, self.key, self.value).view(batch, tokens, 3, HEADS, width // HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4).reshape(3, batch * HEADS, tokens, width // HEADS).unbind(0)
        mixed = causal_attention(query, key, value).view(batch, HEADS, tokens, -1).transpose(1, 2).reshape(x.shape)
        return self._after_attention(x, mixed)

    def at(self, x: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one position a row, ``last`` [batch]: [batch, width] and attention [batch, heads, tokens]."""
        batch, tokens, width = x.shape
        own = take(x, last[:, None])
        query = _linear(own, self.query).view(batch, HEADS, 1, width // HEADS)
        key, value = (
            _linear(x, self.key, self.value)
            .view(batch, tokens, 2, HEADS, width // HEADS)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        scores = (query @ key.transpose(2, 3)).float() * (width // HEADS) ** -0.5
        later = torch.arange(tokens) > last[:, None]
        shares = scores.masked_fill(later[:, None, None], -torch.inf).softmax(-1)
        mixed = (shares.to(x.dtype) @ value).view(batch, 1, width)
        return self._after_attention(own, mixed)[:, 0], shares[:, :, 0]

    def _after_attention(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = _norm(x + _linear(mixed, self.output), self.attention_norm)
        return _norm(x + _linear(F.gelu(_linear(x, self.widen)), self.narrow), self.output_norm)


class Decoder(nn.Module):
    """Token and position tables and the layers.

    The row of position i is the encoder's row i mod ``period`` plus a row for the stretch i // ``period``, learnt from
    zero: with the first alone, a token cannot tell its own passage from one a period away.
    """

    def __init__(self, vocab: int, period: int, width: int = 384, inner: int = 1536, layers: int = 6) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(vocab, width))
        self.positions = nn.Parameter(torch.empty(period, width))
        self.stretches = nn.Parameter(torch.zeros(math.ceil(LONGEST / period), width))
        self.layers = nn.ModuleList(Layer(width, inner) for _ in range(layers))

    def position_table(self, length: int) -> Tensor:
        """Rows of the first ``length`` positions."""
        index, period = torch.arange(length), len(self.positions)
        return self.positions[index % period] + self.stretches[index // period]

    def forward(self, ids: Tensor, last: Tensor, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, Tensor, Tensor]:
        """Of right-padded ids [batch, tokens]: what training needs.

        Hidden states [batch, width] at ``last`` [batch] after the last layer; those of all tokens before it; the last
        layer's attention at ``last``, [batch, heads, tokens].
        """
        x = F.embedding(ids, self.tokens.to(dtype)) + self.position_table(ids.shape[1]).to(dtype)
        for layer in self.layers[:-1]:
            x = layer(x)
        final, shares = self.layers[-1].at(x, last)  # type: ignore[operator]
        return final, x, shares


class Probe(nn.Module):
    """Reads sentence vectors out of hidden states during training; not part of the exported model."""

    def __init__(self, width: int = 384) -> None:
        super().__init__()
        self.passage, self.query = nn.Linear(width, width), nn.Linear(width, width)
        for linear in (self.passage, self.query):
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, closing: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of passages [batch, n, width] at their closing labels, and of queries [batch, width]."""
        return F.normalize(self.passage(closing), dim=-1), F.normalize(self.query(last), dim=-1)


def load_decoder(path: Path) -> Decoder:
    """A decoder from a ``.safetensors`` of its own parameter names or from a training checkpoint (``.pt``)."""
    weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)["model"]
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    (vocab, width), inner = weights["tokens"].shape, weights["layers.0.widen.weight"].shape[0]
    model = Decoder(vocab, len(weights["positions"]), width, inner, layers)
    model.load_state_dict({"stretches": torch.zeros_like(model.stretches)} | weights)
    return model
