from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.deadline import Deadline
from service.domain import Candidate, Document
from service.engine.fake import FakeScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import InvalidInput, NotFound
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker
from service.ranking.strategies.registry import STRATEGIES

pytestmark = pytest.mark.anyio


class Counting(FakeScorer):
    """Knows how much it was asked for."""

    prompts = 0
    tokens = 0

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        self.prompts += len(prompts)
        self.tokens += sum(prompt.tokens for prompt in prompts)
        return await super().score(prompts, deadline)


def tokenised(builder: PromptBuilder, count: int) -> list[Candidate]:
    documents = [Document(str(number), "read a file how to " * 2) for number in range(count)]
    encoded = builder.encode(documents)
    return [Candidate(document, 1, 1.0, tokens) for document, tokens in zip(documents, encoded, strict=True)]


@pytest.mark.parametrize("strategy", ["sliding", "single", "top_down"])
@pytest.mark.parametrize("count", [0, 1, 2, 6, 7, 40])
async def test_no_plan_costs_more_than_was_said(builder: PromptBuilder, strategy: str, count: int) -> None:
    scorer = Counting()
    ranker = Ranker(builder, scorer)
    candidates = tokenised(builder, count)

    cost = ranker.cost("a file", candidates, strategy=strategy, top_k=3)
    await ranker.rank("a file", candidates, strategy=strategy, top_k=3, deadline=Deadline.never())

    assert scorer.prompts <= cost.prompts
    assert scorer.tokens <= cost.tokens + 2 * cost.prompts  # the query's own length is guessed
    if strategy != "top_down":  # which may end early
        assert scorer.prompts == cost.prompts
        assert scorer.tokens >= 0.8 * cost.tokens


async def test_a_plan_of_more_prompts_than_may_be_is_refused(builder: PromptBuilder) -> None:
    candidates = tokenised(builder, 40)
    assert (
        Ranker(builder, FakeScorer(), most_prompts=13).cost("q", candidates, strategy="sliding", top_k=3).prompts == 13
    )
    with pytest.raises(InvalidInput, match="more than 12 prompts") as refused:
        Ranker(builder, FakeScorer(), most_prompts=12).cost("q", candidates, strategy="sliding", top_k=3)
    assert refused.value.field == "rerank.strategy"


async def test_texts_not_tokenised_yet_are_judged_by_their_length(builder: PromptBuilder) -> None:
    ranker = Ranker(builder, FakeScorer())

    def cost(text: str) -> int:
        candidates = [Candidate(Document(str(number), text), 1, 1.0) for number in range(6)]
        return ranker.cost("q", candidates, strategy="single", top_k=3).tokens

    assert cost("file") < cost("read a file") < cost("read a file " * 10) == cost("read a file " * 100)


async def test_a_strategy_that_cannot_be_used_is_refused(builder: PromptBuilder) -> None:
    ranker = Ranker(builder, FakeScorer())
    assert "pointwise" in STRATEGIES
    for strategy, error in (("pointwise", InvalidInput), ("none", NotFound)):
        with pytest.raises(error):
            ranker.cost("q", tokenised(builder, 3), strategy=strategy, top_k=3)
