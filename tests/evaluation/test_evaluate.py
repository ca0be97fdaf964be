from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from service.corpus.candidate_lists import CandidateList
from service.domain import Answer, Candidate, DegradedReason, Document, Ranking, RerankRequest, SearchRequest, Timings
from service.errors import EngineUnavailable
from service.evaluation.evaluate import Conditions, evaluate_rerank, evaluate_search
from service.evaluation.report import latency, report

FOUND = tuple(Candidate(Document(name, f"text {name}"), rank, 1 / rank) for rank, name in enumerate("abc", 1))


@dataclass
class Reversing:
    """A pipeline whose language model likes best what the first stage likes least."""

    running: int = 0
    most_running: int = 0
    searches: list[SearchRequest] = field(default_factory=list)
    reranks: list[RerankRequest] = field(default_factory=list)

    async def search(self, request: SearchRequest) -> Answer:
        self.searches.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        if request.query == "fail":
            raise EngineUnavailable("gone")
        return reversed_answer(FOUND, degraded=request.query == "slow")

    async def rerank(self, request: RerankRequest) -> Answer:
        self.reranks.append(request)
        return reversed_answer(tuple(Candidate(d, rank, 0.0) for rank, d in enumerate(request.documents, 1)))


def reversed_answer(candidates: tuple[Candidate, ...], *, degraded: bool = False) -> Answer:
    count = len(candidates)
    ranking = Ranking(
        order=tuple(reversed(range(count))),
        scores=tuple((count - rank) / (count + 1) for rank in range(count)),
        profile="reversing",
        model=None,
        strategy=None,
        degraded=DegradedReason.DEADLINE if degraded else None,
    )
    return Answer((), candidates, ranking, Timings(embed=1.0, retrieve=2.0, rank=4.0, total=8.0))


async def searched(pipeline: Reversing, queries: dict[str, str], concurrency: int = 1) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    conditions = Conditions(concurrency=concurrency)
    await evaluate_search(pipeline, queries, conditions, lambda done, total: seen.append((done, total)))
    return seen


def test_both_orders_and_times_are_kept_for_each_query() -> None:
    measured = asyncio.run(evaluate_search(Reversing(), {"q1": "one", "q2": "slow"}, Conditions()))
    assert [one.query_id for one in measured] == ["q1", "q2"]
    first = measured[0]
    assert [document_id for document_id, _ in first.first_stage] == ["a", "b", "c"]
    assert [document_id for document_id, _ in first.reranked] == ["c", "b", "a"]
    assert (first.first_stage_ms, first.total_ms, first.degraded) == (3.0, 8.0, False)
    assert measured[1].degraded


def test_a_report_sets_both_systems_side_by_side_over_the_queries_asked() -> None:
    measured = asyncio.run(evaluate_search(Reversing(), {"q1": "one", "q2": "slow"}, Conditions()))
    figures = report(measured, {"q1": {"c": 1}, "q2": {"b": 1}, "q3": {"a": 1}})
    assert (figures.queries, figures.degraded) == (2, 1)
    assert figures.first_stage.scores.mrr_at_10 == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert figures.reranked.scores.mrr_at_10 == pytest.approx((1 + 1 / 2) / 2)
    assert figures.first_stage.latency == latency([3.0])
    assert figures.reranked.latency == latency([8.0])


def test_given_lists_keep_their_own_scores_and_are_cut_to_the_candidates_asked_for() -> None:
    pipeline = Reversing()
    given = CandidateList("q1", "one", FOUND)
    (measured,) = asyncio.run(evaluate_rerank(pipeline, [given], Conditions(candidates=2, top_k=1)))
    assert [document_id for document_id, _ in measured.first_stage] == ["a", "b"]
    assert [document_id for document_id, _ in measured.reranked] == ["b", "a"]
    assert measured.first_stage[1][1] == 0.5
    assert pipeline.reranks[-1].top_n == 1
    assert report([measured], {"q1": {"b": 1}}, given=True).first_stage.latency is None


def test_no_more_queries_are_under_way_than_asked_for() -> None:
    pipeline = Reversing()
    seen = asyncio.run(searched(pipeline, {f"q{n}": "one" for n in range(20)}, concurrency=4))
    assert pipeline.most_running == 4
    assert seen == [(done, 20) for done in range(1, 21)]


def test_the_first_query_is_asked_once_more_before_the_clock_counts() -> None:
    pipeline = Reversing()
    asyncio.run(searched(pipeline, {"q1": "one", "q2": "two"}))
    assert [request.query for request in pipeline.searches] == ["one", "one", "two"]


def test_a_failure_stops_the_evaluation_and_is_raised_as_it_is() -> None:
    pipeline = Reversing()
    queries = {"q0": "one", "q1": "fail"} | {f"q{n}": "one" for n in range(2, 50)}
    with pytest.raises(EngineUnavailable, match="gone"):
        asyncio.run(searched(pipeline, queries, concurrency=2))
    assert len(pipeline.searches) < 10


def test_percentiles_are_in_milliseconds() -> None:
    assert latency(range(1, 101)).p50 == pytest.approx(50.5)
    assert latency(range(1, 101)).p95 == pytest.approx(95.05)
