"""What every strategy shares: reading a window's scores as an order, and refusing options that cannot work."""

from __future__ import annotations

import math
from collections.abc import Sequence

from service.domain import Window
from service.errors import InvalidInput
from service.ranking.strategies.plan import Order, PlanOptions

SMALLEST_WINDOW = 2
"""Fewer passages than that cannot be compared."""


def ranked(window: Window, scores: Sequence[float]) -> Window:
    """``window`` by falling score: NaN is worst, and ties keep the order in which the passages were shown.

    Raises:
        ValueError: there is not one score for each candidate.
    """
    scored = sorted(zip(scores, window, strict=True), key=lambda pair: _badness(pair[0]))
    return tuple(candidate for _, candidate in scored)


def interleaved(parts: Sequence[Window]) -> Window:
    """The first of each part, then the second of each, and so on."""
    placed = [(place, part, candidate) for part, held in enumerate(parts) for place, candidate in enumerate(held)]
    return tuple(candidate for _, _, candidate in sorted(placed))


def placed(order: Order, window: Window) -> Order:
    """``order`` with the passages of ``window`` in the window's order, in the places that they hold together."""
    held, following = set(window), iter(window)
    return tuple(next(following) if candidate in held else candidate for candidate in order)


def check(options: PlanOptions, *, smallest_window: int = SMALLEST_WINDOW) -> None:
    """Refuse a ``top_k`` below 1 and a window of fewer than ``smallest_window`` passages.

    Raises:
        InvalidInput: naming the option.
    """
    if options.top_k < 1:
        raise InvalidInput("top_k is at least 1", field="top_k")
    if options.window < smallest_window:
        raise InvalidInput(f"a window holds at least {smallest_window} passages", field="rerank.parameters.window")


def check_prompts(prompts: int, options: PlanOptions) -> None:
    """Refuse a plan of more prompts than one ranking may ask for.

    Raises:
        InvalidInput: naming the strategy.
    """
    if prompts > options.most_prompts:
        message = f"more than {options.most_prompts} prompts; rank fewer candidates, or with another strategy"
        raise InvalidInput(message, field="rerank.strategy")


def _badness(score: float) -> tuple[bool, float]:
    return (True, 0.0) if math.isnan(score) else (False, -score)
