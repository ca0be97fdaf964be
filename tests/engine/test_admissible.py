from __future__ import annotations

import numpy as np
import pytest

from service.engine.admissible import PromptLimits
from service.engine.scorer import Prompt
from service.errors import EngineRejected


def prompt(tokens: int, *labels: int) -> Prompt:
    return Prompt(np.full(tokens, 8, dtype=np.uint32), labels)


def test_what_fits_passes() -> None:
    PromptLimits(tokens=5, vocabulary=10).check([prompt(5, 9), prompt(1, 0, 9)])


def test_unknown_limits_refuse_nothing_by_size() -> None:
    PromptLimits().check([prompt(100_000, 2**31)])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (prompt(0, 1), "no tokens"),
        (prompt(1), "no labels"),
        (prompt(1, 3, 3), "twice"),
        (prompt(6, 1), "6 tokens, the model takes 5"),
        (prompt(1, 10), "vocabulary of 10"),
    ],
)
def test_what_does_not_is_refused_by_its_number(bad: Prompt, reason: str) -> None:
    with pytest.raises(EngineRejected, match=f"prompt 1 of 2: .*{reason}"):
        PromptLimits(tokens=5, vocabulary=10).check([prompt(1, 1), bad])
