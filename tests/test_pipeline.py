"""The story of a request, with a first stage and an engine that fail on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.cache.memory import MemoryStore
from service.deadline import Deadline
from service.domain import (
    CacheState,
    DegradedReason,
    Document,
    RerankOptions,
    RerankRequest,
    RetrievalMode,
    Retrieved,
    SearchRequest,
)
from service.engine.fake import FakeScorer
from service.errors import DeadlineExceeded, EmbedderError, EngineUnavailable, NotFound
from service.observability.events import Degraded, RankingFinished, StageFinished
from service.ranking.prompt import PromptBuilder
from service.retrieval.embedding.embedder import QueryVectors
from tests.pipelines import BUILDER, COUNT, Recorder, SecondShelf, Shelf, pipeline, search

pytestmark = pytest.mark.anyio


class ReplacedShelf(Shelf):
    """A first stage that is replaced between the look at its version and the first search, which finds the next one."""

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        self.version = "v2"
        return await super().retrieve(query, count, mode, deadline, vectors=vectors)


FIRST_STAGE_ORDER = [f"d{n}" for n in range(5)]


async def test_a_search_gives_the_best_of_all_candidates() -> None:
    recorder = Recorder()

    answer = await pipeline(FakeScorer(), recorder).search(search())

    assert len(answer.results) == 5
    assert len(answer.candidates) == COUNT
    assert sorted(answer.ranking.order) == list(range(COUNT))
    assert answer.index_version == "v1"
    (ranked,) = recorder.of(RankingFinished)
    assert isinstance(ranked, RankingFinished)
    assert ranked.prompts == answer.ranking.prompts > 0
    assert [event.stage for event in recorder.events if isinstance(event, StageFinished)] == [
        "embed",
        "retrieve",
        "rank",
    ]


async def test_an_answer_names_the_version_that_was_searched_and_is_not_kept_for_another() -> None:
    shelf = ReplacedShelf()
    pipe = pipeline(FakeScorer(), Recorder(), shelf, MemoryStore(2**20))

    answer = await pipe.search(search())
    shelf.version = "v1"
    again = await pipe.search(search())
    of_its_own_version = await pipe.search(search())

    assert (answer.index_version, answer.cache) == ("v2", CacheState.MISS)
    assert (again.index_version, again.cache) == ("v2", CacheState.MISS)
    assert (of_its_own_version.index_version, of_its_own_version.cache) == ("v2", CacheState.MISS)
    assert (await pipe.search(search())).cache is CacheState.HIT


@pytest.mark.parametrize(("strategy", "state"), [("auto", CacheState.MISS), ("sliding", CacheState.HIT)])
async def test_what_is_chosen_by_the_time_given_is_kept_for_that_time(strategy: str, state: CacheState) -> None:
    pipe = pipeline(FakeScorer(), Recorder(), store=MemoryStore(2**20))
    asked = RerankOptions(strategy=strategy)

    await pipe.search(search(rerank=asked))

    assert (await pipe.search(search(rerank=asked))).cache is CacheState.HIT
    assert (await pipe.search(search(5_000, rerank=asked))).cache is state


async def test_a_failing_engine_leaves_the_first_stages_order_and_says_so() -> None:
    recorder = Recorder()
    scorer = FakeScorer(faults=[EngineUnavailable("it is down")])

    answer = await pipeline(scorer, recorder).search(search())

    assert [result.candidate.document.id for result in answer.results] == FIRST_STAGE_ORDER
    assert answer.ranking.degraded is DegradedReason.ENGINE_UNAVAILABLE
    assert recorder.of(Degraded) == [Degraded(DegradedReason.ENGINE_UNAVAILABLE, "it is down")]


async def test_a_slow_engine_is_not_waited_for() -> None:
    answer = await pipeline(FakeScorer(delay_s=5), Recorder()).search(search(timeout_ms=50))

    assert [result.candidate.document.id for result in answer.results] == FIRST_STAGE_ORDER
    assert answer.ranking.degraded is DegradedReason.DEADLINE
    assert answer.timings.total < 2000


@pytest.mark.parametrize(
    ("scorer", "timeout_ms", "error"),
    [
        (FakeScorer(faults=[EngineUnavailable("it is down")]), 10_000, EngineUnavailable),
        (FakeScorer(delay_s=5), 50, DeadlineExceeded),
    ],
)
async def test_a_strict_request_gets_the_error_itself(
    scorer: FakeScorer, timeout_ms: float, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await pipeline(scorer, Recorder()).search(search(timeout_ms, strict=True))


async def test_a_first_stage_without_vectors_marks_the_answer() -> None:
    recorder = Recorder()
    shelf = Shelf(degraded=DegradedReason.EMBEDDER)

    answer = await pipeline(FakeScorer(), recorder, shelf).search(search())

    assert answer.ranking.degraded is DegradedReason.EMBEDDER
    assert answer.ranking.prompts > 0
    with pytest.raises(EmbedderError):
        await pipeline(FakeScorer(), recorder, shelf).search(search(strict=True))


async def test_the_engines_trouble_is_told_before_the_first_stages() -> None:
    scorer = FakeScorer(faults=[EngineUnavailable("it is down")])

    answer = await pipeline(scorer, Recorder(), Shelf(degraded=DegradedReason.EMBEDDER)).search(search())

    assert answer.ranking.degraded is DegradedReason.ENGINE_UNAVAILABLE


async def test_without_reranking_the_engine_is_not_asked() -> None:
    answer = await pipeline(FakeScorer(delay_s=5), Recorder()).search(search(rerank=RerankOptions(enabled=False)))

    assert [result.candidate.document.id for result in answer.results] == FIRST_STAGE_ORDER
    assert answer.ranking.degraded is None


@pytest.mark.parametrize(
    ("request_", "field_name"),
    [
        (SearchRequest("q", 1000, index="elsewhere"), "index"),
        (SearchRequest("q", 1000, rerank=RerankOptions(profile="none")), "rerank.profile"),
        (SearchRequest("q", 1000, rerank=RerankOptions(strategy="none")), "rerank.strategy"),
    ],
)
async def test_an_unknown_name_is_refused(request_: SearchRequest, field_name: str) -> None:
    with pytest.raises(NotFound) as refusal:
        await pipeline(FakeScorer(), Recorder()).search(request_)
    assert refusal.value.field == field_name


async def test_documents_of_a_request_are_ranked_with_their_positions() -> None:
    documents = tuple(Document(str(n), f"text {n}") for n in range(25))

    answer = await pipeline(FakeScorer(), Recorder()).rerank(RerankRequest("q", documents, 10_000, top_n=7))

    assert len(answer.results) == 7
    assert all(documents[result.index] is result.candidate.document for result in answer.results)


async def test_the_same_request_gets_the_same_order() -> None:
    first = await pipeline(FakeScorer(), Recorder()).search(search())
    again = await pipeline(FakeScorer(), Recorder()).search(search())

    assert first.results == again.results


TRUSTING = PromptBuilder(BUILDER.profile.model_copy(update={"first_stage_weight": 10.0}))


async def test_the_first_stages_order_counts_in_a_search_and_not_for_documents_of_the_caller() -> None:
    backwards = FakeScorer(relevance=lambda passage: float(passage[-1]) / 1000)  # the id of the number
    pipe = pipeline(backwards, Recorder(), builder=TRUSTING)
    documents = tuple(Document(str(n), f"passage {n}") for n in range(10))
    brought = RerankRequest("query", documents, 10_000)

    trusted = [result.candidate.document.id for result in (await pipe.search(search())).results]
    by_model = (await pipe.rerank(brought)).ranking.order
    asked_for = (await pipe.rerank(replace(brought, rerank=RerankOptions(first_stage_weight=10.0)))).ranking.order

    assert trusted == FIRST_STAGE_ORDER
    assert by_model != tuple(range(10))
    assert sorted(by_model) == list(range(10))
    assert asked_for == tuple(range(10))


LONG = "nothing to see here . " * 100


def long_rerank(timeout_ms: float = 10_000, chunks: int | None = 2) -> RerankRequest:
    documents = (Document("a", "wax"), Document("b", f"{LONG} query {LONG}"), Document("c", "query"))
    return RerankRequest("query", documents, timeout_ms, rerank=RerankOptions(chunks=chunks))


async def test_a_long_document_is_ranked_by_chunks_and_comes_once() -> None:
    answer = await pipeline(FakeScorer(), Recorder()).rerank(long_rerank())

    assert sorted(answer.ranking.order) == [0, 1, 2]
    spans = dict(zip(answer.ranking.order, answer.ranking.spans, strict=True))
    assert [len(spans[position]) for position in range(3)] == [1, 2, 1]
    text = answer.candidates[1].document.text
    assert any("query" in text[span.start : span.end] for span in spans[1])
    scores = dict(zip(answer.ranking.order, answer.ranking.scores, strict=True))
    assert all(found[0].score == scores[position] for position, found in spans.items())
    assert {len(reading.window) for reading in answer.ranking.readings} == {4}


async def test_without_chunks_the_beginning_of_a_document_is_ranked() -> None:
    answer = await pipeline(FakeScorer(), Recorder()).rerank(long_rerank(chunks=0))

    assert answer.ranking.spans == ()
    assert {len(reading.window) for reading in answer.ranking.readings} == {3}


async def test_where_a_request_does_not_say_the_profile_says_how_many_chunks() -> None:
    builder = PromptBuilder(BUILDER.profile.model_copy(update={"chunks": 1}))
    pipe = pipeline(FakeScorer(), Recorder(), builder=builder)
    asked = long_rerank(chunks=None)

    spans = (await pipe.rerank(asked)).ranking.spans
    text = asked.documents[1].text
    assert sorted(len(found) for found in spans) == [1, 1, 1]
    assert any(span.start > 0 and "query" in text[span.start : span.end] for (span,) in spans)

    cut_by_hand = replace(asked, rerank=RerankOptions(passage_tokens=20))
    assert (await pipe.rerank(cut_by_hand)).ranking.spans == ()


async def test_with_feedback_beginnings_are_ranked() -> None:
    answer = await pipeline(FakeScorer(), Recorder(), SecondShelf()).search(replace(search(), feedback=True))

    assert answer.ranking.degraded is None
    assert answer.ranking.spans == ()


async def test_where_there_is_no_time_to_cut_the_given_order_stands() -> None:
    answer = await pipeline(FakeScorer(), Recorder()).rerank(long_rerank(timeout_ms=0.01))

    assert answer.ranking.order == (0, 1, 2)
    assert answer.ranking.degraded is DegradedReason.DEADLINE
