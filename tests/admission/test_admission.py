"""Permits and waiting under arrivals, completions, cancellations and deadlines in any order."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from service.admission.admission import Admission
from service.admission.fair_queue import Demand
from service.admission.throughput import Throughput
from service.deadline import Deadline
from service.errors import Overloaded
from service.observability.events import AdmissionRefused, Event, Observers, RefusalReason
from tests.admission.clock import measured

pytestmark = pytest.mark.anyio

CAPACITY = 100


async def settled() -> None:
    """Let every task do what it can; nothing here takes more turns of the event loop."""
    for _ in range(12):
        await checkpoint()


@dataclass
class Work:
    """A demand as its caller sees it."""

    demand: Demand
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    finish: anyio.Event = field(default_factory=anyio.Event)
    state: str = "waits"
    refusal: Overloaded | None = None


class Bench:
    """Works that arrive at one admission and are finished or cancelled from outside."""

    def __init__(self, tasks: TaskGroup, throughput: Throughput | None = None) -> None:
        self.events: list[Event] = []
        self.admission = Admission(CAPACITY, self, throughput)
        self.works: list[Work] = []
        self.started: list[Work] = []
        self._tasks = tasks

    def observe(self, event: Event) -> None:
        self.events.append(event)

    async def arrive(
        self, tokens: int, tenant: str | None = None, priority: int = 0, deadline: Deadline | None = None
    ) -> Work:
        work = Work(Demand(tokens, deadline or Deadline.never(), tenant, priority))
        self.works.append(work)
        self._tasks.start_soon(self._do, work)
        await settled()
        return work

    async def finish(self, work: Work) -> None:
        work.finish.set()
        await settled()

    async def cancel(self, work: Work) -> None:
        work.scope.cancel()
        await settled()

    def of(self, state: str) -> list[Work]:
        return [work for work in self.works if work.state == state]

    async def _do(self, work: Work) -> None:
        with work.scope:
            try:
                async with self.admission.admit(work.demand):
                    work.state = "runs"
                    self.started.append(work)
                    await work.finish.wait()
            except Overloaded as refusal:
                work.refusal = refusal
        work.state = "ended"

    def check(self) -> None:
        """No permit is lost or given twice, and nobody waits who could run."""
        running, waiting = self.of("runs"), self.of("waits")
        in_flight = sum(work.demand.tokens for work in running)
        assert self.admission.in_flight == in_flight
        assert self.admission.waiting == len(waiting)
        assert in_flight <= CAPACITY or len(running) == 1
        if waiting:
            assert in_flight
            assert any(in_flight + work.demand.tokens > CAPACITY for work in waiting)


ARRIVE = st.tuples(
    st.just("arrive"),
    st.integers(1, 130),
    st.sampled_from([None, "a", "b", "c"]),
    st.integers(0, 2),
    st.sampled_from([Deadline.never(), Deadline(0.0)]),
)
OTHER = st.tuples(st.sampled_from(["finish", "cancel running", "cancel waiting", "both at once"]), st.integers(0, 9))


@settings(max_examples=150, deadline=None)
@given(script=st.lists(ARRIVE | ARRIVE | OTHER, max_size=40))
def test_nobody_is_forgotten_and_no_permit_leaks(script: list[tuple[object, ...]]) -> None:
    anyio.run(follow, script)


async def follow(script: list[tuple[object, ...]]) -> None:
    async with anyio.create_task_group() as tasks:
        bench = Bench(tasks)
        for action, *arguments in script:
            await act(bench, action, arguments)
            bench.check()
        while running := bench.of("runs"):
            await bench.finish(running[0])
            bench.check()
        assert {work.state for work in bench.works} <= {"ended"}
        assert (bench.admission.in_flight, bench.admission.waiting) == (0, 0)


async def act(bench: Bench, action: object, arguments: list[object]) -> None:
    running, waiting = bench.of("runs"), bench.of("waits")
    match action, arguments:
        case "arrive", [int(tokens), None | str() as tenant, int(priority), Deadline() as deadline]:
            await bench.arrive(tokens, tenant, priority, deadline)
        case "finish", [int(number)] if running:
            await bench.finish(running[number % len(running)])
        case "cancel running", [int(number)] if running:
            await bench.cancel(running[number % len(running)])
        case "cancel waiting", [int(number)] if waiting:
            await bench.cancel(waiting[number % len(waiting)])
        case "both at once", [int(number)] if running and waiting:
            running[number % len(running)].finish.set()  # whose turn comes is cancelled in the same moment
            await bench.cancel(waiting[number % len(waiting)])


async def test_one_above_the_capacity_runs_alone_and_is_not_overtaken() -> None:
    async with anyio.create_task_group() as tasks:
        bench = Bench(tasks)
        first, large, small = await bench.arrive(60), await bench.arrive(500), await bench.arrive(10)
        assert [work.state for work in (first, large, small)] == ["runs", "waits", "waits"]
        await bench.finish(first)
        assert [work.state for work in (large, small)] == ["runs", "waits"]
        await bench.finish(large)
        assert small.state == "runs"
        await bench.finish(small)


async def test_when_the_first_in_the_queue_leaves_those_behind_it_may_start() -> None:
    async with anyio.create_task_group() as tasks:
        bench = Bench(tasks)
        first, large, small = await bench.arrive(60), await bench.arrive(90), await bench.arrive(10)
        await bench.cancel(large)
        assert small.state == "runs"
        for work in (first, small):
            await bench.finish(work)


async def test_tenants_share_under_saturation_whoever_asks_for_more() -> None:
    async with anyio.create_task_group() as tasks:
        bench = Bench(tasks)
        works = [await bench.arrive(100, "greedy") for _ in range(40)]
        works += [await bench.arrive(50, "modest") for _ in range(20)]
        for _ in range(25):
            await bench.finish(bench.of("runs")[0])
        tokens = {"greedy": 0, "modest": 0}
        for work in bench.started[1:]:
            tokens[work.demand.tenant or ""] += work.demand.tokens
        assert abs(tokens["greedy"] - tokens["modest"]) <= 100
        while running := bench.of("runs"):
            await bench.finish(running[0])


async def test_who_would_miss_its_deadline_is_refused_at_once_and_told_when_to_come_back() -> None:
    async with anyio.create_task_group() as tasks:
        bench = Bench(tasks, measured(10))  # tokens a second
        running, waiting = await bench.arrive(100), await bench.arrive(100, deadline=Deadline.after(25))

        refused = await bench.arrive(50, deadline=Deadline.after(29))
        fits = await bench.arrive(50, deadline=Deadline.after(31))

        assert (refused.state, fits.state) == ("ended", "waits")
        assert refused.refusal is not None
        assert refused.refusal.retry_after_s == pytest.approx(1.2 * 200 / 10)
        assert AdmissionRefused(RefusalReason.QUEUE) in bench.events
        for work in (running, waiting, fits):
            await bench.cancel(work)


async def test_who_waits_until_it_is_too_late_to_begin_is_refused_then() -> None:
    async with anyio.create_task_group() as tasks:
        bench = Bench(tasks)
        running = await bench.arrive(100)
        waiting = await bench.arrive(100, deadline=Deadline.after(0))
        while waiting.refusal is None:
            await settled()
        assert AdmissionRefused(RefusalReason.WAITED) in bench.events
        await bench.finish(running)


async def test_with_nothing_before_it_nobody_is_refused_however_slow_the_engine_was() -> None:
    async with Admission(CAPACITY, Observers(), measured(0.001)).admit(Demand(100, Deadline.after(1))):
        pass


async def test_only_work_that_was_done_tells_the_rate() -> None:
    throughput = measured(10)
    admission = Admission(CAPACITY, Observers(), throughput)
    async with admission.admit(Demand(100, Deadline.never())):
        pass
    assert throughput.per_second == pytest.approx(10)
    async with admission.admit(Demand(100, Deadline.never())) as permit:
        permit.tokens = 90.0
    assert throughput.per_second == pytest.approx(100)
