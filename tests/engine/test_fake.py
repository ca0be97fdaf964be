from __future__ import annotations

import time

import numpy as np
import pytest

from service.deadline import Deadline
from service.engine.fake import FakeScorer, passages_of
from service.engine.scorer import Prompt
from service.errors import DeadlineExceeded, EngineProtocolError, EngineRejected, EngineUnavailable

pytestmark = pytest.mark.anyio


def prompt(*ids: int, labels: tuple[int, ...] = (1, 2, 3)) -> Prompt:
    return Prompt(np.array(ids, dtype=np.uint32), labels)


@pytest.mark.parametrize(
    ("ids", "passages"),
    [
        ((9, 1, 50, 51, 1, 2, 60, 2, 3, 3, 9), [[50, 51], [60], []]),
        ((9, 1, 50, 51, 2, 60, 3, 70), [[50, 51], [60], [70]]),
        ((9, 2, 60, 2), [[], [60], []]),
    ],
)
def test_passages_are_found_whether_labels_close_them_or_not(ids: tuple[int, ...], passages: list[list[int]]) -> None:
    assert [found.tolist() for found in passages_of(prompt(*ids))] == passages


async def test_logits_depend_on_passage_and_seed_alone() -> None:
    one, two = prompt(1, 50, 2, 60, 3, 70), prompt(9, 9, 1, 60, 2, 50, 3, 80)
    (first,), (second,) = [await FakeScorer().score([each], Deadline.never()) for each in (one, two)]
    assert first[:2] == tuple(reversed(second[:2]))
    assert len({*first, *second}) == 4
    assert all(-4 <= value <= 4 for value in first)
    assert await FakeScorer(seed=1).score([one], Deadline.never()) != [first]


async def test_labels_are_answered_in_the_prompts_order() -> None:
    forth, back = prompt(1, 50, 2, 60, 3, 70), prompt(1, 50, 2, 60, 3, 70, labels=(3, 2, 1))
    one, other = await FakeScorer().score([forth, back], Deadline.never())
    assert one == tuple(reversed(other))


async def test_prompts_of_one_call_may_have_different_labels() -> None:
    one, other = prompt(1, 50, labels=(1,)), prompt(4, 50, 5, 60, labels=(4, 5))
    first, second = await FakeScorer().score([one, other], Deadline.never())
    assert (len(first), len(second)) == (1, 2)
    assert first[0] == second[0]


async def test_passages_on_their_own_are_what_is_scored() -> None:
    alone = Prompt(np.array([9], dtype=np.uint32), (0,), (np.array([50, 51], dtype=np.uint32),))
    scorer = FakeScorer(relevance=lambda passage: float(passage.sum()))
    assert await scorer.score([alone], Deadline.never()) == [(101.0,)]


async def test_a_relevance_of_ones_own() -> None:
    scorer = FakeScorer(relevance=lambda passage: float(passage.sum()))
    assert await scorer.score([prompt(1, 50, 51, 2, 60, 3)], Deadline.never()) == [(101.0, 60.0, 0.0)]


async def test_a_relevance_that_is_no_number_is_no_answer() -> None:
    with pytest.raises(EngineProtocolError):
        await FakeScorer(relevance=lambda _: float("nan")).score([prompt(1)], Deadline.never())


async def test_faults_come_one_to_a_call() -> None:
    scorer = FakeScorer(faults=[None, EngineRejected("bad"), EngineUnavailable("down")])
    assert await scorer.score([prompt(1)], Deadline.never())
    with pytest.raises(EngineRejected):
        await scorer.score([prompt(1)], Deadline.never())
    with pytest.raises(EngineUnavailable):
        await scorer.score([prompt(1)], Deadline.never())
    assert await scorer.score([prompt(1)], Deadline.never())


async def test_a_delay_ends_at_the_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await FakeScorer(delay_s=5).score([prompt(1)], Deadline.after(0.02))
    assert time.monotonic() - started < 0.5
