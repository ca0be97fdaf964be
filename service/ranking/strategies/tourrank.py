"""Several knockout tournaments played side by side, whose points are added up (TourRank, arXiv 2406.11678)."""

from __future__ import annotations

import random
from collections.abc import Mapping

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round

_TOURNAMENTS = 2


def tourrank(count: int, options: PlanOptions) -> Plan:
    """Play ``passes`` tournaments, 2 unless told; a passage gets a point for each round that it survives.

    With n candidates, window w and k = min(top_k, w // 2): in each round the passages still in play are seeded, so that
    every full window has its share of the first stage's favourites, and the best k of each go on. Which passages meet
    differs from tournament to tournament, so what company does to a score counts little. Those over have a bye. Who is
    left when one window holds all gets the share of it that is not before them. Seeds are the same in every request.

    Cost: each round of a tournament has floor(n / w) prompts and takes w - k passages out of play with each; one more
    prompt orders the last w, and where tournaments end with the same passages it is asked once. 100 candidates, top 10,
    w = 20, two tournaments: 2 * (5 + 2 + 1) + 2 = 18 prompts at most in 4 rounds. 1 prompt if n <= w, none if n < 2.
    Exact for the best k with a perfect comparator, whatever the first stage's order: a passage is put out of play only
    by k better ones.
    """
    check(options)
    fields: list[Order] = [tuple(range(count))] * (options.passes or _TOURNAMENTS)
    points = dict.fromkeys(range(count), 0.0)
    keep = min(options.top_k, options.window // 2)
    while len(fields[0]) > options.window:
        seeded = [_seeded(field, options.window, number) for number, field in enumerate(fields)]
        windows = tuple(window for tables in seeded for window in tables)
        answers = yield Round(windows, best=_standing(points))
        best = {window: ranked(window, scores)[:keep] for window, scores in zip(windows, answers, strict=True)}
        byes = len(fields[0]) % options.window
        fields = [
            tuple(sorted({*field[:byes]}.union(*(best[window] for window in tables))))
            for field, tables in zip(fields, seeded, strict=True)
        ]
        for survivor in (survivor for field in fields for survivor in field):
            points[survivor] += 1
    finals = tuple(dict.fromkeys(field for field in fields if len(field) >= SMALLEST_WINDOW))
    if finals:
        answers = yield Round(finals, best=_standing(points))
        ended = {final: ranked(final, scores) for final, scores in zip(finals, answers, strict=True)}
        for final in (ended[field] for field in fields):
            for place, finalist in enumerate(final):
                points[finalist] += 1 - place / len(final)
    return _standing(points)


def _seeded(field: Order, window: int, number: int) -> tuple[Order, ...]:
    """``field``, but for those with a bye, over full windows: of each row of equals, one to every window.

    The first tournament deals rows as they are, the others shuffled.
    """
    tables = len(field) // window
    rows = [field[start : start + tables] for start in range(len(field) % window, len(field), tables)]
    if number:
        rows = [tuple(random.Random(f"{number} {place}").sample(row, tables)) for place, row in enumerate(rows)]
    return tuple(zip(*rows, strict=True))


def _standing(points: Mapping[int, float]) -> Order:
    return ranked(tuple(points), tuple(points.values()))
