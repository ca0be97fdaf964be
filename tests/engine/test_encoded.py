from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Evidence
from service.engine import encoded
from service.engine.encoded import DENSE_MOST, EncoderScorer
from service.engine.passages import PassageMemory
from service.engine.scorer import CutShort, Prompt
from service.errors import EngineUnavailable, OnepassError
from service.observability.events import EngineCalled, Event
from tests.engine.encoding import WEIGHTS, CountingEncoders, prompts_of, scorer_of

pytestmark = pytest.mark.anyio

NEVER = Deadline.never()
QUERY = "how do bees make honey"
ANSWER = "Bees make honey from nectar: they carry it to the hive and thicken it there."
OTHERS = [
    f"Note {number}: the ferry to the {place} leaves at {number % 12}."
    for number in range(33)
    for place in ("harbour", "island", "coast")
]


@pytest.fixture(scope="module")
def loaded() -> Iterator[CountingEncoders]:
    encoders = CountingEncoders()
    yield encoders
    encoders.close()


@pytest.fixture
def encoders(loaded: CountingEncoders) -> Iterator[CountingEncoders]:
    loaded.reset()
    yield loaded
    loaded.delay_s, loaded.dense_delay_s, loaded.poison = 0.0, 0.0, None


@pytest.fixture
async def scorer(encoders: CountingEncoders) -> AsyncIterator[EncoderScorer]:
    made = scorer_of(encoders)
    yield made
    await made.close()


async def failure(scorer: EncoderScorer, prompts: list[Prompt], deadline: Deadline = NEVER) -> OnepassError | None:
    try:
        await scorer.score(prompts, deadline)
    except OnepassError as error:
        return error
    return None


