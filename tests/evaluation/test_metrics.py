from __future__ import annotations

from math import log2

import pytest

from service.evaluation.metrics import mean_scores, ndcg_by_query
from service.evaluation.runs import ranked_list

QRELS = {"q1": {"a": 3, "b": 1, "c": 0}}
RUN = {"q1": ranked_list([("b", 0.9), ("a", 0.8), ("z", 0.7)])}


def test_gains_are_linear_as_in_trec_eval() -> None:
    scores = mean_scores(RUN, QRELS)
    assert scores.ndcg_at_10 == pytest.approx((1 + 3 / log2(3)) / (3 + 1 / log2(3)))
    assert (scores.mrr_at_10, scores.recall_at_100) == (1.0, 1.0)


def test_the_grade_that_counts_as_relevant_may_be_raised() -> None:
    scores = mean_scores(RUN, QRELS, relevant_from=2)
    assert (scores.mrr_at_10, scores.recall_at_100) == (0.5, 1.0)


def test_a_query_that_found_nothing_counts_as_zero() -> None:
    scores = mean_scores(RUN, QRELS | {"q2": {"x": 1}})
    assert (scores.mrr_at_10, scores.recall_at_100) == (0.5, 0.5)


def test_only_the_first_ten_count_for_the_reciprocal_rank() -> None:
    ten_others = [(f"d{rank}", 1 / rank) for rank in range(1, 11)]
    run = {"q1": ranked_list([*ten_others, ("a", 0.01)])}
    scores = mean_scores(run, {"q1": {"a": 1}})
    assert (scores.ndcg_at_10, scores.mrr_at_10, scores.recall_at_100) == (0.0, 0.0, 1.0)


def test_ties_do_not_reorder_what_was_returned() -> None:
    run = {"q1": ranked_list([("a", 0.5), ("z", 0.5)])}
    assert mean_scores(run, {"q1": {"a": 1}}).mrr_at_10 == 1.0
    assert mean_scores(run, {"q1": {"z": 1}}).mrr_at_10 == 0.5


def test_each_judged_query_has_its_own_ndcg_in_the_order_of_the_judgements() -> None:
    found = ndcg_by_query(RUN, {"q2": {"x": 1}} | QRELS)
    assert list(found.items()) == [("q2", 0.0), ("q1", pytest.approx((1 + 3 / log2(3)) / (3 + 1 / log2(3))))]
