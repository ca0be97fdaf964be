"""A scorer without a model: the same prompt always gets the same logits. For tests, demos and load tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import anyio
import numpy as np

from service.deadline import Deadline
from service.domain import TokenIds
from service.engine.admissible import PromptLimits
from service.engine.scorer import LabelLogits, Prompt, checked
from service.errors import DeadlineExceeded, EngineError, EngineUnavailable

Relevance = Callable[[TokenIds], float]
"""The logit of a passage, from its token ids."""


class FakeScorer:
    """Scores each passage by ``relevance``, or by a hash of its tokens and ``seed``.

    ``delay_s`` is what one call takes; ``faults`` are raised by the first calls, one each (``None`` lets a call pass).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        relevance: Relevance | None = None,
        limits: PromptLimits | None = None,
        delay_s: float = 0.0,
        faults: Iterable[EngineError | None] = (),
    ) -> None:
        self.model = f"fake@{seed}"
        self._relevance = relevance or _Hashed(seed)
        self._limits = limits or PromptLimits()
        self._delay_s = delay_s
        self._faults = iter(tuple(faults))
        self._closed = False

    async def open(self) -> None:
        """Nothing is outside this process."""

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        """Logits of each prompt's passages, after the delay."""
        self._limits.check(prompts)
        deadline.check("scoring")
        await anyio.sleep(min(self._delay_s, deadline.remaining))
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        if self._delay_s and deadline.expired:
            raise DeadlineExceeded("the deadline came while prompts were scored")
        fault = next(self._faults, None)
        if fault is not None:
            raise fault
        return checked(prompts, [[self._relevance(passage) for passage in passages_of(prompt)] for prompt in prompts])

    async def ready(self) -> bool:
        """Until it is closed."""
        return not self._closed

    async def close(self) -> None:
        """From now on every call fails."""
        self._closed = True


def passages_of(prompt: Prompt) -> list[TokenIds]:
    """The passages that a prompt holds on their own; else the tokens behind each label's first appearance.

    Those end at the next label. A label that is not shown has none.
    """
    if prompt.passages:
        return list(prompt.passages)
    ids = prompt.token_ids
    places = np.flatnonzero(np.isin(ids, np.array(prompt.label_ids, dtype=ids.dtype)))
    ends = np.append(places[1:], len(ids))
    spans = dict(zip(reversed(ids[places].tolist()), reversed(list(zip(places + 1, ends, strict=True))), strict=True))
    return [ids[slice(*spans.get(label, (0, 0)))] for label in prompt.label_ids]


class _Hashed:
    """A logit between -4 and 4 from the tokens alone."""

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(8, "little", signed=True)

    def __call__(self, passage: TokenIds) -> float:
        digest = hashlib.blake2b(passage.tobytes(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little") / 2**64 * 8 - 4
