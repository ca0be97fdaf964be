"""Runs a strategy's plan against the engine: one scorer call a round, and at any moment a usable order."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import anyio

from service.deadline import Deadline
from service.domain import Window, WindowReading
from service.engine.scorer import CutShort, LabelLogits, Prompt, Scorer
from service.errors import DeadlineExceeded, EngineError
from service.observability.spans import annotate, span
from service.ranking.prior import Weigh, unweighed
from service.ranking.strategies.plan import Order, Plan, Round

RESERVE_S = 0.02
"""Time kept back from the engine to turn what is known into an answer."""

_HAND_OVER_S = 0.005
"""Time that an engine is given to hand over what it has when the deadline comes."""

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
    absolute: bool = False,
) -> PlanRun:
    """Score the plan's rounds one after the other until it ends, the deadline comes, or the engine fails.

    A round counts only if all of it was answered, but where scores of different windows can be compared (``absolute``):
    what was answered by the deadline is then ranked, before the rest. Cancellation passes through and leaves nothing
    running.
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
                    if absolute and isinstance(error, CutShort) and all(len(window) == 1 for window in step.windows):
                        part = _answered(step, error, rounds + 1, read, weigh)
                        readings.extend(part)
                        return PlanRun(_read_first(step.best, part), tuple(readings), rounds, len(part), tokens, error)
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


def _answered(step: Round, error: CutShort, number: int, read: ReadScores, weigh: Weigh) -> list[WindowReading]:
    """The windows of one passage each that were answered before the round was cut short."""
    pairs = zip(step.windows, error.answers, strict=True)
    return [
        WindowReading(number, window, weigh(window, read([logits]))) for window, logits in pairs if logits is not None
    ]


def _read_first(best: Order, readings: Sequence[WindowReading]) -> Order:
    """Passages that were read, the best first, then the others in the order known before."""
    scores = {position: score for each in readings for position, score in zip(each.window, each.logits, strict=True)}
    read = sorted(scores, key=lambda position: -scores[position])
    return (*read, *(position for position in best if position not in scores))


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
        answers = iter(await scorer.score(prompts, deadline.sooner(_HAND_OVER_S)))
        return asked, [[next(answers) for _ in window] for window in asked]
    raise DeadlineExceeded("the time ran out while windows were read")
