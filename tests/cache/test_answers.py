"""One ranking for everybody who asks the same, whatever happens to those who ask and to the store."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from service.cache.answers import Made
from service.cache.memory import MemoryStore
from service.cache.store import LEASE_S, Store
from service.domain import CachePolicy, CacheState, DegradedReason
from service.errors import DeadlineExceeded, NotCached
from service.observability.events import CacheLed, StageFinished
from tests.cache.asking import KEY, Maker, Seen, cache, question

pytestmark = pytest.mark.anyio


async def test_the_second_answer_is_the_first_one(store: Store) -> None:
    answers, make = cache(store), Maker()

    first = await answers.answer(question(), make)
    second = await answers.answer(question(), make)

    assert make.made == 1
    assert (first.answer.cache, second.answer.cache) == (CacheState.MISS, CacheState.HIT)
    assert second.answer.ranking == first.answer.ranking
    assert second.answer.results == first.answer.results


async def test_two_gateways_share_what_they_keep_and_what_they_make(store: Store) -> None:
    one, other, make = cache(store), cache(store), Maker(delay_s=0.05)
    found: list[Made] = []

    async def ask(number: int) -> None:
        found.append(await (one, other)[number % 2].answer(question(), make))

    async with anyio.create_task_group() as asking:
        for number in range(100):
            asking.start_soon(ask, number)

    assert make.made == 1
    assert {made.answer.ranking.model for made in found} == {"model 0"}
    states = [made.answer.cache for made in found]
    assert states.count(CacheState.MISS) == 1


@pytest.mark.parametrize("degraded", [DegradedReason.ENGINE_UNAVAILABLE, DegradedReason.DEADLINE])
async def test_a_degraded_answer_is_not_kept(store: Store, degraded: DegradedReason) -> None:
    answers, make = cache(store), Maker(degraded=degraded)

    for _ in range(2):
        made = await answers.answer(question(), make)
        assert made.answer.cache is CacheState.MISS
    assert make.made == 2


async def test_who_makes_an_answer_tells_whether_it_was_kept(store: Store) -> None:
    seen = Seen()
    answers = cache(store, seen)

    await answers.answer(question(), Maker(degraded=DegradedReason.DEADLINE))
    await answers.answer(question(), Maker())
    await answers.answer(question(), Maker())

    assert [event.kept for event in seen.events if isinstance(event, CacheLed)] == [False, True]
    assert [event.stage for event in seen.events if isinstance(event, StageFinished)] == ["cache"] * 3


async def test_an_error_goes_to_its_caller_and_frees_the_lead(store: Store) -> None:
    answers = cache(store)
    with pytest.raises(DeadlineExceeded):
        await answers.answer(question(), Maker(error=DeadlineExceeded("too late")))

    with anyio.fail_after(LEASE_S / 2):
        assert (await answers.answer(question(), Maker())).answer.cache is CacheState.MISS


async def test_a_caller_who_leaves_does_not_take_the_answer_along(store: Store) -> None:
    answers, make = cache(store), Maker(delay_s=0.2)
    async with anyio.create_task_group() as asking:
        with anyio.move_on_after(0.05):
            await answers.answer(question(), make)
        asking.cancel_scope.cancel()
    assert make.cancelled == 1, "nobody waited any more"

    found: list[Made] = []

    async def stay() -> None:
        found.append(await answers.answer(question(), make))

    async with anyio.create_task_group() as asking:
        with anyio.move_on_after(0.05):
            asking.start_soon(stay)
            await answers.answer(question(), make)
    assert make.cancelled == 1
    assert len(found) == 1
    assert found[0].answer.ranking.degraded is None


async def test_anothers_deadline_is_nobody_elses() -> None:
    answers = cache(MemoryStore(1 << 20))
    hurried, patient = Maker(delay_s=0.1, degraded=DegradedReason.DEADLINE), Maker()
    found: dict[str, Made] = {}

    async def ask(name: str, make: Maker, seconds: float) -> None:
        found[name] = await answers.answer(question(seconds=seconds), make)

    async with anyio.create_task_group() as asking:
        asking.start_soon(ask, "hurried", hurried, 0.1)
        await anyio.sleep(0.02)
        asking.start_soon(ask, "patient", patient, 30.0)

    assert found["hurried"].answer.ranking.degraded is DegradedReason.DEADLINE
    assert found["patient"].answer.ranking.degraded is None


async def test_a_waiting_caller_keeps_time_to_answer_itself() -> None:
    answers, slow, quick = cache(MemoryStore(1 << 20)), Maker(delay_s=1), Maker()
    async with anyio.create_task_group() as asking:
        asking.start_soon(answers.answer, question(), slow)
        await anyio.sleep(0.02)

        made = await answers.answer(question(seconds=0.2), quick)

        assert quick.made == 1
        assert made.answer.cache is CacheState.BYPASS


async def test_a_dead_leader_of_another_process_is_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cache.memory.LEASE_S", 0.1)
    monkeypatch.setattr("service.cache.redis._LEASE_MS", 100)
    await store.take(KEY)  # whoever did this is never heard of again

    with anyio.fail_after(10):
        made = await cache(store).answer(question(), Maker())

    assert made.answer.cache is CacheState.MISS


async def test_a_slow_ranking_keeps_its_lead(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("memory.LEASE_S", 0.3), ("redis._LEASE_MS", 300), ("answers.LEASE_S", 0.3)):
        monkeypatch.setattr(f"service.cache.{name}", value)
    make = Maker(delay_s=1)
    one, other = cache(store), cache(store)

    async with anyio.create_task_group() as asking:
        asking.start_soon(one.answer, question(), make)
        await anyio.sleep(0.05)
        asking.start_soon(other.answer, question(), make)

    assert make.made == 1


async def test_no_cache_makes_anew_and_keeps(store: Store) -> None:
    answers, make = cache(store), Maker()
    await answers.answer(question(), make)

    anew = await answers.answer(question(CachePolicy.REFRESH), make)
    later = await answers.answer(question(), make)

    assert anew.answer.cache is CacheState.MISS
    assert later.answer.cache is CacheState.HIT
    assert later.answer.ranking.model == "model 1"


async def test_no_store_neither_reads_nor_keeps(store: Store) -> None:
    answers, make = cache(store), Maker()

    made = await answers.answer(question(CachePolicy.AVOID), make)

    assert made.answer.cache is CacheState.OFF
    assert await store.read(KEY) is None


async def test_only_if_cached_makes_nothing(store: Store) -> None:
    answers, make = cache(store), Maker()
    with pytest.raises(NotCached):
        await answers.answer(question(CachePolicy.ONLY), make)
    assert make.made == 0

    await answers.answer(question(), make)
    assert (await answers.answer(question(CachePolicy.ONLY), make)).answer.cache is CacheState.HIT
    with pytest.raises(NotCached):
        await cache(None).answer(question(CachePolicy.ONLY), make)


async def test_a_stale_answer_is_given_while_a_new_one_is_made(store: Store) -> None:
    answers, make = cache(store, fresh_s=0.01, stale_s=30), Maker()
    await answers.answer(question(), make)
    await anyio.sleep(0.02)

    stale = await answers.answer(question(), make)

    assert stale.answer.cache is CacheState.STALE
    assert stale.answer.ranking.model == "model 0"
    with anyio.fail_after(5):
        while (await answers.answer(question(), make)).answer.ranking.model == "model 0":
            await anyio.lowlevel.checkpoint()
    await answers.close()


@pytest.mark.parametrize("value", [b"", b"rubbish", b"\x80\x04K\x01."])
async def test_a_foreign_value_is_a_miss_that_is_counted(store: Store, value: bytes) -> None:
    seen, make = Seen(), Maker()
    await store.put(KEY, await store.take(KEY), value, 60)

    made = await cache(store, seen).answer(question(), make)

    assert made.answer.cache is CacheState.MISS
    assert seen.failures == ["foreign_value"]
    assert (await cache(store).answer(question(), make)).answer.cache is CacheState.HIT
