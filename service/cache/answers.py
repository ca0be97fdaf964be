"""The cache as the pipeline sees it: an answer that is kept, one that is being made, or a new one.

The same question asked many times at once costs one ranking: within this process callers wait for the one who came
first (``flights.py``), and over several processes for the one who has the store's lead. A leader that dies is replaced
when its lease ends. Whatever goes wrong with the store is a counter and a missing cache, never an error.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from service.cache.codec import ForeignValue, decode, encode
from service.cache.flights import Flights
from service.cache.store import LEASE_S, Busy, Hit, Lead, Store
from service.deadline import Deadline
from service.domain import Answer, CachePolicy, CacheState, Candidate, DegradedReason
from service.errors import CacheUnavailable, DeadlineExceeded, NotCached, OnepassError
from service.observability.events import CacheAsked, CacheFailed, CacheLed, Observer, StageFinished
from service.observability.spans import annotate, span

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.1
_REFRESH_S = 30.0
_LONGEST_S = 600.0
_OWN_WORK_S = 0.05
"""Time a waiting caller keeps, at most half of what it has, to make an answer itself if none comes."""


@dataclass(frozen=True, slots=True)
class Made:
    """An answer, and the error behind it where it is less than what was asked for.

    One that is not ``lasting`` is right, but not what its key stands for: the index was replaced meanwhile.
    """

    answer: Answer
    error: OnepassError | None = None
    lasting: bool = True

    @property
    def whole(self) -> bool:
        """Whether another request may be given it later."""
        return self.lasting and self.error is None and self.answer.ranking.degraded is None


Make = Callable[[Deadline], Coroutine[Any, Any, Made]]
"""Answers the question anew, within a deadline."""


@dataclass(frozen=True)
class Question:
    """What is asked: ``key`` says it exactly, and ``name`` works that out where there is a cache to ask.

    ``given`` are candidates that came with it and need not be kept.
    """

    name: Callable[[], str]
    policy: CachePolicy
    deadline: Deadline
    given: Sequence[Candidate] | None = None

    @cached_property
    def key(self) -> str:
        """The exact key of the answer."""
        return self.name()

    @property
    def patience_s(self) -> float:
        """Seconds to wait for somebody else's answer, so that there is still time to make one."""
        left = min(self.deadline.remaining, _LONGEST_S)
        return left - min(_OWN_WORK_S, left / 2)

    @property
    def has_time(self) -> bool:
        """Whether another's deadline is no reason to give up."""
        return self.deadline.remaining > 2 * _OWN_WORK_S


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds that an answer is fresh, and how long after that it may still be given while a new one is made.

    Answers made together do not end together: each lives up to ``jitter`` of its time less.
    """

    fresh_s: float
    stale_s: float = 0.0
    jitter: float = 0.1

    def drawn(self) -> float:
        """Seconds for one value to be kept."""
        return self.fresh_s * random.uniform(1 - self.jitter, 1) + self.stale_s


class AnswerCache:
    """Answers from ``store``, which may be ``None``: then every question is answered anew."""

    def __init__(self, store: Store | None, lifetimes: Lifetimes, observer: Observer) -> None:
        self._store = store
        self._lifetimes = lifetimes
        self._observer = observer
        self._flights: Flights[tuple[Made, CacheState]] = Flights()
        self._refreshing: set[asyncio.Task[object]] = set()

    async def open(self) -> None:
        """Connect to the store."""
        if self._store is not None:
            await self._store.open()

    async def close(self) -> None:
        """Stop making stale answers anew, and release the store."""
        for task in self._refreshing:
            task.cancel()
        await asyncio.gather(*self._refreshing, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    async def answer(self, question: Question, make: Make) -> Made:
        """A kept answer, the one being made for somebody else, or what ``make`` makes; marked with which it was.

        Raises:
            NotCached: only a kept answer was asked for.
            OnepassError: whatever ``make`` raises.
        """
        made, state = await self._answer(question, make)
        self._observer.observe(CacheAsked(state))
        annotate(cache=state.value)
        return replace(made, answer=replace(made.answer, cache=state))

    async def _answer(self, question: Question, make: Make) -> tuple[Made, CacheState]:
        store = self._store
        if store is None or question.policy is CachePolicy.AVOID:
            if question.policy is CachePolicy.ONLY:
                raise NotCached("there is no cache")
            return await make(question.deadline), CacheState.OFF
        if question.policy is CachePolicy.ONLY:
            return await self._kept(store, question)
        return await self._shared(store, question, make)

    async def _kept(self, store: Store, question: Question) -> tuple[Made, CacheState]:
        try:
            found = await store.read(question.key)
        except CacheUnavailable as error:
            self._failed(error)
            raise NotCached("the cache cannot be asked now") from error
        decoded = self._decoded(question, found)
        if decoded is None:
            raise NotCached("there is no kept answer to this question")
        return decoded

    async def _shared(self, store: Store, question: Question, make: Make) -> tuple[Made, CacheState]:
        """The result of the work under way, which this caller starts if there is none."""
        flight = f"{question.policy} {question.key}"
        while flight in self._flights:
            patience = question.patience_s
            try:
                with span("wait"):
                    async with asyncio.timeout(patience) as limit:
                        (made, state), _ = await self._flights.join(flight, lambda: self._fetch(store, question, make))
            except TimeoutError:
                if not limit.expired():
                    raise
                return await make(question.deadline), CacheState.BYPASS
            except DeadlineExceeded:
                if not question.has_time:
                    raise
                continue
            if made.answer.ranking.degraded is DegradedReason.DEADLINE and question.has_time:
                continue  # it was the other caller's deadline
            return made, CacheState.SHARED if state is CacheState.MISS else state
        found, _ = await self._flights.join(flight, lambda: self._fetch(store, question, make))
        return found

    async def _fetch(self, store: Store, question: Question, make: Make) -> tuple[Made, CacheState]:
        """What the store has, or else what is made and kept."""
        began = time.monotonic()
        try:
            with span("cache"):
                looked = await self._looked(store, question)
        except CacheUnavailable as error:
            self._failed(error)
            looked = None
        self._observer.observe(StageFinished("cache", time.monotonic() - began))
        if looked is None:
            return await make(question.deadline), CacheState.BYPASS
        if isinstance(looked, Lead):
            return await self._lead(store, question, looked, make), CacheState.MISS
        decoded = self._decoded(question, looked)
        if decoded is None:
            return await self._remake(store, question, make), CacheState.MISS
        if decoded[1] is CacheState.STALE:
            self._refresh(store, question, make)
        return decoded

    async def _looked(self, store: Store, question: Question) -> Hit | Lead | None:
        """The value or the lead, once whoever has it now is done, or dead; ``None`` if that takes too long."""
        if question.policy is CachePolicy.REFRESH:
            return await store.take(question.key)
        pause = _FIRST_PAUSE_S
        while question.patience_s:
            looked = await store.look(question.key)
            if not isinstance(looked, Busy):
                return looked
            await asyncio.sleep(min(pause * random.uniform(0.5, 1), question.patience_s))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return None

    async def _remake(self, store: Store, question: Question, make: Make) -> Made:
        """A new answer in the place of a value that cannot be used."""
        try:
            lead = await store.take(question.key)
        except CacheUnavailable as error:
            self._failed(error)
            return await make(question.deadline)
        return await self._lead(store, question, lead, make)

    async def _lead(self, store: Store, question: Question, lead: Lead, make: Make) -> Made:
        """Make the answer while the lease is renewed, and keep it if it is a whole one."""
        key = question.key
        renewing = asyncio.create_task(self._renew(store, key, lead))
        made: Made | None = None
        try:
            made = await make(question.deadline)
        finally:
            renewing.cancel()
            self._observer.observe(CacheLed(kept=made is not None and made.whole))
            if made is None or not made.whole:
                await self._quietly(store.release(key, lead))
        if made.whole:
            value = encode(key, made.answer, documents=question.given is None)
            await self._quietly(store.put(key, lead, value, self._lifetimes.drawn()))
        return made

    async def _renew(self, store: Store, key: str, lead: Lead) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            await self._quietly(store.renew(key, lead))

    def _decoded(self, question: Question, hit: Hit | None) -> tuple[Made, CacheState] | None:
        if hit is None:
            return None
        try:
            answer = decode(question.key, hit.value, question.given)
        except ForeignValue:
            self._observer.observe(CacheFailed("foreign_value"))
            return None
        return Made(answer), CacheState.STALE if hit.left_s < self._lifetimes.stale_s else CacheState.HIT

    def _refresh(self, store: Store, question: Question, make: Make) -> None:
        """Make a stale answer anew, once for all who were given it."""
        anew = replace(question, policy=CachePolicy.REFRESH, deadline=Deadline.after(_REFRESH_S))
        flight = f"{anew.policy} {anew.key}"
        if flight in self._flights:
            return
        task: asyncio.Task[object] = asyncio.create_task(
            self._flights.join(flight, lambda: self._fetch(store, anew, make))
        )
        self._refreshing.add(task)
        task.add_done_callback(self._refreshed)

    def _refreshed(self, task: asyncio.Task[object]) -> None:
        self._refreshing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._observer.observe(CacheFailed("refresh"))

    async def _quietly(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except CacheUnavailable as error:
            self._failed(error)

    def _failed(self, error: CacheUnavailable) -> None:
        cause = error.__cause__ or error
        self._observer.observe(CacheFailed(type(cause).__name__))
