"""Label logits by constrained single-token decoding: ``POST /v1/completions``.

The values are log probabilities; within a prompt they differ from the logits by a constant, which means the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from service.engine.scorer import LabelLogits, Prompt, checked
from service.engine.vllm.answers import array, completions, member, number
from service.engine.vllm.reading import Manners, Mode
from service.errors import EngineProtocolError

LABEL_LIMIT = 128
"""Token ids that vLLM accepts in ``logprob_token_ids``; no flag raises it."""

_LOG_OF_ZERO = -9999.0
"""What vLLM writes for the log probability of a token that was masked out."""


class DecodeReading:
    """Asks for exactly the labels' values, never for the most probable tokens."""

    mode = Mode.DECODE
    path = "/v1/completions"

    def request(self, model: str, prompts: Sequence[Prompt], manners: Manners) -> dict[str, Any]:
        """One completion of one token for each prompt."""
        labels = list(prompts[0].label_ids)
        return {
            "model": model,
            "prompt": [prompt.token_ids.tolist() for prompt in prompts],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "logprob_token_ids": labels,
            "allowed_token_ids": labels,
            "return_tokens_as_token_ids": True,
            **manners.fields(),
        }

    def logits(self, answer: Any, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        """The labels' log probabilities.

        Raises:
            EngineProtocolError: a choice or a label is missing or masked out, or a value is not finite.
        """
        choices = completions(answer, len(prompts))
        return checked(
            prompts, [_labels(choice, prompt.label_ids) for choice, prompt in zip(choices, prompts, strict=True)]
        )


def label_mass(logits: LabelLogits) -> float:
    """The probability that the model would have written a label by itself, which falls when it or its prompt is wrong.

    A server that runs ``--logprobs-mode processed_logprobs`` shares all probability among the labels: always 1.
    """
    return min(1.0, math.fsum(math.exp(min(value, 0.0)) for value in logits))


def _labels(choice: Any, label_ids: Sequence[int]) -> list[float]:
    """The values of ``label_ids`` at the one position that was generated."""
    positions = array(member(member(choice, "logprobs"), "top_logprobs"), "the list of positions")
    if len(positions) != 1:
        raise EngineProtocolError(f"one token was asked for, {len(positions)} came")
    return [_value(positions[0], label) for label in label_ids]


def _value(position: Any, label: int) -> float:
    key = f"token_id:{label}"
    if not isinstance(position, Mapping) or key not in position:
        raise EngineProtocolError(f"the answer has no value for the label with token id {label}")
    value = number(position[key], f"the value of the label with token id {label}")
    if value <= _LOG_OF_ZERO:
        raise EngineProtocolError(f"the label with token id {label} was masked out")
    return value
