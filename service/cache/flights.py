"""One piece of work for all who ask for the same thing at the same time in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Work = Callable[[], Coroutine[Any, Any, T]]


@dataclass(eq=False, slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    passengers: int = 0


class Flights(Generic[T]):
    """Work under way, by key. It belongs to nobody who waits for it, and ends early only when nobody waits any more."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def join(self, key: str, work: Work[T]) -> tuple[T, bool]:
        """The result of the work under way for ``key``, or of ``work``; and whether it was this caller's.

        Raises whatever the work raises. A caller that is cancelled leaves the others undisturbed.
        """
        flight = self._flights.get(key)
        mine = flight is None
        if flight is None:
            flight = self._depart(key, work)
        flight.passengers += 1
        try:
            return await asyncio.shield(flight.task), mine
        finally:
            flight.passengers -= 1
            if not flight.passengers and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()

    def _depart(self, key: str, work: Work[T]) -> _Flight[T]:
        flight = _Flight(asyncio.create_task(work()))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._arrived(key, flight, task))
        return flight

    def _arrived(self, key: str, flight: _Flight[T], task: asyncio.Task[T]) -> None:
        self._forget(key, flight)
        if not task.cancelled():
            task.exception()  # seen, also where the last passenger left just before

    def _forget(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
