"""A knockout tournament of windows, after the m-ary tournament sort of ListT5 (arXiv 2402.15838)."""

from __future__ import annotations

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, interleaved, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round


def tournament(count: int, options: PlanOptions) -> Plan:
    """Order windows side by side, let the best of each go on, and so on until one window holds all who are left.

    With n candidates, window w and k = min(top_k, w // 2): in each round the passages still in play are dealt like
    cards over as many full windows as they fill, and the best k of each go on. Those over are the first stage's
    favourites: they have a bye.

    Cost: each round has floor(n / w) prompts and takes w - k passages out of play with each; one more prompt orders the
    last w. 100 candidates, top 10, w = 20: 5 + 2 + 1 + 1 = 9 prompts in 4 rounds. 1 prompt if n <= w, none if n < 2.
    Exact for the best k with a perfect comparator, whatever the first stage's order: a passage is put out of play only
    by k better ones. What is out of play follows, those that came further first.
    """
    check(options)
    playing: Order = tuple(range(count))
    out: Order = ()
    keep = min(options.top_k, options.window // 2)
    while len(playing) > options.window:
        tables = len(playing) // options.window
        byes = len(playing) % options.window
        windows = tuple(playing[byes + table :: tables] for table in range(tables))
        answers = yield Round(windows, best=playing + out)
        orders = [ranked(window, scores) for window, scores in zip(windows, answers, strict=True)]
        playing = playing[:byes] + interleaved([order[:keep] for order in orders])
        out = interleaved([order[keep:] for order in orders]) + out
    if len(playing) < SMALLEST_WINDOW:
        return playing
    (scores,) = yield Round((playing,), best=playing + out)
    return ranked(playing, scores) + out
