"""For models that only know how to write an order down: ``[3] > [1] > [2]``, generated and read strictly.

The server is asked to constrain the text to as many identifiers as there are passages; no grammar of useful size keeps
them distinct, so what comes back may still not be a permutation. It is then repaired by one rule, and counted: the
first mention of a passage counts, passages not mentioned follow in the order in which they were shown, everything
else is dropped. A text that does not begin with an identifier is no order at all and never becomes one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.engine.scorer import LabelLogits, Prompt, checked
from service.engine.vllm.answers import completions, member
from service.engine.vllm.reading import Manners, Mode
from service.errors import EngineProtocolError
from service.observability.events import Notify, PermutationRepaired


@dataclass(frozen=True, slots=True)
class Generation:
    """How a model writes an order.

    Attributes:
        identifiers: what it calls the passages, such as ``[1]``, in the order of the profile's labels.
        max_tokens: most tokens that it may generate, its thinking included.
        separator: what stands between two identifiers.
        thinking_end: where its thinking ends, such as ``</think>``; only what follows is read. Such a model is not
            constrained, for it must be free to think.
    """

    identifiers: tuple[str, ...]
    max_tokens: int
    separator: str = " > "
    thinking_end: str | None = None


class PermutationReading:
    """Reads a written order as label values: 0 for the first passage, -1 for the second, and so on.

    ``label_ids`` are a profile's labels in its order, here mere names for the identifiers.
    """

    mode = Mode.PERMUTATION
    path = "/v1/completions"

    def __init__(self, label_ids: Sequence[int], generation: Generation, notify: Notify) -> None:
        self._generation = generation
        self._notify = notify
        self._positions = {label: position for position, label in enumerate(label_ids)}

    def request(self, model: str, prompts: Sequence[Prompt], manners: Manners) -> dict[str, Any]:
        """One greedy completion for each prompt, constrained to the form of an order."""
        constraint = {} if self._generation.thinking_end else {"structured_outputs": {"regex": self._form(prompts[0])}}
        return {
            "model": model,
            "prompt": [prompt.token_ids.tolist() for prompt in prompts],
            "max_tokens": self._generation.max_tokens,
            "temperature": 0,
            "skip_special_tokens": False,
            **constraint,
            **manners.fields(),
        }

    def logits(self, answer: Any, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        """Minus the rank of each passage, from 0.

        Raises:
            EngineProtocolError: a text is missing or does not begin with an identifier.
        """
        choices = completions(answer, len(prompts))
        return checked(prompts, [self._ranks(choice, prompt) for choice, prompt in zip(choices, prompts, strict=True)])

    def _form(self, prompt: Prompt) -> str:
        one = f"({'|'.join(re.escape(identifier) for identifier in self._identifiers(prompt))})"
        return f"{one}({re.escape(self._generation.separator)}{one}){{{len(prompt.label_ids) - 1}}}"

    def _ranks(self, choice: Any, prompt: Prompt) -> list[float]:
        identifiers = self._identifiers(prompt)
        mentioned, trailing = self._mentions(member(choice, "text"))
        found = [identifiers.index(mention) for mention in dict.fromkeys(mentioned) if mention in identifiers]
        missing = [position for position in range(len(identifiers)) if position not in found]
        surplus = len(mentioned) - len(found)
        if missing or surplus or trailing:
            self._notify(PermutationRepaired(len(missing), surplus, trailing))
        rank = {position: rank for rank, position in enumerate(found + missing)}
        return [-float(rank[position]) for position in range(len(identifiers))]

    def _mentions(self, text: Any) -> tuple[list[str], bool]:
        """The identifiers at the beginning of a text, in their order, and whether anything else follows them."""
        if not isinstance(text, str):
            raise EngineProtocolError("a completion's text is no text")
        if self._generation.thinking_end is not None:
            _, end, text = text.partition(self._generation.thinking_end)
            if not end:
                raise EngineProtocolError("the model's thinking did not end within its tokens")
        text = _dense(text)
        longest_first = sorted(map(_dense, self._generation.identifiers), key=len, reverse=True)
        one = "|".join(map(re.escape, longest_first))
        order = re.match(f"(?:{one})(?:{re.escape(_dense(self._generation.separator))}(?:{one}))*", text)
        if order is None:
            raise EngineProtocolError("the model wrote no order")
        return re.findall(one, order.group()), order.end() < len(text)

    def _identifiers(self, prompt: Prompt) -> list[str]:
        """The identifiers of a prompt's labels, without blanks."""
        return [_dense(self._generation.identifiers[self._positions[label]]) for label in prompt.label_ids]


def _dense(text: str) -> str:
    """``text`` without blanks: tokenizers differ in where they put them."""
    return "".join(text.split())
