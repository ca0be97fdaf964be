"""nDCG@10, MRR@10 and recall@100 as trec_eval computes them, by ir-measures."""

from __future__ import annotations

from dataclasses import dataclass

import ir_measures
from ir_measures import RR, R, nDCG

from service.corpus.beir import Qrels
from service.evaluation.runs import Run


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over the judged queries, each in [0, 1]."""

    ndcg_at_10: float
    mrr_at_10: float
    recall_at_100: float


def mean_scores(run: Run, qrels: Qrels, *, relevant_from: int = 1) -> Scores:
    """Score ``run`` against ``qrels``; a judged query without a ranked list counts as 0.

    nDCG takes grades as linear gains. MRR and recall count as relevant what has at least grade ``relevant_from``; TREC
    Deep Learning's passage task uses 2.
    """
    ndcg, mrr, recall = nDCG @ 10, RR(rel=relevant_from) @ 10, R(rel=relevant_from) @ 100
    by_query = {query_id: dict(ranked) for query_id, ranked in run.items()}
    found = ir_measures.calc_aggregate([ndcg, mrr, recall], qrels, by_query)
    return Scores(float(found[ndcg]), float(found[mrr]), float(found[recall]))


def ndcg_by_query(run: Run, qrels: Qrels) -> dict[str, float]:
    """nDCG@10 of each judged query, in the order of ``qrels``; 0 for one without a ranked list."""
    by_query = {query_id: dict(ranked) for query_id, ranked in run.items()}
    found = {metric.query_id: float(metric.value) for metric in ir_measures.iter_calc([nDCG @ 10], qrels, by_query)}
    return {query_id: found.get(query_id, 0.0) for query_id in qrels}
