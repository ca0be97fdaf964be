"""Bad days of a real server: no question fails, none waits long, and the cache comes back by itself."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from service.cache.keys import SCHEMA
from service.cache.redis import RedisOptions, RedisStore
from service.domain import CacheState
from service.errors import CacheUnavailable, ConfigurationError
from tests.cache.asking import KEY, Maker, Seen, cache, question
from tests.cache.valkey import Valkey, valkey

pytestmark = pytest.mark.anyio

LIMIT_S = 0.1
"""Ten times the default: a busy machine is not a slow server."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path) as running:
        yield running


@asynccontextmanager
async def opened(url: str, limit_s: float = LIMIT_S) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, RedisOptions(limit_s=limit_s))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def ask_many(store: RedisStore, seen: Seen, count: int = 20) -> tuple[list[CacheState], float]:
    """The cache's states of questions asked one after the other, and the longest time one took."""
    answers, states, worst = cache(store, seen), [], 0.0
    for number in range(count):
        began = time.monotonic()
        made = await answers.answer(question(key=f"{number:064}"), Maker())
        worst = max(worst, time.monotonic() - began)
        states.append(made.answer.cache)
    return states, worst


async def comes_back(store: RedisStore) -> None:
    """Return once questions are answered from the cache again."""
    answers = cache(store)
    with anyio.fail_after(30):
        while (await answers.answer(question(), Maker())).answer.cache is not CacheState.HIT:
            await anyio.lowlevel.checkpoint()


async def test_a_killed_server_is_done_without_and_found_again(server: Valkey) -> None:
    async with opened(server.url) as store:
        seen = Seen()
        server.kill()

        states, worst = await ask_many(store, seen)

        assert set(states) == {CacheState.BYPASS}
        assert seen.failures
        assert worst < 10 * LIMIT_S
        server.start()
        await comes_back(store)


async def test_a_paused_server_costs_a_few_limits_and_then_nothing(server: Valkey) -> None:
    async with opened(server.url) as store:
        seen = Seen()
        server.pause()
        began = time.monotonic()

        states, _ = await ask_many(store, seen, count=200)

        assert set(states) == {CacheState.BYPASS}
        assert time.monotonic() - began < 30 * LIMIT_S, "not one limit for each of the 200"
        assert "TimeoutError" in seen.failures
        server.resume()
        await comes_back(store)


async def test_a_server_that_refuses_the_password_is_done_without(tmp_path: Path) -> None:
    with valkey(tmp_path, "--requirepass", "right") as server:
        seen = Seen()
        async with opened(f"redis://:wrong@127.0.0.1:{server.port}") as store:
            states, _ = await ask_many(store, seen)
        async with opened(f"redis://:right@127.0.0.1:{server.port}") as store:
            await comes_back(store)

    assert set(states) == {CacheState.BYPASS}
    assert "AuthenticationError" in seen.failures


async def test_a_full_server_keeps_nothing_new(tmp_path: Path) -> None:
    with valkey(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as server:
        seen = Seen()
        async with opened(server.url) as store:
            states, _ = await ask_many(store, seen)

    assert set(states) == {CacheState.BYPASS}
    assert "OutOfMemoryError" in seen.failures


async def test_a_flushed_server_is_filled_again(server: Valkey) -> None:
    async with opened(server.url, limit_s=5) as store:
        answers, make = cache(store), Maker()
        await answers.answer(question(), make)
        server.client().flushall()

        states = [(await answers.answer(question(), make)).answer.cache for _ in range(2)]

    assert states == [CacheState.MISS, CacheState.HIT]


async def test_a_flush_while_an_answer_is_made_loses_only_that_value(server: Valkey) -> None:
    async with opened(server.url, limit_s=5) as store:
        answers, make = cache(store), Maker(delay_s=0.1)
        async with anyio.create_task_group() as asking:
            asking.start_soon(answers.answer, question(), make)
            await anyio.sleep(0.05)
            server.client().flushall()

        assert (await answers.answer(question(), make)).answer.cache is CacheState.MISS


async def test_a_value_of_another_type_is_done_without(server: Valkey) -> None:
    server.client().rpush(f"onepass:{SCHEMA}:{{{KEY}}}:answer", "a list")
    seen = Seen()
    async with opened(server.url, limit_s=5) as store:
        made = await cache(store, seen).answer(question(), Maker())

    assert made.answer.cache is CacheState.BYPASS
    assert seen.failures


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 50, b"*-7\r\n", b"\0\xff" * 99, b""]
)
async def test_a_server_that_answers_garbage_is_done_without(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(4096):
                writer.write(said)
                await writer.drain()
                if not said:
                    break
        finally:
            writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as store:
            states, worst = await ask_many(store, Seen())

    assert set(states) == {CacheState.BYPASS}
    assert worst < 10 * LIMIT_S


async def test_more_uses_than_connections_fail_at_once(server: Valkey) -> None:
    store = RedisStore(server.url, RedisOptions(limit_s=5, connections=2))
    server.pause()
    refused = 0

    async def use() -> None:
        nonlocal refused
        try:
            await store.read(KEY)
        except CacheUnavailable as error:
            refused += "too many" in str(error)

    async with anyio.create_task_group() as using:
        for _ in range(10):
            using.start_soon(use)
        await anyio.sleep(0.1)
        server.resume()
    await store.close()

    assert refused == 8


async def test_no_task_and_no_connection_is_left_behind(server: Valkey) -> None:
    before = len(asyncio.all_tasks())
    async with opened(server.url) as store:
        server.pause()
        await ask_many(store, Seen())
        server.resume()
    await anyio.lowlevel.checkpoint()

    assert len(asyncio.all_tasks()) == before
    clients = server.client().client_list()
    assert len(clients) == 1, "the one that asks"


async def test_sentinel_finds_the_server(server: Valkey, tmp_path: Path) -> None:
    folder = tmp_path / "sentinel"
    folder.mkdir()
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor mymaster 127.0.0.1 {server.port} 1\n")
    with valkey(folder, sentinel=config) as sentinel:
        async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster/0") as store:
            await comes_back(store)

    assert server.client().dbsize() > 0


# redis-py's cluster client leaves the connection of its first look around to the collector
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
async def test_a_cluster_holds_the_keys_of_an_answer_in_one_slot(tmp_path: Path) -> None:
    with valkey(tmp_path, "--cluster-enabled", "yes") as server:
        client = server.client()
        client.cluster("ADDSLOTSRANGE", 0, 16383)
        async with opened(f"redis+cluster://127.0.0.1:{server.port}") as store:
            await comes_back(store)
        del store
        gc.collect()  # what is left is told here, where the warning is expected, and not in some later test


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis+sentinel://127.0.0.1:1", "redis://127.0.0.1:port", ""])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisStore(url)
