"""Splits a round's prompts into calls: those of a call share its parameters, so they share labels and owner."""

from __future__ import annotations

from collections.abc import Sequence

from service.engine.scorer import Prompt


def split(prompts: Sequence[Prompt], tokens: int) -> list[list[Prompt]]:
    """``prompts`` in their order, in runs with the same labels and owner and at most ``tokens`` prompt tokens.

    A prompt longer than that goes by itself.
    """
    chunks: list[list[Prompt]] = []
    size = 0
    for prompt in prompts:
        size += prompt.tokens
        if not chunks or size > tokens or not _alike(chunks[-1][0], prompt):
            chunks.append([])
            size = prompt.tokens
        chunks[-1].append(prompt)
    return chunks


def _alike(one: Prompt, other: Prompt) -> bool:
    return (one.label_ids, one.owner) == (other.label_ids, other.owner)
