"""Permits by prompt tokens, and a waiting queue that is bounded in time.

Whoever would miss its deadline is refused at once, by the rate at which tokens have been completed lately; whoever
waits leaves the queue when its caller goes, or when it could not be done in time any more.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from service.admission.fair_queue import Demand, FairQueue, Waiter
from service.admission.throughput import Throughput
from service.errors import Overloaded
from service.observability.events import AdmissionChanged, AdmissionRefused, AdmissionWaited, Observer, RefusalReason
from service.observability.spans import span

HEADROOM = 1.2
"""Rates vary: work that would only just be done in time is not begun."""

RESERVE_S = 0.02
"""Time kept back to turn a refusal into an answer."""

SHORTEST_RETRY_S = 0.1
"""A caller is never told to come back sooner."""


class Permit:
    """Leave to run. ``tokens`` is to be set to what was really done; at 0 the measured rate stays as it is."""

    def __init__(self) -> None:
        self.tokens = 0.0


class Admission:
    """At most ``capacity_tokens`` under way at once; a demand above all of it runs alone.

    Belongs to one event loop. Permits go to the first in the queue only: one that does not fit yet is never overtaken,
    so nobody waits for ever because others are smaller.
    """

    def __init__(self, capacity_tokens: float, observer: Observer, throughput: Throughput | None = None) -> None:
        self._capacity = capacity_tokens
        self._observer = observer
        self._throughput = throughput or Throughput()
        self._queue = FairQueue()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Tokens under way."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Demands in the queue."""
        return len(self._queue)

    @property
    def tokens_per_second(self) -> float | None:
        """The rate measured lately; ``None`` while none is known."""
        return self._throughput.per_second

    def takes_s(self, tokens: float) -> float:
        """Seconds that work of ``tokens`` takes once it has the engine to itself; 0 while no rate is known."""
        rate = self._throughput.per_second
        return 0.0 if rate is None else HEADROOM * tokens / rate

    @asynccontextmanager
    async def admit(self, demand: Demand) -> AsyncIterator[Permit]:
        """Hold a permit for ``demand``, after its turn has come.

        Raises:
            Overloaded: it would miss its deadline, or has waited until it would; with the time after which to retry.
        """
        self.refuse_if_too_late(demand)
        with span("admission", tokens=demand.tokens, waiting=self.waiting):
            await self._turn(Waiter(demand))
        permit = Permit()
        try:
            yield permit
        finally:
            self._release(demand.tokens, done=permit.tokens)

    def refuse_if_too_late(self, demand: Demand) -> None:
        """Raise ``Overloaded`` if ``demand``, coming now, would miss its deadline."""
        ahead = self._in_flight + self._queue.ahead_of(demand)
        if ahead and self.takes_s(ahead + demand.tokens) > demand.deadline.remaining:
            raise self._refusal(RefusalReason.QUEUE)

    async def _turn(self, waiter: Waiter) -> None:
        """Return once the permit is given; whatever else happens, none is held and nobody behind is forgotten."""
        began = time.monotonic()
        self._queue.push(waiter)
        self._serve()
        try:
            if not waiter.turn.is_set():
                with anyio.fail_after(self._patience_s(waiter.demand)):
                    await waiter.turn.wait()
        except BaseException as error:
            self._leave(waiter)
            if isinstance(error, TimeoutError):
                raise self._refusal(RefusalReason.WAITED) from None
            raise
        self._observer.observe(AdmissionWaited(time.monotonic() - began))

    def _patience_s(self, demand: Demand) -> float | None:
        """Seconds after which it is too late to begin."""
        if math.isinf(demand.deadline.at):
            return None
        return max(0.0, demand.deadline.remaining - max(RESERVE_S, self.takes_s(demand.tokens)))

    def _leave(self, waiter: Waiter) -> None:
        if waiter.turn.is_set():  # its turn came in the moment in which it left
            self._release(waiter.tokens, done=0.0)
        else:
            self._queue.remove(waiter)
            self._serve()

    def _release(self, tokens: int, *, done: float) -> None:
        self._in_flight -= tokens
        if done:
            self._throughput.completed(done)
        self._serve()

    def _serve(self) -> None:
        """Give permits from the front of the queue, as many as fit."""
        while (first := self._queue.first) is not None and self._fits(first.tokens):
            self._queue.pop()
            if not self._in_flight:
                self._throughput.begin()
            self._in_flight += first.tokens
            first.turn.set()
        if not self._in_flight:
            self._queue.forget()
        self._observer.observe(AdmissionChanged(self._in_flight, self.waiting, self._throughput.per_second or 0.0))

    def _fits(self, tokens: int) -> bool:
        return not self._in_flight or self._in_flight + tokens <= self._capacity

    def _refusal(self, reason: RefusalReason) -> Overloaded:
        self._observer.observe(AdmissionRefused(reason))
        retry_after_s = max(SHORTEST_RETRY_S, self.takes_s(self._in_flight + self._queue.tokens))
        return Overloaded("more is asked for than can be ranked in the time given", retry_after_s=retry_after_s)
