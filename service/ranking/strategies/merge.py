"""Sorted windows merged by way of samples, as in parallel sorting by regular sampling (Shi and Schaeffer, 1992)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from service.domain import Window
from service.ranking.strategies.comparing import SMALLEST_WINDOW, check, placed, ranked
from service.ranking.strategies.plan import Order, Plan, PlanOptions, Round, RoundScores

T = TypeVar("T")


def merge(count: int, options: PlanOptions) -> Plan:
    """Order windows side by side, then merge the best k of each: a sample of them first, then whoever can still win.

    With n candidates, window w and k = min(top_k, w // 2):

    1. The candidates are dealt like cards over c = ceil(n / w) windows. Each is ordered; its best k are a chain.
    2. A sample, places 1, 1 + g, 1 + 2g, … of each chain, is ordered in one window. A passage is then known to be worse
       than those before it in its chain, and than whatever another chain has up to its last sample that came before
       the passage's own: the sample at its place or the last one before it.
    3. The w passages with the fewest known to be better are ordered. Their best k are the merged chain.

    At most m chains are merged so in one go, the most for which the sample, m ceil(k / g), and m (g - 1) + k passages
    fit a window, g being the smallest gap that the sample allows. More chains are merged at several tables side by
    side, and what comes of them again. Where g is 1 the sample is all of the chains, and step 3 is not needed.

    Cost: c prompts in a round, then for each table 2 prompts in 2 rounds (1 in 1 where g is 1) until one chain is left.
    100 candidates, top 10, w = 20: c = 5, m = 5 and g = 3, so 5 + 1 + 1 = 7 prompts in 3 rounds. 1 prompt if n <= w,
    none if n < 2. With fewer than ceil((n - 1) / (w - 1)) prompts, 6 here, no plan is exact: there would be passages
    that not even a row of comparisons joins.

    Exact for the best k with a perfect comparator, from any first stage. Each of the best k has fewer than k better
    passages, so it is in its window's chain, and fewer than k are known to be better. At most m (g - 1) + k passages
    of a table are so, which step 3 has room for: let x be the last in the sample's order of which fewer than k are
    known to be better, and a(l) the place of chain l's last sample that came no later than x, 0 if none did. Of its own
    chain a - 1 passages are known to be better than x, of any other chain a(l), fewer than k in all: the sum of all
    a(l) is at most k. The next sample of chain l, at place a(l) + g, or 1 where a(l) = 0, came after x, so k are known
    to be better than it, and than all behind it. That leaves a(l) + g - 1 passages of chain l, none where a(l) = 0.

    Behind the best k, a passage stands where the windows that showed it put it.
    """
    check(options)
    standing = _Standing(count)
    if count < SMALLEST_WINDOW:
        return standing.order
    keep = min(options.top_k, options.window // 2)
    chains = yield from standing.read(_dealt(standing.order, -(-count // options.window)))
    while len(chains) > 1:
        chains = [chain[:keep] for chain in chains]
        tables = _dealt(chains, -(-len(chains) // _most_chains(keep, options.window)))
        gap = _gap(len(tables[0]), keep, options.window)
        samples = [[passage for chain in table for passage in chain[::gap]] for table in tables]
        chains = yield from standing.read(samples)
        if gap > 1:
            known = [_known_better(table, sample, gap) for table, sample in zip(tables, chains, strict=True)]
            chains = yield from standing.read([sorted(one, key=one.__getitem__)[: options.window] for one in known])
    return standing.headed_by(chains[0][:keep] if count > options.window else chains[0])


class _Standing:
    """The best order known: what a window says of its passages changes their places among themselves."""

    def __init__(self, count: int) -> None:
        self.order: Order = tuple(range(count))

    def read(self, groups: Sequence[Iterable[int]]) -> Generator[Round, RoundScores, list[Window]]:
        """Each of ``groups`` as it is ordered, all read side by side; a passage alone needs no reading."""
        place = {passage: number for number, passage in enumerate(self.order)}
        shown = [tuple(sorted(group, key=place.__getitem__)) for group in groups]
        windows = tuple(window for window in shown if len(window) >= SMALLEST_WINDOW)
        answers = yield Round(windows, best=self.order)
        ordered = {window: ranked(window, scores) for window, scores in zip(windows, answers, strict=True)}
        for window in ordered.values():
            self.order = placed(self.order, window)
        return [ordered.get(window, window) for window in shown]

    def headed_by(self, best: Window) -> Order:
        """``best``, then the others."""
        return (*best, *(passage for passage in self.order if passage not in best))


def _dealt(things: Sequence[T], parts: int) -> list[Sequence[T]]:
    return [things[part::parts] for part in range(parts)]


def _gap(chains: int, keep: int, window: int) -> int:
    """The smallest gap with which a sample of so many chains fits a window."""
    return next(gap for gap in range(1, keep + 1) if chains * -(-keep // gap) <= window)


def _most_chains(keep: int, window: int) -> int:
    """How many chains can be merged in one go: 2 or more, since two chains are not longer than a window."""
    fitting = (m for m in range(2, window + 1) if m * (_gap(m, keep, window) - 1) + keep <= window)
    return max(fitting)


def _known_better(table: Sequence[Window], sample: Window, gap: int) -> dict[int, int]:
    """For each passage of the table's chains, how many others are known to be better."""
    places = {passage: (number, place) for number, chain in enumerate(table) for place, passage in enumerate(chain)}
    come = [0] * len(table)  # of each chain, the passages up to its last sample that has come
    known = {}
    for sampled in sample:
        number, place = places[sampled]
        others = sum(come) - come[number]
        for behind, passage in enumerate(table[number][place : place + gap]):
            known[passage] = others + place + behind
        come[number] = max(come[number], place + 1)
    return known
