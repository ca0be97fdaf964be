"""One order from several: each voter scores the same passages, and what counts is whom each puts before whom."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Votes = Sequence[Sequence[float]]
"""Scores of each voter for the same passages, higher is better, NaN is worst: shape [voters, passages]."""


def borda(votes: Votes) -> list[float]:
    """For each passage, how many it is put before, less how many are put before it, over all voters."""
    return [float(lead) for lead in _lead(votes).sum(axis=1)]


def kemeny(votes: Votes) -> list[float]:
    """For each passage, how many are behind it in the order that contradicts the fewest of the voters' pairs.

    That order is hard to find; this one is Borda's, improved until no passage is better off in any other place (local
    search, as in Ali and Meila, 2012). Passages that the votes do not tell apart keep their order.
    """
    lead = _lead(votes)
    order = sorted(range(len(lead)), key=lambda passage: -lead[passage].sum())
    while (move := _best_move(lead, order)) is not None:
        place, target = move
        order.insert(target, order.pop(place))
    scores = [0.0] * len(order)
    for place, passage in enumerate(order):
        scores[passage] = float(len(order) - 1 - place)
    return scores


def _best_move(lead: NDArray[np.int64], order: list[int]) -> tuple[int, int] | None:
    """The move of one passage to another place that settles most contradictions; none where no move settles any."""
    led = lead[np.ix_(order, order)]
    before = np.pad(led.cumsum(axis=1), ((0, 0), (1, 0)))  # [place, n]: the lead over the first n together
    places = np.arange(len(order))
    upward = places < places[:, None]
    gains = before[places, places][:, None] - np.where(upward, before[:, :-1], before[:, 1:])
    place, target = divmod(int(gains.argmax()), len(order))
    return (place, target) if gains[place, target] > 0 else None


def _lead(votes: Votes) -> NDArray[np.int64]:
    """How many voters put a passage before another, less those that put it behind, shape [passages, passages]."""
    scores = np.array([[-math.inf if math.isnan(score) else score for score in voter] for voter in votes])
    ahead: NDArray[np.int64] = (scores[:, :, None] > scores[:, None, :]).sum(axis=0)
    return ahead - ahead.T