@pytest.mark.parametrize("company", [0, 7, 99])
async def test_a_logit_depends_on_query_and_passage_alone(encoders: CountingEncoders, company: int) -> None:
    scorer = scorer_of(encoders, memory=PassageMemory(0))
    texts = [*OTHERS[: company // 2], ANSWER, *OTHERS[company // 2 : company]]
    answers = await scorer.score(prompts_of(encoders, QUERY, *texts), NEVER)
    read = encoders.query(QUERY)
    (ids,) = encoders.tokens([ANSWER])
    cosine, match = float(encoders.dense_one(ids) @ read.dense), read.sparse_score(encoders.states_one(ids))
    assert answers[company // 2] == (30.0 * cosine + 5.0 * match,)
    assert max(answers) == answers[company // 2]


async def test_evidence_of_the_engines_own_encoders_is_not_read_again(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    evidence = Evidence(scorer.model, dense=0.5, sparse=0.4, lexical=3.0)
    answers = await scorer.score(prompts_of(encoders, QUERY, "", evidence=evidence), NEVER)
    assert answers == [pytest.approx((30 * 0.5 + 5 * 0.4 + 0.5 * 3,))]
    assert (encoders.queries, encoders.sparse_texts, encoders.dense_texts) == (0, 0, 0)


async def test_evidence_of_other_encoders_counts_for_nothing(scorer: EncoderScorer, encoders: CountingEncoders) -> None:
    foreign = Evidence("encoders@0", dense=0.9, sparse=0.9, lexical=30.0)
    with_it = await scorer.score(prompts_of(encoders, QUERY, ANSWER, evidence=foreign), NEVER)
    assert (encoders.sparse_texts, encoders.dense_texts) == (1, 1)
    assert with_it == await scorer.score(prompts_of(encoders, QUERY, ANSWER), NEVER)


async def test_evidence_and_passages_to_be_read_may_come_together(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    evidence = Evidence(scorer.model, dense=0.5, sparse=0.4)
    mixed = [*prompts_of(encoders, QUERY, ANSWER), *prompts_of(encoders, QUERY, "", evidence=evidence)]
    (read,) = await scorer.score(mixed[:1], NEVER)
    assert await scorer.score(mixed, NEVER) == [read, pytest.approx((17.0,))]


async def test_the_dense_encoder_reads_what_matches_best_and_nothing_unread_outranks_it(
    encoders: CountingEncoders,
) -> None:
    memory = PassageMemory(50_000_000)
    prompts = prompts_of(encoders, "the ferry to the island", *OTHERS, ANSWER)
    answers = await scorer_of(encoders, memory=memory).score(prompts, NEVER)
    assert (encoders.sparse_texts, encoders.dense_texts) == (len(prompts), DENSE_MOST)
    read = [memory.get(None, prompt.passages[0]).dense is not None for prompt in prompts]
    assert sum(read) == DENSE_MOST < len(prompts)
    least = min(logit for (logit,), both in zip(answers, read, strict=True) if both)
    assert all(logit <= least for (logit,), both in zip(answers, read, strict=True) if not both)


async def test_what_was_read_is_not_read_again_for_another_query(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    await scorer.score(prompts_of(encoders, QUERY, ANSWER, *OTHERS[:5]), NEVER)
    await scorer.score(prompts_of(encoders, "when does the ferry leave", ANSWER, *OTHERS[:5]), NEVER)
    assert (encoders.queries, encoders.sparse_texts, encoders.dense_texts) == (2, 6, 6)


async def test_owners_have_no_use_of_what_was_read_for_others(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    for turn, owner in enumerate(("a", "b", None), 1):
        await scorer.score(prompts_of(encoders, QUERY, ANSWER, owner=owner), NEVER)
        assert (encoders.queries, encoders.sparse_texts, encoders.dense_texts) == (turn, turn, turn)
    await scorer.score(prompts_of(encoders, QUERY, ANSWER, owner="a"), NEVER)
    assert (encoders.queries, encoders.sparse_texts, encoders.dense_texts) == (3, 3, 3)


async def test_what_was_read_by_the_deadline_is_told_and_the_next_try_goes_on_from_there(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    prompts = prompts_of(encoders, QUERY, ANSWER, *OTHERS[:29])
    expected = await scorer_of(encoders).score(prompts, NEVER)
    encoders.delay_s = 0.1  # three seconds for all of them
    encoders.reset()
    known = tries = 0
    while known < len(prompts):
        tries += 1
        assert tries < 60
        started = time.monotonic()
        error = await failure(scorer, prompts, Deadline.after(0.5))
        assert time.monotonic() - started < 2
        assert isinstance(error, CutShort)
        assert len(error.answers) == len(prompts)
        assert known <= sum(answer is not None for answer in error.answers)
        known = sum(answer is not None for answer in error.answers)
    encoders.delay_s = 0.0
    assert await scorer.score(prompts, NEVER) == expected
    assert tries > 1
    assert encoders.sparse_texts + encoders.dense_texts <= 2 * len(prompts) + tries * encoders.threads


async def test_a_passage_that_the_sparse_encoder_alone_has_read_has_the_logit_to_be_expected(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    prompts = prompts_of(encoders, QUERY, ANSWER, *OTHERS[:3])
    read = encoders.query(QUERY)
    matches = [read.sparse_score(encoders.states_one(prompt.passages[0])) for prompt in prompts]
    await scorer.score(prompts_of(encoders, QUERY, "another"), NEVER)  # the query is known from now on
    encoders.dense_delay_s = 1.5
    error = await failure(scorer, prompts, Deadline.after(1))
    assert isinstance(error, CutShort)
    assert [answer for answer in error.answers if answer is not None] == [
        (WEIGHTS.expected(match),) for match in matches
    ]


async def test_a_deadline_that_is_over_reads_nothing(scorer: EncoderScorer, encoders: CountingEncoders) -> None:
    assert await failure(scorer, prompts_of(encoders, QUERY, ANSWER), Deadline.after(-1)) is not None
    assert encoders.queries == 0


async def test_more_passages_than_may_wait_are_refused_at_once(encoders: CountingEncoders) -> None:
    scorer = scorer_of(encoders, queue_passages=3)
    prompts = prompts_of(encoders, QUERY, ANSWER, *OTHERS[:3])
    assert isinstance(await failure(scorer, prompts), EngineUnavailable)
    assert encoders.queries == 0

    encoders.delay_s = 0.05
    waiting = asyncio.create_task(scorer.score(prompts[:3], NEVER))
    await anyio.sleep(0.02)
    assert not await scorer.ready()
    assert isinstance(await failure(scorer, prompts[3:]), EngineUnavailable)
    evidence = Evidence(scorer.model, 0.5, 0.5)
    assert await scorer.score(prompts_of(encoders, QUERY, "", evidence=evidence), NEVER)
    assert len(await waiting) == 3
    assert await scorer.ready()


async def test_callers_who_are_gone_leave_their_room_to_others(encoders: CountingEncoders) -> None:
    scorer = scorer_of(encoders, queue_passages=4)
    encoders.delay_s = 0.05
    prompts = prompts_of(encoders, QUERY, ANSWER, *OTHERS[:3])
    with anyio.move_on_after(0.02):
        await scorer.score(prompts, NEVER)
    assert len(await scorer.score(prompts, NEVER)) == 4
    assert encoders.sparse_texts <= 4 + encoders.threads


async def test_closing_resolves_those_who_wait(encoders: CountingEncoders) -> None:
    scorer = scorer_of(encoders)
    encoders.delay_s = 0.05
    waiting = [asyncio.create_task(failure(scorer, prompts_of(encoders, QUERY, *OTHERS))) for _ in range(3)]
    await anyio.sleep(0.02)
    await scorer.close()
    async with asyncio.timeout(1):
        assert all(isinstance(error, EngineUnavailable) for error in await asyncio.gather(*waiting))
    assert isinstance(await failure(scorer, prompts_of(encoders, QUERY, ANSWER)), EngineUnavailable)
    assert not await scorer.ready()


async def test_encoders_closed_by_their_owner_resolve_those_who_wait() -> None:
    encoders = CountingEncoders()
    scorer = scorer_of(encoders)
    encoders.delay_s = 0.05
    waiting = asyncio.create_task(failure(scorer, prompts_of(encoders, QUERY, *OTHERS)))
    await anyio.sleep(0.02)
    encoders.close()
    assert isinstance(await waiting, EngineUnavailable)
    assert isinstance(await failure(scorer, prompts_of(encoders, "else", ANSWER)), EngineUnavailable)


async def test_a_text_that_an_encoder_fails_on_harms_nobody_else(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    bad, good = prompts_of(encoders, QUERY, "rust", ANSWER)
    encoders.poison = int(bad.passages[0][0])
    error, answers = await asyncio.gather(failure(scorer, [good, bad]), scorer.score([good], NEVER))
    assert isinstance(error, EngineUnavailable)
    assert "poison" in str(error)
    assert len(answers) == 1


async def test_any_number_of_callers_with_queries_of_their_own_are_served(
    scorer: EncoderScorer, encoders: CountingEncoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "_QUERIES_KEPT", 2)  # the first query is forgotten before its passages are read
    asked = [prompts_of(encoders, f"{QUERY} {number}", ANSWER, OTHERS[number]) for number in range(8)]
    together = await asyncio.gather(*(scorer.score(prompts, NEVER) for prompts in asked))
    assert together == [await scorer.score(prompts, NEVER) for prompts in asked]


async def test_a_call_of_several_queries_reads_each_for_its_own_passages(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    one, other = prompts_of(encoders, QUERY, ANSWER), prompts_of(encoders, "ferry", ANSWER)
    together = await scorer.score([*one, *other], NEVER)
    assert together == [*await scorer.score(one, NEVER), *await scorer.score(other, NEVER)]
    assert together[0] != together[1]


async def test_the_event_loop_stays_responsive_while_texts_are_read(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    stalls = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(0.001)
            stalls.append(time.monotonic() - before)

    started = time.monotonic()
    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await scorer.score(prompts_of(encoders, QUERY, *(text * 12 for text in OTHERS[:10])), NEVER)
        group.cancel_scope.cancel()
    assert max(stalls) < (time.monotonic() - started) / 3


async def test_a_call_is_told_with_what_had_to_be_read(encoders: CountingEncoders) -> None:
    heard: list[Event] = []
    scorer = scorer_of(encoders, notify=heard.append)
    read = prompts_of(encoders, QUERY, ANSWER, OTHERS[0])
    known = prompts_of(encoders, QUERY, "", evidence=Evidence(scorer.model, 0.5, 0.5))
    await scorer.score(known, NEVER)
    await scorer.score([*read, *known], NEVER)
    (event,) = heard
    assert isinstance(event, EngineCalled)
    assert (event.prompts, event.tokens) == (2, sum(len(prompt.passages[0]) for prompt in read))


async def test_an_empty_query_and_an_empty_passage_have_a_logit(
    scorer: EncoderScorer, encoders: CountingEncoders
) -> None:
    for query, text in (("", ANSWER), (QUERY, ""), ("", "")):
        ((logit,),) = await scorer.score(prompts_of(encoders, query, text), NEVER)
        assert np.isfinite(logit)
