"""Which prompts an engine can score at all, checked before any of them is queued or sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.scorer import Prompt
from service.errors import EngineRejected


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """What a model takes: at most ``tokens`` tokens a prompt, ids below ``vocabulary``; ``None`` where unknown."""

    tokens: int | None = None
    vocabulary: int | None = None

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Refuse a prompt that is empty, too long, or holds ids unknown to the model.

        Raises:
            EngineRejected: saying which prompt and why.
        """
        for number, prompt in enumerate(prompts):
            reason = self._objection(prompt)
            if reason is not None:
                raise EngineRejected(f"prompt {number} of {len(prompts)}: {reason}")

    def _objection(self, prompt: Prompt) -> str | None:
        length = len(prompt.token_ids)
        if not length or not prompt.label_ids:
            return "has no tokens or no labels"
        if len(set(prompt.label_ids)) < len(prompt.label_ids):
            return "asks for a label twice"
        if self.tokens is not None and length > self.tokens:
            return f"has {length} tokens, the model takes {self.tokens}"
        if self.vocabulary is not None and max(int(prompt.token_ids.max()), *prompt.label_ids) >= self.vocabulary:
            return f"holds an id outside the model's vocabulary of {self.vocabulary}"
        return None
