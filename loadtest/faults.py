"""What each fault costs a caller: error rate, worst latency, what is degraded; as one table.

    python -m loadtest.faults

Starts a service with the demo index (``onepass index build stdlib --name python-docs``) on loopback for each fault,
with a real Valkey and, for the engine's faults, a server that speaks vLLM and misbehaves on purpose. Eight callers ask
different questions one after the other, each with a deadline, while the fault goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from loadtest.soak import service, spoil
from service.corpus.beir import BeirFolder
from service.demo import JUDGED
from service.engine.vllm.reading import Mode
from tests.cache.valkey import Valkey, valkey
from tests.engine.vllm.faults import half_a_body, replying
from tests.engine.vllm.stand_in import Fault as Reply
from tests.engine.vllm.stand_in import StandIn

TIMEOUT_MS = 1000
CALLERS = 8


@dataclass
class Outcome:
    """What callers got."""

    requests: int = 0
    errors: int = 0
    worst_ms: float = 0.0
    degraded: Counter[str] = field(default_factory=Counter)
    cache: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        """A line of the table."""
        shown = ", ".join(f"{reason} {count}" for reason, count in self.degraded.most_common()) or "none"
        cache = ", ".join(f"{state} {count}" for state, count in self.cache.most_common())
        return f"| {name} | {self.requests} | {self.errors} | {self.worst_ms:.0f} | {shown} | {cache} |"


Fault = Callable[[], Awaitable[None]]
"""Begins while callers ask."""


async def main() -> None:
    """Print the table."""
    options = _options()
    print("| fault | requests | errors | worst ms | degraded | cache |\n|---|---|---|---|---|---|", flush=True)
    for name, opened in FAULTS.items():
        async with opened() as (url, begin):
            print((await _asked(url, begin, options.seconds)).row(name), flush=True)


async def _asked(url: str, begin: Fault, seconds: float) -> Outcome:
    """What callers get in so many seconds, in the middle third of which the fault begins."""
    outcome = Outcome()
    texts = list(BeirFolder(JUDGED).queries().values())
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=30) as client, asyncio.TaskGroup() as asking:
        for number in range(CALLERS):
            asking.create_task(_call(client, texts[number::CALLERS], until, outcome))
        await asyncio.sleep(seconds / 3)
        await begin()
    return outcome


async def _call(client: httpx.AsyncClient, texts: list[str], until: float, outcome: Outcome) -> None:
    number = 0
    while time.monotonic() < until:
        body = {"query": texts[number % 6], "candidates": 10, "timeout_ms": TIMEOUT_MS, "return_documents": False}
        number += 1
        began = time.monotonic()
        response = await client.post("/v1/search", json=body)
        outcome.requests += 1
        outcome.worst_ms = max(outcome.worst_ms, (time.monotonic() - began) * 1000)
        if response.status_code != httpx.codes.OK:
            outcome.errors += 1
            continue
        answer = response.json()
        outcome.cache[answer["cache"]] += 1
        if answer["rerank"]["degraded"]:
            outcome.degraded[answer["rerank"]["reason"]] += 1
        await asyncio.sleep(0.05)


Opened = Callable[[], AbstractAsyncContextManager[tuple[str, Fault]]]
"""A service that is ready, and the fault that is to come."""


def _with_cache(begin: Callable[[Valkey], object], *options: str, password: str = "") -> Opened:
    """A service over a Valkey; nothing is kept before it, so that every question asks the Valkey."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[str, Fault]]:
        with tempfile.TemporaryDirectory() as folder, valkey(Path(folder), *options) as server:
            url = server.url.replace("//", f"//:{password}@")
            settings = {"ONEPASS_CACHE__KIND": "redis", "ONEPASS_CACHE__URL": url, "ONEPASS_CACHE__HOT_S": "0"}
            with service(settings) as (address, _):

                async def fault() -> None:
                    await asyncio.to_thread(begin, server)

                yield address, fault

    return opened


def _with_engine(begin: Callable[[StandIn], object]) -> Opened:
    """A service without a cache over an engine that answers within 20 ms."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[str, Fault]]:
        engine = StandIn(Mode.DECODE, model="onepass-mini", delay_s=0.02)
        await engine.start()
        settings = {"ONEPASS_ENGINE__KIND": "vllm", "ONEPASS_ENGINE__URLS": json.dumps([engine.url])}
        serving = service({**settings, "ONEPASS_CACHE__KIND": "off"})
        address, _ = await asyncio.to_thread(serving.__enter__)

        async def fault() -> None:
            doing = begin(engine)
            if asyncio.iscoroutine(doing):
                await doing

        try:
            yield address, fault
        finally:
            await asyncio.to_thread(serving.__exit__, None, None, None)
            await engine.kill()

    return opened


def _spoiling(fault: Reply) -> Callable[[StandIn], object]:
    return lambda engine: setattr(engine, "fault", fault)


FAULTS: Mapping[str, Opened] = {
    "none": _with_cache(lambda _: None),
    "Redis killed": _with_cache(Valkey.kill),
    "Redis paused (SIGSTOP)": _with_cache(Valkey.pause),
    "Redis refuses the password": _with_cache(lambda _: None, "--requirepass", "right", password="wrong"),  # noqa: S106
    "Redis full": _with_cache(lambda _: None, "--maxmemory", "1", "--maxmemory-policy", "noeviction"),
    "Redis flushed": _with_cache(lambda server: server.client().flushall()),
    "Redis holds rubbish": _with_cache(spoil),
    "engine killed": _with_engine(StandIn.kill),
    "engine hangs": _with_engine(lambda engine: setattr(engine, "frozen", True)),
    "engine 10 times slower": _with_engine(lambda engine: setattr(engine, "delay_s", 0.2)),
    "engine answers 503": _with_engine(_spoiling(replying(status=503))),
    "engine sends half a body": _with_engine(_spoiling(half_a_body)),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=9, help="for each fault")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
