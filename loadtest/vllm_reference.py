"""A plain float32 forward pass of a Llama: the yardstick of ``vllm_agreement.py`` and of the tests of a real vLLM.

NumPy and nothing else, written from the architecture's description (arXiv 2302.13971; grouped keys, arXiv 2305.13245),
so that it shares no code with anything it measures. Slow on purpose.
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

_BLOCK = 256  # query positions at once: keys after a block's end are never computed
_DTYPES = {"F32": np.float32, "F16": np.float16}


class ReferenceScorer:
    """A ``Scorer`` over the safetensors checkpoint in ``folder``."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = safetensors.read(folder / "model.safetensors").items()
        self.model = f"{folder.name}, float32 reference"
        self._weights = {name.removeprefix("model."): _float32(tensor) for name, tensor in tensors}
        self._heads: int = config["num_attention_heads"]
        self._key_heads: int = config.get("num_key_value_heads", self._heads)
        self._layers: int = config["num_hidden_layers"]
        self._epsilon = np.float32(config["rms_norm_eps"])
        self._theta: float = config.get("rope_theta", 10_000.0)

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
        hidden: Matrix = self._weights["embed_tokens.weight"][prompt.token_ids]
        for layer in range(self._layers):
            hidden = self._layer(f"layers.{layer}", hidden)
        head = self._weights.get("lm_head.weight", self._weights["embed_tokens.weight"])
        return tuple((head[list(prompt.label_ids)] @ self._norm("norm", hidden[-1:])[0]).tolist())

    def _layer(self, name: str, hidden: Matrix) -> Matrix:
        hidden = hidden + self._attention(f"{name}.self_attn", self._norm(f"{name}.input_layernorm", hidden))
        normal = self._norm(f"{name}.post_attention_layernorm", hidden)
        gate = self._linear(f"{name}.mlp.gate_proj", normal)
        inner = gate / (1 + np.exp(-gate)) * self._linear(f"{name}.mlp.up_proj", normal)
        return hidden + self._linear(f"{name}.mlp.down_proj", inner)

    def _attention(self, name: str, hidden: Matrix) -> Matrix:
        query = _turned(self._by_head(f"{name}.q_proj", hidden, self._heads), self._theta)
        key = _turned(self._by_head(f"{name}.k_proj", hidden, self._key_heads), self._theta)
        value = self._by_head(f"{name}.v_proj", hidden, self._key_heads)
        key, value = (np.repeat(each, self._heads // self._key_heads, axis=0) for each in (key, value))
        query *= np.float32(query.shape[-1] ** -0.5)
        blocks = [
            _attend(query[:, begin : begin + _BLOCK], key[:, : begin + _BLOCK], value[:, : begin + _BLOCK], begin)
            for begin in range(0, len(hidden), _BLOCK)
        ]
        joined = np.concatenate(blocks, axis=1).transpose(1, 0, 2).reshape(len(hidden), -1)
        return self._linear(f"{name}.o_proj", joined)

    def _by_head(self, name: str, hidden: Matrix, heads: int) -> Matrix:
        """Shape [heads, tokens, width]."""
        return self._linear(name, hidden).reshape(len(hidden), heads, -1).transpose(1, 0, 2)

    def _linear(self, name: str, hidden: Matrix) -> Matrix:
        mapped: Matrix = hidden @ self._weights[f"{name}.weight"].T
        return mapped

    def _norm(self, name: str, hidden: Matrix) -> Matrix:
        size: Matrix = np.sqrt((hidden**2).mean(axis=-1, keepdims=True) + self._epsilon)
        return hidden / size * self._weights[f"{name}.weight"]


def _turned(vectors: Matrix, theta: float) -> Matrix:
    """Rotary positions (arXiv 2104.09864): entry i is turned together with the one half a vector behind it."""
    half = vectors.shape[-1] // 2
    angles = np.outer(np.arange(vectors.shape[1]), theta ** (-np.arange(half) / half))
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    first, second = vectors[..., :half], vectors[..., half:]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


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


def _float32(tensor: safetensors.Tensor) -> Matrix:
    if tensor.dtype == "BF16":  # the upper half of a float32
        values = (np.frombuffer(tensor.data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(tensor.data, _DTYPES[tensor.dtype]).astype(np.float32)
    return values.reshape(tensor.shape)
