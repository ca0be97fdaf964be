"""Replicas share the load, come, go, restart and change, and no call is lost where another could answer it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from service.deadline import Deadline
from service.engine.vllm.reading import Mode
from service.engine.vllm.replica import ReplicaLost
from service.engine.vllm.scorer import VllmScorer
from service.engine.vllm.upstreams import Upstreams
from service.errors import ConfigurationError, EngineUnavailable
from service.observability.events import Event, ReplicaDown, ReplicaUp
from tests.engine.vllm.faults import replying
from tests.engine.vllm.gateways import POLICY, gateway, until
from tests.engine.vllm.stand_in import StandIn, expected, prompt

pytestmark = pytest.mark.anyio

PROMPTS = [prompt(1, 2, 3), prompt(4, 5)]


async def test_a_rolling_restart_loses_no_request() -> None:
    """Each of three servers is killed with work in hand, and comes back, while eight callers go on asking."""
    rolling = True

    async def caller(scorer: VllmScorer, seed: int) -> int:
        asked = 0
        while rolling:
            ours = [prompt(seed, asked % 50, 7), prompt(seed, labels=3)]
            assert await scorer.score(ours, Deadline.after(5)) == expected(ours)
            asked += 1
        return asked

    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(StandIn(delay_s=0.005)) for _ in range(3)]
        scorer = await running.enter_async_context(gateway(*servers))
        callers = [asyncio.create_task(caller(scorer, seed)) for seed in range(8)]
        for server in servers:
            await asyncio.sleep(0.1)
            await server.kill()
            await until(lambda gone=server: gone.url not in scorer.served)  # type: ignore[misc]
            await asyncio.sleep(0.05)
            await server.start()
            await until(lambda: len(scorer.served) == 3)
        rolling = False
        assert sum(await asyncio.gather(*callers)) > 100


async def test_a_single_server_that_restarts_loses_no_request() -> None:
    async with StandIn(delay_s=0.05) as server, gateway(server, patience_s=3) as scorer:
        calls = [asyncio.create_task(scorer.score(PROMPTS, Deadline.after(5))) for _ in range(4)]
        await asyncio.sleep(0.03)
        await server.kill()
        await asyncio.sleep(0.2)
        late = asyncio.create_task(scorer.score(PROMPTS, Deadline.after(5)))
        await server.start()
        assert await asyncio.gather(*calls, late) == [expected(PROMPTS)] * 5


async def test_when_all_are_down_for_long_calls_fail_at_once() -> None:
    async with StandIn() as server, gateway(server, patience_s=0.5) as scorer:
        await server.kill()
        with pytest.raises(EngineUnavailable):
            await scorer.score(PROMPTS, Deadline.after(5))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        with pytest.raises(EngineUnavailable, match="no replica is up"):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert time.monotonic() - began < 0.3
        assert not await scorer.ready()


@pytest.mark.parametrize("change", ["name", "weights"])
async def test_a_server_that_comes_back_with_another_model_is_not_asked(change: str) -> None:
    events: list[Event] = []
    async with StandIn() as changing, StandIn() as steady, gateway(changing, steady, events=events) as scorer:
        model = scorer.model
        await changing.kill()
        if change == "name":
            changing.model = "other"
        else:
            changing.root = "/models/other"
        await changing.start()
        for _ in range(6):
            assert await scorer.score(PROMPTS, Deadline.after(5)) == expected(PROMPTS)
        await until(lambda: "other" in scorer.problems.get(changing.url, ""))
        assert list(scorer.served) == [steady.url]
        assert scorer.model == model
        changing.model, changing.root = steady.model, steady.root
        await until(lambda: len(scorer.served) == 2)
        assert events.count(ReplicaUp(changing.url)) == 2


async def test_a_model_changed_without_a_restart_is_noticed_by_the_answer() -> None:
    async with StandIn() as server, gateway(server, look_s=60, patience_s=0.2) as scorer:
        server.model = "other"
        with pytest.raises(EngineUnavailable):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert "other" in scorer.problems[server.url]


async def test_a_server_that_is_not_up_yet_is_taken_in_when_it_is() -> None:
    async with StandIn() as late:
        await late.kill()
        async with gateway(late) as scorer:
            assert not await scorer.ready()
            assert scorer.model == "vllm"
            await late.start()
            await until(lambda: bool(scorer.served))
            assert await scorer.score(PROMPTS, Deadline.after(5)) == expected(PROMPTS)
            assert scorer.model.startswith("mini@")


async def test_servers_of_both_modes_answer_as_one() -> None:
    async with StandIn(Mode.DECODE) as one, StandIn(Mode.HEAD) as other, gateway(one, other) as scorer:
        tried_out = [len(one.scored), len(other.scored)]
        for _ in range(4):
            assert await scorer.score(PROMPTS, Deadline.after(5)) == expected(PROMPTS)
        assert [len(one.scored), len(other.scored)] == [tried_out[0] + 2, tried_out[1] + 2]


async def test_the_parts_of_a_round_go_to_several_servers() -> None:
    many = [prompt(number, 1, 2, 3) for number in range(7)]
    async with StandIn(delay_s=0.02) as one, StandIn(delay_s=0.02) as other:
        async with gateway(one, other, call_tokens=8) as scorer:
            asked = [len(one.scored), len(other.scored)]
            assert await scorer.score(many, Deadline.after(5)) == expected(many)
        assert [len(one.scored) - asked[0], len(other.scored) - asked[1]] == [2, 2]


async def test_connections_are_used_again() -> None:
    async with StandIn() as server, gateway(server) as scorer:
        for _ in range(20):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert server.accepted <= 3


async def test_a_server_that_gave_a_bad_answer_rests_and_comes_back() -> None:
    async with StandIn() as bad, StandIn() as good, gateway(bad, good, rest_s=0.3, longest_rest_s=0.3) as scorer:
        bad.fault = replying(b"{}", 503)
        await scorer.score(PROMPTS, Deadline.after(5))
        await scorer.score(PROMPTS, Deadline.after(5))
        bad.fault = None
        asked = len(bad.scored)
        await scorer.score(PROMPTS, Deadline.after(5))
        assert len(bad.scored) == asked
        await asyncio.sleep(0.35)
        await scorer.score(PROMPTS, Deadline.after(5))
        assert len(bad.scored) == asked + 1


async def test_the_health_check_takes_a_server_down_and_admits_it_again() -> None:
    events: list[Event] = []
    async with StandIn() as server, gateway(server, events=events) as scorer:
        server.healthy = False
        await until(lambda: not scorer.served)
        assert [type(event) for event in events] == [ReplicaUp, ReplicaDown]
        server.healthy = True
        await until(lambda: bool(scorer.served))


async def test_a_frozen_newcomer_keeps_nobody_from_being_looked_at() -> None:
    async with StandIn() as frozen, StandIn() as other, gateway(frozen, other, admission_s=30) as scorer:
        await frozen.kill()
        await until(lambda: frozen.url not in scorer.served)
        frozen.frozen = True
        await frozen.start()
        await asyncio.sleep(0.2)
        other.healthy = False
        await until(lambda: not scorer.served)
        other.healthy = True
        await until(lambda: list(scorer.served) == [other.url])


async def _fixed() -> list[str]:
    return ["a", "b"]


async def _well(url: str, known: str | None) -> str:
    return known or url


def _holding(url_seen: list[str], release: asyncio.Event) -> Callable[[str, str], Awaitable[str]]:
    async def send(url: str, _served: str) -> str:
        url_seen.append(url)
        await release.wait()
        return url

    return send


async def test_the_replica_with_the_fewest_outstanding_tokens_is_asked() -> None:
    upstreams = Upstreams(_fixed, _well, POLICY)
    await upstreams.open()
    seen: list[str] = []
    release = asyncio.Event()
    calls = []
    for tokens in (100, 30, 30, 30, 30):
        calls.append(asyncio.create_task(upstreams.call(tokens, _holding(seen, release), Deadline.after(5))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert seen == ["a", "b", "b", "b", "b"]  # 100 against 0, 30, 60 and 90
    release.set()
    await asyncio.gather(*calls)
    await upstreams.close()


async def test_vanished_addresses_are_let_go_and_new_ones_taken_in() -> None:
    urls = ["a", "b"]

    async def addresses() -> list[str]:
        return list(urls)

    events: list[Event] = []
    upstreams = Upstreams(addresses, _well, POLICY, events.append)
    await upstreams.open()
    release = asyncio.Event()
    calls = [asyncio.create_task(upstreams.call(1, _holding([], release), Deadline.after(5))) for _ in range(2)]
    await asyncio.sleep(0)
    urls[:] = ["b", "c"]
    await until(lambda: set(upstreams.up) == {"b", "c"})
    assert ReplicaDown("a", "its address is gone") in events
    release.set()
    assert set(await asyncio.gather(*calls)) == {"a", "b"}  # what a vanished replica holds it may still answer
    await upstreams.close()


async def test_addresses_that_cannot_be_told_stay_as_they_were() -> None:
    told = False

    async def addresses() -> list[str]:
        nonlocal told
        if told:
            raise EngineUnavailable("no resolver")
        told = True
        return ["a"]

    upstreams = Upstreams(addresses, _well, POLICY)
    await upstreams.open()
    await asyncio.sleep(0.2)
    assert set(upstreams.up) == {"a"}
    await upstreams.close()


async def test_a_probe_begun_before_a_loss_does_not_admit_the_replica_again() -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def addresses() -> list[str]:
        return ["a"]

    async def probe(url: str, known: str | None) -> str:
        if known is not None:
            begun.set()
            await finish.wait()
            return known
        if begun.is_set():
            raise EngineUnavailable("gone")
        return url

    async def lose(_url: str, _served: str) -> str:
        raise ReplicaLost("gone")

    upstreams = Upstreams(addresses, probe, replace(POLICY, patience_s=0.1, probe_s=5))
    await upstreams.open()
    await begun.wait()
    with pytest.raises(EngineUnavailable):
        await upstreams.call(1, lose, Deadline.after(5))
    finish.set()
    await asyncio.sleep(0.1)
    assert not upstreams.up
    await upstreams.close()


async def test_a_fault_of_the_probe_does_not_end_the_watch() -> None:
    broken = True

    async def probe(url: str, known: str | None) -> str:
        if url == "b" and broken:
            raise ZeroDivisionError
        return await _well(url, known)

    upstreams = Upstreams(_fixed, probe, POLICY)
    await upstreams.open()
    assert set(upstreams.up) == {"a"}
    assert "ZeroDivisionError" in upstreams.problems["b"]
    broken = False
    await until(lambda: set(upstreams.up) == {"a", "b"})
    await upstreams.close()


async def test_a_prompt_that_kills_servers_does_not_kill_them_all() -> None:
    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(StandIn()) for _ in range(5)]
        scorer = await running.enter_async_context(gateway(*servers))
        for server in servers:
            server.fault = replying(b"dead", 500)
        asked = sum(len(server.scored) for server in servers)
        with pytest.raises(EngineUnavailable):
            await scorer.score(PROMPTS, Deadline.after(5))
        assert sum(len(server.scored) for server in servers) == asked + POLICY.attempts


async def test_a_server_that_cannot_serve_the_profile_is_refused_at_the_start() -> None:
    async with StandIn() as good, StandIn(context=512) as short:
        with pytest.raises(ConfigurationError, match="--max-model-len 513"):
            async with gateway(good, short):
                pass
