"""Rankings made of several: what each part is asked, what comes of it, and what happens when one fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest

from service.deadline import Deadline
from service.domain import (
    Candidate,
    DegradedReason,
    Document,
    FusedBy,
    Parameters,
    Part,
    RerankOptions,
    Sort,
    TokenIds,
)
from service.engine.fake import FakeScorer
from service.errors import EngineUnavailable, InvalidInput, NotFound
from service.ranking.composed import CASCADE, FUSION, composed
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import ListRanker, Outcome, Ranker

pytestmark = pytest.mark.anyio

CANDIDATES = [Candidate(Document(str(n), "a " * (n + 1)), n + 1, 1.0) for n in range(8)]
"""The model of a test prefers the longer ones, or the shorter ones."""


def longer(passage: TokenIds) -> float:
    return float(len(passage))


def shorter(passage: TokenIds) -> float:
    return -float(len(passage))


class House:
    """Two profiles: the default one prefers the longer passages, ``strong`` the shorter."""

    def __init__(self, builder: PromptBuilder, *, strong: FakeScorer | None = None) -> None:
        self._rankers = {
            None: Ranker(builder, FakeScorer(relevance=longer)),
            "strong": Ranker(builder, strong or FakeScorer(seed=1, relevance=shorter)),
        }

    def named(self, name: str | None) -> Ranker:
        try:
            return self._rankers[name]
        except KeyError:
            raise NotFound("no such profile", field="rerank.profile") from None

    def cascade(self, *stages: Part) -> ListRanker:
        return composed(RerankOptions(strategy=CASCADE, parameters=Parameters(stages=stages)), self.named)

    def fusion(self, *members: Part, by: FusedBy | None = None) -> ListRanker:
        return composed(RerankOptions(strategy=FUSION, parameters=Parameters(members=members, by=by)), self.named)


@pytest.fixture
def house(builder: PromptBuilder) -> House:
    return House(builder)


async def rank(
    ranker: ListRanker, candidates: Sequence[Candidate] = CANDIDATES, strategy: str | None = None
) -> Outcome:
    return await ranker.rank("q", candidates, strategy=strategy, top_k=3, deadline=Deadline.never())


def sound(outcome: Outcome, count: int = len(CANDIDATES)) -> bool:
    scores = outcome.ranking.scores
    falling = all(better > worse for better, worse in pairwise(scores))
    return sorted(outcome.ranking.order) == list(range(count)) and falling and all(0 <= each <= 1 for each in scores)


async def test_a_later_stage_ranks_the_best_of_the_one_before(house: House) -> None:
    ranker = house.cascade(Part(strategy="sliding"), Part("strong", "single", depth=3))
    outcome = await rank(ranker)
    # the longest are 7, 6 and 5, of which the shortest comes first; the others stay as the first stage had them
    assert outcome.ranking.order[:3] == (5, 6, 7)
    assert sound(outcome)
    assert (outcome.ranking.prompts, outcome.ranking.rounds) == (3, 3)
    last = outcome.ranking.readings[-1]
    assert (set(last.window), last.round) == ({5, 6, 7}, 3)
    assert [stage["strategy"] for stage in outcome.ranking.parameters["stages"]] == ["sliding", "single"]
    assert outcome.ranking.strategy == CASCADE


async def test_a_later_stage_that_fails_leaves_the_order_and_scores_of_the_one_before(builder: PromptBuilder) -> None:
    house = House(builder, strong=FakeScorer(faults=[EngineUnavailable("down")]))
    before = await rank(house.named(None))
    outcome = await rank(house.cascade(Part(), Part("strong", depth=3)))
    assert isinstance(outcome.error, EngineUnavailable)
    assert outcome.ranking.degraded is DegradedReason.ENGINE_UNAVAILABLE
    assert outcome.ranking.order == before.ranking.order
    assert outcome.ranking.scores == before.ranking.scores


async def test_a_first_stage_that_fails_is_the_last(builder: PromptBuilder) -> None:
    house = House(builder, strong=FakeScorer(faults=[EngineUnavailable("down")]))
    outcome = await rank(house.cascade(Part("strong"), Part(depth=3)))
    assert outcome.ranking.order == tuple(range(8))
    assert outcome.ranking.prompts == 0


@pytest.mark.parametrize("by", FusedBy)
async def test_members_of_a_fusion_have_their_say(house: House, by: FusedBy) -> None:
    alike = [Part(strategy="sliding"), Part(strategy="setwise", parameters=Parameters(sort=Sort.BUBBLE))]
    agreed = await rank(house.fusion(*alike, by=by))
    assert agreed.ranking.order[:3] == (7, 6, 5)
    outvoted = await rank(house.fusion(*alike, Part("strong"), by=by))
    assert outvoted.ranking.order[:1] == (7,)
    assert sound(agreed)
    assert sound(outvoted)
    assert outvoted.ranking.prompts == 2 + 5 + 2
    assert outvoted.ranking.parameters["by"] == by


async def test_a_member_that_fails_leaves_the_say_to_the_others(builder: PromptBuilder) -> None:
    house = House(builder, strong=FakeScorer(faults=[EngineUnavailable("down")]))
    alone = await rank(house.named(None))
    outcome = await rank(house.fusion(Part(), Part("strong")))
    assert outcome.ranking.order == alone.ranking.order
    assert outcome.ranking.degraded is DegradedReason.ENGINE_UNAVAILABLE
    assert isinstance(outcome.error, EngineUnavailable)


@pytest.mark.parametrize("count", [0, 1, 2, 40])
async def test_every_candidate_has_a_place_and_a_score(house: House, count: int) -> None:
    candidates = [Candidate(Document(str(n), "a"), n + 1, 1.0) for n in range(count)]
    for ranker in (house.cascade(Part(), Part("strong", depth=3)), house.fusion(Part(), Part("strong"))):
        outcome = await rank(ranker, candidates)
        assert sound(outcome, count)
        assert (outcome.ranking.prompts == 0) == (count < 2)


async def test_costs_are_those_of_the_parts(house: House) -> None:
    def cost(ranker: ListRanker, strategy: str, count: int = 8, top_k: int = 3) -> tuple[int, int]:
        found = ranker.cost("q", CANDIDATES[:count], strategy=strategy, top_k=top_k)
        likely = ranker.likely_cost("q", count, strategy=strategy, top_k=top_k)
        assert found.prompts == likely.prompts
        return found.prompts, found.tokens

    one = house.named(None)
    many, few = cost(one, "sliding"), cost(one, "single", 3)
    cascade = house.cascade(Part(strategy="sliding"), Part("strong", "single", depth=3))
    assert cost(cascade, CASCADE) == (many[0] + few[0], many[1] + few[1])
    assert cost(house.fusion(Part(), Part("strong")), FUSION) == (2 * many[0], 2 * many[1])
    assert cost(cascade, "single") == cost(one, "single")


async def test_another_strategy_is_left_to_the_first_part(house: House) -> None:
    outcome = await rank(house.fusion(Part(), Part("strong")), strategy="single")
    assert (outcome.ranking.strategy, outcome.ranking.prompts) == ("single", 1)


async def test_whatever_changes_a_part_changes_its_identity(house: House, builder: PromptBuilder) -> None:
    other = House(builder, strong=FakeScorer(seed=2))
    parts = Part(), Part("strong")
    assert house.fusion(*parts).identity == house.fusion(*parts).identity != other.fusion(*parts).identity


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (RerankOptions(strategy=CASCADE), "rerank.parameters.stages"),
        (RerankOptions(strategy=FUSION, parameters=Parameters(members=(Part(),))), "rerank.parameters.members"),
        (RerankOptions(strategy=FUSION, parameters=Parameters(stages=(Part(),))), "rerank.parameters.stages"),
        (RerankOptions(strategy=CASCADE, parameters=Parameters(window=3)), "rerank.parameters.window"),
        (RerankOptions(strategy=CASCADE, profile="strong"), "rerank.profile"),
        (
            RerankOptions(strategy=CASCADE, parameters=Parameters(stages=(Part(), Part()))),
            "rerank.parameters.stages[1].depth",
        ),
        (
            RerankOptions(strategy=FUSION, parameters=Parameters(members=(Part(), Part("none")))),
            "rerank.parameters.members[1].profile",
        ),
    ],
)
async def test_parts_that_do_not_make_a_whole_are_the_callers_mistake(
    house: House, options: RerankOptions, field: str
) -> None:
    with pytest.raises((InvalidInput, NotFound)) as refused:
        composed(options, house.named)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Part(strategy=CASCADE), "strategy"),
        (Part(strategy="pointwise"), "strategy"),
        (Part(parameters=Parameters(pivot=1)), "parameters.pivot"),
    ],
)
async def test_a_part_that_cannot_be_done_is_named(house: House, part: Part, field: str) -> None:
    with pytest.raises((InvalidInput, NotFound), match=re.compile(".")) as refused:
        house.fusion(Part(), part).cost("q", CANDIDATES, strategy=FUSION, top_k=3)
    assert refused.value.field == f"rerank.parameters.members[1].{field}"
