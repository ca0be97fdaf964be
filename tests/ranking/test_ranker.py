from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from service import errors
from service.deadline import Deadline
from service.domain import Candidate, DegradedReason, Document, Parameters, PassageTokens, TokenIds
from service.engine.fake import FakeScorer
from service.engine.scorer import Prompt
from service.errors import DeadlineExceeded, EngineError, EngineUnavailable, InvalidInput, NotFound
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker, degraded_reason, unranked
from service.ranking.readings import Reading

pytestmark = pytest.mark.anyio


def candidates(count: int) -> list[Candidate]:
    return [Candidate(Document(str(i), f"passage {i}"), rank=i + 1, score=1.0) for i in range(count)]


def tokenised(builder: PromptBuilder, found: Sequence[Candidate], encoding: str) -> list[Candidate]:
    tokens = builder.encode([candidate.document for candidate in found])
    return [
        Candidate(each.document, each.rank, each.score, PassageTokens(encoding, ids.ids))
        for each, ids in zip(found, tokens, strict=True)
    ]


@pytest.mark.parametrize("strategy", Reading.LISTWISE.strategies)
@pytest.mark.parametrize("count", [0, 1, 2, 6, 7, 40])
async def test_every_candidate_has_a_place_and_a_score(builder: PromptBuilder, strategy: str, count: int) -> None:
    if strategy == "full":
        count = min(count, builder.longest)
    ranker = Ranker(builder, FakeScorer())
    outcome = await ranker.rank("q", candidates(count), strategy=strategy, top_k=3, deadline=Deadline.never())
    ranking = outcome.ranking
    assert outcome.error is None
    assert sorted(ranking.order) == list(range(count))
    assert len(ranking.scores) == count
    assert all(better > worse for better, worse in pairwise(ranking.scores))
    assert (ranking.profile, ranking.model, ranking.strategy) == ("tiny", "fake@0", strategy)
    assert ranking.degraded is None
    assert (ranking.prompts == 0) == (count < 2)


async def test_the_order_is_the_engines(builder: PromptBuilder) -> None:
    longest_first = FakeScorer(relevance=lambda passage: float(len(passage)))
    found = [Candidate(Document(str(i), "a " * i), rank=i + 1, score=1.0) for i in range(6)]
    outcome = await Ranker(builder, longest_first).rank("q", found, strategy=None, top_k=3, deadline=Deadline.never())
    assert outcome.ranking.order == (5, 4, 3, 2, 1, 0)
    assert outcome.ranking.readings[0].logits == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.mark.parametrize("from_index", [False, True])
async def test_no_more_of_a_passage_is_read_than_asked_for(builder: PromptBuilder, from_index: bool) -> None:
    found = [Candidate(Document(str(i), "the " * i), rank=i + 1, score=1.0) for i in range(6)]
    if from_index:
        found = tokenised(builder, found, builder.encoding)
    longest_first = FakeScorer(relevance=lambda passage: float(len(passage)))
    outcome = await Ranker(builder, longest_first).rank(
        "q", found, strategy=None, top_k=3, deadline=Deadline.never(), passage_tokens=2
    )
    assert outcome.ranking.readings[0].logits == (0.0, 1.0, 2.0, 2.0, 2.0, 2.0)
    assert outcome.ranking.prompt_tokens > 0


async def test_the_profiles_strategy_then_the_configured_one_then_the_requests(builder: PromptBuilder) -> None:
    async def used(configured: str | None, asked: str | None) -> str | None:
        ranker = Ranker(builder, FakeScorer(), strategy=configured)
        outcome = await ranker.rank("q", candidates(9), strategy=asked, top_k=3, deadline=Deadline.never())
        return outcome.ranking.strategy

    assert await used(None, None) == "sliding"
    assert await used("top_down", None) == "top_down"
    assert await used("top_down", "single") == "single"


@pytest.mark.parametrize(("name", "strategy"), [("tiny", "pointwise"), ("single", "sliding")])
async def test_a_strategy_that_the_reading_does_not_go_with_is_the_callers_mistake(
    builder: PromptBuilder, single: PromptBuilder, name: str, strategy: str
) -> None:
    ranker = Ranker(builder if name == "tiny" else single, FakeScorer())
    with pytest.raises(InvalidInput, match="it goes with: ") as refused:
        await ranker.rank("q", candidates(3), strategy=strategy, top_k=3, deadline=Deadline.never())
    assert refused.value.field == "rerank.strategy"


