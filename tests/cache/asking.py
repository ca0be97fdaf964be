"""Questions, and answers that can be told apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import anyio

from service.cache.answers import AnswerCache, Lifetimes, Made, Question
from service.cache.store import Store
from service.deadline import Deadline
from service.domain import (
    Answer,
    CachePolicy,
    Candidate,
    DegradedReason,
    Document,
    Ranking,
    RelevantSpan,
    Result,
    Timings,
    WindowReading,
)
from service.observability.events import CacheFailed, Event

KEY = "5" * 64


def answer(number: int = 0, degraded: DegradedReason | None = None) -> Answer:
    """An answer whose model's name tells which one it is."""
    candidates = tuple(
        Candidate(
            Document(f"d{n}", f"täxt {n}\0", f"title {n}", {"page": n, "tags": ["x"]}),
            n + 1,
            1 / (n + 1),
            from_feedback=n == 2,
        )
        for n in range(3)
    )
    order, scores = (2, 0, 1), (0.9, 0.5, 0.1)
    return Answer(
        results=tuple(Result(rank, scores[rank - 1], order[rank - 1], candidates[order[rank - 1]]) for rank in (1, 2)),
        candidates=candidates,
        ranking=Ranking(
            order,
            scores,
            "profile",
            f"model {number}",
            "single",
            prompts=1,
            rounds=1,
            degraded=degraded,
            readings=(WindowReading(1, (0, 1, 2), (0.25, -1.0, 3.5)),),
            parameters={"window": 3, "sort": "heap"},
            why="the only one",
            spans=((RelevantSpan(0, 4, 0.9), RelevantSpan(2, 6, 0.4)), (), (RelevantSpan(1, 2, 0.1),)),
        ),
        timings=Timings(0.0, 0.0, 0.0, 0.0),
        index="shelf",
        index_version="v1",
    )


@dataclass
class Maker:
    """Makes a different answer every time, after ``delay_s``, and counts them."""

    delay_s: float = 0.0
    degraded: DegradedReason | None = None
    error: Exception | None = None
    made: int = 0
    cancelled: int = 0
    numbers: count[int] = field(default_factory=count)

    async def __call__(self, _until: Deadline) -> Made:
        self.made += 1
        number = next(self.numbers)
        try:
            await anyio.sleep(self.delay_s)
        except BaseException:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Made(answer(number, self.degraded))


@dataclass
class Seen:
    """An observer that keeps what it sees."""

    events: list[Event] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    @property
    def failures(self) -> list[str]:
        return [event.error for event in self.events if isinstance(event, CacheFailed)]


def cache(store: Store | None, seen: Seen | None = None, *, fresh_s: float = 60, stale_s: float = 0) -> AnswerCache:
    return AnswerCache(store, Lifetimes(fresh_s, stale_s), seen or Seen())


def question(policy: CachePolicy = CachePolicy.USE, *, seconds: float = 30, key: str = KEY) -> Question:
    return Question(lambda: key, policy, Deadline.after(seconds))
