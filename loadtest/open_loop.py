"""Open-loop load: a request is sent when its time has come, whether or not the earlier ones are answered.

Arrivals are a Poisson process, as those of many callers who know nothing of each other. Latency counts from the time
at which a request was to be sent: a generator that is held up by a slow server does not hide what that costs
(coordinated omission).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

PATIENCE_S = 60.0
"""Longest wait for an answer."""

NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of constant load: ``rate`` requests a second for so many seconds."""

    name: str
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request, and the milliseconds that the server says it spent in each stage."""

    kind: str
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, when its request was due (seconds from the beginning), and the seconds from then to its last byte."""

    reply: Reply
    due: float
    seconds: float


Ask = Callable[[], Awaitable[Reply]]


def arrivals(phases: Sequence[Phase], generator: random.Random) -> Iterator[float]:
    """When requests are due, in seconds from the beginning: one Poisson process after the other."""
    begin = 0.0
    for phase in phases:
        at, end = begin, begin + phase.seconds
        while (at := at + generator.expovariate(phase.rate)) < end:
            yield at
        begin = end


async def offer(
    ask: Ask, due: Iterable[float], sent: Callable[[], None] = lambda: None
) -> list[asyncio.Task[Answered]]:
    """Send a request at each time; the last ones may still be under way. ``sent`` is called after each."""
    tasks: list[asyncio.Task[Answered]] = []
    began = time.perf_counter()
    for at in due:
        await asyncio.sleep(began + at - time.perf_counter())
        tasks.append(asyncio.create_task(measured(ask, began, at)))
        sent()
    return tasks


async def measured(ask: Ask, began: float, due: float) -> Answered:
    """What became of a request that was due so many seconds after ``began``, a time of ``time.perf_counter``."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            reply = await ask()
    except (OSError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
        reply = Reply(NO_ANSWER)
    return Answered(reply, due, time.perf_counter() - began - due)


async def closed_loop(ask: Ask, concurrency: int, seconds: float) -> list[Answered]:
    """Everything answered with so many requests under way at any time."""
    began = time.perf_counter()
    answers: list[Answered] = []

    async def ask_on() -> None:
        while (due := time.perf_counter() - began) < seconds:
            answers.append(await measured(ask, began, due))

    await asyncio.gather(*(ask_on() for _ in range(concurrency)))
    return answers


def quantile(seconds: Iterable[float], share: float) -> float:
    """The smallest value, in milliseconds, that such a share of them does not exceed; NaN of none."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else float("nan")
