"""The degradation ladder: plans that cost less and less, for when the time left does not suffice for the one asked for.

Pure: which rung is taken depends on the rungs and on what each of them takes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from service.domain import AS_USUAL, DegradedStep, Parameters

SINGLE = "single"
"""The strategy with the fewest prompts."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A plan: the strategy over the best ``depth`` candidates of the first stage; ``step`` is ``None`` as asked for.

    ``why`` says why this strategy, where the choice was left open.
    """

    strategy: str
    depth: int
    step: DegradedStep | None = None
    parameters: Parameters = AS_USUAL
    why: str | None = None


def rungs(asked: Rung, *, window: int, single: bool) -> Iterator[Rung]:
    """The plan asked for, then cheaper ones: half the candidates again and again, a single window, none at all.

    ``single`` says whether one window alone can be ranked; where not, candidates are halved down to one.
    """
    yield asked
    depth, least = asked.depth // 2, window if single else 0
    while depth > least:
        yield replace(asked, depth=depth, step=DegradedStep.FEWER_CANDIDATES)
        depth //= 2
    if single and (asked.strategy != SINGLE and asked.depth > window):
        yield Rung(SINGLE, asked.depth, DegradedStep.SINGLE_WINDOW)
    yield replace(asked, depth=0, step=DegradedStep.FIRST_STAGE)


def choose(ladder: Iterator[Rung], takes_s: Callable[[Rung], float], left_s: float) -> Rung:
    """The first rung that can be done in ``left_s`` seconds; the last one where none can.

    Raises:
        ValueError: there is no rung.
    """
    rung = None
    for rung in ladder:
        if takes_s(rung) <= left_s:
            return rung
    if rung is None:
        raise ValueError("a ladder has at least one rung")
    return rung
