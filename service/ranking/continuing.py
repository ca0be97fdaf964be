"""A ranking that goes on once more candidates are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from service.domain import Ranking


def continued(first: Ranking, second: Ranking, shown: Sequence[int]) -> Ranking:
    """``first`` with more candidates behind its own, of which ``second`` ranked those ``shown``, as positions.

    What ``second`` ranked stands ahead with its scores. The others follow as ``first`` has them; their scores fall
    evenly from the last of these towards 0.
    """
    best = tuple(shown[position] for position in second.order)
    taken = set(best)
    rest = [position for position in first.order if position not in taken]
    falling = second.scores[-1] * np.linspace(1, 0, len(rest) + 2)[1:-1]
    later = (
        replace(reading, round=first.rounds + reading.round, window=tuple(shown[place] for place in reading.window))
        for reading in second.readings
    )
    return replace(
        first,
        order=(*best, *rest),
        scores=(*second.scores, *falling.tolist()),
        prompts=first.prompts + second.prompts,
        rounds=first.rounds + second.rounds,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        readings=(*first.readings, *later),
    )
