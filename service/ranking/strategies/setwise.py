"""Setwise ranking (arXiv 2310.09497): of each prompt only the best passage counts, and what it beat is remembered."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round, RoundScores


def setwise(count: int, options: PlanOptions) -> Plan:
    """Find the best passage by knockout, then the best of those that only it has beaten, and so on ``top_k`` times.

    Only the best of each answer is believed, so a model that picks one passage well is enough. The paper sorts with a
    heap; remembering who was beaten by whom needs no passage to be moved, and keeps ties in the first stage's order.

    Cost, with n candidates and w = window: at most (n - 1) / (w - 1) prompts and a few more for the best passage, those
    of a knockout's round side by side, then about log n / log w for each further place, one after the other.
    100 candidates, top 10, w = 20: at most 6 + 9 x 4 prompts. 1 prompt that orders everything if n <= w, none if n < 2.
    Exact for the best top_k with a perfect comparator. The passages behind keep the first stage's order.
    """
    check(options)
    everything: Order = tuple(range(count))
    if count < SMALLEST_WINDOW:
        return everything
    if count <= options.window:
        (scores,) = yield Round((everything,), best=everything)
        return ranked(everything, scores)
    known = _Known(everything, options.window)
    contenders: Sequence[int] = everything
    while len(known.taken) < min(options.top_k, count):
        contenders = yield from known.take_best(contenders)
    return known.order


class _Known:
    """``taken`` holds the best passages in their order; every other passage was beaten by one, or by none yet."""

    def __init__(self, everything: Order, window: int) -> None:
        self._everything, self._window = everything, window
        self._beaten: dict[int, list[int]] = {passage: [] for passage in everything}
        self.taken: list[int] = []

    @property
    def order(self) -> Order:
        """What was taken, then the others as the first stage had them."""
        taken = set(self.taken)
        return (*self.taken, *(passage for passage in self._everything if passage not in taken))

    def take_best(self, contenders: Sequence[int]) -> Generator[Round, RoundScores, list[int]]:
        """Take the best of ``contenders``; what it alone has beaten contends for the next place."""
        while len(contenders) > 1:
            windows = [tuple(part) for part in _parts(contenders, self._window)]
            playing = [window for window in windows if len(window) > 1]
            answers = yield Round(tuple(playing), best=self.order)
            byes = [passage for window in windows if len(window) == 1 for passage in window]
            contenders = [*(self._best(w, scores) for w, scores in zip(playing, answers, strict=True)), *byes]
        (best,) = contenders
        self.taken.append(best)
        return sorted(self._beaten.pop(best))

    def _best(self, window: tuple[int, ...], scores: Sequence[float]) -> int:
        best, *others = ranked(window, scores)
        self._beaten[best].extend(others)
        return best


def _parts(contenders: Sequence[int], size: int) -> list[Sequence[int]]:
    return [contenders[start : start + size] for start in range(0, len(contenders), size)]
