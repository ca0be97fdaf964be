"""A fixed number of threads, each job with a resource of its own, for work that would block the event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

from service.deadline import Deadline
from service.errors import DeadlineExceeded

Resource = TypeVar("Resource")
Result = TypeVar("Result")


class Workers(Generic[Resource]):
    """As many threads as resources; a job borrows one for as long as it runs.

    A job whose caller has gone, by cancellation or deadline, is dropped if it has not begun.
    """

    def __init__(self, resources: Sequence[Resource], name: str, prepare_thread: Callable[[], None]) -> None:
        self._free: SimpleQueue[Resource] = SimpleQueue()
        for resource in resources:
            self._free.put(resource)
        self._threads = ThreadPoolExecutor(len(resources), thread_name_prefix=name, initializer=prepare_thread)

    async def run(self, job: Callable[[Resource], Result], deadline: Deadline) -> Result:
        """The job's result. Raises ``DeadlineExceeded`` at the deadline, whether or not the job has finished."""
        deadline.check("retrieval")
        seconds = None if math.isinf(deadline.at) else deadline.remaining
        try:
            async with asyncio.timeout(seconds) as limit:
                return await asyncio.wrap_future(self._threads.submit(self._borrow, job))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceeded("retrieval did not finish in the time given") from error

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _borrow(self, job: Callable[[Resource], Result]) -> Result:
        resource = self._free.get()  # never waits: there are as many resources as threads
        try:
            return job(resource)
        finally:
            self._free.put(resource)
