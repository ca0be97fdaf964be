"""Top-down partitioning (TDPart, arXiv 2405.14589): compare all with a pivot side by side, then settle the top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from service.domain import Window
from service.errors import InvalidInput
from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, interleaved, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round, RoundScores


def top_down(count: int, options: PlanOptions) -> Plan:
    """Order the first window, take its k-th passage as pivot, find what beats the pivot elsewhere, order the winners.

    With n candidates, window w and k = ``pivot``, or min(top_k, w // 2) where none is given:

    1. The first w candidates are ordered; the pivot is the k-th of them.
    2. The others are dealt out like cards over m = ceil((n - w) / (w - 1)) partitions, so that no partition gets all
       of the first stage's favourites, and all partitions are read in one round, each together with the pivot.
    3. Finalists are the k - 1 passages that the first window put above the pivot and every winner over it. They are
       ordered in one last window, at most ``budget`` of them, or w; the pivot, then the rest, stand behind.

    Cost: 2 + m prompts in 3 rounds; without the last of them if nothing beats the pivot or there is but one finalist;
    1 prompt in 1 round if n <= w, none if n < 2. 100 candidates, top 10, w = 20: at most 7 prompts and 3 rounds,
    whatever the comparisons say.

    Exact: with a perfect comparator nothing below the pivot is among the best k. So the best k come out exactly if
    the finalists fit the last window, that is if at most w - k + 1 passages beat the pivot (11 of 80 above). A good
    first stage makes sure of that; a random order does not. If more win, no further round is spent (the paper
    stops collecting at its budget, too): the last window takes the w finalists with the fewest passages *known* to
    be better, and misses one of the best k only if w others have as few or fewer; the finalists left out follow in
    that order, ahead of the pivot. Where top_k > k, the places behind the k-th are good but not promised.
    A comparator that sees no difference leaves the first-stage order as it was.

    Raises:
        InvalidInput: the pivot is not within a window.
    """
    check(options)
    if options.pivot is not None and options.pivot > options.window:
        raise InvalidInput("the pivot is a place of a window", field="rerank.parameters.pivot")
    everything: Order = tuple(range(count))
    first, rest = everything[: options.window], everything[options.window :]
    if len(first) < SMALLEST_WINDOW:
        return everything
    (scores,) = yield Round((first,), best=everything)
    first = ranked(first, scores)
    if not rest:
        return first
    split = _Split.of(first, options.pivot or min(options.top_k, options.window // 2))
    windows = _deal(split.pivot, rest, options.window - 1)
    answers = yield Round(windows, best=first + rest)
    split = split.after(windows, answers)
    finalists = split.finalists
    final = finalists[: min(options.budget or options.window, options.window)]
    if split.undisturbed or len(final) < SMALLEST_WINDOW:
        return split.order(finalists)
    (scores,) = yield Round((final,), best=split.order(finalists))
    return split.order(ranked(final, scores) + finalists[len(final) :])


@dataclass(frozen=True, slots=True)
class _Split:
    """What is known relative to the pivot; each inner tuple comes from one window, best first."""

    pivot: int
    above: tuple[Window, ...]
    below: tuple[Window, ...]

    @classmethod
    def of(cls, window: Window, place: int) -> _Split:
        """``window``, which is in order, split at its passage number ``place`` (from 1)."""
        return cls(window[place - 1], (window[: place - 1],), (window[place:],))

    def after(self, windows: Sequence[Window], answers: RoundScores) -> _Split:
        """What is known once ``windows``, each holding the pivot, are read as well."""
        orders = [ranked(window, scores) for window, scores in zip(windows, answers, strict=True)]
        cuts = [_Split.of(order, order.index(self.pivot) + 1) for order in orders]
        above = self.above + tuple(chain.from_iterable(cut.above for cut in cuts))
        below = self.below + tuple(chain.from_iterable(cut.below for cut in cuts))
        return _Split(self.pivot, above, below)

    @property
    def undisturbed(self) -> bool:
        """Whether no partition had a winner, so that the first window's order stands."""
        return not any(self.above[1:])

    @property
    def finalists(self) -> Window:
        """Everything above the pivot, by the number of passages known to be better."""
        return interleaved(self.above)

    def order(self, above: Window) -> Order:
        """``above``, the pivot, and what is below it: the first window's losers, then those of the partitions."""
        return (*above, self.pivot, *self.below[0], *interleaved(self.below[1:]))


def _deal(pivot: int, rest: Order, size: int) -> tuple[Window, ...]:
    """``rest`` over as few windows of at most ``size`` as will hold it, the pivot shown first in each."""
    parts = -(-len(rest) // size)
    return tuple((pivot, *rest[part::parts]) for part in range(parts))
