"""Label logits from the identifier head: ``POST /pooling`` to a model that kept only its labels' output rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.engine.scorer import LabelLogits, Prompt, checked
from service.engine.vllm.answers import array, in_order, member, number
from service.engine.vllm.reading import Manners, Mode
from service.errors import EngineProtocolError, EngineRejected


class HeadReading:
    """Reads the head's outputs: one for each of ``label_ids``, a profile's labels in its order."""

    mode = Mode.HEAD
    path = "/pooling"

    def __init__(self, label_ids: Sequence[int]) -> None:
        self._outputs = {label: output for output, label in enumerate(label_ids)}

    def request(self, model: str, prompts: Sequence[Prompt], manners: Manners) -> dict[str, Any]:
        """The raw outputs for each prompt, without softmax or sigmoid."""
        return {
            "model": model,
            "input": [prompt.token_ids.tolist() for prompt in prompts],
            "task": "classify",
            "use_activation": False,
            **manners.fields(),
        }

    def logits(self, answer: Any, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        """The outputs that belong to each prompt's labels.

        Raises:
            EngineProtocolError: a result is missing, the head has another number of outputs than the profile has
                labels, or a value is not finite.
            EngineRejected: a prompt asks for a label that is none of the profile's.
        """
        results = in_order(member(answer, "data"), len(prompts))
        outputs = [self._all_outputs(result) for result in results]
        return checked(prompts, [self._labels(values, prompt) for values, prompt in zip(outputs, prompts, strict=True)])

    def _all_outputs(self, result: Any) -> list[float]:
        values = [number(value, "an output of the head") for value in array(member(result, "data"), "a result")]
        if len(values) != len(self._outputs):
            raise EngineProtocolError(f"the head has {len(values)} outputs, the profile {len(self._outputs)} labels")
        return values

    def _labels(self, outputs: Sequence[float], prompt: Prompt) -> list[float]:
        try:
            return [outputs[self._outputs[label]] for label in prompt.label_ids]
        except KeyError as error:
            raise EngineRejected(f"the head has no output for the label with token id {error}") from error
