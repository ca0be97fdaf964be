"""Calls that run side by side and stand or fall together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

T = TypeVar("T")
A = TypeVar("A")


async def side_by_side(call: Callable[[A], Awaitable[T]], arguments: Sequence[A]) -> list[T]:
    """``call`` of each argument, in their order. The first failure ends the others and is raised as it is."""
    if len(arguments) == 1:
        return [await call(arguments[0])]
    results: dict[int, T] = {}

    async def run(number: int) -> None:
        results[number] = await call(arguments[number])

    try:
        async with anyio.create_task_group() as calls:
            for number in range(len(arguments)):
                calls.start_soon(run, number)
    except BaseExceptionGroup as group:
        raise _first_of(group) from None
    return [results[number] for number in range(len(arguments))]


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
