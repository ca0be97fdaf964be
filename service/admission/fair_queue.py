"""The order in which rankings wait: higher priority first, tenants in turn by tokens, the earliest deadline within one.

Turns follow start-time fair queueing (Goyal, Vin and Cheng, 1996): each tenant has a virtual time that moves on by the
tokens it was given, and the one furthest behind goes next. One that comes back from silence starts at the present, so
nobody saves up turns, and nobody who asks for much delays one who asks for little.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count

from service.deadline import Deadline

_ARRIVALS = count()


@dataclass(frozen=True, slots=True)
class Demand:
    """What a ranking asks for: its cost in prompt tokens, when it must be done, whose it is, and how urgent.

    A higher ``priority`` goes first.
    """

    tokens: int
    deadline: Deadline
    tenant: str | None = None
    priority: int = 0


@dataclass(order=True, slots=True)
class Waiter:
    """A demand in the queue; ``turn`` is set when its permit is given. Sorts by deadline, then by arrival."""

    at: float = field(init=False)
    arrival: int = field(init=False, default_factory=lambda: next(_ARRIVALS))
    demand: Demand = field(compare=False)
    turn: asyncio.Event = field(compare=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.at = self.demand.deadline.at

    @property
    def tokens(self) -> int:
        """What it costs."""
        return self.demand.tokens


class FairQueue:
    """Waiters of all priorities; the first one is always the next to be served."""

    def __init__(self) -> None:
        self._classes: dict[int, _Class] = defaultdict(_Class)

    def __len__(self) -> int:
        return sum(map(len, self._classes.values()))

    @property
    def tokens(self) -> int:
        """What all waiters cost together."""
        return sum(each.tokens for each in self._classes.values())

    def push(self, waiter: Waiter) -> None:
        """Let it wait."""
        self._classes[waiter.demand.priority].push(waiter)

    def remove(self, waiter: Waiter) -> None:
        """It waits no longer; nothing happens if it did not."""
        self._classes[waiter.demand.priority].remove(waiter)

    @property
    def first(self) -> Waiter | None:
        """Who is next."""
        waiting = [priority for priority, each in self._classes.items() if len(each)]
        return self._classes[max(waiting)].first if waiting else None

    def pop(self) -> Waiter:
        """Take who is next. Raises ``ValueError`` if nobody waits."""
        return self._classes[max(priority for priority, each in self._classes.items() if len(each))].pop()

    def ahead_of(self, demand: Demand) -> float:
        """Tokens that would be served before ``demand`` if it came now and nobody came after it."""
        higher = sum(each.tokens for priority, each in self._classes.items() if priority > demand.priority)
        equal = self._classes.get(demand.priority)
        return higher + (equal.ahead_of(demand) if equal else 0.0)

    def forget(self) -> None:
        """Start anew: with nobody waiting and nothing under way there is nothing to share."""
        self._classes.clear()


class _Class:
    """Waiters of one priority, tenant by tenant."""

    def __init__(self) -> None:
        self._lines: dict[str | None, list[Waiter]] = {}
        self._starts: dict[str | None, float] = {}  # virtual time at which a tenant's next waiter starts
        self._now = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def tokens(self) -> int:
        return sum(map(_tokens, self._lines.values()))

    @property
    def first(self) -> Waiter:
        return self._lines[self._next_tenant()][0]

    def push(self, waiter: Waiter) -> None:
        tenant = waiter.demand.tenant
        if tenant not in self._lines:
            self._starts[tenant] = self._start_of(tenant)
        heapq.heappush(self._lines.setdefault(tenant, []), waiter)

    def remove(self, waiter: Waiter) -> None:
        line = self._lines.get(waiter.demand.tenant, [])
        if waiter in line:
            line.remove(waiter)
            heapq.heapify(line)
            self._tidy(waiter.demand.tenant)

    def pop(self) -> Waiter:
        tenant = self._next_tenant()
        waiter = heapq.heappop(self._lines[tenant])
        self._now = self._starts[tenant]
        self._starts[tenant] += waiter.tokens
        self._tidy(tenant)
        return waiter

    def ahead_of(self, demand: Demand) -> float:
        start = self._start_of(demand.tenant)
        start += sum(each.tokens for each in self._lines.get(demand.tenant, []) if each.at <= demand.deadline.at)
        others = (
            min(_tokens(line), max(0.0, start - self._starts[tenant]))
            for tenant, line in self._lines.items()
            if tenant != demand.tenant
        )
        return start - self._start_of(demand.tenant) + sum(others)

    def _start_of(self, tenant: str | None) -> float:
        return max(self._now, self._starts.get(tenant, 0.0))

    def _next_tenant(self) -> str | None:
        return min(self._lines, key=lambda tenant: (self._starts[tenant], self._lines[tenant][0].arrival))

    def _tidy(self, tenant: str | None) -> None:
        """Drop ``tenant``'s line if it is empty, and forget who does not wait and is not ahead of the present."""
        if not self._lines[tenant]:
            del self._lines[tenant]
        over = [each for each, start in self._starts.items() if start <= self._now and each not in self._lines]
        for each in over:
            del self._starts[each]


def _tokens(line: list[Waiter]) -> int:
    return sum(waiter.tokens for waiter in line)
