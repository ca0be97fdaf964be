"""Sorts that need no more than the order of a small group at a time; ``setwise`` and ``pairwise`` ask for it.

A sort is a generator of rounds like a plan, but it is sent each group of a round in its order, and looks at the best.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from service.domain import Sort, Window
from service.errors import InvalidInput
from service.ranking.strategies.plan import Order, PlanOptions, Round

Sorting = Generator[Round, Sequence[Window], Order]
"""Groups to be ordered, the order of each, and the final order of all."""


def sorting(count: int, options: PlanOptions, *, group: int, by: Sort) -> Sorting:
    """Bring the best ``top_k`` of ``count`` candidates to the front, in groups of at most ``group``.

    Raises:
        InvalidInput: ``passes`` are asked for where there are none.
    """
    if options.passes and by is not Sort.BUBBLE:
        raise InvalidInput("only bubbling goes in passes", field="rerank.parameters.passes")
    match by:
        case Sort.HEAP:
            return _heap(count, min(options.top_k, count), group)
        case Sort.BUBBLE:
            return _bubble(count, min(options.passes or options.top_k, count - 1), group)
        case Sort.ALL:
            return _all(count)


def _all(count: int) -> Sorting:
    everything = tuple(range(count))
    (order,) = yield Round((everything,), best=everything)
    return order


def _bubble(count: int, passes: int, group: int) -> Sorting:
    """Pass by pass, groups from the back to the front that overlap by one, the best of each going to its front.

    A pass begins two groups behind the one before it, and all passes under way are asked side by side.
    """
    order = list(range(count))
    step = group - 1
    for turn in range(2 * passes + -(-count // step)):
        ends = [(front, count - 1 - (turn - 2 * front) * step) for front in range(min(passes, turn // 2 + 1))]
        spans = [(max(end - step, front), end + 1) for front, end in ends if end > front]
        if spans:
            answers = yield Round(tuple(tuple(order[start:end]) for start, end in spans), best=tuple(order))
            for (start, end), (best, *_) in zip(spans, answers, strict=True):
                order[start:end] = [best, *(passage for passage in order[start:end] if passage != best)]
    return tuple(order)


def _heap(count: int, wanted: int, group: int) -> Sorting:
    """A heap in which a passage and those right below it make one group; the best is taken ``wanted`` times."""
    heap = _Heap(count, group - 1)
    yield from heap.build()
    while len(heap.taken) < wanted:
        heap.take()
        if len(heap.taken) < wanted:
            yield from heap.sink([0])
    return heap.order


class _Heap:
    """``taken`` holds the best passages in their order; of the others, each is better than the ``width`` below it."""

    def __init__(self, count: int, width: int) -> None:
        self._tree, self._width = list(range(count)), width
        self.taken: list[int] = []

    @property
    def order(self) -> Order:
        """What was taken, then the others as the first stage had them."""
        return (*self.taken, *sorted(self._tree))

    def build(self) -> Generator[Round, Sequence[Window], None]:
        """Make it a heap, from the bottom up, a level at a time."""
        levels = [range(1)]
        while levels[-1].stop < len(self._tree):
            levels.append(range(levels[-1].stop, levels[-1].stop + len(levels[-1]) * self._width))
        for level in reversed(levels):
            yield from self.sink(level)

    def take(self) -> None:
        """Take the best; the last one is put in its place, from where it has to sink."""
        self.taken.append(self._tree[0])
        last = self._tree.pop()
        if self._tree:
            self._tree[0] = last

    def sink(self, nodes: Sequence[int]) -> Generator[Round, Sequence[Window], None]:
        """Let passages, none of which is above another, sink until none below is better."""
        while families := [family for node in nodes if len(family := self._family(node)) > 1]:
            groups = tuple(tuple(sorted(self._tree[node] for node in family)) for family in families)
            answers = yield Round(groups, best=self.order)
            nodes = [self._raise(best, family) for family, (best, *_) in zip(families, answers, strict=True)]

    def _family(self, node: int) -> list[int]:
        first = node * self._width + 1
        return [node, *range(first, min(first + self._width, len(self._tree)))]

    def _raise(self, best: int, family: Sequence[int]) -> int:
        """Put the best of a family on top of it; the node where the other one is now, beyond the tree if it is best."""
        top, place = family[0], next(node for node in family if self._tree[node] == best)
        self._tree[top], self._tree[place] = self._tree[place], self._tree[top]
        return len(self._tree) if place == top else place
