"""Label logits to relevance scores: in [0, 1], strictly decreasing with rank, and meaning the same for a profile.

How a score is made:

1. Evidence. Where passages are compared, only differences within a prompt count: a passage's evidence is its score
   minus the mean score of its window, averaged over all windows that showed it. Where each is read by itself
   (pointwise), its log odds are the evidence, and with slope 1 and offset 0 step 2 gives the model's own probability.
   Where a model writes an order down, scores are ranks: the evidence is how many ranks it stands before the middle.
2. Logistic map. sigmoid(slope * evidence + offset), with slope and offset from the profile: the same evidence gives
   the same value in every request.
3. Order. Evidence from different windows may contradict the final order slightly: isotonic regression along the order
   (pool adjacent violators, Barlow et al. 1972) gives the closest values that do not rise.
4. Passages behind the last one read carry no evidence: their values fall evenly from the last read one's towards 0.
5. Ties. (1 - d) * value + d * (n - i) / (n + 1) for the passage at place i = 0.. of n, with d = 0.001, makes the
   values strictly decreasing, moves none by more than d, and stays within (0, 1) however many there are.

An order may rest on the first stage: nothing was read, or a plan was stopped half way and a passage never read stands
ahead of one that was. It has no such values; its scores are 1 / (rank + 1) and tell the rank alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from service.domain import WindowReading
from service.ranking.profile import Calibration
from service.ranking.strategies.plan import Order

_TIE_BREAK = 0.001
_STEEPEST = 500.0  # whose exponential is still a number


def relevance(
    order: Order, readings: Sequence[WindowReading], calibration: Calibration, *, absolute: bool = False
) -> tuple[float, ...]:
    """A relevance score for each candidate of ``order``, aligned with it.

    ``absolute`` says that scores mean the same in every window, see ``Profile.absolute``.
    """
    known = _evidence(readings, absolute=absolute)
    read = len(known)
    if not read or any(position not in known for position in order[:read]):
        return rank_only(len(order))
    values = _falling([_likely(known[position], calibration) for position in order[:read]])
    unread = len(order) - read
    values += [values[-1] * left / (unread + 1) for left in range(unread, 0, -1)]
    return strictly(values)


def rank_only(count: int) -> tuple[float, ...]:
    """Scores of ``count`` candidates in an order that no label logits speak for."""
    return tuple(1 / (rank + 1) for rank in range(1, count + 1))


def _evidence(readings: Sequence[WindowReading], *, absolute: bool) -> dict[int, float]:
    """Mean score, or mean advantage over the window's mean, of each candidate that was read."""
    total: dict[int, float] = {}
    times: dict[int, int] = {}
    for reading in readings:
        middle = 0.0 if absolute else math.fsum(reading.logits) / len(reading.logits)
        for position, logit in zip(reading.window, reading.logits, strict=True):
            total[position] = total.get(position, 0.0) + (logit - middle)
            times[position] = times.get(position, 0) + 1
    return {position: found / times[position] for position, found in total.items()}


def _likely(evidence: float, calibration: Calibration) -> float:
    odds = calibration.slope * evidence + calibration.offset
    return 1 / (1 + math.exp(-max(-_STEEPEST, min(_STEEPEST, odds))))


def _falling(values: Sequence[float]) -> list[float]:
    """The non-increasing sequence closest to ``values`` in squares: neighbours that rise are pooled to their mean."""
    pools: list[tuple[float, int]] = []  # mean and size
    for value in values:
        mean, size = value, 1
        while pools and pools[-1][0] < mean:
            earlier_mean, earlier_size = pools.pop()
            mean = (earlier_mean * earlier_size + mean * size) / (earlier_size + size)
            size += earlier_size
        pools.append((mean, size))
    return [mean for mean, size in pools for _ in range(size)]


def strictly(values: Sequence[float]) -> tuple[float, ...]:
    """Values in [0, 1] that do not rise, moved by at most 0.001 so that they fall."""
    count = len(values)
    return tuple(
        (1 - _TIE_BREAK) * value + _TIE_BREAK * (count - place) / (count + 1) for place, value in enumerate(values)
    )
