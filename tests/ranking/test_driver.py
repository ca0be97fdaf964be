from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

import anyio
import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Window
from service.engine.fake import FakeScorer
from service.engine.scorer import CutShort, LabelLogits, Prompt
from service.errors import DeadlineExceeded, EngineProtocolError, EngineRejected, EngineUnavailable
from service.ranking.driver import drive
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round
from service.ranking.strategies.pointwise import pointwise
from service.ranking.strategies.registry import STRATEGIES, find
from service.ranking.strategies.simulation import simulate
from service.ranking.strategies.sliding import sliding
from service.ranking.strategies.top_down import top_down

pytestmark = pytest.mark.anyio

COUNT = 50
BACKWARDS = FakeScorer(relevance=lambda passage: float(passage[0]))
"""Holds the last candidate for the best."""


async def prompts(windows: Sequence[Window]) -> list[list[Prompt]]:
    """Each candidate's position, offset by 1,000, between its labels."""
    return [[_prompt(window)] for window in windows]


def _prompt(window: Window) -> Prompt:
    ids = [token for label, candidate in enumerate(window) for token in (label, 1000 + candidate)]
    return Prompt(np.array(ids, dtype=np.uint32), tuple(range(len(window))))


async def test_a_plan_is_followed_to_its_end() -> None:
    run = await drive(sliding(COUNT, PlanOptions()), prompts, BACKWARDS, Deadline.never())
    assert run.order[:10] == tuple(range(49, 39, -1))
    assert (run.error, run.prompts, run.rounds) == (None, 4, 4)
    assert run.prompt_tokens == 4 * 20 * 2
    assert [reading.round for reading in run.readings] == [1, 2, 3, 4]
    assert run.readings[0].window == tuple(range(30, 50))
    assert run.readings[0].logits == tuple(float(1000 + candidate) for candidate in range(30, 50))


async def test_the_windows_of_a_round_are_scored_by_one_call() -> None:
    calls = []

    class Counting(FakeScorer):
        async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[tuple[float, ...]]:
            calls.append(len(prompts))
            return await super().score(prompts, deadline)

    run = await drive(top_down(100, PlanOptions()), prompts, Counting(), Deadline.never())
    assert calls == [1, 5, 1]
    assert [reading.round for reading in run.readings] == [1, 2, 2, 2, 2, 2, 3]


async def test_a_window_may_take_several_prompts() -> None:
    async def twice(windows: Sequence[Window]) -> list[list[Prompt]]:
        return [[_prompt(window), _prompt(window)] for window in windows]

    def last(answers: Sequence[LabelLogits]) -> LabelLogits:
        assert len(answers) == 2
        return answers[-1]

    run = await drive(top_down(100, PlanOptions()), twice, BACKWARDS, Deadline.never(), read=last)
    assert (run.prompts, len(run.readings), run.rounds) == (14, 7, 3)


@pytest.mark.parametrize("count", [0, 1])
async def test_no_window_no_call(count: int) -> None:
    closed = FakeScorer()
    await closed.close()
    run = await drive(sliding(count, PlanOptions()), prompts, closed, Deadline.after(-1))
    assert (run.order, run.error, run.rounds) == (tuple(range(count)), None, 0)


@pytest.mark.parametrize("name", STRATEGIES)
async def test_every_strategy_can_be_stopped_before_any_round(name: str) -> None:
    count, options = 30, PlanOptions(top_k=3, window=8, stride=4, longest=30)
    asked = simulate(find(name)(count, options), lambda window: window).asked
    for rounds, step in enumerate(asked):
        failing = FakeScorer(
            relevance=lambda passage: float(passage[0]), faults=[*[None] * rounds, EngineUnavailable("down")]
        )
        run = await drive(find(name)(count, options), prompts, failing, Deadline.never())
        assert (run.order, run.rounds) == (step.best, rounds)
        assert sorted(run.order) == list(range(count))
        assert isinstance(run.error, EngineUnavailable)


async def test_a_deadline_between_rounds_leaves_the_best_order_so_far() -> None:
    slow = FakeScorer(relevance=lambda passage: float(passage[0]), delay_s=0.04)
    started = time.monotonic()
    run = await drive(sliding(COUNT, PlanOptions()), prompts, slow, Deadline.after(0.1))
    assert time.monotonic() - started < 0.3
    assert isinstance(run.error, DeadlineExceeded)
    assert 0 < run.rounds < 4
    assert sorted(run.order) == list(range(COUNT))
    assert run.order != tuple(range(COUNT))


async def test_a_deadline_already_over_asks_nothing() -> None:
    run = await drive(sliding(COUNT, PlanOptions()), prompts, BACKWARDS, Deadline.after(-1))
    assert isinstance(run.error, DeadlineExceeded)
    assert (run.order, run.rounds) == (tuple(range(COUNT)), 0)


async def test_the_deadline_holds_for_an_engine_that_overlooks_it() -> None:
    class Deaf(FakeScorer):
        async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[tuple[float, ...]]:
            await anyio.sleep(5)
            raise AssertionError

    started = time.monotonic()
    run = await drive(sliding(COUNT, PlanOptions()), prompts, Deaf(), Deadline.after(0.05))
    assert time.monotonic() - started < 0.3
    assert isinstance(run.error, DeadlineExceeded)


