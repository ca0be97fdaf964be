from __future__ import annotations

import asyncio
import random
import time
from itertools import pairwise

import pytest

from loadtest.open_loop import NO_ANSWER, Phase, Reply, arrivals, closed_loop, offer, quantile

pytestmark = pytest.mark.anyio


def test_arrivals_come_at_the_rate_of_their_phase_and_at_random() -> None:
    due = list(arrivals([Phase("slow", 100, 5), Phase("fast", 100, 50)], random.Random(1)))
    assert due == sorted(due)
    slow = [at for at in due if at < 100]
    assert 400 < len(slow) < 600
    assert 4700 < len(due) - len(slow) < 5300
    gaps = [after - before for before, after in pairwise(slow)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert 0.8 < spread / mean < 1.2  # as of an exponential distribution; even arrivals have 0


async def test_waiting_for_a_held_up_generator_counts() -> None:
    """One request blocks the generator itself: those that were due meanwhile are late from their own time on."""
    blocked = False

    async def ask() -> Reply:
        nonlocal blocked
        if not blocked:
            blocked = True
            time.sleep(0.2)  # noqa: ASYNC251  on purpose
        return Reply("full")

    tasks = await offer(ask, [0.0, 0.05, 0.1, 0.15])
    answers = await asyncio.gather(*tasks)

    assert [answer.due for answer in answers] == [0.0, 0.05, 0.1, 0.15]
    assert answers[1].seconds >= 0.1


async def test_requests_are_sent_whether_or_not_others_are_answered() -> None:
    never, sent = asyncio.Event(), 0

    async def ask() -> Reply:
        nonlocal sent
        sent += 1
        if sent == 3:
            never.set()
        await never.wait()
        return Reply("full")

    tasks = await offer(ask, [0.0, 0.0, 0.0])
    assert {answer.reply.kind for answer in await asyncio.gather(*tasks)} == {"full"}


async def test_a_server_that_is_away_is_counted() -> None:
    async def ask() -> Reply:
        raise ConnectionRefusedError

    (task,) = await offer(ask, [0.0])
    assert (await task).reply.kind == NO_ANSWER


async def test_a_closed_loop_keeps_so_many_under_way() -> None:
    under_way = most = 0

    async def ask() -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return Reply("full")

    answers = await closed_loop(ask, 3, 0.05)
    assert most == 3
    assert len(answers) > 3


def test_quantiles_are_in_milliseconds() -> None:
    assert quantile([0.3, 0.1, 0.2, 0.4], 0.5) == 300
    assert quantile([0.3, 0.1, 0.2, 0.4], 1.0) == 400
    assert quantile([], 0.5) != quantile([], 0.5)  # not a number
