from __future__ import annotations

import pytest

from service.evaluation.comparison import COLUMNS, FIRST_STAGE, cells, compare
from service.evaluation.significance import paired_bootstrap
from tests.evaluation.measuring import QRELS, measured

MEASUREMENTS = {name: [measured(name, "q1"), measured(name, "q2")] for name in ("sliding", "single")}


def test_every_row_is_compared_with_the_first_strategy() -> None:
    first_stage, sliding, single = compare(MEASUREMENTS, QRELS)
    assert [first_stage.name, sliding.name, single.name] == [FIRST_STAGE, "sliding", "single"]
    assert sliding.difference is None
    assert single.difference is not None
    alone = paired_bootstrap([*single.ndcg.values()], [*sliding.ndcg.values()])
    assert single.difference.mean == pytest.approx(single.ndcg_at_10 - sliding.ndcg_at_10)
    assert (single.difference.low, single.difference.high) == (alone.low, alone.high)
    assert single.difference.p == pytest.approx(min(1.0, 2 * alone.p))


def test_costs_are_means_of_a_query() -> None:
    first_stage, sliding, single = compare(MEASUREMENTS, QRELS)
    assert (first_stage.prompts, first_stage.tokens) == (0.0, 0.0)
    assert (sliding.prompts, sliding.rounds, sliding.tokens) == (4.0, 4.0, 400.0)
    assert (single.prompts, single.profile) == (1.0, "perfect")
    assert sliding.latency is not None
    assert sliding.latency.p50 == 40.0


def test_given_lists_took_no_time() -> None:
    assert compare(MEASUREMENTS, QRELS, given=True)[0].latency is None


def test_a_query_that_is_not_judged_does_not_count() -> None:
    assert list(compare(MEASUREMENTS, {"q2": QRELS["q2"]})[0].ndcg) == ["q2"]


def test_a_row_is_shown_in_full() -> None:
    rows = [cells(row) for row in compare(MEASUREMENTS, QRELS)]
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert rows[1] == ["sliding", "perfect", "1.0000", "", "", "", "4.0", "4.0", "400", "40.0", "40.0"]
