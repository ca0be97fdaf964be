"""Stores of every kind, the Redis one over a real Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from service.cache.memory import MemoryStore
from service.cache.redis import RedisOptions, RedisStore
from service.cache.store import Store
from tests.cache.valkey import Valkey, valkey

PATIENT = RedisOptions(limit_s=5.0, patience_s=10.0)
"""For tests of what is kept, on a busy machine; tests of slowness have limits of their own."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, server: Valkey) -> AsyncIterator[Store]:
    server.client().flushall()
    made: Store = MemoryStore(1 << 20) if request.param == "memory" else RedisStore(server.url, PATIENT)
    await made.open()
    yield made
    await made.close()
