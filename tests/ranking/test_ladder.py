from __future__ import annotations

import pytest

from service.domain import DegradedStep
from service.ranking.ladder import Rung, choose, rungs

FEWER, ONE, NONE = DegradedStep.FEWER_CANDIDATES, DegradedStep.SINGLE_WINDOW, DegradedStep.FIRST_STAGE


def ladder(asked: Rung, *, window: int = 20, single: bool = True) -> list[tuple[str, int, DegradedStep | None]]:
    return [(rung.strategy, rung.depth, rung.step) for rung in rungs(asked, window=window, single=single)]


def test_every_rung_costs_less_than_the_one_before() -> None:
    assert ladder(Rung("sliding", 100)) == [
        ("sliding", 100, None),
        ("sliding", 50, FEWER),
        ("sliding", 25, FEWER),
        ("single", 100, ONE),
        ("sliding", 0, NONE),
    ]


@pytest.mark.parametrize("asked", [Rung("single", 100), Rung("sliding", 20), Rung("top_down", 3), Rung("sliding", 0)])
def test_what_is_one_window_already_has_nothing_between_it_and_the_first_stage(asked: Rung) -> None:
    assert [step for _, _, step in ladder(asked) if step is not FEWER] == [None, NONE]
    assert all(depth > 20 for _, depth, step in ladder(asked) if step is FEWER)


def test_passages_read_one_by_one_can_be_as_few_as_one() -> None:
    assert [depth for _, depth, _ in ladder(Rung("pointwise", 9), window=1, single=False)] == [9, 4, 2, 1, 0]


@pytest.mark.parametrize(
    ("left_s", "step", "depth"),
    [
        (1e9, None, 100),
        (1.0, None, 100),
        (0.99, FEWER, 50),
        (0.5, FEWER, 50),
        (0.3, FEWER, 25),
        (0.2, ONE, 100),
        (0.05, NONE, 0),
        (0.0, NONE, 0),
    ],
)
def test_the_first_rung_that_fits_is_taken(left_s: float, step: DegradedStep | None, depth: int) -> None:
    seconds = {None: 1.0, FEWER: 0.01, ONE: 0.1, NONE: 0.0}

    def takes_s(rung: Rung) -> float:
        return seconds[rung.step] * (rung.depth if rung.step is FEWER else 1)

    chosen = choose(rungs(Rung("sliding", 100), window=20, single=True), takes_s, left_s)
    assert (chosen.step, chosen.depth) == (step, depth)


def test_where_no_rate_is_known_the_plan_asked_for_is_tried() -> None:
    assert choose(rungs(Rung("sliding", 100), window=20, single=True), lambda _: 0.0, 0.0).step is None


def test_a_ladder_without_rungs_is_none() -> None:
    with pytest.raises(ValueError, match="at least one rung"):
        choose(iter(()), lambda _: 0.0, 1.0)
