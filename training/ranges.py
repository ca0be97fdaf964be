"""How large the inputs of linear layers get: what eight bits lose of them is a share of the largest value.

A few dimensions and units are many times larger than the others, whatever is read: a prompt of random pieces shows
which, so no text is needed.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.model import Decoder, encoder_layers
from training.vocabulary import LABEL_IDS, SPECIALS
from training.windows import LONGEST_PASSAGE, SERVED_LABELS, spell

Ranges = dict[str, NDArray[np.float32]]
"""The largest absolute value in each dimension of what a layer reads, by the layer's name."""

_PROMPTS = 2
_LONGEST_QUERY = 31


@torch.no_grad()
def ranges(model: Decoder, seed: int = 0) -> Ranges:
    """Of the inputs of queries, keys and values (named for the queries), and of both parts that feed forward."""
    random = np.random.default_rng(seed)
    found: Ranges = {}
    for _ in range(_PROMPTS):
        x = model.embed(torch.tensor([_prompt(random, len(model.tokens))]), torch.float32)
        for i, layer in enumerate(encoder_layers(model)):
            between = layer.attended(x)
            inner = F.gelu(F.linear(between, layer.widen.weight, layer.widen.bias))
            for name, values in (("query", x), ("widen", between), ("narrow", inner)):
                key = f"layers.{i}.{name}"
                found[key] = np.maximum(found.get(key, np.float32(0)), _largest(values))
            x = layer.fed(between)
    return found


def _largest(values: Tensor) -> NDArray[np.float32]:
    largest: NDArray[np.float32] = values.abs().flatten(0, -2).amax(0).numpy()
    return largest


def _prompt(random: np.random.Generator, vocabulary: int) -> list[int]:
    """A full window of passages and a query of all lengths."""

    def text(most: int) -> list[int]:
        return [int(piece) for piece in random.integers(len(SPECIALS), vocabulary, random.integers(3, most + 1))]

    passages = [text(LONGEST_PASSAGE) for _ in range(SERVED_LABELS)]
    return spell(text(_LONGEST_QUERY), passages, LABEL_IDS[:SERVED_LABELS])[0]
