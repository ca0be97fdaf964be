"""Rankings that fit the time and the load: as asked for, cheaper, in first-stage order, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.admission.admission import Admission
from service.admission.fair_queue import Demand
from service.deadline import Deadline
from service.domain import (
    Candidate,
    DegradedReason,
    DegradedStep,
    Document,
    Parameters,
    RerankOptions,
    RerankRequest,
    SearchRequest,
)
from service.engine.fake import FakeScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import DeadlineExceeded, EngineUnavailable, InvalidInput, Overloaded
from service.observability.events import Observers
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Outcome, Ranker
from service.reranking import Reranking
from service.settings import Overflow
from tests.admission.clock import measured
from tests.reranking import LISTWISE

pytestmark = pytest.mark.anyio

BUILDER = PromptBuilder(LISTWISE)
CANDIDATES = tuple(Candidate(Document(str(n), f"passage {n}"), n + 1, 1.0) for n in range(100))
SEARCH = SearchRequest("query", 1000.0)
RERANK = RerankRequest("query", tuple(each.document for each in CANDIDATES), 1000.0)
STRICT = SearchRequest("query", 1000.0, strict=True)
SECONDS = 10.0
"""Time left in these tests; how far it goes is up to the rate that was measured."""


class Remembering(FakeScorer):
    """Counts the prompts that it is asked for."""

    prompts = 0

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        self.prompts += len(prompts)
        return await super().score(prompts, deadline)


def full_cost() -> int:
    return Ranker(BUILDER, FakeScorer()).cost("query", CANDIDATES, strategy="sliding", top_k=10).tokens


def able_to_do(share: float) -> Admission:
    """An admission whose measured rate does that share of the plan asked for within ``SECONDS``."""
    return Admission(1e9, Observers(), measured(1.2 * share * full_cost() / SECONDS))


async def rank(
    admission: Admission,
    request: SearchRequest | RerankRequest = SEARCH,
    *,
    scorer: FakeScorer | None = None,
    overflow: Overflow = Overflow.FIRST_STAGE,
    ladder: bool = True,
) -> Outcome:
    reranking = Reranking(admission, overflow=overflow, ladder=ladder)
    ranker = Ranker(BUILDER, scorer or FakeScorer())
    return await reranking.rank(request, ranker, CANDIDATES, 10, Deadline.after(SECONDS))


@pytest.mark.parametrize(
    ("share", "step", "strategy", "prompts"),
    [
        (1.1, None, "sliding", 19),
        (0.9, DegradedStep.FEWER_CANDIDATES, "sliding", 9),
        (0.3, DegradedStep.FEWER_CANDIDATES, "sliding", 4),
        (0.1, DegradedStep.SINGLE_WINDOW, "single", 1),
        (0.01, DegradedStep.FIRST_STAGE, None, 0),
    ],
)
async def test_the_plan_is_as_large_as_the_time_allows(
    share: float, step: DegradedStep | None, strategy: str | None, prompts: int
) -> None:
    scorer = Remembering()

    outcome = await rank(able_to_do(share), scorer=scorer)

    ranking = outcome.ranking
    assert (ranking.degraded_step, ranking.strategy, ranking.prompts, scorer.prompts) == (
        step,
        strategy,
        prompts,
        prompts,
    )
    assert ranking.degraded is (DegradedReason.DEADLINE if step else None)
    assert sorted(ranking.order) == list(range(100))
    assert all(better > worse for better, worse in zip(ranking.scores, ranking.scores[1:], strict=False))


async def test_candidates_that_are_left_out_stay_behind_in_their_order() -> None:
    order = (await rank(able_to_do(0.9))).ranking.order
    assert order[50:] == tuple(range(50, 100))
    assert order[:50] != tuple(range(50))


async def test_a_strict_request_is_told_that_the_time_does_not_suffice() -> None:
    scorer = Remembering()
    outcome = await rank(able_to_do(0.9), STRICT, scorer=scorer)
    assert isinstance(outcome.error, DeadlineExceeded)
    assert scorer.prompts == 0


async def test_without_a_ladder_the_plan_asked_for_is_begun_whatever_it_takes() -> None:
    assert (await rank(able_to_do(0.01), ladder=False)).ranking.prompts == 19


async def test_an_engine_that_fails_on_a_cheaper_plan_is_told_as_what_it_is() -> None:
    down = FakeScorer(faults=[EngineUnavailable("down")])
    outcome = await rank(able_to_do(0.9), scorer=down)
    assert outcome.ranking.degraded is DegradedReason.ENGINE_UNAVAILABLE
    assert isinstance(outcome.error, EngineUnavailable)


async def overloaded(request: SearchRequest | RerankRequest, overflow: Overflow) -> Outcome:
    """What becomes of a request behind work that takes far longer than it can wait."""
    admission = Admission(full_cost(), Observers(), measured(2 * full_cost() / SECONDS))
    async with admission.admit(Demand(100 * full_cost(), Deadline.never())):
        outcome = await rank(admission, request, overflow=overflow)
        assert admission.waiting == 0
        return outcome


@pytest.mark.parametrize("request_", [SEARCH, STRICT])
async def test_a_search_that_is_not_admitted_is_answered_in_first_stage_order(request_: SearchRequest) -> None:
    outcome = await overloaded(request_, Overflow.FIRST_STAGE)
    assert isinstance(outcome.error, Overloaded)  # for those who are strict
    assert outcome.ranking.order == tuple(range(100))
    assert outcome.ranking.degraded is DegradedReason.OVERLOADED
    assert outcome.ranking.degraded_step is DegradedStep.FIRST_STAGE


@pytest.mark.parametrize(
    ("request_", "overflow"),
    [(SEARCH, Overflow.REFUSE), (RERANK, Overflow.FIRST_STAGE)],
)
async def test_whoever_else_is_not_admitted_is_refused(
    request_: SearchRequest | RerankRequest, overflow: Overflow
) -> None:
    with pytest.raises(Overloaded) as refusal:
        await overloaded(request_, overflow)
    assert refusal.value.retry_after_s > SECONDS


@pytest.mark.parametrize("overflow", Overflow)
async def test_the_first_stage_is_spared_where_its_order_would_not_be_given(overflow: Overflow) -> None:
    admission = Admission(full_cost(), Observers(), measured(2 * full_cost() / SECONDS))
    reranking = Reranking(admission, overflow=overflow, ladder=True)
    ranker, deadline = Ranker(BUILDER, FakeScorer()), Deadline.after(SECONDS)
    reranking.refuse_early(SEARCH, ranker, deadline)
    async with admission.admit(Demand(100 * full_cost(), Deadline.never())):
        if overflow is Overflow.FIRST_STAGE:
            reranking.refuse_early(SEARCH, ranker, deadline)
        else:
            with pytest.raises(Overloaded):
                reranking.refuse_early(SEARCH, ranker, deadline)
            reranking.refuse_early(replace(SEARCH, rerank=RerankOptions(enabled=False)), ranker, deadline)


async def test_what_needs_no_prompt_waits_for_nobody() -> None:
    admission = Admission(1, Observers())
    one = RerankRequest("query", (Document("a", "text"),), 1000.0, rerank=RerankOptions(strategy="single"))
    reranking = Reranking(admission, overflow=Overflow.REFUSE, ladder=True)
    async with admission.admit(Demand(100, Deadline.never())):
        outcome = await reranking.rank(one, Ranker(BUILDER, FakeScorer()), CANDIDATES[:1], 1, Deadline.after(SECONDS))
    assert outcome.ranking.order == (0,)


AUTO = replace(SEARCH, rerank=RerankOptions(strategy="auto"))


@pytest.mark.parametrize(
    ("share", "strategy", "parameters"),
    [
        (9.0, "setwise", {"window": 10, "sort": "bubble"}),
        (1.1, "tournament", {"window": 10}),  # as good as sliding, in fewer rounds
        (0.2, "self_consistency", {"window": 10, "over": "single", "shuffles": 3}),
        (0.07, "single", {"window": 10}),
    ],
)
async def test_auto_takes_the_best_plan_that_fits_and_says_why(
    share: float, strategy: str, parameters: dict[str, object]
) -> None:
    ranking = (await rank(able_to_do(share), AUTO)).ranking
    assert (ranking.strategy, ranking.parameters, ranking.degraded) == (strategy, parameters, None)
    assert ranking.why
    assert "expected nDCG@10 ." in ranking.why.replace("0.", ".")


async def test_auto_goes_by_the_profile_while_no_speed_is_known() -> None:
    ranking = (await rank(Admission(1e9, Observers()), AUTO)).ranking
    assert ranking.strategy == "sliding"
    assert ranking.why == "the profile's own strategy: no speed was measured lately"


async def test_auto_that_has_no_time_for_any_plan_leaves_the_first_stages_order() -> None:
    outcome = await rank(able_to_do(0.01), AUTO)
    assert outcome.ranking.degraded_step is DegradedStep.FIRST_STAGE
    assert isinstance((await rank(able_to_do(0.01), replace(AUTO, strict=True))).error, DeadlineExceeded)


async def test_auto_is_refused_early_only_where_not_even_one_window_could_be_read() -> None:
    admission = Admission(full_cost(), Observers(), measured(2 * full_cost() / SECONDS))
    reranking = Reranking(admission, overflow=Overflow.REFUSE, ladder=True)
    ranker, deadline = Ranker(BUILDER, FakeScorer()), Deadline.after(SECONDS)
    async with admission.admit(Demand(full_cost(), Deadline.never())):
        reranking.refuse_early(AUTO, ranker, deadline)
        with pytest.raises(Overloaded):
            reranking.refuse_early(SEARCH, ranker, deadline)


async def test_parameters_of_what_is_left_open_are_refused() -> None:
    request = replace(SEARCH, rerank=RerankOptions(strategy="auto", parameters=Parameters(window=5)))
    with pytest.raises(InvalidInput) as refused:
        await rank(able_to_do(1.0), request)
    assert refused.value.field == "rerank.parameters"


async def test_what_was_really_read_tells_the_rate() -> None:
    admission = Admission(1e9, Observers())
    assert admission.takes_s(1000) == 0
    await rank(admission)
    assert admission.takes_s(1000) > 0
    failed = Admission(1e9, Observers())
    await rank(failed, scorer=FakeScorer(faults=[EngineUnavailable("down")]))
    assert failed.takes_s(1000) == 0
