"""The worst goes, again and again, as in IRanker (arXiv 2506.21638)."""

from __future__ import annotations

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def eliminate(count: int, options: PlanOptions) -> Plan:
    """Show the last ``window`` passages in play, put the worst of them out of play, and so on until one window is left.

    Only the worst of each answer is believed, until the last answer, which orders what is left.

    Cost: 1 + n - w prompts, each a round of its own: 100 candidates, w = 20: 81 prompts in 81 rounds. 1 prompt if
    n <= w, none if n < 2. Made for models that tell the worst better than the order; others waste it.
    Exact for the best w - 1: with a perfect comparator a passage is put out of play only by w - 1 better ones.
    """
    check(options)
    playing: Order = tuple(range(count))
    out: Order = ()
    if count < SMALLEST_WINDOW:
        return playing
    while len(playing) > options.window:
        window = playing[-options.window :]
        (scores,) = yield Round((window,), best=playing + out)
        worst = ranked(window, scores)[-1]
        playing = tuple(passage for passage in playing if passage != worst)
        out = (worst, *out)
    (scores,) = yield Round((playing,), best=playing + out)
    return ranked(playing, scores) + out
