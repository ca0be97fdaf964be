"""The ways to ask a vLLM server for label logits have one shape: a request to build and an answer to read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from service.engine.scorer import LabelLogits, Prompt


class Mode(StrEnum):
    """How a server is asked for label logits."""

    DECODE = "decode"
    """One constrained token is generated, and the labels' log probabilities come with it."""
    HEAD = "head"
    """The model was loaded with the labels' output rows alone; it is pooled, nothing is generated."""
    PERMUTATION = "permutation"
    """The model writes the whole order down, token by token. For models that know no other way."""
    EMBED = "embed"
    """The prompt and each passage are embedded, and their vectors compared. For models trained that way."""


@dataclass(frozen=True, slots=True)
class Manners:
    """What every request to a server carries beside the prompts.

    Attributes:
        cache_salt: keeps prefix caches of different owners apart; ``None`` shares one.
        priority: lower goes first; anything but 0 needs a server with ``--scheduling-policy priority``.
    """

    cache_salt: str | None = None
    priority: int = 0

    def of(self, owner: str | None) -> Manners:
        """These for prompts of ``owner``, whose prefix cache is salted with a digest of its name."""
        return self if owner is None else replace(self, cache_salt=hashlib.sha256(owner.encode()).hexdigest())

    def fields(self) -> dict[str, Any]:
        """These as members of a request; what is left at its default is left out."""
        salt = {} if self.cache_salt is None else {"cache_salt": self.cache_salt}
        return salt | ({"priority": self.priority} if self.priority else {})


class Reading(Protocol):
    """Builds requests of one mode and reads their answers. Pure: no connection, no clock."""

    @property
    def mode(self) -> Mode:
        """The mode."""

    @property
    def path(self) -> str:
        """The endpoint's path."""

    def request(self, model: str, prompts: Sequence[Prompt], manners: Manners) -> dict[str, Any]:
        """The body that asks ``model`` for the label logits of ``prompts``, which all have the same labels."""

    def logits(self, answer: Any, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        """One logit for each label of each prompt, in the order of ``prompts`` and of their labels.

        Raises:
            EngineProtocolError: the answer is not exactly that.
        """