@pytest.mark.parametrize("fault", [EngineUnavailable("down"), EngineRejected("no"), EngineProtocolError("half")])
async def test_an_engine_that_fails_half_way_leaves_the_best_order_so_far(
    fault: EngineUnavailable | EngineRejected | EngineProtocolError,
) -> None:
    failing = FakeScorer(relevance=lambda passage: float(passage[0]), faults=[None, None, fault])
    run = await drive(sliding(COUNT, PlanOptions()), prompts, failing, Deadline.never())
    assert run.error is fault
    assert (run.rounds, run.prompts) == (2, 2)
    assert run.order[20:30] == tuple(range(49, 39, -1))
    assert run.order[:20] == tuple(range(20))


class CutsShort(FakeScorer):
    """Answers ``calls`` calls, then only the prompts at ``known``, with what ``BACKWARDS`` says."""

    def __init__(self, *known: int, calls: int = 0) -> None:
        super().__init__()
        self._known, self._calls = known, calls

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        answers = await BACKWARDS.score(prompts, deadline)
        if self._calls:
            self._calls -= 1
            return answers
        part = [logits if place in self._known else None for place, logits in enumerate(answers)]
        raise CutShort("late", part)


async def test_what_was_answered_by_the_deadline_is_ranked_before_the_rest() -> None:
    plan = pointwise(6, PlanOptions())
    run = await drive(plan, prompts, CutsShort(1, 4, 2), Deadline.never(), absolute=True)
    assert run.order == (4, 2, 1, 0, 3, 5)
    assert isinstance(run.error, CutShort)
    assert [(each.round, each.window, each.logits) for each in run.readings] == [
        (1, (position,), (1000.0 + position,)) for position in (1, 2, 4)
    ]
    assert (run.rounds, run.prompts, run.prompt_tokens) == (1, 3, 3 * 2)


async def test_what_was_answered_by_the_deadline_is_read_and_weighed_like_the_rest() -> None:
    run = await drive(
        pointwise(4, PlanOptions()),
        prompts,
        CutsShort(0, 1, 3),
        Deadline.never(),
        read=lambda answers: tuple(-value for value in answers[0]),
        weigh=lambda window, scores: tuple(score + 5 * (window[0] == 3) for score in scores),
        absolute=True,
    )
    assert run.order == (3, 0, 1, 2)
    assert run.readings[-1].logits == (-998.0,)


async def test_passages_answered_alike_keep_their_order() -> None:
    run = await drive(
        pointwise(5, PlanOptions()),
        prompts,
        CutsShort(3, 1),
        Deadline.never(),
        read=lambda _: (0.0,),
        absolute=True,
    )
    assert run.order == (1, 3, 0, 2, 4)


async def test_nothing_answered_by_the_deadline_leaves_the_order_known_before() -> None:
    run = await drive(pointwise(6, PlanOptions()), prompts, CutsShort(), Deadline.never(), absolute=True)
    assert (run.order, run.rounds, run.prompts, run.readings) == (tuple(range(6)), 0, 0, ())
    assert isinstance(run.error, CutShort)


async def test_scores_that_mean_something_in_their_window_alone_are_not_ranked_where_some_are_missing() -> None:
    run = await drive(pointwise(6, PlanOptions()), prompts, CutsShort(1, 4, 2), Deadline.never())
    assert (run.order, run.rounds, run.prompts, run.readings) == (tuple(range(6)), 0, 0, ())


async def test_windows_of_several_passages_count_only_if_all_were_answered() -> None:
    run = await drive(top_down(100, PlanOptions()), prompts, CutsShort(0, 1, calls=1), Deadline.never(), absolute=True)
    assert (run.rounds, run.prompts) == (1, 1)
    assert isinstance(run.error, CutShort)
    assert sorted(run.order) == list(range(100))


async def test_rounds_before_the_one_cut_short_are_counted_too() -> None:
    def two_rounds() -> Plan:
        windows = tuple((position,) for position in range(4))
        best: Order = tuple(range(4))
        yield Round(windows[:2], best)
        yield Round(windows[2:], (1, 0, 2, 3))
        return best

    run = await drive(two_rounds(), prompts, CutsShort(1, calls=1), Deadline.never(), absolute=True)
    assert (run.rounds, run.prompts, run.prompt_tokens) == (2, 3, 6)
    assert [each.round for each in run.readings] == [1, 1, 2]
    assert sorted(run.order) == list(range(4))
    assert run.order[0] == 3


async def test_a_bug_is_not_taken_for_a_failing_engine() -> None:
    def broken(_: object) -> float:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await drive(sliding(COUNT, PlanOptions()), prompts, FakeScorer(relevance=broken), Deadline.never())


async def test_cancellation_passes_through_and_leaves_nothing_running() -> None:
    plan = sliding(COUNT, PlanOptions())
    before = len(asyncio.all_tasks())
    with anyio.move_on_after(0.02) as scope:
        await drive(plan, prompts, FakeScorer(delay_s=math.inf), Deadline.never())
    assert scope.cancelled_caught
    assert len(asyncio.all_tasks()) == before
    with pytest.raises(StopIteration):
        next(plan)
