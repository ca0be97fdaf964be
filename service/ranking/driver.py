"""Runs a strategy's plan against the engine: one scorer call a round, and at any moment a usable order."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import anyio

from service.deadline import Deadline
from service.domain import Window, WindowReading
from service.engine.scorer import LabelLogits, Prompt, Scorer
from service.errors import DeadlineExceeded, EngineError
from service.observability.spans import annotate, span
from service.ranking.strategies.plan import Order, Plan, Round

RESERVE_S = 0.02
"""Time kept back from the engine to turn what is known into an answer."""

MakePrompts = Callable[[Sequence[Window]], Awaitable[list[Prompt]]]
"""Builds the prompts of a round's windows."""

ReadScores = Callable[[LabelLogits], LabelLogits]
"""One score for each passage of a window, from the values of its prompt's labels."""


@dataclass(frozen=True, slots=True)
class PlanRun:
    """What came of a plan: the final order, or the best one known when ``error`` stopped it.

    ``prompt_tokens`` counts the tokens of all prompts that were answered.
    """

    order: Order
    readings: tuple[WindowReading, ...]
    rounds: int
    prompt_tokens: int = 0
    error: DeadlineExceeded | EngineError | None = None

    @property
    def prompts(self) -> int:
        """How many prompts were answered."""
        return len(self.readings)


async def drive(
    plan: Plan, make_prompts: MakePrompts, scorer: Scorer, deadline: Deadline, *, read: ReadScores = tuple
) -> PlanRun:
    """Score the plan's rounds one after the other until it ends, the deadline comes, or the engine fails.

    A round counts only if all of it was answered. Cancellation passes through and leaves nothing running.
    """
    deadline = deadline.sooner(RESERVE_S)
    readings: list[WindowReading] = []
    rounds = prompt_tokens = 0
    with closing(plan):
        try:
            step = next(plan)
            while True:
                try:
                    logits, asked = await _ask(step, make_prompts, scorer, deadline)
                except (DeadlineExceeded, EngineError) as error:
                    return PlanRun(step.best, tuple(readings), rounds, prompt_tokens, error)
                rounds += 1
                prompt_tokens += asked
                scores = [read(values) for values in logits]
                answered = zip(step.windows, scores, strict=True)
                readings.extend(WindowReading(rounds, window, values) for window, values in answered)
                step = plan.send(scores)
        except StopIteration as finished:
            return PlanRun(finished.value, tuple(readings), rounds, prompt_tokens)


async def _ask(
    step: Round, make_prompts: MakePrompts, scorer: Scorer, deadline: Deadline
) -> tuple[list[LabelLogits], int]:
    """The logits of a round's windows and how many tokens their prompts have.

    The deadline holds even where the engine overlooks it.
    """
    deadline.check("the next round of windows")
    limit = None if math.isinf(deadline.at) else deadline.remaining
    try:
        with span("round", prompts=len(step.windows)), anyio.fail_after(limit):
            prompts = await make_prompts(step.windows)
            tokens = sum(len(prompt.token_ids) for prompt in prompts)
            annotate(prompt_tokens=tokens)
            return await scorer.score(prompts, deadline), tokens
    except TimeoutError:
        raise DeadlineExceeded("the time ran out while windows were read") from None
