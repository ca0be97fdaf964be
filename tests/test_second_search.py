"""Relevance feedback: what only a second search found is ranked, too; its trouble costs the first ranking nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from service.cache.memory import MemoryStore
from service.domain import CacheState, DegradedReason, DegradedStep
from service.engine.fake import FakeScorer
from service.errors import EmbedderError, EngineUnavailable
from service.observability.events import Degraded
from tests.pipelines import COUNT, Recorder, SecondShelf, pipeline, search
from tests.retrieval.fruit import AxisEmbedder

pytestmark = pytest.mark.anyio

ROUNDS = 5  # of 30 candidates in windows of 10


async def test_feedback_ranks_what_only_the_second_search_found() -> None:
    shelf = SecondShelf()
    plain = await pipeline(FakeScorer(), Recorder(), shelf).search(search())
    answer = await pipeline(FakeScorer(), Recorder(), shelf).search(replace(search(), feedback=True))

    new = {candidate.document.id for candidate in answer.candidates if candidate.from_feedback}
    assert new == {f"d{n}" for n in range(COUNT, COUNT + COUNT // 2)}
    shown = {result.candidate.document.id for result in answer.results}
    assert shown <= new | {result.candidate.document.id for result in plain.results}
    assert shown & new
    assert sorted(answer.ranking.order) == list(range(COUNT + COUNT // 2))
    assert all(higher > lower for higher, lower in itertools.pairwise(answer.ranking.scores))
    assert answer.ranking.rounds > plain.ranking.rounds == ROUNDS
    assert {reading.round for reading in answer.ranking.readings} == set(range(1, answer.ranking.rounds + 1))
    assert answer.ranking.degraded is None


async def test_a_second_search_that_finds_nothing_new_changes_nothing() -> None:
    plain = await pipeline(FakeScorer(), Recorder()).search(search())
    answer = await pipeline(FakeScorer(), Recorder()).search(replace(search(), feedback=True))

    assert (answer.results, answer.ranking) == (plain.results, replace(plain.ranking, spans=()))


@pytest.mark.parametrize(
    ("scorer", "embedder", "slow_ms", "reason"),
    [
        (FakeScorer(faults=[None] * ROUNDS + [EngineUnavailable("down")]), None, 1, DegradedReason.ENGINE_UNAVAILABLE),
        (FakeScorer(), AxisEmbedder(broken=True), 1, DegradedReason.EMBEDDER),
        (FakeScorer(), None, 1e6, DegradedReason.DEADLINE),
    ],
)
async def test_without_a_second_search_the_first_ranking_stands_and_says_so(
    scorer: FakeScorer, embedder: AxisEmbedder | None, slow_ms: float, reason: DegradedReason
) -> None:
    shelf, recorder = SecondShelf(), Recorder()
    plain = await pipeline(FakeScorer(), Recorder(), shelf).search(search())
    shelf.slow_ms = slow_ms
    answer = await pipeline(scorer, recorder, shelf, embedder=embedder).search(replace(search(), feedback=True))

    assert answer.results == plain.results
    assert (answer.ranking.degraded, answer.ranking.degraded_step) == (reason, DegradedStep.NO_FEEDBACK)
    (told,) = recorder.of(Degraded)
    assert isinstance(told, Degraded)
    assert (told.reason, told.step) == (reason, DegradedStep.NO_FEEDBACK)


async def test_a_strict_request_gets_the_error_of_the_second_search() -> None:
    pipe = pipeline(FakeScorer(), Recorder(), SecondShelf(), embedder=AxisEmbedder(broken=True))
    with pytest.raises(EmbedderError):
        await pipe.search(replace(search(strict=True), feedback=True))


async def test_an_answer_with_feedback_is_kept_and_is_no_answer_without() -> None:
    pipe = pipeline(FakeScorer(), Recorder(), SecondShelf(), MemoryStore(2**20))
    made = await pipe.search(replace(search(), feedback=True))
    kept = await pipe.search(replace(search(), feedback=True))

    assert kept.cache is CacheState.HIT
    assert [each.from_feedback for each in kept.candidates] == [each.from_feedback for each in made.candidates]
    assert (await pipe.search(search())).cache is CacheState.MISS
