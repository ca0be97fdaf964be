from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from service.deadline import Deadline
from service.errors import DeadlineExceeded
from service.retrieval.workers import Workers

pytestmark = pytest.mark.anyio


@pytest.fixture
def workers() -> Iterator[Workers[str]]:
    workers = Workers(["first", "second"], "test", lambda: None)
    yield workers
    workers.close()


async def test_a_job_gets_a_resource_and_its_result_comes_back(workers: Workers[str]) -> None:
    assert await workers.run(str.upper, Deadline.never()) in {"FIRST", "SECOND"}


async def test_no_resource_is_used_twice_at_once(workers: Workers[str]) -> None:
    used: list[str] = []

    def job(resource: str) -> bool:
        alone = resource not in used
        used.append(resource)
        time.sleep(0.005)
        used.remove(resource)
        return alone

    assert all(await asyncio.gather(*(workers.run(job, Deadline.never()) for _ in range(20))))


async def test_the_deadline_is_kept_while_a_job_goes_on(workers: Workers[str]) -> None:
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await workers.run(lambda _: release.wait(5), Deadline.after(0.05))
    assert time.monotonic() - started < 1
    release.set()


async def test_no_time_left_means_no_work(workers: Workers[str]) -> None:
    done: list[str] = []
    with pytest.raises(DeadlineExceeded):
        await workers.run(done.append, Deadline.after(0))
    assert done == []


async def test_work_whose_caller_is_gone_is_dropped(workers: Workers[str]) -> None:
    release = threading.Event()
    busy = [asyncio.create_task(workers.run(lambda _: release.wait(5), Deadline.never())) for _ in range(2)]
    await asyncio.sleep(0.02)
    done: list[str] = []
    late = asyncio.create_task(workers.run(done.append, Deadline.never()))
    await asyncio.sleep(0.02)
    late.cancel()
    await asyncio.wait([late])
    release.set()
    await asyncio.gather(*busy)
    assert await workers.run(str.upper, Deadline.never())
    assert done == []


async def test_an_error_of_a_job_is_raised_and_the_resource_kept(workers: Workers[str]) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError, match="its own"):
            await workers.run(fail, Deadline.after(5))
    assert await workers.run(str.upper, Deadline.never())


def fail(_: str) -> None:
    raise TimeoutError("its own")
