"""A store in this process: the least recently used values go when it is full."""

from __future__ import annotations

import time
from collections import OrderedDict

from service.cache.store import LEASE_S, Busy, Hit, Lead, Looked


class MemoryStore:
    """Values of at most ``limit_bytes`` in all. For one process; several share a Redis."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._leads: dict[str, tuple[Lead, float]] = {}
        self._token = 0

    async def open(self) -> None:
        """Nothing is outside this process."""

    async def look(self, key: str) -> Looked:
        """See ``Store``."""
        hit = await self.read(key)
        if hit is not None:
            return hit
        _, until = self._leads.get(key, (None, 0.0))
        return Busy() if until > time.monotonic() else await self.take(key)

    async def read(self, key: str) -> Hit | None:
        """See ``Store``."""
        if key not in self._values:
            return None
        value, until = self._values[key]
        left = until - time.monotonic()
        if left <= 0:
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return Hit(value, left)

    async def take(self, key: str) -> Lead:
        """See ``Store``."""
        self._token += 1
        lead = Lead(self._token)
        self._leads[key] = (lead, time.monotonic() + LEASE_S)
        return lead

    async def renew(self, key: str, lead: Lead) -> None:
        """See ``Store``."""
        if self._leads_now(key, lead):
            self._leads[key] = (lead, time.monotonic() + LEASE_S)

    async def put(self, key: str, lead: Lead, value: bytes, ttl_s: float) -> None:
        """See ``Store``."""
        if not self._leads_now(key, lead):
            return
        del self._leads[key]
        self._drop(key)
        if len(value) > self._limit:
            return
        self._values[key] = (value, time.monotonic() + ttl_s)
        self._size += len(value)
        while self._size > self._limit:
            self._drop(next(iter(self._values)))

    async def release(self, key: str, lead: Lead) -> None:
        """See ``Store``."""
        if self._leads_now(key, lead):
            del self._leads[key]

    async def close(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._leads.clear()
        self._size = 0

    def _leads_now(self, key: str, lead: Lead) -> bool:
        current, _ = self._leads.get(key, (None, 0.0))
        return current == lead

    def _drop(self, key: str) -> None:
        value, _ = self._values.pop(key, (b"", 0.0))
        self._size -= len(value)
