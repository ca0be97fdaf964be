"""What every scorer promises, asked of each of them."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable

import anyio
import numpy as np
import pytest

from service.deadline import Deadline
from service.engine.admissible import PromptLimits
from service.engine.fake import FakeScorer
from service.engine.onnx import onnx_scorer
from service.engine.scorer import Prompt, Scorer
from service.errors import DeadlineExceeded, EngineRejected, EngineUnavailable
from service.ranking.profile import MODELS

pytestmark = pytest.mark.anyio

_CONFIG = json.loads((MODELS / "onepass-mini" / "config.json").read_text())
CONTEXT, VOCABULARY = _CONFIG["max_position_embeddings"], _CONFIG["vocab_size"]

SCORERS: dict[str, Callable[[], Scorer]] = {
    "fake": lambda: FakeScorer(limits=PromptLimits(CONTEXT, VOCABULARY)),
    "onnx": lambda: onnx_scorer(MODELS / "onepass-mini"),
}


@pytest.fixture(params=SCORERS)
async def scorer(request: pytest.FixtureRequest) -> AsyncIterator[Scorer]:
    made = SCORERS[request.param]()
    yield made
    await made.close()


def prompt(*passages: list[int], labels: range = range(4, 24)) -> Prompt:
    """Each passage between its labels, as the small model's template has it."""
    shown = labels[: len(passages)]
    ids = [token for label, passage in zip(shown, passages, strict=True) for token in (label, *passage, label)]
    return Prompt(np.array([2, 700, *ids, 2, 700, 3], dtype=np.uint32), tuple(shown))


SHORT = prompt([900], [901, 902])
LONG = prompt([900, 901, 902], [1500] * 9, [3000, 3001], [2000] * 4)


async def test_one_finite_logit_for_each_label_in_the_order_of_prompts(scorer: Scorer) -> None:
    answers = await scorer.score([LONG, SHORT, LONG], Deadline.never())
    assert [len(answer) for answer in answers] == [4, 2, 4]
    assert all(math.isfinite(value) for answer in answers for value in answer)
    assert answers[0] == pytest.approx(answers[2], abs=1e-4)


async def test_no_prompts_no_answers(scorer: Scorer) -> None:
    assert await scorer.score([], Deadline.never()) == []


async def test_company_does_not_change_an_answer(scorer: Scorer) -> None:
    alone = [(await scorer.score([each], Deadline.never()))[0] for each in (SHORT, LONG)]
    together = await scorer.score([SHORT, LONG], Deadline.never())
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


async def test_labels_are_answered_in_the_prompts_order(scorer: Scorer) -> None:
    swapped = Prompt(LONG.token_ids, tuple(reversed(LONG.label_ids)))
    forth, back = await scorer.score([LONG, swapped], Deadline.never())
    assert forth == pytest.approx(tuple(reversed(back)), abs=1e-4)


async def test_prompts_of_one_batch_may_have_different_labels(scorer: Scorer) -> None:
    other = prompt([900], [901, 902], labels=range(10, 12))
    first, second = await scorer.score([SHORT, other], Deadline.never())
    (alone,) = await scorer.score([other], Deadline.never())
    assert second == pytest.approx(alone, abs=1e-4)
    assert len(first) == 2


async def test_concurrent_callers_get_their_own_answers(scorer: Scorer) -> None:
    prompts = [prompt([900 + i], [1000 + i, 7]) for i in range(8)]
    expected = [(await scorer.score([each], Deadline.never()))[0] for each in prompts]
    found = await asyncio.gather(*(scorer.score([each], Deadline.after(30)) for each in prompts))
    for one, (other,) in zip(expected, found, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Prompt(np.zeros(0, dtype=np.uint32), (4,)), "no tokens"),
        (Prompt(np.ones(3, dtype=np.uint32), ()), "no labels"),
        (Prompt(np.ones(3, dtype=np.uint32), (4, 4)), "twice"),
        (Prompt(np.ones(CONTEXT + 1, dtype=np.uint32), (4,)), f"has {CONTEXT + 1} tokens"),
        (Prompt(np.array([VOCABULARY], dtype=np.uint32), (4,)), "outside the model's vocabulary"),
        (Prompt(np.ones(3, dtype=np.uint32), (VOCABULARY,)), "outside the model's vocabulary"),
    ],
)
async def test_a_prompt_that_cannot_be_scored_is_rejected_and_harms_nobody(
    scorer: Scorer, bad: Prompt, reason: str
) -> None:
    async def rejected() -> None:
        with pytest.raises(EngineRejected, match=reason):
            await scorer.score([SHORT, bad], Deadline.never())

    good, _ = await asyncio.gather(scorer.score([SHORT], Deadline.never()), rejected())
    assert len(good[0]) == 2


async def test_a_deadline_already_over(scorer: Scorer) -> None:
    with pytest.raises(DeadlineExceeded):
        await scorer.score([SHORT], Deadline.after(-1))


async def test_after_cancellation_the_next_caller_is_served(scorer: Scorer) -> None:
    with anyio.move_on_after(0.001):
        await scorer.score([LONG] * 8, Deadline.never())
    assert len(await scorer.score([SHORT], Deadline.after(30))) == 1


async def test_closed_means_unavailable_and_not_ready(scorer: Scorer) -> None:
    assert await scorer.ready()
    await scorer.close()
    await scorer.close()
    assert not await scorer.ready()
    with pytest.raises(EngineUnavailable):
        await scorer.score([SHORT], Deadline.never())


async def test_nothing_is_left_running_after_close(scorer: Scorer) -> None:
    before = asyncio.all_tasks()
    await scorer.score([SHORT], Deadline.never())
    await scorer.close()
    assert asyncio.all_tasks() <= before


async def test_the_model_has_a_name(scorer: Scorer) -> None:
    assert "@" in scorer.model
