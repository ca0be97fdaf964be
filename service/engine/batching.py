"""Micro-batching: prompts of concurrent requests travel together, the earliest deadline first.

``BatchingScorer`` turns a ``Runner``, which scores one batch at a time, into a ``Scorer``. Prompts wait in one bounded
queue. A batch takes the prompts with the earliest deadlines, as many as fit a budget of tokens counted with padding; it
waits a moment for company only while there is room left. Work whose caller is gone, cancelled or out of time, is
dropped before it is batched. A batch that fails is tried again caller by caller, so nobody fails for another's prompt.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol

import anyio

from service.deadline import Deadline
from service.engine.admissible import PromptLimits
from service.engine.jobs import Job, JobQueue
from service.engine.scorer import LabelLogits, Prompt, checked
from service.errors import DeadlineExceeded, EngineError, EngineUnavailable
from service.observability.events import EngineCalled, Notify


class Runner(Protocol):
    """Scores one batch after another; never called twice at once."""

    @property
    def model(self) -> str:
        """The model's name and revision."""

    @property
    def limits(self) -> PromptLimits:
        """Which prompts it can score at all."""

    async def run(self, prompts: Sequence[Prompt]) -> Sequence[Sequence[float]]:
        """The logits of each prompt's labels, off the event loop. Raises ``EngineError``."""

    async def close(self) -> None:
        """Release what it holds; a batch under way may be waited for."""


class BatchingScorer:
    """A ``Scorer`` over ``runner``.

    ``batch_tokens`` bounds a batch, padding included (one prompt always goes, however long); ``wait_s`` is the longest
    a batch waits for company; ``queue_prompts`` may wait, more are refused; ``notify`` hears of each batch. Belongs to
    the event loop that first scores with it: its worker task starts there and ends with ``close``.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        batch_tokens: int = 2048,
        wait_s: float = 0.001,
        queue_prompts: int = 512,
        notify: Notify = lambda _: None,
    ) -> None:
        self._runner = runner
        self._notify = notify
        self._queue = JobQueue(batch_tokens, queue_prompts)
        self._wait_s = wait_s
        self._worker: asyncio.Task[None] | None = None
        self._running: list[Job] = []
        self._closed = False

    @property
    def model(self) -> str:
        """The runner's model."""
        return self._runner.model

    async def open(self) -> None:
        """Nothing is outside this process."""

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        """Queue the prompts and wait for their logits, or for the deadline.

        Raises:
            DeadlineExceeded: the deadline came first; prompts still queued are dropped, results under way ignored.
            EngineRejected: a prompt that the model cannot score; none of them is queued.
            EngineUnavailable: closed, or the queue has no room for all of them.
            EngineProtocolError: the runner gave no finite logit for a label.
        """
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        self._runner.limits.check(prompts)
        deadline.check("scoring")
        jobs = self._queue.put(prompts, deadline)
        self._ensure_worker()
        return await _answers(jobs, deadline)

    async def ready(self) -> bool:
        """Whether it is open and a prompt would find room in the queue."""
        return not self._closed and self._queue.has_room

    async def close(self) -> None:
        """Fail everyone who waits, end the worker and close the runner. May be called more than once."""
        if self._closed:
            return
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        self._fail_waiting(EngineUnavailable("the engine was closed"))
        await self._runner.close()

    def _ensure_worker(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="batching")
            self._worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        """Whatever ended the worker, nobody is left waiting for it."""
        cause = None if worker.cancelled() else worker.exception()
        self._fail_waiting(EngineUnavailable(f"the engine's worker ended: {cause or 'cancelled'}"))

    def _fail_waiting(self, error: EngineError) -> None:
        _fail([*self._running, *self._queue.drain()], error)

    async def _work(self) -> None:
        while True:
            await self._queue.filled(self._wait_s)
            self._running = self._queue.take()
            await self._run(self._running)
            self._running = []

    async def _run(self, jobs: Sequence[Job]) -> None:
        """Answer ``jobs``; if that fails, caller by caller, unless the runner says that nobody's would succeed."""
        jobs = [job for job in jobs if job.wanted]
        try:
            await self._answer(jobs)
        except EngineUnavailable as error:
            _fail(jobs, error)
        except Exception as error:  # noqa: BLE001 - not even a fault of the runner itself may end the worker
            callers = [list(own) for _, own in groupby(sorted(jobs, key=_caller), key=_caller)]
            if len(callers) == 1:
                _fail(jobs, error if isinstance(error, EngineError) else EngineUnavailable(f"it failed: {error!r}"))
            else:
                for own in callers:
                    await self._run(own)

    async def _answer(self, jobs: Sequence[Job]) -> None:
        if jobs:
            prompts = [job.prompt for job in jobs]
            began = time.monotonic()
            answers = checked(prompts, await self._runner.run(prompts))
            tokens = sum(job.tokens for job in jobs)
            self._notify(EngineCalled(len(jobs), tokens, self._queue.fill(jobs), time.monotonic() - began))
            for job, answer in zip(jobs, answers, strict=True):
                job.answer(answer)


def _caller(job: Job) -> int:
    return job.caller


def _fail(jobs: Iterable[Job], error: EngineError) -> None:
    for job in jobs:
        job.fail(error)


async def _answers(jobs: Sequence[Job], deadline: Deadline) -> list[LabelLogits]:
    """The jobs' results; they are abandoned together when one fails, the deadline comes or the caller goes."""
    timeout = None if math.isinf(deadline.at) else deadline.remaining
    try:
        # anyio's scope, as the driver's: asyncio.timeout inside one of those loses a cancellation that comes at once
        with anyio.fail_after(timeout):
            return list(await asyncio.gather(*(job.result for job in jobs)))
    except TimeoutError:
        raise DeadlineExceeded("the deadline came while prompts were scored") from None
    finally:
        for job in jobs:
            job.abandon()
