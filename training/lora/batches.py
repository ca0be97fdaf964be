"""Batches of windows of similar length, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from service.engine.scorer import Prompt
from training.lora.examples import Example


def packed(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    """Batches of at most ``tokens`` tokens with padding, or of one example that is longer."""
    found: list[list[Example]] = []
    for example in sorted(examples, key=lambda example: example.prompt.tokens):
        if not found or (len(found[-1]) + 1) * example.prompt.tokens > tokens:
            found.append([])
        found[-1].append(example)
    return found


def grouped(batches: Sequence[list[Example]], size: int) -> Iterator[list[list[Example]]]:
    """Batches of one step each."""
    return (list(batches[start : start + size]) for start in range(0, len(batches), size))


def last_logits(model: Any, prompts: Sequence[Prompt], device: torch.device) -> Tensor:
    """The logits at the last position of each prompt, float32 [prompts, vocabulary].

    Padding is on the right, where a causal model does not see it, so no mask is needed. Only positions at which a
    prompt ends go through the head.
    """
    longest = max(prompt.tokens for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: prompt.tokens] = torch.from_numpy(prompt.token_ids.astype(np.int64))
    ends, which = np.unique([prompt.tokens - 1 for prompt in prompts], return_inverse=True)
    said: Tensor = model(
        input_ids=ids.to(device), logits_to_keep=torch.from_numpy(ends).to(device), use_cache=False
    ).logits
    return said[torch.arange(len(prompts)), torch.from_numpy(which)].float()
