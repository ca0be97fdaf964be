"""Whatever callers do and however answers turn out: everybody gets their own answer, and nothing is left behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from enum import Enum, auto

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.answers import AnswerCache, Lifetimes, Made, Question
from service.cache.memory import MemoryStore
from service.deadline import Deadline
from service.domain import CachePolicy, CacheState, DegradedReason
from service.errors import EngineUnavailable, NotCached
from tests.cache.asking import Seen, answer

TICK_S = 0.002
PATIENCE_S = 20


class Outcome(Enum):
    """How the making of an answer ends."""

    WHOLE = auto()
    DEGRADED = auto()
    ERROR = auto()


@dataclass(frozen=True)
class Caller:
    """Asks ``key`` after some ticks, goes away after others, and if it has to make the answer that takes so long."""

    gateway: int
    key: int
    policy: CachePolicy
    comes: int
    goes: int | None
    takes: int
    outcome: Outcome
    deadline_s: float


CALLERS = st.builds(
    Caller,
    gateway=st.integers(0, 1),
    key=st.integers(0, 2),
    policy=st.sampled_from([CachePolicy.USE] * 4 + [CachePolicy.REFRESH, CachePolicy.AVOID, CachePolicy.ONLY]),
    comes=st.integers(0, 10),
    goes=st.none() | st.integers(0, 10),
    takes=st.integers(0, 8),
    outcome=st.sampled_from(Outcome),
    deadline_s=st.sampled_from([0.01, 0.05, 10.0]),
)


@settings(max_examples=150)
@given(st.lists(CALLERS, max_size=20), st.sampled_from([0.0, 30.0]))
def test_everybody_is_answered_and_nothing_is_left(callers: list[Caller], stale_s: float) -> None:
    asyncio.run(crowd(callers, stale_s))


async def crowd(callers: list[Caller], stale_s: float) -> None:
    store = MemoryStore(1 << 20)
    gateways = [AnswerCache(store, Lifetimes(0.005 if stale_s else 60, stale_s), Seen()) for _ in range(2)]
    with anyio.fail_after(PATIENCE_S):
        await asyncio.gather(*(call(gateways[caller.gateway], caller) for caller in callers))
    for gateway in gateways:
        with anyio.fail_after(PATIENCE_S):
            await asyncio.gather(*gateway._refreshing, return_exceptions=True)
        assert len(gateway._flights) == 0
    assert not store._leads, "every lead was ended"
    for gateway in gateways:
        await gateway.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def call(gateway: AnswerCache, caller: Caller) -> None:
    await asyncio.sleep(caller.comes * TICK_S)
    key = f"{caller.key:064}"

    async def make(_until: Deadline) -> Made:
        await asyncio.sleep(caller.takes * TICK_S)
        if caller.outcome is Outcome.ERROR:
            raise EngineUnavailable(key)
        degraded = DegradedReason.DEADLINE if caller.outcome is Outcome.DEGRADED else None
        made = answer(caller.key, degraded)
        return Made(replace(made, index=key))

    with anyio.move_on_after(None if caller.goes is None else caller.goes * TICK_S):
        try:
            made = await gateway.answer(Question(lambda: key, caller.policy, Deadline.after(caller.deadline_s)), make)
        except EngineUnavailable:
            return
        except NotCached:
            assert caller.policy is CachePolicy.ONLY
            return
        assert made.answer.index == key, "nobody is given another question's answer"
        if made.answer.cache in {CacheState.HIT, CacheState.STALE}:
            assert made.whole
