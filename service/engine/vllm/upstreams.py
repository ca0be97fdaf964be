"""Replicas as one engine: a call goes to the replica with the fewest outstanding tokens, and to another if that fails.

Every call may be repeated, since scoring changes nothing. When no replica is up, calls wait a moment for one to come
back, as in a restart, and fail at once when that moment is over.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from service.deadline import Deadline
from service.engine.vllm.members import Addresses, Members, Probe
from service.engine.vllm.replica import Attempt, Policy, Replica, ReplicaLost
from service.errors import DeadlineExceeded, EngineError, EngineProtocolError, EngineUnavailable
from service.observability.events import Notify
from service.observability.spans import span

S = TypeVar("S")
T = TypeVar("T")

Send = Callable[[str, S], Awaitable[T]]
"""Asks the replica at a URL, which serves what is told; raises ``EngineError``."""


class Upstreams(Generic[S]):
    """The replicas at ``addresses``, of which ``probe`` tells what they serve. ``open`` it before the first call."""

    def __init__(
        self,
        addresses: Addresses,
        probe: Probe[S],
        policy: Policy | None = None,
        notify: Notify = lambda _: None,
    ) -> None:
        self._policy = policy or Policy()
        self._members = Members(addresses, probe, self._policy, notify)
        self._calls = 0

    @property
    def up(self) -> dict[str, S]:
        """What each replica serves that is up, by URL."""
        return {replica.url: replica.served for replica in self._members.up if replica.served is not None}

    @property
    def problems(self) -> dict[str, str]:
        """Why each other replica is not up, by URL."""
        return {replica.url: replica.problem for replica in self._members.all if replica.served is None}

    async def open(self) -> None:
        """Look at all replicas once, and from then on regularly. That none can be reached yet is no error.

        Raises:
            ConfigurationError: a replica serves what cannot be used.
        """
        await self._members.open()

    async def close(self) -> None:
        """Stop looking, and fail the calls under way with ``EngineUnavailable``. May be called more than once."""
        await self._members.close()

    async def call(self, tokens: int, send: Send[S, T], deadline: Deadline) -> T:
        """The result of ``send(url, served)`` at the best replica, or at the next if that fails.

        ``tokens`` is the size of the work, which counts as the replica's load while it runs.

        Raises:
            DeadlineExceeded: the deadline came first.
            EngineRejected: a replica refused the work itself; no other was asked.
            EngineUnavailable, EngineProtocolError: every attempt failed; this is the last one's error.
        """
        if self._calls >= self._policy.calls:
            raise EngineUnavailable(f"{self._calls} calls to the engine are under way already")
        self._calls += 1
        try:
            return await self._first_success(tokens, send, deadline)
        finally:
            self._calls -= 1

    async def _first_success(self, tokens: int, send: Send[S, T], deadline: Deadline) -> T:
        tried: set[tuple[str, int]] = set()
        failure: EngineError | None = None
        while failure is None or len(tried) < self._policy.attempts:
            deadline.check("asking the engine")
            replica = await self._choose(tried, deadline)
            if replica is None:
                break
            tried.add((replica.url, replica.lives))
            try:
                return await self._ask(replica, tokens, send, deadline)
            except (EngineUnavailable, EngineProtocolError) as error:
                failure = error
                replica.failed(error)
                if isinstance(error, ReplicaLost):
                    self._members.hurry()
        raise failure or EngineUnavailable("no replica is left to ask")

    async def _choose(self, tried: set[tuple[str, int]], deadline: Deadline) -> Replica[S] | None:
        """The best replica that this call has not tried; ``None`` if it has tried all that are up."""
        while not self._members.up:
            await self._members.recovery(deadline)
        untried = [replica for replica in self._members.up if (replica.url, replica.lives) not in tried]
        return min(untried, key=lambda replica: replica.reluctance, default=None)

    async def _ask(self, replica: Replica[S], tokens: int, send: Send[S, T], deadline: Deadline) -> T:
        """One attempt, within the time for an attempt and the deadline."""
        served = replica.served
        if served is None:
            raise EngineUnavailable(f"{replica.url} went down")
        limit = min(self._policy.attempt_s, deadline.remaining)
        with span("call", calls=True, upstream=replica.url, tokens=tokens), Attempt(replica, tokens, limit) as attempt:
            began = time.monotonic()
            result = await send(replica.url, served)
            replica.succeeded(time.monotonic() - began)
            return result
        if attempt.cut is not None:
            raise EngineUnavailable(f"{replica.url}: {attempt.cut}")
        if limit < self._policy.attempt_s:
            replica.overdue()
            raise DeadlineExceeded(f"the deadline came before the answer of {replica.url}")
        raise EngineUnavailable(f"{replica.url} did not answer within {limit:g} s")
