"""The engine's whole contract: a prompt is token ids and label token ids, a score is one logit for each label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.deadline import Deadline
from service.domain import Evidence, TokenIds
from service.errors import DeadlineExceeded, EngineProtocolError

LabelLogits = tuple[float, ...]
"""One finite value for each label of a prompt, in the prompt's label order; only differences within a prompt count."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One question to the model: which of ``label_ids`` comes after ``token_ids``?

    ``token_ids`` has shape [tokens]; ``label_ids`` holds distinct token ids, one for each passage shown. ``passages``
    are those passages on their own, for engines that compare vectors instead of reading labels; empty for all others.
    ``evidence`` is what an index knows of the one passage of a prompt, which then need not be read. ``owner`` is whose
    prompt it is: nothing an engine keeps of it helps, or is told by, a prompt of another owner.
    """

    token_ids: TokenIds
    label_ids: tuple[int, ...]
    passages: tuple[TokenIds, ...] = ()
    owner: str | None = None
    evidence: Evidence | None = None

    @property
    def tokens(self) -> int:
        """Tokens that the model is given: those of the prompt and of the passages on their own."""
        return len(self.token_ids) + sum(map(len, self.passages))


class CutShort(DeadlineExceeded):
    """The deadline came while prompts were scored.

    ``answers`` holds the logits of those that had been by then, in the order of the prompts, and ``None`` for others.
    """

    def __init__(self, message: str, answers: Sequence[LabelLogits | None]) -> None:
        super().__init__(message)
        self.answers = answers


class Scorer(Protocol):
    """Something that reads the label logits of prompts. Implementations are safe to call concurrently."""

    @property
    def model(self) -> str:
        """The model's name and revision, as answers and cache keys show it."""

    async def open(self) -> None:
        """Look at what is outside this process for the first time; that it cannot be reached yet is no error.

        Raises:
            ConfigurationError: it serves what cannot be used here.
        """

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        """Label logits of each prompt, in the order of ``prompts``.

        Raises:
            DeadlineExceeded: the deadline came first; the work is dropped. ``CutShort`` where a part was done.
            EngineUnavailable, EngineRejected, EngineProtocolError: no usable logits, see ``service.errors``.
        """

    async def ready(self) -> bool:
        """Whether the engine would accept a prompt now."""

    async def close(self) -> None:
        """Release threads, connections and memory. Waiting callers get ``EngineUnavailable``."""


def checked(prompts: Sequence[Prompt], answers: Sequence[Sequence[float]]) -> list[LabelLogits]:
    """``answers`` as label logits, if there is exactly one finite value for each label of each prompt.

    Raises:
        EngineProtocolError: an answer or a label is missing, or a value is not finite.
    """
    if len(answers) != len(prompts):
        raise EngineProtocolError(f"{len(prompts)} prompts were answered by {len(answers)} results")
    for prompt, answer in zip(prompts, answers, strict=True):
        if len(answer) != len(prompt.label_ids):
            raise EngineProtocolError(f"{len(prompt.label_ids)} labels were answered by {len(answer)} logits")
        if not all(math.isfinite(value) for value in answer):
            raise EngineProtocolError("a label's logit is not a finite number")
    return [tuple(float(value) for value in answer) for answer in answers]
