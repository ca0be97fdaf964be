"""How sure the model was: the entropy of the labels' probabilities, which drifts when a model or its prompts do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from service.domain import WindowReading
from service.engine.scorer import LabelLogits
from service.ranking.readings import Reading


def entropies(readings: Sequence[WindowReading], reading: Reading) -> tuple[float, ...]:
    """For each prompt with a choice of labels, the share of the entropy that as many equal ones would have, in [0, 1].

    Empty where the values of a prompt are no logits.
    """
    match reading:
        case Reading.LISTWISE:
            return tuple(entropy(each.logits) for each in readings if len(each.logits) > 1)
        case Reading.POINTWISE:
            return tuple(entropy((0.0, *each.logits)) for each in readings)
        case _:
            return ()


def entropy(logits: LabelLogits) -> float:
    """Of the softmax of two or more logits, as a share of the most there can be."""
    highest = max(logits)
    weights = [math.exp(value - highest) for value in logits]
    total = math.fsum(weights)
    expected = math.fsum(weight * (value - highest) for weight, value in zip(weights, logits, strict=True)) / total
    return (math.log(total) - expected) / math.log(len(logits))
