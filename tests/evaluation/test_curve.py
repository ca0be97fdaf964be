from __future__ import annotations

import pytest

from service.evaluation.curve import anytime, stops
from service.evaluation.metrics import ndcg_by_query
from service.evaluation.report import first_stage_run, reranked_run
from tests.evaluation.measuring import COUNT, QRELS, measured, plan_of


@pytest.mark.parametrize("strategy", ["single", "sliding", "top_down", "tournament", "setwise", "pairwise"])
def test_a_strategy_goes_from_the_first_stages_order_to_its_own(strategy: str) -> None:
    one = measured(strategy, "q1")
    found = stops(plan_of(strategy)(COUNT, strategy), one.ranking)
    assert found[0] == (0, tuple(range(COUNT)))
    assert found[-1] == (one.ranking.prompts, one.ranking.order)
    assert len(found) == one.ranking.rounds + 1


@pytest.mark.parametrize("strategy", ["groupwise", "sliding"])
def test_of_a_model_that_grades_the_prompts_of_every_passage_are_counted(strategy: str) -> None:
    one = measured(strategy, "q1", graded=True)
    found = stops(plan_of(strategy)(COUNT, strategy), one.ranking)
    assert found[0] == (0, tuple(range(COUNT)))
    assert found[-1] == (one.ranking.prompts, one.ranking.order)
    assert one.ranking.prompts == sum(len(reading.window) for reading in one.ranking.readings) >= COUNT


def test_a_curve_begins_at_the_first_stages_quality_and_ends_at_the_strategys() -> None:
    queries = [measured("sliding", "q1"), measured("sliding", "q2")]
    curve = anytime(queries, plan_of("sliding"), QRELS)
    before, after = (ndcg_by_query(run, QRELS) for run in (first_stage_run(queries), reranked_run(queries)))
    assert curve[0][1] == pytest.approx(sum(before.values()) / 2)
    assert curve[-1][1] == pytest.approx(sum(after.values()) / 2)
    assert [prompts for prompts, _ in curve] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_query_that_was_cut_short_is_left_out() -> None:
    queries = [measured("single", "q1", degraded=True), measured("single", "q2")]
    assert anytime(queries, plan_of("single"), QRELS) == [(0.0, 1.0), (1.0, 1.0)]
    assert anytime(queries[:1], plan_of("single"), QRELS) == []
