"""The bounded queue behind micro-batching: one job for each prompt, taken in batches, the earliest deadline first."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from service.deadline import Deadline
from service.engine.scorer import LabelLogits, Prompt
from service.errors import DeadlineExceeded, EngineUnavailable


@dataclass(order=True, slots=True)
class Job:
    """A prompt that waits for its logits, until ``at`` on the monotonic clock.

    Jobs sort by deadline, then by arrival; those with the same ``caller`` came in one call.
    """

    at: float
    arrival: int
    caller: int = field(compare=False)
    prompt: Prompt = field(compare=False)
    result: asyncio.Future[LabelLogits] = field(compare=False)

    @property
    def tokens(self) -> int:
        """Length of the prompt."""
        return len(self.prompt.token_ids)

    @property
    def wanted(self) -> bool:
        """Whether someone still waits for the result."""
        return not self.result.done()

    def answer(self, logits: LabelLogits) -> None:
        """Hand over the logits, if they are still wanted."""
        if self.wanted:
            self.result.set_result(logits)

    def fail(self, error: Exception) -> None:
        """Hand over an error, if the result is still wanted."""
        if self.wanted:
            self.result.set_exception(error)

    def abandon(self) -> None:
        """Nobody wants the result any more."""
        self.result.cancel()
        if not self.result.cancelled():
            self.result.exception()  # looked at, so that the event loop does not report it as overlooked


class JobQueue:
    """At most ``most`` jobs, taken in batches of at most ``batch_tokens`` tokens with padding."""

    def __init__(self, batch_tokens: int, most: int) -> None:
        self._batch_tokens = batch_tokens
        self._most = most
        self._heap: list[Job] = []
        self._numbers = count()
        self._arrival = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether one more job would be taken in."""
        return self._fits(1)

    def put(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[Job]:
        """Queue all ``prompts`` of one caller, or none.

        Raises:
            EngineUnavailable: there is no room for all of them.
        """
        if not self._fits(len(prompts)):
            raise EngineUnavailable(f"the engine's queue has no room for {len(prompts)} more prompts")
        loop = asyncio.get_running_loop()
        caller = next(self._numbers)
        jobs = [Job(deadline.at, next(self._numbers), caller, prompt, loop.create_future()) for prompt in prompts]
        for job in jobs:
            heapq.heappush(self._heap, job)
        self._arrival.set()
        return jobs

    async def filled(self, wait_s: float) -> None:
        """Return once there are jobs: at once if they fill a batch, else after giving others ``wait_s`` to arrive."""
        while not self._heap:
            await self._next_arrival()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not self._fills_a_batch():
                    await self._next_arrival()

    def take(self) -> list[Job]:
        """The next batch, possibly empty; jobs that nobody waits for, or whose time is over, are dropped on the way."""
        batch: list[Job] = []
        longest = 0
        now = time.monotonic()
        while self._heap:
            job = self._heap[0]
            if job.wanted and job.at > now:
                longest = max(longest, job.tokens)
                if batch and longest * (len(batch) + 1) > self._batch_tokens:
                    break
                batch.append(job)
            job = heapq.heappop(self._heap)
            if job.at <= now:
                job.fail(DeadlineExceeded("the deadline came while a prompt was queued"))
        return batch

    def fill(self, batch: Sequence[Job]) -> float:
        """The share of a batch's budget that ``batch`` takes with its padding; 1 for one that is above it."""
        return min(1.0, max(job.tokens for job in batch) * len(batch) / self._batch_tokens)

    def drain(self) -> list[Job]:
        """All jobs; the queue is empty afterwards."""
        jobs, self._heap = self._heap, []
        return jobs

    async def _next_arrival(self) -> None:
        self._arrival.clear()
        await self._arrival.wait()

    def _fills_a_batch(self) -> bool:
        """Whether one more job as long as the longest would be too much for a batch."""
        longest = max((job.tokens for job in self._heap), default=0)
        return longest * (len(self._heap) + 1) > self._batch_tokens

    def _fits(self, more: int) -> bool:
        if len(self._heap) + more > self._most:
            self._heap = [job for job in self._heap if job.wanted]
            heapq.heapify(self._heap)
        return len(self._heap) + more <= self._most
