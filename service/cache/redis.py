"""A store in Redis or Valkey: one server, Sentinel, or Cluster, by URL.

``redis://``, ``rediss://`` (TLS) and ``unix://`` as in redis-py; ``redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB``
and ``redis+cluster://HOST:PORT`` (``rediss+…`` for TLS) for the other two. Every use ends within a few milliseconds,
and a server that keeps failing is left alone for a while.

A key's value, lead and counter of leaders lie in one slot (their names share the part in braces). Each step is a
script, so that two leaders cannot come between: who leads holds the newest number of the counter, and only its holder
may keep a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.cache.breaker import Breaker
from service.cache.keys import SCHEMA
from service.cache.store import LEASE_S, Busy, Hit, Lead, Looked
from service.errors import CacheUnavailable, ConfigurationError

_LEASE_MS = round(LEASE_S * 1000)
_COUNTER_MS = 3_600_000
"""Leaders are numbered for an hour after the last one: far longer than any of them lives."""

_LOOK = """
local value = redis.call('GET', KEYS[1])
if value then return {value, redis.call('PTTL', KEYS[1])} end
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local token = redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
redis.call('SET', KEYS[2], token, 'PX', ARGV[1])
return token
"""
_READ = """
local value = redis.call('GET', KEYS[1])
return value and {value, redis.call('PTTL', KEYS[1])}
"""
_TAKE = """
local token = redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
redis.call('SET', KEYS[2], token, 'PX', ARGV[1])
return token
"""
_RENEW = """
if redis.call('GET', KEYS[3]) == ARGV[2] then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1]) end
"""
_PUT = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
"""


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How the store is used.

    Attributes:
        namespace: what every key begins with, so that several services may share a server.
        limit_s: longest wait of a caller for one use.
        patience_s: how long a use goes on without its caller, so that a slow connection can still be made.
        connections: open at once; as many uses may be under way, and more fail at once.
    """

    namespace: str = "onepass"
    limit_s: float = 0.01
    patience_s: float = 1.0
    connections: int = 64


class RedisStore:
    """A ``Store`` at ``url``. Raises ``ConfigurationError`` for a URL that is none."""

    def __init__(self, url: str, options: RedisOptions | None = None) -> None:
        self._options = options or RedisOptions()
        self._client = _client(url, self._options)
        self._breaker = Breaker()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._prefix = f"{self._options.namespace}:{SCHEMA}:"

    async def open(self) -> None:
        """Make a first connection, if that can be done in a moment."""
        try:
            await asyncio.wait_for(self._run(_READ, "open"), self._options.patience_s)
        except (RedisError, OSError, TimeoutError):
            return

    async def look(self, key: str) -> Looked:
        """See ``Store``."""
        found = await self._use(_LOOK, key, _LEASE_MS, _COUNTER_MS)
        if isinstance(found, int):
            return Lead(found)
        return _hit(found) or Busy()

    async def read(self, key: str) -> Hit | None:
        """See ``Store``."""
        return _hit(await self._use(_READ, key))

    async def take(self, key: str) -> Lead:
        """See ``Store``."""
        return Lead(int(await self._use(_TAKE, key, _LEASE_MS, _COUNTER_MS)))

    async def renew(self, key: str, lead: Lead) -> None:
        """See ``Store``."""
        await self._use(_RENEW, key, _LEASE_MS, lead.token)

    async def put(self, key: str, lead: Lead, value: bytes, ttl_s: float) -> None:
        """See ``Store``."""
        await self._use(_PUT, key, lead.token, value, max(1, round(ttl_s * 1000)))

    async def release(self, key: str, lead: Lead) -> None:
        """See ``Store``."""
        await self._use(_RELEASE, key, lead.token)

    async def close(self) -> None:
        """Close all connections."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()

    async def _use(self, script: str, key: str, *arguments: int | bytes) -> Any:
        """The script's result. Raises ``CacheUnavailable``."""
        if len(self._under_way) >= self._options.connections:
            raise CacheUnavailable("too many uses of the cache are under way")
        if not self._breaker.allows():
            raise CacheUnavailable("the cache has failed too often and is left alone")
        task = asyncio.create_task(self._within(script, key, *arguments))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        for _ in range(2):  # in halves: a stall of our own loop ends the first, but its answer is there in the second
            await asyncio.wait({task}, timeout=self._options.limit_s / 2)
            if task.done():
                break
        else:
            self._breaker.failed()
            raise CacheUnavailable("the cache is slow") from TimeoutError()
        try:
            result = task.result()
        except (RedisError, OSError, TimeoutError, ValueError) as error:  # ValueError: an answer that is no answer
            self._breaker.failed()
            raise CacheUnavailable("the cache failed") from error
        self._breaker.succeeded()
        return result

    async def _within(self, script: str, key: str, *arguments: int | bytes) -> Any:
        async with asyncio.timeout(self._options.patience_s):
            return await self._run(script, key, *arguments)

    async def _run(self, script: str, key: str, *arguments: int | bytes) -> Any:
        slot = f"{self._prefix}{{{key}}}:"
        names = (slot + "answer", slot + "lead", slot + "leaders")
        return await self._client.eval(script, len(names), *names, *arguments)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where the caller has gone


def _hit(found: object) -> Hit | None:
    """What a script found. Raises ``ValueError`` if that is something else."""
    if found is None or found == 0:
        return None
    if not isinstance(found, list) or not isinstance(found[0], bytes):
        raise CacheUnavailable("the cache answered with something else") from TypeError()
    return Hit(found[0], int(found[1]) / 1000)


def _client(url: str, options: RedisOptions) -> Redis | RedisCluster:
    parts = urlsplit(url)
    connecting: dict[str, Any] = {
        "socket_timeout": options.patience_s,
        "socket_connect_timeout": options.patience_s,
        "max_connections": options.connections + 1,
    }
    try:
        match parts.scheme:
            case "redis" | "rediss" | "unix":
                return Redis.from_url(url, retry=Retry(NoBackoff(), 0), **connecting)
            case "redis+sentinel" | "rediss+sentinel":
                return _through_sentinel(parts, connecting)
            case "redis+cluster" | "rediss+cluster":
                return RedisCluster.from_url(url.replace("+cluster", "", 1), **connecting)
            case _:
                raise ConfigurationError(f"a cache URL does not begin with {parts.scheme or 'nothing'}://")
    except ValueError as error:
        raise ConfigurationError(f"cache.url: {error}") from error


def _through_sentinel(parts: SplitResult, connecting: Mapping[str, Any]) -> Redis:
    account, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ConfigurationError("cache.url: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB")
    user, _, password = (unquote(part) for part in account.partition(":"))
    addresses = [(host.rpartition(":")[0], int(host.rpartition(":")[2])) for host in hosts.split(",")]
    master: dict[str, Any] = {**connecting, "username": user or None, "password": password or None}
    watching: dict[str, Any] = {"socket_timeout": connecting["socket_timeout"]}
    if parts.scheme.startswith("rediss"):
        master["ssl"] = watching["ssl"] = True
    sentinel: Any = Sentinel(addresses, sentinel_kwargs=watching)  # type: ignore[no-untyped-call]
    found: Redis = sentinel.master_for(service, db=int(database or 0), **master)
    return found
