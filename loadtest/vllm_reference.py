"""A plain float32 forward pass of an OPT-shaped model with post-layer-norm: the yardstick of ``vllm_agreement.py``.

NumPy and nothing else, written from the architecture's description (arXiv 2205.01068), so that it shares no code with
anything it measures. Slow on purpose: a window of 1,700 tokens takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.engine.scorer import LabelLogits, Prompt
from service.engine.vllm import safetensors

Matrix = NDArray[np.float32]

_POSITION_OFFSET = 2
_EPSILON = 1e-5
_BLOCK = 256  # query positions at once: keys after a block's end are never computed
_DTYPES = {"F32": np.float32, "F16": np.float16}


class ReferenceScorer:
    """A ``Scorer`` over the safetensors checkpoint in ``folder``."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = safetensors.read(folder / "model.safetensors").items()
        self.model = f"{folder.name}, float32 reference"
        self._weights = {name.removeprefix("model.decoder."): _float32(tensor) for name, tensor in tensors}
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]

    async def open(self) -> None:
        """Nothing to look at."""

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:  # noqa: ARG002 - never late
        """Label logits, one prompt after another."""
        return [self._logits(prompt) for prompt in prompts]

    async def ready(self) -> bool:
        """Always."""
        return True

    async def close(self) -> None:
        """Nothing to release."""

    def _logits(self, prompt: Prompt) -> LabelLogits:
        embeddings = self._weights["embed_tokens.weight"]
        positions = np.arange(len(prompt.token_ids)) + _POSITION_OFFSET
        hidden: Matrix = embeddings[prompt.token_ids] + self._weights["embed_positions.weight"][positions]
        for layer in range(self._layers):
            hidden = self._layer(f"layers.{layer}", hidden)
        return tuple((embeddings[list(prompt.label_ids)] @ hidden[-1]).tolist())

    def _layer(self, name: str, hidden: Matrix) -> Matrix:
        hidden = self._norm(f"{name}.self_attn_layer_norm", hidden + self._attention(f"{name}.self_attn", hidden))
        inner = _gelu(self._linear(f"{name}.fc1", hidden))
        return self._norm(f"{name}.final_layer_norm", hidden + self._linear(f"{name}.fc2", inner))

    def _attention(self, name: str, hidden: Matrix) -> Matrix:
        query, key, value = (self._by_head(f"{name}.{part}_proj", hidden) for part in "qkv")
        query *= np.float32(query.shape[-1] ** -0.5)
        blocks = [
            _attend(query[:, begin : begin + _BLOCK], key[:, : begin + _BLOCK], value[:, : begin + _BLOCK], begin)
            for begin in range(0, len(hidden), _BLOCK)
        ]
        joined = np.concatenate(blocks, axis=1).transpose(1, 0, 2).reshape(hidden.shape)
        return self._linear(f"{name}.out_proj", joined)

    def _by_head(self, name: str, hidden: Matrix) -> Matrix:
        """Shape [heads, tokens, width]."""
        return self._linear(name, hidden).reshape(len(hidden), self._heads, -1).transpose(1, 0, 2)

    def _linear(self, name: str, hidden: Matrix) -> Matrix:
        mapped: Matrix = hidden @ self._weights[f"{name}.weight"].T
        mapped += self._weights[f"{name}.bias"]
        return mapped

    def _norm(self, name: str, hidden: Matrix) -> Matrix:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        deviation: Matrix = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        normal: Matrix = centred / deviation * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return normal


def _attend(query: Matrix, key: Matrix, value: Matrix, begin: int) -> Matrix:
    """Causal attention of a block of queries, the first of which stands at ``begin``."""
    scores: Matrix = query @ key.transpose(0, 2, 1)
    later = np.arange(key.shape[1])[None, :] > np.arange(begin, begin + query.shape[1])[:, None]
    scores += np.where(later, np.float32(-np.inf), np.float32(0))
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    attended: Matrix = scores @ value
    attended /= scores.sum(axis=-1, keepdims=True)
    return attended


def _gelu(x: Matrix) -> Matrix:
    return x * np.float32(0.5) * (1 + _erf(x * np.float32(0.5**0.5)))


def _erf(x: Matrix) -> Matrix:
    """The error function within 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    size: Matrix = np.abs(x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * size)
    series = np.zeros_like(x)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(coefficient)
        series *= t
    series *= np.exp(-size * size)
    found: Matrix = np.sign(x) * (np.float32(1) - series)
    return found


def _float32(tensor: safetensors.Tensor) -> Matrix:
    if tensor.dtype == "BF16":  # the upper half of a float32
        values = (np.frombuffer(tensor.data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    elif tensor.dtype == "F8_E4M3":
        values = _eight_bit_floats()[np.frombuffer(tensor.data, np.uint8)]
    else:
        values = np.frombuffer(tensor.data, _DTYPES[tensor.dtype]).astype(np.float32)
    return values.reshape(tensor.shape)


def _eight_bit_floats() -> Matrix:
    """What the 256 codes of E4M3 stand for (Open Compute Project, OFP8): sign, 4 bits of exponent, 3 of fraction."""
    codes = np.arange(256)
    exponent, fraction = codes >> 3 & 15, codes & 7
    size = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7))
    size[codes & 127 == 127] = np.nan
    return np.where(codes >= 128, -size, size).astype(np.float32)
