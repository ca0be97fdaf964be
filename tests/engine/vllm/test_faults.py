"""A server that misbehaves gives the right error, or another server's answer; never a ranking, never a leak."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from service.deadline import Deadline
from service.engine.scorer import LabelLogits
from service.engine.vllm.reading import Mode
from service.engine.vllm.scorer import VllmScorer
from service.errors import DeadlineExceeded, EngineError, EngineRejected, EngineUnavailable
from service.observability.events import AttemptFailed, Event, ReplicaDown
from tests.engine.vllm.faults import FAULTS, hang, replying
from tests.engine.vllm.gateways import gateway, until
from tests.engine.vllm.stand_in import MODES, Fault, StandIn, expected, prompt

pytestmark = pytest.mark.anyio

PROMPTS = [prompt(1, 2, 3), prompt(4, 5)]
CASES = [pytest.param(*case, id=name) for name, case in FAULTS.items()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("fault", "error"), CASES)
async def test_a_fault_becomes_its_error(mode: Mode, fault: Fault, error: type[EngineError]) -> None:
    async with StandIn(mode) as server, gateway(server, patience_s=0.2) as scorer:
        server.fault = fault
        with pytest.raises(error) as caught:
            await scorer.score(PROMPTS, Deadline.after(5))
        assert isinstance(caught.value, error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("fault", "error"), CASES)
async def test_another_server_answers_instead(mode: Mode, fault: Fault, error: type[EngineError]) -> None:
    events: list[Event] = []
    async with StandIn(mode) as bad, StandIn(mode) as good, gateway(bad, good, events=events) as scorer:
        bad.fault = fault
        for _ in range(3):
            assert await scorer.score(PROMPTS, Deadline.after(5)) == expected(PROMPTS)
        failed = [event for event in events if isinstance(event, AttemptFailed)]
        assert {event.url for event in failed} == {bad.url}
        assert error.__name__ in {event.error for event in failed} or error is EngineUnavailable


async def test_a_rejected_prompt_is_asked_once() -> None:
    async with StandIn() as first, StandIn() as second, gateway(first, second) as scorer:
        first.fault = second.fault = replying(b'{"error": {"message": "too long"}}', 400)
        asked = len(first.scored) + len(second.scored)
        with pytest.raises(EngineRejected, match="too long"):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert len(first.scored) + len(second.scored) == asked + 1
        assert len(scorer.served) == 2


@pytest.mark.parametrize(
    ("wrong", "why"),
    [(prompt(*range(513)), "513 tokens"), (prompt(), "no tokens")],
    ids=["too long", "empty"],
)
async def test_a_prompt_that_cannot_work_is_not_sent(wrong: object, why: str) -> None:
    async with StandIn() as server, gateway(server) as scorer:
        asked = len(server.scored)
        with pytest.raises(EngineRejected, match=why):
            await scorer.score([PROMPTS[0], wrong], Deadline.after(5))  # type: ignore[list-item]
        assert len(server.scored) == asked


async def test_a_hanging_server_costs_no_more_than_the_deadline() -> None:
    async with StandIn() as server, gateway(server) as scorer:
        server.fault = hang
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await scorer.score(PROMPTS, Deadline.after(0.1))
        assert time.monotonic() - began < 0.45
        assert await scorer.ready()


async def test_a_server_that_misses_deadline_after_deadline_rests() -> None:
    async with (
        StandIn() as bad,
        StandIn() as good,
        gateway(bad, good, attempt_s=30, rest_s=30, longest_rest_s=30, overdue=2) as scorer,
    ):
        await until(lambda: len(scorer.served) == 2)
        bad.fault = hang
        for _ in range(4):  # every other one goes to the bad server
            with suppress(DeadlineExceeded):
                await scorer.score(PROMPTS, Deadline.after(0.1))
        asked = len(bad.scored)
        for _ in range(4):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert len(bad.scored) == asked


async def test_a_hanging_server_is_given_up_for_another() -> None:
    async with StandIn() as bad, StandIn() as good, gateway(bad, good, attempt_s=0.1) as scorer:
        bad.fault = hang
        answers = [await scorer.score(PROMPTS, Deadline.after(5)) for _ in range(3)]
        assert answers == [expected(PROMPTS)] * 3


async def test_a_frozen_server_is_cut_off_when_its_health_fails() -> None:
    """The server holds the call and answers no probe: what it holds moves on long before an attempt's own limit."""
    events: list[Event] = []
    async with (
        StandIn() as bad,
        StandIn() as good,
        gateway(bad, good, events=events, attempt_s=30) as scorer,
    ):
        await until(lambda: len(scorer.served) == 2)
        bad.fault = hang
        calls = [asyncio.create_task(scorer.score(PROMPTS, Deadline.after(10))) for _ in range(4)]
        await asyncio.sleep(0.05)
        bad.frozen = True
        began = time.monotonic()
        assert await asyncio.gather(*calls) == [expected(PROMPTS)] * 4
        assert time.monotonic() - began < 5
        assert [event.url for event in events if isinstance(event, ReplicaDown)] == [bad.url]


