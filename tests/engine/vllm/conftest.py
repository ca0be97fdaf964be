from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend: str) -> AsyncIterator[None]:
    """Whatever happens in a test, no task outlives it."""
    assert anyio_backend == "asyncio"
    before = _tasks()
    yield
    for _ in range(100):
        if not _tasks() - before:
            break
        await asyncio.sleep(0.005)
    assert _tasks() - before == set()


def _tasks() -> set[asyncio.Task[Any]]:
    """All tasks but those in which the test runner itself waits."""
    return {task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())}