async def test_parameters_are_gone_by_and_told(builder: PromptBuilder) -> None:
    async def told(strategy: str, **chosen: Any) -> tuple[int, dict[str, Any]]:
        parameters = Parameters(**chosen)
        outcome = await Ranker(builder, FakeScorer()).rank(
            "q", candidates(12), strategy=strategy, top_k=3, deadline=Deadline.never(), parameters=parameters
        )
        return outcome.ranking.prompts, dict(outcome.ranking.parameters)

    assert await told("sliding") == (3, {"window": 6, "stride": 3})
    assert await told("sliding", passes=2) == (6, {"window": 6, "stride": 3, "passes": 2})
    assert await told("sliding", window=4) == (
        5,
        {"window": 4, "stride": 2},
    )  # half of a window, not the profile's step
    assert await told("self_consistency", over="single", shuffles=2) == (
        2,
        {"window": 6, "over": "single", "shuffles": 2},
    )


@pytest.mark.parametrize(
    ("strategy", "parameters", "field"),
    [
        ("single", Parameters(passes=1), "passes"),
        ("sliding", Parameters(window=7), "window"),
        ("self_consistency", Parameters(over="single", passes=1), "passes"),
    ],
)
async def test_a_parameter_that_would_not_be_gone_by_is_the_callers_mistake(
    builder: PromptBuilder, strategy: str, parameters: Parameters, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        Ranker(builder, FakeScorer()).cost("q", [], strategy=strategy, top_k=3, parameters=parameters)
    assert refused.value.field == f"rerank.parameters.{field}"


async def test_a_setting_that_does_not_go_with_a_profile_leaves_it_its_own(single: PromptBuilder) -> None:
    assert Ranker(single, FakeScorer(), strategy="sliding").strategy == "pointwise"


@pytest.mark.parametrize("count", [0, 1, 2, 9])
async def test_passages_read_one_by_one_are_ordered_by_log_odds(single: PromptBuilder, count: int) -> None:
    class Likes(FakeScorer):
        async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[tuple[float, ...]]:
            return [(1.0, float(number)) for number, _ in enumerate(prompts)]

    outcome = await Ranker(single, Likes()).rank(
        "q", candidates(count), strategy=None, top_k=3, deadline=Deadline.never()
    )
    ranking = outcome.ranking
    assert ranking.order == tuple(reversed(range(count)))
    assert (ranking.strategy, ranking.prompts, ranking.rounds) == ("pointwise", count, min(1, count))
    assert [reading.logits for reading in ranking.readings] == [(number - 1.0,) for number in range(count)]
    probabilities = [1 / (1 + math.exp(1.0 - number)) for number in reversed(range(count))]
    assert ranking.scores == pytest.approx(probabilities, abs=0.001)


async def test_grades_of_different_groups_make_one_order(graded: PromptBuilder) -> None:
    asked: list[int] = []

    class Grades(FakeScorer):
        async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[tuple[float, ...]]:
            asked.extend(int(prompt.token_ids[-2]) for prompt in prompts)
            return [(0.0, 0.0, float(number)) for number, _ in enumerate(prompts)]

    ranker = Ranker(graded, Grades())
    outcome = await ranker.rank("q", candidates(8), strategy=None, top_k=3, deadline=Deadline.never())
    # two groups of four, dealt like cards; the last prompt is about the last passage of the second one
    assert outcome.ranking.order == (7, 5, 3, 1, 6, 4, 2, 0)
    assert asked[:4] == asked[4:] == sorted(asked[:4])
    assert (outcome.ranking.strategy, outcome.ranking.prompts, outcome.ranking.rounds) == ("groupwise", 8, 1)
    cost = ranker.cost("q", candidates(8), strategy="groupwise", top_k=3)
    assert (cost.prompts, cost.rounds) == (8, 1)
    assert cost.tokens > 4 * ranker.cost("q", candidates(4), strategy="groupwise", top_k=3).tokens / 4


async def test_tokens_of_the_index_are_used_and_those_of_another_encoding_are_not(builder: PromptBuilder) -> None:
    seen: list[int] = []

    def watch(passage: TokenIds) -> float:
        seen.append(len(passage))
        return 0.0

    own = Candidate(Document("1", "a"), 1, 1.0, PassageTokens(builder.encoding, np.zeros(7, dtype=np.uint32)))
    foreign = Candidate(Document("2", "a"), 2, 1.0, PassageTokens("other", np.zeros(7, dtype=np.uint32)))
    none = Candidate(Document("3", "a a"), 3, 1.0)
    await Ranker(builder, FakeScorer(relevance=watch)).rank(
        "q", [own, foreign, none], strategy=None, top_k=3, deadline=Deadline.never()
    )
    assert seen == [7, 1, 2]


@pytest.mark.parametrize(("words", "on_the_event_loop"), [(1, True), (2_000, False)])
async def test_only_passages_that_are_shown_are_tokenised_and_long_ones_off_the_event_loop(
    builder: PromptBuilder, words: int, on_the_event_loop: bool
) -> None:
    encoded: list[tuple[bool, list[str]]] = []

    class Watched(PromptBuilder):
        def encode(self, documents: Sequence[Document]) -> list[PassageTokens]:
            encoded.append((threading.current_thread() is threading.main_thread(), [each.id for each in documents]))
            return super().encode(documents)

    ranker = Ranker(Watched(builder.profile), FakeScorer())
    shown = [Candidate(Document(str(i), "a " * words), i + 1, 1.0) for i in range(1_000)]
    await ranker.rank("q", shown, strategy="single", top_k=3, deadline=Deadline.never())
    assert encoded == [(on_the_event_loop, [str(i) for i in range(6)])]


async def test_a_deadline_leaves_the_first_stage_order_with_its_reason(builder: PromptBuilder) -> None:
    started = time.monotonic()
    outcome = await Ranker(builder, FakeScorer(delay_s=0.5)).rank(
        "q", candidates(40), strategy=None, top_k=3, deadline=Deadline.after(0.05)
    )
    assert time.monotonic() - started < 0.3
    assert outcome.ranking.order == tuple(range(40))
    assert outcome.ranking.degraded is DegradedReason.DEADLINE
    assert isinstance(outcome.error, DeadlineExceeded)
    assert outcome.ranking.scores == unranked(40).scores


async def test_a_failing_engine_is_named_as_the_reason(builder: PromptBuilder) -> None:
    fault = EngineUnavailable("down")
    outcome = await Ranker(builder, FakeScorer(faults=[fault])).rank(
        "q", candidates(40), strategy=None, top_k=3, deadline=Deadline.never()
    )
    assert outcome.error is fault
    assert outcome.ranking.degraded is DegradedReason.ENGINE_UNAVAILABLE


async def test_an_unknown_strategy_and_no_top_are_the_callers_mistakes(builder: PromptBuilder) -> None:
    ranker = Ranker(builder, FakeScorer())
    with pytest.raises(NotFound):
        await ranker.rank("q", candidates(9), strategy="none", top_k=3, deadline=Deadline.never())
    with pytest.raises(InvalidInput):
        await ranker.rank("q", candidates(9), strategy=None, top_k=0, deadline=Deadline.never())


def test_every_engine_error_has_a_reason_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EngineError)]
    reasons = {kind.__name__: degraded_reason(kind("x")) for kind in [*kinds, DeadlineExceeded]}
    assert reasons == {
        "EngineError": DegradedReason.ENGINE_UNAVAILABLE,
        "EngineUnavailable": DegradedReason.ENGINE_UNAVAILABLE,
        "EngineRejected": DegradedReason.ENGINE_REJECTED,
        "EngineProtocolError": DegradedReason.ENGINE_PROTOCOL,
        "DeadlineExceeded": DegradedReason.DEADLINE,
    }


async def test_an_unranked_list_keeps_its_order() -> None:
    ranking = unranked(3)
    assert ranking.order == (0, 1, 2)
    assert (ranking.prompts, ranking.profile, ranking.degraded) == (0, None, None)
