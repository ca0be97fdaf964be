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
from service.ranking.prior import Weigh, unweighed
from service.ranking.strategies.plan import Order, Plan, Round

RESERVE_S = 0.02
"""Time kept back from the engine to turn what is known into an answer."""

MakePrompts = Callable[[Sequence[Window]], Awaitable[Sequence[Sequence[Prompt]]]]
"""Builds the prompts of each window of a round."""

ReadScores = Callable[[Sequence[LabelLogits]], LabelLogits]
"""One score for each passage of a window, from the values of its prompts' labels."""


@dataclass(frozen=True, slots=True)
class PlanRun:
    """What came of a plan: the final order, or the best one known when ``error`` stopped it.

    ``prompts`` were answered, ``prompt_tokens`` in all of them.
    """

    order: Order
    readings: tuple[WindowReading, ...]
    rounds: int
    prompts: int = 0
    prompt_tokens: int = 0
    error: DeadlineExceeded | EngineError | None = None


def only(answers: Sequence[LabelLogits]) -> LabelLogits:
    """The values of a window's one prompt."""
    (values,) = answers
    return values


async def drive(
    plan: Plan,
    make_prompts: MakePrompts,
    scorer: Scorer,
    deadline: Deadline,
    *,
    read: ReadScores = only,
    weigh: Weigh = unweighed,
) -> PlanRun:
    """Score the plan's rounds one after the other until it ends, the deadline comes, or the engine fails.

    A round counts only if all of it was answered. Cancellation passes through and leaves nothing running.
    """
    deadline = deadline.sooner(RESERVE_S)
    readings: list[WindowReading] = []
    rounds = prompts = tokens = 0
    with closing(plan):
        try:
            step = next(plan)
            while True:
                try:
                    asked, answers = await _ask(step, make_prompts, scorer, deadline)
                except (DeadlineExceeded, EngineError) as error:
                    return PlanRun(step.best, tuple(readings), rounds, prompts, tokens, error)
                rounds += 1
                prompts += sum(map(len, asked))
                tokens += sum(len(prompt.token_ids) for window in asked for prompt in window)
                scores = [weigh(window, read(values)) for window, values in zip(step.windows, answers, strict=True)]
                answered = zip(step.windows, scores, strict=True)
                readings.extend(WindowReading(rounds, window, values) for window, values in answered)
                step = plan.send(scores)
        except StopIteration as finished:
            return PlanRun(finished.value, tuple(readings), rounds, prompts, tokens)


async def _ask(
    step: Round, make_prompts: MakePrompts, scorer: Scorer, deadline: Deadline
) -> tuple[Sequence[Sequence[Prompt]], list[list[LabelLogits]]]:
    """The prompts of each of a round's windows, and the logits of each; all are given to the engine at once.

    The deadline holds even where the engine overlooks it.
    """
    deadline.check("the next round of windows")
    limit = None if math.isinf(deadline.at) else deadline.remaining
    with span("round"), anyio.move_on_after(limit):
        asked = await make_prompts(step.windows)
        prompts = [prompt for window in asked for prompt in window]
        annotate(prompts=len(prompts), prompt_tokens=sum(len(prompt.token_ids) for prompt in prompts))
        answers = iter(await scorer.score(prompts, deadline))
        return asked, [[next(answers) for _ in window] for window in asked]
    raise DeadlineExceeded("the time ran out while windows were read")
