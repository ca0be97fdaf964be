"""Answers of the pipeline in our own dialect."""

from __future__ import annotations

from service.api.schemas import native
from service.domain import Answer, Candidate, Document, Result, Timings


def search_answer(answer: Answer, body: native.SearchBody, request_id: str) -> native.SearchAnswer:
    """The body of an answer to ``/v1/search``."""
    return native.SearchAnswer(
        id=request_id,
        query=body.query,
        index=answer.index or "",
        index_version=answer.index_version or "",
        results=[
            native.SearchResult(
                id=result.candidate.document.id,
                rank=result.rank,
                score=result.score,
                first_stage=_first_stage(result.candidate),
                document=_document(result.candidate.document) if body.return_documents else None,
                relevant_spans=_spans(answer, result) if body.relevant_spans else None,
            )
            for result in answer.results
        ],
        rerank=_ranking(answer, explain=body.explain),
        timings_ms=_timings(answer.timings),
        cache=answer.cache,
    )


def rerank_answer(answer: Answer, body: native.RerankBody, request_id: str) -> native.RerankAnswer:
    """The body of an answer to ``/v1/rerank``."""
    return native.RerankAnswer(
        id=request_id,
        query=body.query,
        results=[
            native.RerankResult(
                id=result.candidate.document.id,
                index=result.index,
                rank=result.rank,
                score=result.score,
                document=_document(result.candidate.document) if body.return_documents else None,
                relevant_spans=_spans(answer, result) if body.relevant_spans else None,
            )
            for result in answer.results
        ],
        rerank=_ranking(answer, explain=body.explain),
        timings_ms=_timings(answer.timings),
        cache=answer.cache,
    )


def _first_stage(candidate: Candidate) -> native.FirstStageBody:
    return native.FirstStageBody(rank=candidate.rank, score=candidate.score, feedback=candidate.from_feedback)


def _spans(answer: Answer, result: Result) -> list[native.SpanBody]:
    spans = answer.ranking.spans  # none where time ran out before documents were cut
    own = spans[result.rank - 1] if spans else ()
    return [native.SpanBody(start=span.start, end=span.end, score=span.score) for span in own]


def _document(document: Document) -> native.DocumentAnswer:
    return native.DocumentAnswer(title=document.title, text=document.text, metadata=dict(document.metadata))


def _ranking(answer: Answer, *, explain: bool) -> native.RankingBody:
    ranking = answer.ranking
    return native.RankingBody(
        profile=ranking.profile,
        model=ranking.model,
        strategy=ranking.strategy,
        prompts=ranking.prompts,
        rounds=ranking.rounds,
        degraded=ranking.degraded is not None,
        reason=ranking.degraded,
        degraded_step=ranking.degraded_step,
        plan=native.PlanBody(parameters=dict(ranking.parameters), why=ranking.why) if explain else None,
        windows=_windows(answer) if explain else None,
    )


def _windows(answer: Answer) -> list[native.WindowBody]:
    ids = [candidate.document.id for candidate in answer.candidates]
    return [
        native.WindowBody(
            round=reading.round, ids=[ids[index] for index in reading.window], logits=list(reading.logits)
        )
        for reading in answer.ranking.readings
    ]


def _timings(timings: Timings) -> native.TimingsBody:
    return native.TimingsBody(
        embed=round(timings.embed, 3),
        retrieve=round(timings.retrieve, 3),
        rank=round(timings.rank, 3),
        total=round(timings.total, 3),
    )
