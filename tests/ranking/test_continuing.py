from __future__ import annotations

import itertools

from service.domain import Ranking, WindowReading
from service.ranking.continuing import continued

FIRST = Ranking(
    order=(2, 0, 1),
    scores=(0.9, 0.5, 0.1),
    profile="p",
    model="m",
    strategy="single",
    prompts=1,
    rounds=1,
    prompt_tokens=100,
    readings=(WindowReading(1, (0, 1, 2), (0.0, -1.0, 1.0)),),
)
SECOND = Ranking(
    order=(1, 0, 2),
    scores=(0.8, 0.6, 0.4),
    profile="p",
    model="m",
    strategy="single",
    prompts=2,
    rounds=2,
    prompt_tokens=50,
    readings=(WindowReading(1, (0, 1, 2), (0.0, 1.0, -1.0)), WindowReading(2, (1, 0), (1.0, 0.0))),
)


def test_what_the_second_ranked_stands_ahead_and_the_rest_follows_in_its_order() -> None:
    both = continued(FIRST, SECOND, shown=(2, 3, 4))
    assert both.order == (3, 2, 4, 0, 1)
    assert both.scores[:3] == SECOND.scores
    assert all(higher > lower > 0 for higher, lower in itertools.pairwise(both.scores))


def test_costs_are_added_and_readings_are_of_the_candidates() -> None:
    both = continued(FIRST, SECOND, shown=(2, 3, 4))
    assert (both.prompts, both.rounds, both.prompt_tokens) == (3, 3, 150)
    assert both.readings == (
        *FIRST.readings,
        WindowReading(2, (2, 3, 4), (0.0, 1.0, -1.0)),
        WindowReading(3, (3, 2), (1.0, 0.0)),
    )


def test_nothing_left_behind_is_nothing_more() -> None:
    assert continued(FIRST, SECOND, shown=(0, 1, 2)).order == (1, 0, 2)
