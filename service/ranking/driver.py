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

    A round counts only if all of it was answered. One of single passages whose scores mean the same in every window
    (``absolute``) counts with what was answered by the deadline: that is ranked, before the rest. Cancellation passes
    through and leaves nothing running.
    """
    deadline = deadline.sooner(RESERVE_S)
    readings: list[WindowReading] = []
    rounds = prompts = tokens = 0
    with closing(plan):
        try:
            step = next(plan)
            while True:
                try:
                    found = await _ask(step, make_prompts, scorer, deadline)
                except (DeadlineExceeded, EngineError) as error:
                    return PlanRun(step.best, tuple(readings), rounds, prompts, tokens, error)
                single = all(len(window) == 1 for window in step.windows)
                if found.error is not None and not (absolute and found.windows and single):
                    return PlanRun(step.best, tuple(readings), rounds, prompts, tokens, found.error)
                rounds += 1
                prompts += len(found.prompts)
                tokens += sum(prompt.tokens for prompt in found.prompts)
                scores = [weigh(window, read(values)) for window, values in found.windows]
                answered = zip(found.windows, scores, strict=True)
                part = [WindowReading(rounds, window, values) for (window, _), values in answered]
                readings.extend(part)
                if found.error is not None:
                    order = _read_first(step.best, part)
                    return PlanRun(order, tuple(readings), rounds, prompts, tokens, found.error)
                step = plan.send(scores)
        except StopIteration as finished:
            return PlanRun(finished.value, tuple(readings), rounds, prompts, tokens)


def _read_first(best: Order, readings: Sequence[WindowReading]) -> Order:
    """Passages that were read, the best first, then the others in the order known before."""
    scores = {position: score for each in readings for position, score in zip(each.window, each.logits, strict=True)}
    read = sorted(scores, key=lambda position: -scores[position])
    return (*read, *(position for position in best if position not in scores))


@dataclass(frozen=True, slots=True)
class _Found:
    """The windows of a round that were answered, with the logits of their prompts; ``error`` is why others were not."""

    prompts: Sequence[Prompt]
    windows: Sequence[tuple[Window, Sequence[LabelLogits]]]
    error: CutShort | None = None


async def _ask(step: Round, make_prompts: MakePrompts, scorer: Scorer, deadline: Deadline) -> _Found:
    """What the engine says to a round's windows; all are given to it at once.

    The deadline holds even where the engine overlooks it.
    """
    deadline.check("the next round of windows")
    limit = None if math.isinf(deadline.at) else deadline.remaining
    with span("round"), anyio.move_on_after(limit):
        asked = await make_prompts(step.windows)
        prompts = [prompt for window in asked for prompt in window]
        annotate(prompts=len(prompts), prompt_tokens=sum(prompt.tokens for prompt in prompts))
        try:
            answers = await scorer.score(prompts, deadline.sooner(_HAND_OVER_S))
        except CutShort as error:
            return _answered(step, asked, error.answers, error)
        return _answered(step, asked, answers)
    raise DeadlineExceeded("the time ran out while windows were read")


def _answered(
    step: Round,
    asked: Sequence[Sequence[Prompt]],
    answers: Sequence[LabelLogits | None],
    error: CutShort | None = None,
) -> _Found:
    """The windows of which each prompt was answered."""
    following = iter(answers)
    prompts: list[Prompt] = []
    windows: list[tuple[Window, list[LabelLogits]]] = []
    for window, own in zip(step.windows, asked, strict=True):
        found = [next(following) for _ in own]
        logits = [each for each in found if each is not None]
        if len(logits) == len(found):
            prompts.extend(own)
            windows.append((window, logits))
    return _Found(prompts, windows, error)
