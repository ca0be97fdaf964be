"""What every scorer promises, asked of each of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import anyio
import numpy as np
import pytest

from service.deadline import Deadline
from service.encoders.encoders import PIECE_TOKENS, Encoders
from service.engine.admissible import PromptLimits
from service.engine.fake import FakeScorer
from service.engine.scorer import Prompt, Scorer
from service.errors import DeadlineExceeded, EngineRejected, EngineUnavailable
from tests.engine.encoding import scorer_of

pytestmark = pytest.mark.anyio

VOCABULARY = 30_522
LABELS = range(4, 24)


def listwise(*passages: list[int]) -> Prompt:
    """Each passage between its labels, as a template has it."""
    shown = LABELS[: len(passages)]
    ids = [token for label, passage in zip(shown, passages, strict=True) for token in (label, *passage, label)]
    return Prompt(np.array([2, 700, *ids, 2, 700, 3], dtype=np.uint32), tuple(shown))


def encoded(*passages: list[int], query: int = 700) -> Prompt:
    """A query, and the passages joined to one."""
    ids = [token for passage in passages for token in passage]
    return Prompt(np.array([2, query], dtype=np.uint32), (0,), (np.array(ids, dtype=np.uint32),))


def ids(count: int, token: int = 1) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.full(count, token, dtype=np.uint32)


@dataclass(frozen=True)
class Kind:
    """How prompts for a kind of scorer are made, and some that it cannot score with the reason."""

    prompt: Callable[..., Prompt]
    bad: tuple[tuple[Prompt, str], ...]


KINDS = {
    "fake": Kind(
        listwise,
        (
            (Prompt(ids(0), (4,)), "no tokens"),
            (Prompt(ids(3), ()), "no labels"),
            (Prompt(ids(3), (4, 4)), "twice"),
            (Prompt(ids(2049), (4,)), "has 2049 tokens"),
            (Prompt(ids(1, VOCABULARY), (4,)), "outside the model's vocabulary"),
            (Prompt(ids(3), (VOCABULARY,)), "outside the model's vocabulary"),
        ),
    ),
    "encoders": Kind(
        encoded,
        (
            (Prompt(ids(3), (0,)), "one passage"),
            (Prompt(ids(3), (0, 1), (ids(3), ids(3))), "one passage"),
            (Prompt(ids(3), (), (ids(3),)), "one passage"),
            (Prompt(ids(3), (0,), (ids(PIECE_TOKENS + 1),)), f"has {PIECE_TOKENS + 1} tokens"),
            (Prompt(ids(PIECE_TOKENS + 1), (0,), (ids(3),)), f"has {PIECE_TOKENS + 1} tokens"),
            (Prompt(ids(3), (0,), (ids(3, VOCABULARY),)), "outside the encoders' vocabulary"),
            (Prompt(ids(1, VOCABULARY), (0,), (ids(3),)), "outside the encoders' vocabulary"),
        ),
    ),
}
BAD = [pytest.param(name, *bad, id=f"{name}-{bad[1]}") for name, kind in KINDS.items() for bad in kind.bad]


@pytest.fixture(scope="module")
def encoders() -> Iterator[Encoders]:
    loaded = Encoders()
    yield loaded
    loaded.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def scorer(kind: str, encoders: Encoders) -> AsyncIterator[Scorer]:
    fake = FakeScorer(limits=PromptLimits(2048, VOCABULARY))
    made: Scorer = fake if kind == "fake" else scorer_of(encoders)
    yield made
    await made.close()


@pytest.fixture
def short(kind: str) -> Prompt:
    return KINDS[kind].prompt([900], [901, 902])


@pytest.fixture
def long(kind: str) -> Prompt:
    return KINDS[kind].prompt([900, 901, 902], [1500] * 9, [3000, 3001], [2000] * 4)


async def test_one_finite_logit_for_each_label_in_the_order_of_prompts(
    scorer: Scorer, short: Prompt, long: Prompt
) -> None:
    answers = await scorer.score([long, short, long], Deadline.never())
    assert [len(answer) for answer in answers] == [len(each.label_ids) for each in (long, short, long)]
    assert all(math.isfinite(value) for answer in answers for value in answer)
    assert answers[0] == pytest.approx(answers[2], abs=1e-4)
    assert answers[0] != answers[1]


async def test_no_prompts_no_answers(scorer: Scorer) -> None:
    assert await scorer.score([], Deadline.never()) == []


async def test_company_does_not_change_an_answer(scorer: Scorer, short: Prompt, long: Prompt) -> None:
    alone = [(await scorer.score([each], Deadline.never()))[0] for each in (short, long)]
    together = await scorer.score([short, long], Deadline.never())
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


async def test_concurrent_callers_get_their_own_answers(scorer: Scorer, kind: str) -> None:
    prompts = [KINDS[kind].prompt([900 + i], [1000 + i, 7]) for i in range(8)]
    expected = [(await scorer.score([each], Deadline.never()))[0] for each in prompts]
    found = await asyncio.gather(*(scorer.score([each], Deadline.after(30)) for each in prompts))
    for one, (other,) in zip(expected, found, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize(("kind", "bad", "reason"), BAD)
async def test_a_prompt_that_cannot_be_scored_is_rejected_and_harms_nobody(
    scorer: Scorer, short: Prompt, bad: Prompt, reason: str
) -> None:
    async def rejected() -> None:
        with pytest.raises(EngineRejected, match=reason):
            await scorer.score([short, bad], Deadline.never())

    good, _ = await asyncio.gather(scorer.score([short], Deadline.never()), rejected())
    assert len(good[0]) == len(short.label_ids)


async def test_a_deadline_already_over(scorer: Scorer, short: Prompt) -> None:
    with pytest.raises(DeadlineExceeded):
        await scorer.score([short], Deadline.after(-1))


async def test_after_cancellation_the_next_caller_is_served(scorer: Scorer, short: Prompt, long: Prompt) -> None:
    with anyio.move_on_after(0.001):
        await scorer.score([long] * 8, Deadline.never())
    assert len(await scorer.score([short], Deadline.after(30))) == 1


async def test_closed_means_unavailable_and_not_ready(scorer: Scorer, short: Prompt) -> None:
    assert await scorer.ready()
    await scorer.close()
    await scorer.close()
    assert not await scorer.ready()
    with pytest.raises(EngineUnavailable):
        await scorer.score([short], Deadline.never())


async def test_nothing_is_left_running_after_close(scorer: Scorer, short: Prompt) -> None:
    before = asyncio.all_tasks()
    await scorer.score([short], Deadline.never())
    await scorer.close()
    assert asyncio.all_tasks() <= before


async def test_the_model_has_a_name(scorer: Scorer) -> None:
    assert "@" in scorer.model
