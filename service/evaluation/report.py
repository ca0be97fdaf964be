"""From measured queries to the figures that are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from service.corpus.beir import Qrels
from service.evaluation.evaluate import Measured
from service.evaluation.metrics import Scores, mean_scores
from service.evaluation.runs import Run


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds within which half, and nineteen of twenty, of the queries were answered."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class System:
    """The figures of one order. ``latency`` is unknown where the lists were given."""

    scores: Scores
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class Report:
    """First stage and reranked order over the same queries; ``degraded`` of them were not fully reranked."""

    queries: int
    degraded: int
    first_stage: System
    reranked: System


def report(measured: Sequence[Measured], qrels: Qrels, *, relevant_from: int = 1, given: bool = False) -> Report:
    """The figures of an evaluation, over the queries that were asked; ``given`` says that the candidates were."""
    judged = {one.query_id: qrels[one.query_id] for one in measured if one.query_id in qrels}
    return Report(
        queries=len(judged),
        degraded=sum(one.degraded for one in measured),
        first_stage=System(
            mean_scores(first_stage_run(measured), judged, relevant_from=relevant_from),
            None if given else latency(one.first_stage_ms for one in measured),
        ),
        reranked=System(
            mean_scores(reranked_run(measured), judged, relevant_from=relevant_from),
            latency(one.total_ms for one in measured),
        ),
    )


def first_stage_run(measured: Sequence[Measured]) -> Run:
    """The lists as the first stage had them."""
    return {one.query_id: one.first_stage for one in measured}


def reranked_run(measured: Sequence[Measured]) -> Run:
    """The lists as the language model ordered them."""
    return {one.query_id: one.reranked for one in measured}


def latency(milliseconds: Iterable[float]) -> Latency:
    """Median and 95th percentile of at least one duration."""
    p50, p95 = np.percentile(list(milliseconds), [50, 95])
    return Latency(float(p50), float(p95))
