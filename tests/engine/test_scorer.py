from __future__ import annotations

import math

import numpy as np
import pytest

from service.engine.scorer import Prompt, checked
from service.errors import EngineProtocolError

PROMPT = Prompt(np.array([1, 2], dtype=np.uint32), (5, 6))


def test_answers_become_tuples_of_floats() -> None:
    (answer,) = checked([PROMPT], [np.array([1, 2], dtype=np.float32).tolist()])
    assert answer == (1.0, 2.0)


@pytest.mark.parametrize(
    "answers", [[], [[1.0, 2.0]] * 2, [[1.0]], [[1.0, 2.0, 3.0]], [[1.0, math.nan]], [[math.inf, 0.0]]]
)
def test_anything_but_one_finite_logit_a_label_is_refused(answers: list[list[float]]) -> None:
    with pytest.raises(EngineProtocolError):
        checked([PROMPT], answers)
