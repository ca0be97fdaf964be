from __future__ import annotations

import math
from dataclasses import replace

import pytest

from service.deadline import Deadline
from service.domain import Candidate, Document, Fused
from service.engine.fake import FakeScorer
from service.ranking.prior import by_first_stage
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker

pytestmark = pytest.mark.anyio

ALL_ALIKE = FakeScorer(relevance=lambda passage: 0.0 * len(passage))


def candidates(*ranks: int) -> list[Candidate]:
    return [Candidate(Document(str(rank), "a passage"), rank=rank, score=1.0) for rank in ranks]


def test_a_rank_costs_its_logarithm_times_the_weight() -> None:
    weigh = by_first_stage(candidates(1, 2, 8), 0.5)
    assert weigh((2, 0), (3.0, 1.0)) == pytest.approx((3 - 0.5 * math.log(8), 1.0))
    assert weigh((1,), (0.0,)) == pytest.approx((-0.5 * math.log(2),))


def test_every_ranking_that_was_fused_counts() -> None:
    first, second = candidates(1, 2)
    both = [replace(first, fused=Fused(2, 1.5)), replace(second, fused=Fused(2, 30.0))]
    expected = (-0.5 * 2 * math.log(1.5), -0.5 * 2 * math.log(30))
    assert by_first_stage(both, 0.5)((0, 1), (0.0, 0.0)) == pytest.approx(expected)


def test_without_a_weight_the_model_alone_decides() -> None:
    assert by_first_stage(candidates(1, 2), 0.0)((1, 0), (0.25, -1.0)) == (0.25, -1.0)


async def test_the_rank_counts_and_not_the_place_in_the_list(builder: PromptBuilder) -> None:
    shuffled = candidates(5, 2, 9, 1, 7, 3, 8, 4, 6)
    outcome = await Ranker(builder, ALL_ALIKE).rank(
        "q", shuffled, strategy=None, top_k=9, deadline=Deadline.never(), first_stage_weight=1.0
    )
    assert [shuffled[position].rank for position in outcome.ranking.order[:3]] == [1, 2, 3]


async def test_the_profiles_weight_holds_where_none_is_given(profile: Profile) -> None:
    backwards = FakeScorer(relevance=lambda passage: float(len(passage)))
    found = [Candidate(Document(str(rank), "a " * rank), rank=rank, score=1.0) for rank in range(1, 6)]

    async def order(trusting: float, asked: float | None) -> tuple[int, ...]:
        builder = PromptBuilder(profile.model_copy(update={"first_stage_weight": trusting}))
        outcome = await Ranker(builder, backwards).rank(
            "q", found, strategy=None, top_k=5, deadline=Deadline.never(), first_stage_weight=asked
        )
        return outcome.ranking.order

    assert await order(0.0, None) == (4, 3, 2, 1, 0)
    assert await order(10.0, None) == (0, 1, 2, 3, 4)
    assert await order(10.0, 0.0) == (4, 3, 2, 1, 0)
    assert await order(0.0, 10.0) == (0, 1, 2, 3, 4)