async def test_a_server_that_goes_silent_behind_good_health_is_cut_off() -> None:
    """As vLLM does for seconds while it shuts down: its web server is well, its engine is gone."""
    events: list[Event] = []
    async with (
        StandIn() as bad,
        StandIn() as good,
        gateway(bad, good, events=events, attempt_s=30, silence_s=0.3) as scorer,
    ):
        await until(lambda: len(scorer.served) == 2)
        await _at_once(scorer, 4)
        bad.fault = hang
        assert await _at_once(scorer, 8) == [expected(PROMPTS)] * 8
        assert [event.url for event in events if isinstance(event, ReplicaDown)] == [bad.url]


async def test_slow_servers_that_go_on_answering_are_not_cut_off() -> None:
    events: list[Event] = []
    async with (
        StandIn(delay_s=0.2) as slow,
        StandIn(delay_s=0.2) as other,
        gateway(slow, other, events=events, attempt_s=30, silence_s=0.1) as scorer,
    ):
        for _ in range(3):
            await _at_once(scorer, 8)
        assert not any(isinstance(event, ReplicaDown) for event in events)


async def test_a_silent_server_without_another_keeps_its_calls() -> None:
    async with StandIn() as server, gateway(server, attempt_s=30, silence_s=0.1) as scorer:
        await scorer.score(PROMPTS, Deadline.after(10))
        server.delay_s = 0.8
        assert await scorer.score(PROMPTS, Deadline.after(10)) == expected(PROMPTS)


async def _at_once(scorer: VllmScorer, count: int) -> list[list[LabelLogits]]:
    return await asyncio.gather(*(scorer.score(PROMPTS, Deadline.after(10)) for _ in range(count)))


async def test_calls_beyond_the_limit_are_refused_at_once() -> None:
    async with StandIn(delay_s=0.2) as server, gateway(server, calls=2) as scorer:
        calls = [asyncio.create_task(scorer.score(PROMPTS, Deadline.after(5))) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(EngineUnavailable, match="2 calls"):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert await asyncio.gather(*calls) == [expected(PROMPTS)] * 2


async def test_one_failing_part_of_a_round_ends_the_others() -> None:
    async with StandIn() as server, gateway(server, call_tokens=3) as scorer:
        server.fault = replying(b"{}", 400)
        with pytest.raises(EngineRejected):
            await scorer.score([prompt(1, 2, 3), prompt(4, 5, 6), prompt(7, 8, 9)], Deadline.after(5))


async def test_cancelling_a_call_hangs_up() -> None:
    async with StandIn() as server, gateway(server) as scorer:
        server.fault = hang
        await asyncio.sleep(0.1)
        idle = server.connections
        call = asyncio.create_task(scorer.score(PROMPTS, Deadline.after(30)))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        for _ in range(50):
            await asyncio.sleep(0.005)
            if server.connections <= idle:
                break
        assert server.connections <= idle


async def test_closing_fails_the_calls_under_way() -> None:
    async with StandIn() as server, gateway(server, attempt_s=30) as scorer:
        server.fault = hang
        calls = [asyncio.create_task(scorer.score(PROMPTS, Deadline.never())) for _ in range(3)]
        await asyncio.sleep(0.05)
        await scorer.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [EngineUnavailable] * 3
        with pytest.raises(EngineUnavailable):
            await scorer.score(PROMPTS, Deadline.after(1))
        assert not await scorer.ready()
