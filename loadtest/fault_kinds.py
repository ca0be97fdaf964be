"""The faults of ``loadtest/faults.py``: each opens a service and says how the fault begins."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from loadtest.serving import service
from loadtest.soak import spoil
from loadtest.tiny_model import NAME, SERVED_WITH
from service.engine.vllm.reading import Mode
from tests.api.slow_callers import IDLE, SLOW, connections, large_request, many_files
from tests.cache.valkey import Valkey, valkey
from tests.engine.vllm.faults import half_a_body, replying
from tests.engine.vllm.stand_in import Fault as Reply
from tests.engine.vllm.stand_in import StandIn
from tests.faketime import FAKETIME, Clock

INDEX = "python-docs"

Fault = Callable[[], Awaitable[None]]
"""Begins while callers ask."""

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
        engine = StandIn(Mode.DECODE, model=NAME, delay_s=0.02)
        await engine.start()
        settings = {"ONEPASS_ENGINE__KIND": "vllm", "ONEPASS_ENGINE__URLS": json.dumps([engine.url]), **SERVED_WITH}
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


def _with_callers(count: int, saying: Callable[[], bytes]) -> Opened:
    """A service without a cache, and so many connections that say this once and are then left alone."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[str, Fault]]:
        with ExitStack() as held, many_files() as most, service({"ONEPASS_CACHE__KIND": "off"}) as (address, _):
            host, port = urlsplit(address).hostname or "", urlsplit(address).port or 0

            def connect() -> None:
                for each in held.enter_context(connections(host, port, min(count, most))):
                    each.sendall(saying())

            async def fault() -> None:
                await asyncio.to_thread(connect)

            yield address, fault

    return opened


def _with_index(begin: Callable[[Path], Awaitable[None]]) -> Opened:
    """A service without a cache over a copy of the demo index, which the fault may spoil."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[str, Fault]]:
        with tempfile.TemporaryDirectory() as folder:
            indexes = Path(folder) / "indexes"
            shutil.copytree("data/indexes", indexes)
            settings = {"ONEPASS_INDEXES__DIRECTORY": str(indexes), "ONEPASS_CACHE__KIND": "off"}
            with service(settings) as (address, _):

                async def fault() -> None:
                    await begin(indexes)

                yield address, fault

    return opened


async def _build_on_a_full_disk(indexes: Path) -> None:
    """A limit on the size of a file stands for the disk."""
    build = await _onepass(
        "index", "build", "stdlib", "--name", INDEX, indexes=indexes, before=("prlimit", "--fsize=1000000")
    )
    if await build.wait() == 0:
        raise SystemExit("the build found room")


async def _kill_writers(indexes: Path) -> None:
    """Five that add a document, killed at random moments."""
    document = indexes.parent / "more.jsonl"
    document.write_text(json.dumps({"id": "more", "text": "read a csv file into dictionaries, once more"}))
    for _ in range(5):
        writer = await _onepass("index", "add", INDEX, str(document), indexes=indexes)
        await asyncio.sleep(random.uniform(0.5, 2))
        if writer.returncode is None:
            writer.kill()
        await writer.wait()


async def _onepass(*arguments: str, indexes: Path, before: Sequence[str] = ()) -> Process:
    command = [*before, str(Path(sys.executable).with_name("onepass")), *arguments, "--indexes-dir", str(indexes)]
    return await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)


@asynccontextmanager
async def _with_a_clock() -> AsyncIterator[tuple[str, Fault]]:
    """A service whose wall clock jumps ten years ahead and back."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(Path(folder))
        with service({**clock.environment, "ONEPASS_CACHE__KIND": "off"}) as (address, _):

            async def fault() -> None:
                for years in (10, -10, 0):
                    clock.jump(years * 365 * 86_400)
                    await asyncio.sleep(2)

            yield address, fault


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
    f"{IDLE:,} silent connections": _with_callers(IDLE, bytes),
    f"{SLOW:,} callers who do not read": _with_callers(SLOW, large_request),
    "disk full while an index is built": _with_index(_build_on_a_full_disk),
    "5 writers killed while they add": _with_index(_kill_writers),
    **({"wall clock jumps ten years": _with_a_clock} if FAKETIME else {}),
}
