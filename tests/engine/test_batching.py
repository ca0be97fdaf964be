"""Micro-batching over a runner that does as it is told."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from service.deadline import Deadline
from service.engine.admissible import PromptLimits
from service.engine.batching import BatchingScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import (
    DeadlineExceeded,
    EngineError,
    EngineProtocolError,
    EngineRejected,
    EngineUnavailable,
    OnepassError,
)
from service.observability.events import EngineCalled, Event

pytestmark = pytest.mark.anyio

POISON = 666


class ScriptedRunner:
    """Answers a prompt with its first token; a batch holding ``POISON`` fails with ``error``."""

    model = "scripted@0"
    limits = PromptLimits(tokens=100)

    def __init__(self, *, delay_s: float = 0.0, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.closed = False
        self._delay_s = delay_s
        self._error = error

    async def run(self, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        marks = [int(prompt.token_ids[0]) for prompt in prompts]
        self.batches.append(marks)
        await anyio.sleep(self._delay_s)
        if self._error is not None and POISON in marks:
            raise self._error
        return [(float(mark),) for mark in marks]

    async def close(self) -> None:
        self.closed = True


Make = Callable[..., BatchingScorer]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[BatchingScorer] = []

    def batched(
        runner: ScriptedRunner, *, batch_tokens: int = 2048, wait_s: float = 0.001, queue_prompts: int = 512
    ) -> BatchingScorer:
        made.append(BatchingScorer(runner, batch_tokens=batch_tokens, wait_s=wait_s, queue_prompts=queue_prompts))
        return made[-1]

    yield batched
    for scorer in made:
        await scorer.close()


def prompt(mark: int, tokens: int = 10) -> Prompt:
    return Prompt(np.full(tokens, mark, dtype=np.uint32), (1,))


async def ask(scorer: BatchingScorer, *marks: int, within: float = 5.0) -> list[LabelLogits]:
    return await scorer.score([prompt(mark) for mark in marks], Deadline.after(within))


async def failure(scorer: BatchingScorer, *marks: int, within: float = 5.0) -> OnepassError | None:
    try:
        await ask(scorer, *marks, within=within)
    except OnepassError as error:
        return error
    return None


async def test_prompts_of_concurrent_callers_travel_together(make: Make) -> None:
    runner = ScriptedRunner()
    scorer = make(runner, wait_s=0.01)
    first, second, third = await asyncio.gather(ask(scorer, 1, 2), ask(scorer, 3), ask(scorer, 4))
    assert [*first, *second, *third] == [(1.0,), (2.0,), (3.0,), (4.0,)]
    assert runner.batches == [[1, 2, 3, 4]]


async def test_a_batch_keeps_to_its_tokens_counted_with_padding(make: Make) -> None:
    runner = ScriptedRunner()
    scorer = make(runner, batch_tokens=40, wait_s=0.0)
    lengths = [(1, 10), (2, 10), (3, 20), (4, 20), (5, 90), (6, 10)]
    await scorer.score([prompt(mark, tokens) for mark, tokens in lengths], Deadline.never())
    assert runner.batches == [[1, 2], [3, 4], [5], [6]]


async def test_each_batch_is_told_with_how_full_it_was() -> None:
    heard: list[Event] = []
    scorer = BatchingScorer(ScriptedRunner(), batch_tokens=40, wait_s=0.01, notify=heard.append)
    await scorer.score([prompt(1), prompt(2), prompt(3, tokens=5)], Deadline.after(5))
    await scorer.score([prompt(4, tokens=50)], Deadline.after(5))
    await scorer.close()

    told = [(e.prompts, e.tokens, e.fill) for e in heard if isinstance(e, EngineCalled)]
    assert told == [(3, 25, 30 / 40), (1, 50, 1.0)]


async def test_the_earliest_deadline_goes_first(make: Make) -> None:
    runner = ScriptedRunner(delay_s=0.01)
    scorer = make(runner, batch_tokens=1)
    await asyncio.gather(*(ask(scorer, mark, within=within) for mark, within in [(1, 5), (2, 9), (3, 2), (4, 7)]))
    assert runner.batches == [[3], [1], [4], [2]]


async def test_a_batch_waits_for_company_but_not_for_long(make: Make) -> None:
    runner = ScriptedRunner()
    scorer = make(runner, wait_s=0.05)
    started = time.monotonic()
    await ask(scorer, 1)
    assert 0.04 < time.monotonic() - started < 1


async def test_a_full_batch_does_not_wait(make: Make) -> None:
    scorer = make(ScriptedRunner(), batch_tokens=20, wait_s=60.0)
    await ask(scorer, 1, 2)


async def test_a_batch_filled_while_waiting_goes_at_once(make: Make) -> None:
    scorer = make(ScriptedRunner(), batch_tokens=20, wait_s=60.0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(ask(scorer, 1, within=30))
        await anyio.sleep(0.02)
        group.create_task(ask(scorer, 2, within=30))


async def test_the_deadline_does_not_wait_for_a_batch_under_way(make: Make) -> None:
    scorer = make(ScriptedRunner(delay_s=0.5))
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await ask(scorer, 1, within=0.05)
    assert time.monotonic() - started < 0.3


async def test_work_whose_caller_is_gone_is_dropped_before_it_is_batched(make: Make) -> None:
    runner = ScriptedRunner(delay_s=0.1)
    scorer = make(runner, batch_tokens=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(scorer, 1))
        await anyio.sleep(0.02)
        cancelled = group.create_task(ask(scorer, 2, 3))
        late = group.create_task(failure(scorer, 4, within=0.03))
        group.create_task(ask(scorer, 5))
        await anyio.sleep(0.01)
        cancelled.cancel()
    assert isinstance(late.result(), DeadlineExceeded)
    assert runner.batches == [[1], [5]]


@pytest.mark.parametrize("error", [EngineRejected("bad"), EngineProtocolError("half"), KeyError("bug")])
async def test_one_callers_bad_prompt_fails_nobody_else(make: Make, error: Exception) -> None:
    runner = ScriptedRunner(error=error)
    scorer = make(runner, wait_s=0.01)
    good, bad, also_good = await asyncio.gather(ask(scorer, 1), failure(scorer, 2, POISON), ask(scorer, 3))
    assert [*good, *also_good] == [(1.0,), (3.0,)]
    assert isinstance(bad, type(error) if isinstance(error, EngineError) else EngineUnavailable)
    assert await ask(scorer, 7) == [(7.0,)]


async def test_an_engine_that_is_down_is_not_asked_again_for_each_caller(make: Make) -> None:
    runner = ScriptedRunner(error=EngineUnavailable("down"))
    scorer = make(runner, wait_s=0.01)
    errors = await asyncio.gather(failure(scorer, POISON), failure(scorer, 2))
    assert all(isinstance(error, EngineUnavailable) for error in errors)
    assert len(runner.batches) == 1


async def test_an_answer_of_the_wrong_shape_is_a_protocol_error(make: Make) -> None:
    class Short(ScriptedRunner):
        async def run(self, prompts: Sequence[Prompt]) -> list[LabelLogits]:
            return [() for _ in prompts]

    assert isinstance(await failure(make(Short()), 1), EngineProtocolError)


async def test_a_full_queue_refuses_at_once_and_takes_all_prompts_of_a_call_or_none(make: Make) -> None:
    runner = ScriptedRunner(delay_s=0.05)
    scorer = make(runner, batch_tokens=1, queue_prompts=3)
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(scorer, 1))
        await anyio.sleep(0.01)
        group.create_task(ask(scorer, 2, 3))
        await anyio.sleep(0.01)
        assert isinstance(await failure(scorer, 4, 5), EngineUnavailable)
        group.create_task(ask(scorer, 6))
        await anyio.lowlevel.checkpoint()
        assert not await scorer.ready()
    assert runner.batches == [[1], [2], [3], [6]]
    assert await scorer.ready()


async def test_prompts_nobody_waits_for_take_no_room(make: Make) -> None:
    runner = ScriptedRunner(delay_s=0.2)
    scorer = make(runner, batch_tokens=1, queue_prompts=2)
    first = asyncio.create_task(ask(scorer, 1))
    await anyio.sleep(0.01)
    assert isinstance(await failure(scorer, 2, 3, within=0.02), DeadlineExceeded)
    assert await ask(scorer, 4, 5) == [(4.0,), (5.0,)]
    await first


async def test_a_worker_that_dies_fails_its_waiters_and_the_next_caller_gets_a_new_one(make: Make) -> None:
    runner = ScriptedRunner(delay_s=0.1)
    scorer = make(runner, batch_tokens=1)
    waiting = [asyncio.create_task(failure(scorer, mark)) for mark in (1, 2)]
    await anyio.sleep(0.02)
    (worker,) = (task for task in asyncio.all_tasks() if task.get_name() == "batching")
    worker.cancel()
    async with asyncio.timeout(1):
        assert all(isinstance(error, EngineUnavailable) for error in await asyncio.gather(*waiting))
    assert await ask(scorer, 3) == [(3.0,)]


async def test_close_resolves_those_who_wait_and_closes_the_runner(make: Make) -> None:
    runner = ScriptedRunner(delay_s=5)
    scorer = make(runner, batch_tokens=1)
    waiting = [asyncio.create_task(failure(scorer, mark)) for mark in (1, 2, 3)]
    await anyio.sleep(0.02)
    await scorer.close()
    assert all(isinstance(error, EngineUnavailable) for error in await asyncio.gather(*waiting))
    assert runner.closed
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "batching"]


async def test_failures_that_nobody_looks_at_are_not_reported_by_the_loop(make: Make) -> None:
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    scorer = make(ScriptedRunner(error=EngineRejected("bad")))
    await failure(scorer, 1, POISON, POISON)
    gc.collect()
    await anyio.lowlevel.checkpoint()
    assert not reports
