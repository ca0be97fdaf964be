"""What every store promises."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from service.cache.memory import MemoryStore
from service.cache.store import Busy, Hit, Lead, Store

pytestmark = pytest.mark.anyio


async def test_the_first_who_looks_leads_and_the_others_wait(store: Store) -> None:
    lead = await store.look("key")

    assert isinstance(lead, Lead)
    assert await store.look("key") == Busy()
    assert isinstance(await store.look("another"), Lead)


async def test_what_the_leader_puts_is_found(store: Store) -> None:
    lead = await store.take("key")
    await store.put("key", lead, b"\0value\xff", 60)

    found = await store.look("key")

    assert isinstance(found, Hit)
    assert found.value == b"\0value\xff"
    assert 50 < found.left_s <= 60
    assert await store.read("key") is not None


async def test_reading_leads_nobody(store: Store) -> None:
    assert await store.read("key") is None
    assert isinstance(await store.look("key"), Lead)


async def test_a_lead_given_up_goes_to_the_next(store: Store) -> None:
    lead = await store.take("key")
    await store.release("key", lead)

    assert isinstance(await store.look("key"), Lead)


async def test_a_replaced_leader_changes_nothing(store: Store) -> None:
    old = await store.take("key")
    new = await store.take("key")
    assert new.token > old.token

    await store.renew("key", old)
    await store.release("key", old)
    await store.put("key", old, b"late", 60)

    assert await store.look("key") == Busy()
    await store.put("key", new, b"right", 60)
    found = await store.look("key")
    assert isinstance(found, Hit)
    assert found.value == b"right"


async def test_a_value_ends(store: Store) -> None:
    lead = await store.take("key")
    await store.put("key", lead, b"value", 0.05)

    await anyio.sleep(0.1)

    assert await store.read("key") is None


async def test_a_dead_leader_is_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cache.memory.LEASE_S", 0.1)
    monkeypatch.setattr("service.cache.redis._LEASE_MS", 100)
    first = await store.look("key")
    assert isinstance(first, Lead)

    with anyio.fail_after(5):
        while (found := await store.look("key")) == Busy():
            await anyio.lowlevel.checkpoint()

    assert isinstance(found, Lead)
    assert found.token > first.token


async def test_a_renewed_lead_lasts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lead = await store.take("key")
    monkeypatch.setattr("service.cache.memory.LEASE_S", 60)
    monkeypatch.setattr("service.cache.redis._LEASE_MS", 60_000)
    await store.renew("key", lead)

    await anyio.sleep(0.02)

    assert await store.look("key") == Busy()


async def test_the_least_recently_used_values_go_first() -> None:
    store = MemoryStore(30)
    for name in ("a", "b", "c"):
        await store.put(name, await store.take(name), bytes(10), 60)
    await store.read("a")

    await store.put("d", await store.take("d"), bytes(10), 60)

    assert [name for name in "abcd" if await store.read(name)] == ["a", "c", "d"]
    await store.put("e", await store.take("e"), bytes(31), 60)
    assert await store.read("e") is None
    assert await store.read("a") is not None
