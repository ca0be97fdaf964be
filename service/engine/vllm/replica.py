"""One server among its equals: whether it may be asked, and how much it has to do.

A replica is *up* from when a probe admits it until its connection breaks or probes fail; work it then still holds is
cut off, so that it can be asked elsewhere. After a bad result it *rests*: it is asked only if no other is up.

It is *silent* for as long as it holds work and has answered nobody. A busy replica is slow, but it goes on answering;
one whose engine is gone behind a web server that still calls itself healthy, as while vLLM shuts down, does not.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from service.errors import EngineError, EngineUnavailable
from service.observability.events import AttemptFailed, Notify, ReplicaDown, ReplicaUp

S = TypeVar("S")

_LEARNING = 0.1
"""Weight of the latest answer in how long answers usually take."""


class ReplicaLost(EngineUnavailable):
    """The replica cannot be reached, went away before its answer was complete, or serves something else now."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much a replica is forgiven, in seconds where nothing else is said.

    Attributes:
        calls: calls under way at once, over all replicas; more are refused.
        attempts: replicas that one call may try, so that a prompt which kills a server does not kill them all.
        attempt_s: longest wait for one replica.
        patience_s: how long after the last replica went down calls wait for one to come back.
        look_s: pause between looks at all replicas.
        hurry_s: pause before the next look when something has gone wrong.
        probe_s: longest wait for a probe of a replica that is up.
        admission_s: longest wait for that of one that is not: it scores a first prompt, maybe behind others' work.
        misses: failed probes in a row that take a replica down.
        silence_s: silence that makes another replica the better choice; while a replica is up, also
        silence_ratio: times as long as its answers usually take.
        overdue: deadlines missed in a row that make a replica rest.
        rest_s: a first rest, doubled with every further failure.
        longest_rest_s: where the doubling ends.
    """

    calls: int = 256
    attempts: int = 3
    attempt_s: float = 30.0
    patience_s: float = 2.0
    look_s: float = 1.0
    hurry_s: float = 0.05
    probe_s: float = 2.0
    admission_s: float = 10.0
    misses: int = 2
    silence_s: float = 1.0
    silence_ratio: float = 5.0
    overdue: int = 3
    rest_s: float = 0.25
    longest_rest_s: float = 15.0


class Attempt:
    """One call at one replica, as a context that ends without an exception when it is cut off or out of time.

    ``cut`` says why it was cut off, if it was.
    """

    def __init__(self, replica: Replica[Any], tokens: int, limit_s: float) -> None:
        self.cut: str | None = None
        self._replica = replica
        self._tokens = tokens
        self._scope = anyio.move_on_after(limit_s)

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._replica.begin(self, self._tokens)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        answered = kind is None or issubclass(kind, EngineError)
        self._replica.end(self, self._tokens, answered=answered)
        return bool(self._scope.__exit__(kind, error, at))

    def cut_off(self, reason: str) -> None:
        """End it now."""
        self.cut = reason
        self._scope.cancel()


class Replica(Generic[S]):
    """A server at ``url``. ``served`` is what it serves while it is up; ``lives`` counts its admissions."""

    def __init__(self, url: str, policy: Policy, notify: Notify) -> None:
        self.url = url
        self.served: S | None = None
        self.problem = "not looked at yet"
        self.lives = 0
        self.outstanding = 0
        self._policy = policy
        self._notify = notify
        self._attempts: set[Attempt] = set()
        self._last_used = 0.0
        self._silent_since = 0.0
        self._usual_s = 0.0
        self._failures = 0
        self._overdue = 0
        self._misses = 0
        self._resting_until = 0.0

    @property
    def reluctance(self) -> tuple[bool, int, float]:
        """Sorts the best choice first: rested, fewest outstanding tokens, longest unused."""
        return (time.monotonic() < self._resting_until, self.outstanding, self._last_used)

    @property
    def silence(self) -> float:
        """Seconds for which it has held work and answered nobody, beyond what is to be expected.

        Nothing is expected of a replica that has not answered well yet: its first calls may have much to prepare.
        """
        if not self._attempts or not self._usual_s:
            return 0.0
        expected = self._policy.silence_s
        if self.served is not None:
            expected = max(expected, self._policy.silence_ratio * self._usual_s)
        return max(0.0, time.monotonic() - self._silent_since - expected)

    def begin(self, attempt: Attempt, tokens: int) -> None:
        """Count a call of that size as load."""
        self._last_used = time.monotonic()
        if not self._attempts:
            self._silent_since = self._last_used
        self._attempts.add(attempt)
        self.outstanding += tokens

    def end(self, attempt: Attempt, tokens: int, *, answered: bool) -> None:
        """The call is over: it was ``answered``, well or badly, or it was given up."""
        if answered:
            self._silent_since = time.monotonic()
        self._attempts.discard(attempt)
        self.outstanding -= tokens

    def succeeded(self, taken_s: float) -> None:
        """A result was good, after so long: earlier failures are forgotten."""
        self._usual_s += (taken_s - self._usual_s) * (_LEARNING if self._usual_s else 1.0)
        self._failures = self._overdue = 0
        self._resting_until = 0.0

    def failed(self, error: EngineError) -> None:
        """A result was bad: rest, or go down if it is lost."""
        self._failures += 1
        rest = min(self._policy.rest_s * 2 ** (self._failures - 1), self._policy.longest_rest_s)
        self._resting_until = time.monotonic() + rest * random.uniform(0.5, 1.0)
        self._notify(AttemptFailed(self.url, type(error).__name__))
        if isinstance(error, ReplicaLost):
            self.down(str(error))

    def overdue(self) -> None:
        """A deadline came before a result. One says little; several in a row count as a bad result."""
        self._overdue += 1
        if self._overdue >= self._policy.overdue:
            self.failed(EngineUnavailable(f"{self.url} is too slow"))

    def admit(self, served: S) -> None:
        """A probe was good."""
        self._misses = 0
        if self.served is None:
            self.lives += 1
            self._notify(ReplicaUp(self.url))
        self.served = served

    def missed(self, reason: str) -> None:
        """A probe was bad. One may be chance; several in a row take the replica down, with all that it holds."""
        self._misses += 1
        if self.served is None or self._misses >= self._policy.misses:
            self.down(reason)
            self.cut_off(reason)

    def down(self, reason: str) -> None:
        """Ask it nothing more until a probe admits it again; calls under way may still be answered."""
        self.problem = reason
        if self.served is not None:
            self.served = None
            self._notify(ReplicaDown(self.url, reason))

    def cut_off(self, reason: str) -> None:
        """End the calls it holds."""
        for attempt in tuple(self._attempts):
            attempt.cut_off(reason)
